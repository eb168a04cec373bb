"""Who is left out with whom."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold

from metafit.evaluation import evaluate, holdouts
from metafit.learners import SingleBest
from metafit.scores import Scores
from metafit.testing import make_scores


@pytest.fixture
def scores():
    return make_scores(9, 4, n_families=3)[0]


@pytest.mark.parametrize(
    ("leave_out", "n_splits", "n_test"),
    [
        ("task", 9, 1),
        ("family", 3, 3),
        (np.arange(9) % 2, 2, None),
        ([0, 0, 0, 0, 0, 1, 1, 1, 1], 2, None),
        (KFold(3), 3, 3),
        (GroupKFold(3), 3, 3),
    ],
)
def test_every_task_is_left_out_once_and_never_learned_from_then(scores, leave_out, n_splits, n_test):
    splits = holdouts(scores, leave_out)
    assert len(splits) == n_splits
    assert sorted(name for split in splits for name in split.test) == scores.tasks.index.to_list()
    for split in splits:
        assert not set(split.train) & set(split.test)
        assert set(split.train) | set(split.test) == set(scores.tasks.index)
        assert n_test in (None, len(split.test))


@pytest.mark.parametrize("leave_out", ["family", GroupKFold(3)])
def test_families_stay_together(scores, leave_out):
    for split in holdouts(scores, leave_out):
        families = scores.tasks["family"]
        assert not set(families[split.train]) & set(families[split.test])


def test_labels_as_a_series_are_matched_by_name(scores):
    labels = pd.Series([*"aabbccaab"], index=scores.tasks.index)
    shuffled = holdouts(scores, labels[::-1])
    assert [split.test for split in shuffled] == [split.test for split in holdouts(scores, labels)]


def test_official_folds_may_repeat_and_leave_tasks_aside(scores):
    partition = pd.DataFrame(
        {"first": [1, 1, 1, 2, 2, 2, 3, 3, np.nan], "second": [1, 2, 3] * 3}, index=scores.tasks.index
    )
    official = Scores(scores.to_pandas(), scores.tasks, scores.strategies, splits=partition)
    splits = holdouts(official, "folds")
    assert [split.repeat for split in splits] == [0, 0, 0, 1, 1, 1]
    assert all("task008" not in split.test + split.train for split in splits[:3])
    result = evaluate({}, official, leave_out="folds", budgets=(1,))
    rows = result.per_task[result.per_task["learner"] == "single_best"]
    assert rows.groupby("task")["repeat"].nunique().to_dict() == {f"task{i:03d}": 1 + (i < 8) for i in range(9)}
    assert (result.summary()["n_tasks"] == 9).all(), "a task judged twice is still one task"


@pytest.mark.parametrize(
    ("leave_out", "message"),
    [
        ("source", "leave_out='source'"),
        ("folds", "carry no splits"),
        (np.zeros(9), "leaves no task to learn from"),
        ([1, 2], "each of the 9 tasks"),
        (pd.Series([1], index=["task000"]), "each of the 9 tasks"),
    ],
)
def test_bad_splits_are_refused(scores, leave_out, message):
    with pytest.raises(ValueError, match=message):
        holdouts(scores, leave_out)


def test_twins_across_the_split_are_warned_of(scores):
    prints = ["a", "b", "c", "a", "d", "e", "f", "g", np.nan]
    twins = Scores(scores.to_pandas(), scores.tasks.assign(fingerprint=prints), scores.strategies)
    with pytest.warns(UserWarning, match="'task000', 'task003'"):
        evaluate({"best": SingleBest()}, twins, leave_out="family", budgets=(1,))
    together = twins.tasks.assign(family=["u", "v", "v", "u", *"wwxxx"])
    evaluate({}, Scores(twins.to_pandas(), together, twins.strategies), leave_out="family", budgets=(1,))
