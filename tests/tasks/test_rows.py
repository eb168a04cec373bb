import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from metafit.tasks import Task

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2))
LABELS = np.array(["a", "b", "b"] * (N // 3))
GROUPS = RNG.integers(0, 15, N)


@pytest.mark.parametrize(
    ("y", "groups", "splitter"),
    [
        (X[:, 0], None, KFold),
        (LABELS, None, StratifiedKFold),
        (X[:, 0], GROUPS, GroupKFold),
        (LABELS, GROUPS, StratifiedGroupKFold),
    ],
)
def test_splits_are_scikit_learns(y, groups, splitter):
    task = Task(X, y, groups=groups)
    expected = splitter(4, shuffle=True, random_state=7).split(X, y, task.groups)
    found = task.splits(folds=4, random_state=7)
    assert len(found) == 4
    for (train, test), (train_expected, test_expected) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(train, train_expected)
        np.testing.assert_array_equal(test, test_expected)
    other = task.splits(folds=4, random_state=8)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(found, other, strict=True))


def test_a_rare_class_does_not_stop_the_folds():
    task = Task(np.arange(12.0)[:, None], ["a"] * 6 + ["b"] * 5 + ["c"])
    assert sorted(np.concatenate([test for _, test in task.splits()])) == list(range(12))


@pytest.mark.parametrize(("folds", "groups"), [(1, None), (9, None), (3, [0, 0, 0, 0, 1, 1, 1, 1])])
def test_impossible_folds_are_refused(folds, groups):
    with pytest.raises(ValueError, match=f"folds={folds}; it must lie between 2 and the number of"):
        Task(np.ones((8, 1)), np.arange(8.0) + 0.5, groups=groups).splits(folds)


def test_limit_returns_the_task_itself_where_it_fits():
    task = Task(X, X[:, 0])
    assert task.limit(None) is task
    assert task.limit(N) is task
    with pytest.raises(ValueError, match="max_rows=0"):
        task.limit(0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=80), st.integers(1, 60), st.integers(0, 9))
def test_samples_of_classes_keep_their_shares(labels, max_rows, seed):
    labels = np.array([f"c{label}" for label in labels])
    rows = np.arange(len(labels), dtype=float)[:, None]
    sample = Task(rows, labels).limit(max_rows, seed)
    assert sample.n_rows == min(max_rows, len(labels))
    taken = sample.matrix[:, 0]
    assert np.all(np.diff(taken) > 0)
    shares = np.bincount(sample.y, minlength=len(sample.classes)) - sample.n_rows * np.unique(
        labels, return_counts=True
    )[1] / len(labels)
    assert np.abs(shares).max() < 1 + 1e-9
    np.testing.assert_array_equal(Task(rows, labels).limit(max_rows, seed).matrix[:, 0], taken)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(5, 100), st.integers(0, 9))
def test_samples_of_groups_keep_them_whole_where_five_fit(sizes, max_rows, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(groups), dtype=float)
    sample = Task(rows[:, None], rows + 0.5, groups=groups).limit(max_rows, seed)
    assert 1 <= sample.n_rows <= max(max_rows, 1)
    kept, counts = np.unique(groups[sample.matrix[:, 0].astype(int)], return_counts=True)
    whole = np.array_equal(counts, np.array(sizes)[kept])
    wanted = min(5, len(sizes))
    assert whole or counts.max() <= max_rows // wanted
    assert len(kept) >= wanted


def test_a_long_group_does_not_block_a_sample():
    groups = np.repeat([0, 1, 2, 3, 4, 5], 100)
    sample = Task(np.arange(600.0)[:, None], np.arange(600.0), groups=groups).limit(100)
    assert np.unique(sample.groups, return_counts=True)[1].tolist() == [20] * 5


def test_seeds_differ():
    task = Task(X, X[:, 0])
    assert not np.array_equal(task.limit(20, 0).y, task.limit(20, 1).y)
