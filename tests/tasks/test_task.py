import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metafit.tasks import Task


def frame(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.normal(size=n), "k": rng.integers(0, 5, n), "c": rng.choice(["u", "v", "w"], n)})


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (["a", "b", "b"], "classification"),
        ([True, False, True], "classification"),
        (pd.Series([1, 2, 3], dtype="category"), "classification"),
        (pl.Series(["a", "b", "a"], dtype=pl.Categorical), "classification"),
        ([0, 1, 1], "classification"),
        ([0.0, 1.0, 1.0], "classification"),
        ([0, 1, 2], "regression"),
        ([1, 1, 1], "regression"),
        ([0.5, 1.0, 1.0], "regression"),
        (pd.Series([1, 2, 3], dtype="Int64"), "regression"),
        (pd.Series([0.5, 2, 3], dtype=object), "regression"),
        (pl.Series([1.5, 2.5, 2.5]), "regression"),
    ],
)
def test_kind_is_read_from_the_target(y, kind):
    assert Task(np.ones((3, 1)), y).kind == kind


def test_classes_are_sorted_labels_and_y_their_codes():
    task = Task(np.ones((4, 1)), ["no", "yes", "maybe", "no"])
    assert task.classes.tolist() == ["maybe", "no", "yes"]
    assert task.y.tolist() == [1, 2, 0, 1]
    assert task.y.dtype == np.int64
    assert task.n_classes == 3


def test_kind_can_be_told():
    task = Task(np.ones((3, 1)), [0, 1, 2], kind="classification")
    assert task.classes.tolist() == [0, 1, 2]
    task = Task(np.ones((3, 1)), [0, 1, 1], kind="regression")
    assert task.classes is None
    assert task.n_classes is None
    assert task.y.dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1.0, np.nan, 2.0]}, "y has 1 missing"),
        ({"y": ["a", None, "b"]}, "y has 1 missing"),
        ({"y": [1.0, np.inf, 2.0]}, "y holds infinite"),
        ({"y": [1.0, 2.0]}, "y has 2 values, but X has 3 rows"),
        ({"y": [[1.0], [2.0], [3.0]]}, "y has shape"),
        ({"y": ["a", "b", "c"], "kind": "regression"}, "kind='classification'"),
        ({"y": np.array(["a", 1, "c"], dtype=object)}, "mixes text and numbers"),
        ({"kind": "ranking"}, "kind='ranking'"),
        ({"groups": [1, 2]}, "groups has 2 values"),
        ({"groups": [1, None, 2]}, "groups has 1 missing"),
        ({"sample_weight": [1, -1, 1]}, "sample_weight must be at least 0"),
        ({"sample_weight": [0, 0, 0]}, "sample_weight must be at least 0"),
        ({"sample_weight": ["a", "b", "c"]}, "sample_weight holds"),
        ({"offset": [0, np.inf, 0]}, "offset holds infinite"),
        ({"offset": [0, np.nan, 0]}, "offset has 1 missing"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    good = {"X": np.ones((3, 1)), "y": [1.0, 2.0, 3.5]}
    with pytest.raises(ValueError, match=message):
        Task(**{**good, **arguments})


def test_a_task_never_changes():
    X, y = frame(), np.arange(40.0)
    task = Task(X, y, groups=np.repeat(range(10), 4))
    before = task.matrix.copy()
    X["x"] = 0.0
    y[:] = 0
    handed_out = task.X
    handed_out.loc[0, "x"] = 99.0
    task.blocks[:] = 0
    task.columns.clear()
    assert task.take(range(40)).y.tolist() == list(range(40))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(task)).matrix, before)
    assert task.columns == ["x", "k", "c=u", "c=v", "c=w"]
    for array in (task.y, task.matrix, task.groups):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        task.name = "other"


def test_an_array_is_copied():
    X = np.ones((3, 2))
    task = Task(X, [1.0, 2.0, 3.5])
    X[:] = 7
    np.testing.assert_array_equal(task.matrix, np.ones((3, 2)))


