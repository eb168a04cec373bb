"""Regret by the number of training tasks: who is learned from, and that it is what `evaluate` says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metafit.evaluation import Holdout, by_training_tasks, evaluate, holdouts
from metafit.evaluation.training_tasks import _chosen, _points
from metafit.learners import NearestTasks, SingleBest
from metafit.testing import make_scores

SCORES, ABOUT = make_scores(24, 5, n_families=8, n_seeds=2, random_state=2)
LEARNERS = {"near": NearestTasks(4)}


@pytest.mark.parametrize("how", ["random", "diverse", "nearest"])
def test_few_are_learned_from_and_nobody_of_the_family_left_out(how):
    splits = holdouts(SCORES, "family")
    chosen = list(_chosen(splits, how, 6, _points(ABOUT, SCORES.tasks.index, [how]), 2, 0))
    families = SCORES.tasks["family"]
    for split in chosen:
        assert len(split.train) == len(set(split.train)) == 6
        assert not set(families[split.train]) & set(families[split.test])
    judged = pd.Series([task for split in chosen for task in split.test]).value_counts()
    assert (judged == (1 if how == "nearest" else 2)).all()
    assert len(judged) == 24


def test_nearest_and_diverse_are_what_they_say():
    points = pd.DataFrame({"x": [0.0, 1.0, 2.0, 10.0, 11.0, 4.9]}, index=list("abcdef"))
    split = Holdout(list("abcde"), ["f"])
    (nearest,) = _chosen([split], "nearest", 2, points, 1, 0)
    assert nearest == Holdout(["b", "c"], ["f"])
    for draw in _chosen([split], "diverse", 2, points, 5, 0):
        assert abs(np.subtract(*points.loc[draw.train, "x"])) >= 9
    assert len({tuple(draw.train) for draw in _chosen([split], "random", 2, points, 9, 0)}) > 2


def test_all_training_tasks_give_the_plain_evaluation():
    curve = by_training_tasks(LEARNERS, SCORES, ABOUT, sizes=(4, 21, 99), n_draws=1)
    assert sorted(curve["n_train"].unique()) == [4, 21]
    plain = evaluate(LEARNERS, SCORES, ABOUT, budgets=(1,)).summary().set_index("learner")["normalized_regret"]
    for how in ("random", "diverse", "nearest"):
        full = curve[(curve["how"] == how) & (curve["n_train"] == 21)].set_index("learner")["normalized_regret"]
        np.testing.assert_allclose(full[plain.index], plain)


def test_more_tasks_teach_more():
    scores, about = make_scores(80, 8, n_seeds=1, random_state=1)
    curve = by_training_tasks(LEARNERS, scores, about, sizes=(4, 64), leave_out=np.arange(80) % 5)
    near = curve.query("learner == 'near'").set_index(["how", "n_train"])["normalized_regret"]
    assert near["random", 64] < 0.8 * near["random", 4]


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(ValueError, match=r"ways=.*choose among"):
        by_training_tasks(LEARNERS, SCORES, ABOUT, ways=("luck",))
    with pytest.raises(ValueError, match="leave at most 21"):
        by_training_tasks(LEARNERS, SCORES, ABOUT, sizes=(50,))
    with pytest.raises(ValueError, match="1 have none"):
        by_training_tasks(LEARNERS, SCORES, ABOUT.iloc[1:], sizes=(4,))
    assert len(by_training_tasks({"best": SingleBest()}, SCORES, sizes=(4,), ways=("random",), n_draws=1)) == 5


def test_progress_is_shown_once(capsys, monkeypatch):
    monkeypatch.setattr("metafit.study.progress.SILENT_FOR", 0.0)
    by_training_tasks({"best": SingleBest()}, SCORES, ABOUT, sizes=(4,), n_draws=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("by_training_tasks: ") for line in lines)
    by_training_tasks({"best": SingleBest()}, SCORES, ABOUT, sizes=(4,), n_draws=1, progress=False)
    evaluate({"best": SingleBest()}, SCORES, progress=False)
    assert not capsys.readouterr().err
    evaluate({"best": SingleBest()}, SCORES)
    assert "evaluate: " in capsys.readouterr().err