def test_take_keeps_encoding_and_classes():
    X = pd.DataFrame({"c": list("abcd"), "n": [1, 2, 3, 4]})
    whole = Task(X, ["p", "q", "r", "p"], groups=[5, 5, 6, 7], sample_weight=[1, 2, 3, 4], offset=[0, 1, 2, 3])
    part = whole.take([2, 0])
    assert part.columns == whole.columns
    assert part.encoder is whole.encoder
    assert part.classes.tolist() == ["p", "q", "r"]
    assert part.y.tolist() == [2, 0]
    assert part.sample_weight.tolist() == [3, 1]
    assert part.offset.tolist() == [2, 0]
    assert part.groups[0] != part.groups[1]
    np.testing.assert_array_equal(part.matrix, whole.matrix[[2, 0]])
    np.testing.assert_array_equal(whole.take([2, 0]).matrix, part.matrix)
    assert part.matrix.flags.f_contiguous
    assert list(part.X["n"]) == [3, 1]


def test_take_reads_masks_and_negative_numbers():
    task = Task(np.arange(4.0)[:, None], [1.5, 2, 3, 4])
    assert task.take([True, False, False, True]).y.tolist() == [1.5, 4]
    assert task.take([-1]).y.tolist() == [4]
    for rows, message in (([True], "mask"), ([], "at least one row")):
        with pytest.raises(ValueError, match=message):
            task.take(rows)
    with pytest.raises(IndexError):
        task.take([4])


def test_take_from_polars_stays_polars():
    task = Task(pl.from_pandas(frame()), np.arange(40.0)).take([3, 1])
    assert isinstance(task.X, pl.DataFrame)
    assert task.X.height == 2


def test_rename_keeps_the_rest():
    task = Task(frame(), np.arange(40.0), name="a")
    renamed = task.rename("b")
    assert (renamed.name, renamed.family, task.name) == ("b", "a", "a")
    assert renamed.matrix is not None
    assert renamed.fingerprint == task.fingerprint
    assert task.rename("b", family="f").family == "f"


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_fingerprint_forgets_order_and_names_only(random):
    X, y = frame(12), np.arange(12.0)
    rows, columns = random.sample(range(12), 12), random.sample(list(X.columns), 3)
    moved = X.iloc[rows][columns].set_axis(list("pqr"), axis=1)
    fingerprint = Task(X, y).fingerprint
    assert Task(moved, y[rows], name="other").fingerprint == fingerprint
    assert Task(pl.from_pandas(moved), y[rows]).fingerprint == fingerprint
    i, j = random.sample(range(12), 2)
    swapped = y.copy()
    swapped[[i, j]] = y[[j, i]]
    # The same columns as sets of values, but other rows.
    assert Task(X, swapped).fingerprint != fingerprint


def test_fingerprint_sees_values_dtype_does_not_matter():
    X = pd.DataFrame({"a": [1, 2, 3], "b": [-0.0, 1.0, np.nan]})
    fingerprint = Task(X, [1, 2, 3]).fingerprint
    assert Task(X.assign(b=[0.0, 1.0, None]).astype({"a": float}), [1.0, 2.0, 3.0]).fingerprint == fingerprint
    assert Task(X.assign(a=[1, 2, 4]), [1, 2, 3]).fingerprint != fingerprint
    assert Task(X, [1, 2, 4]).fingerprint != fingerprint
    assert Task(X, [1, 2, 3], kind="classification").fingerprint != fingerprint
    assert Task(X, [1, 2, 3], groups=[1, 1, 2]).fingerprint == fingerprint


def test_a_sample_remembers_its_source():
    task = Task(frame(), np.arange(40.0))
    sample = task.limit(10)
    assert sample.fingerprint != task.fingerprint == sample.source_fingerprint
    assert sample.limit(5).source_fingerprint == task.fingerprint
    assert task.source_fingerprint == task.fingerprint


def test_fingerprint_is_stable_across_versions():
    # Stored knowledge compares fingerprints: a change here orphans it.
    task = Task(pd.DataFrame({"a": [1.0, 2.5], "c": ["x", None]}), ["no", "yes"])
    assert task.fingerprint == "c8904fb7abe097d020e426d667ecf435"


def test_pickle_is_light_and_whole():
    task = Task(frame(), np.arange(40.0), groups=np.repeat(range(10), 4), name="t")
    size = len(pickle.dumps(task))
    matrix = task.matrix
    assert len(pickle.dumps(task)) < size + 2000
    copy = pickle.loads(pickle.dumps(task))
    assert repr(copy) == repr(task)
    np.testing.assert_array_equal(copy.matrix, matrix)
    with pytest.raises(ValueError, match="read-only"):
        copy.y[0] = 1
