"""The judge: nothing leaks, the baselines are always there, the figures are those of a hand calculation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from metafit.evaluation import BASELINES, evaluate
from metafit.evaluation.metrics import random_weights
from metafit.learners import Default, NearestTasks, Portfolio, Random, SingleBest
from metafit.scores import Scores
from metafit.testing import make_scores

LEARNERS = {"portfolio": Portfolio(3), "near": NearestTasks(5, size=3), "rank": SingleBest("rank")}


def two_seeds(a: dict[str, list[float]], b: dict[str, list[float]], **tasks: list[str]) -> Scores:
    """Make scores from two wide tables, one for seed A and one for seed B; NaN is a hole."""
    frames = [
        pd.DataFrame(table).stack().dropna().rename("loss").reset_index().assign(seed=seed)
        for seed, table in enumerate((a, b))
    ]
    cells = pd.concat(frames).set_axis(["task", "strategy", "loss", "seed"], axis=1)
    return Scores(cells, pd.DataFrame(tasks) if tasks else None)


HAND = two_seeds(
    {"s": [0.5, 0.5, 0.8], "p": [0.4, 0.6, 0.9], "q": [0.7, 0.3, 0.7]},
    {"s": [0.5, 0.6, 0.8], "p": [0.6, 0.5, 0.9], "q": [0.7, 0.4, 0.9]},
)


def test_figures_by_hand():
    result = evaluate({}, HAND, leave_out="task", budgets=(1, 2))
    rows = result.per_task.set_index(["learner", "budget", "task"])
    # task 0 left out: on A, tasks 1 and 2 have regrets s (2/7, 1/3), p (3/7, 2/3), q (0, 0): q, s, p
    assert rows.loc[("single_best", 1, "0"), "strategy"] == "q"
    assert rows.loc[("single_best", 1, "0"), "regret"] == pytest.approx(0.7 - 0.5)
    assert rows.loc[("single_best", 1, "0"), "normalized_regret"] == pytest.approx(0.2 / 0.5)
    # of q and s, A prefers s on task 0, which is the best on B
    assert rows.loc[("single_best", 2, "0"), ["strategy", "regret"]].to_list() == ["s", 0]
    # the ceiling takes p on A and pays for it on B
    assert rows.loc[("noise_ceiling", 1, "0"), "strategy"] == "p"
    assert rows.loc[("noise_ceiling", 1, "0"), "regret"] == pytest.approx(0.1)
    assert rows.loc[("default", 1, "0"), "strategy"] == "s"
    assert rows.loc[("random", 1, "0"), "loss"] == pytest.approx((0.5 + 0.6 + 0.7) / 3)
    # contestants on task 0 at budget 1: single best q .7, default s .5, random: 1 + chance to be beaten
    ranks = rows.loc[("single_best", 1, "0"), "rank"], rows.loc[("default", 1, "0"), "rank"]
    assert ranks == pytest.approx((1 + 1 + (2 / 3 + 1 / 6), 1 + 0 + 1 / 6))
    assert rows.loc[("default", 1, "0"), "win"] == 1
    assert rows.loc[("single_best", 1, "0"), "win"] == 0.5


def test_summary_is_the_mean_over_tasks_and_gaps_are_ratios_of_means():
    result = evaluate(LEARNERS, *make_scores(20, 8, n_families=6), budgets=(1, 4))
    summary = result.summary().set_index(["budget", "learner"])
    means = result.per_task.groupby(["budget", "learner"])[["regret", "normalized_regret", "rank", "win"]].mean()
    for figure, column in [
        ("mean_regret", "regret"),
        ("normalized_regret",) * 2,
        ("mean_rank", "rank"),
        ("win_rate", "win"),
    ]:
        np.testing.assert_allclose(summary[figure], means[column].reindex(summary.index), atol=1e-12)
    alone, ceiling = summary.loc[(1, ["single_best", "noise_ceiling"]), "normalized_regret"]
    mine = summary.loc[(4, "portfolio")]
    assert mine["gap_closed"] == pytest.approx(1 - mine["normalized_regret"] / alone)
    assert mine["ceiling_gap_closed"] == pytest.approx((alone - mine["normalized_regret"]) / (alone - ceiling))
    assert summary.loc[(1, "single_best"), "gap_closed"] == 0
    assert summary.loc[(4, "noise_ceiling"), "ceiling_gap_closed"] == 1
    inside = (summary["normalized_regret_low"] <= summary["normalized_regret"]) & (
        summary["normalized_regret"] <= summary["normalized_regret_high"]
    )
    assert inside.all()
    assert (summary["n_families"] == 6).all()


def test_baselines_are_always_there():
    result = evaluate({"mine": Portfolio(2)}, make_scores(8, 4)[0], budgets=(1, 2))
    assert result.summary(budget=2)["learner"].to_list() == ["mine", *BASELINES]
    mine = evaluate({"single_best": SingleBest("rank"), "random": Random(5)}, make_scores(8, 4)[0], budgets=(1,))
    assert sorted(mine.summary()["learner"]) == sorted(BASELINES)
    for name, learner in [
        ("noise_ceiling", Portfolio()),
        ("single_best", Portfolio()),
        ("default", Random()),
    ]:
        with pytest.raises(ValueError, match=name):
            evaluate({name: learner}, make_scores(8, 4)[0])


def test_random_is_the_exact_expectation():
    scores, _ = make_scores(8, 6, holes=0.1)
    rows = evaluate({"dice": Random(3)}, scores, budgets=(1, 3)).per_task
    a, b = scores.matrix(seed=0), scores.matrix(seed=1)
    for row in rows[rows["learner"].isin(["random", "dice"])].itertuples():
        there = a.loc[row.task].notna()
        weights = random_weights(a.loc[row.task, there].to_numpy(), row.budget)
        assert row.loss == pytest.approx(weights @ b.loc[row.task, there])
        assert pd.isna(row.strategy)


@pytest.mark.parametrize("leave_out", ["family", "task", KFold(4)])
def test_nothing_of_a_task_left_out_is_seen(leave_out):
    """Corrupt the tasks left out, one split at a time: no ranking of theirs may move."""
    scores, descriptions = make_scores(16, 6, n_families=5, holes=0.1)
    honest = evaluate(LEARNERS, scores, descriptions, leave_out=leave_out, budgets=(6,)).rankings
    rng = np.random.default_rng(0)
    left_out = scores.tasks.index[scores.tasks["family"] == "family002"] if leave_out == "family" else ["task007"]
    cells = scores.to_pandas()
    mine = cells["task"].isin(left_out)
    corrupted = Scores(
        cells.assign(loss=np.where(mine, rng.uniform(0, 1, len(cells)), cells["loss"])),
        scores.tasks,
        scores.strategies,
    )
    tampered = evaluate(LEARNERS, corrupted, descriptions, leave_out=leave_out, budgets=(6,)).rankings
    for (name, repeat, task), ranking in honest.items():
        if task in left_out:
            assert tampered[name, repeat, task] == ranking, f"{name} saw the losses of {task}"
    assert tampered != honest, "the corruption must matter where the tasks are learned from"


def test_descriptions_of_tasks_left_out_together_are_not_seen():
    scores, descriptions = make_scores(16, 6, n_families=4)
    family = scores.tasks.index[scores.tasks["family"] == "family001"]
    honest = evaluate(LEARNERS, scores, descriptions, budgets=(6,)).rankings
    changed = descriptions.copy()
    changed.loc[family[1:]] = 1e6
    tampered = evaluate(LEARNERS, scores, changed, budgets=(6,)).rankings
    assert tampered["near", 0, family[0]] == honest["near", 0, family[0]]
    assert tampered != honest


def test_learners_select_on_a_and_are_scored_on_b():
    scores, descriptions = make_scores(16, 6)
    cells = scores.to_pandas()
    on_b = cells["seed"] == 1
    shifted = Scores(
        cells.assign(loss=np.where(on_b, 1.2 - cells["loss"], cells["loss"])), scores.tasks, scores.strategies
    )
    one = evaluate(LEARNERS, scores, descriptions, budgets=(1, 3)).per_task
    two = evaluate(LEARNERS, shifted, descriptions, budgets=(1, 3)).per_task
    assert one["strategy"].equals(two["strategy"]), "seed B must not move a pick"
    assert not np.allclose(one["loss"], two["loss"])
    swapped = evaluate(LEARNERS, scores, descriptions, budgets=(1, 3), seeds=(1, 0)).per_task
    assert not one["strategy"].equals(swapped["strategy"])


def test_holes_on_the_test_task_are_no_candidates_and_failures_are():
    a = {"s": [0.5, 0.5, 0.5], "p": [0.1, 0.1, np.nan], "q": [0.6, 0.6, 0.6]}
    result = evaluate({}, two_seeds(a, a), leave_out="task", budgets=(1, 3))
    rows = result.per_task.set_index(["learner", "budget", "task"])
    assert rows.loc[("single_best", 1, "2"), "strategy"] == "s"
    assert "p" not in result.rankings["single_best", 0, "2"]
    cells = two_seeds(a, a).to_pandas()
    failing = pd.concat(
        [cells, pd.DataFrame({"task": "2", "strategy": "p", "seed": [0, 1], "fold": 0, "status": "failed"})]
    )
    rows = evaluate({}, Scores(failing), leave_out="task", budgets=(1, 3)).per_task.set_index(
        ["learner", "budget", "task"]
    )
    assert rows.loc[("single_best", 1, "2"), ["strategy", "loss", "normalized_regret"]].to_list() == [
        "p",
        1,
        1,
    ]
    assert rows.loc[("single_best", 3, "2"), "strategy"] == "s", "with two tries more it finds one that works"


def test_a_strategy_that_always_fails_changes_no_figure():
    scores, descriptions = make_scores(14, 5)
    cells = scores.to_pandas()
    useless = cells[cells["strategy"] == "strategy000"].assign(strategy="useless", status="failed", loss=np.nan)
    worse = Scores(pd.concat([cells, useless]), scores.tasks)
    learners = {name: LEARNERS[name] for name in ("portfolio", "near")}
    before, after = (evaluate(learners, one, descriptions, budgets=(1, 2, 4)).summary() for one in (scores, worse))
    figures = ["mean_regret", "normalized_regret", "normalized_regret_high", "gap_closed"]
    keep = before["learner"] != "random"  # chance may draw the useless one
    pd.testing.assert_frame_equal(before.loc[keep, figures], after.loc[keep, figures])


def test_kinds_are_judged_apart():
    one, d1 = make_scores(8, 4, kind="classification", random_state=1)
    two, d2 = make_scores(8, 4, kind="regression", random_state=2)
    renamed = two.to_pandas().assign(task=lambda c: "r" + c["task"], strategy=lambda c: "r" + c["strategy"])
    tasks = pd.concat([one.tasks, two.tasks.set_axis("r" + two.tasks.index)])
    both = Scores(pd.concat([one.to_pandas(), renamed]), tasks)
    d2 = d2.set_axis("r" + d2.index)
    together = evaluate(LEARNERS, both, pd.concat([d1, d2]), leave_out="task", budgets=(1, 2))
    alone = evaluate(LEARNERS, one, d1, leave_out="task", budgets=(1, 2))
    pd.testing.assert_frame_equal(together.summary(kind="classification"), alone.summary())
    assert together.curve()["kind"].unique().tolist() == ["classification", "regression"]
    assert "regression" in repr(together)
    by_label = evaluate({}, both, leave_out=np.arange(16) % 4, budgets=(1,))
    assert (by_label.summary()["n_tasks"] == 8).all()


def test_same_seed_same_intervals():
    scores, descriptions = make_scores(12, 5)
    one, two, three = (
        evaluate(LEARNERS, scores, descriptions, budgets=(1,), random_state=seed).summary() for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not one["normalized_regret_low"].equals(three["normalized_regret_low"])
    assert one["normalized_regret"].equals(three["normalized_regret"])


def test_one_seed_is_said_to_flatter():
    scores, _ = make_scores(8, 4, n_seeds=1)
    result = evaluate({}, scores, budgets=(1,))
    assert "flatter" in repr(result)
    ceiling = result.summary().set_index("learner").loc["noise_ceiling"]
    assert ceiling["mean_regret"] == 0


def test_tasks_without_both_seeds_are_left_aside_and_named():
    scores, _ = make_scores(8, 4)
    cells = scores.to_pandas()
    cut = Scores(cells[(cells["task"] != "task002") | (cells["seed"] == 0)], scores.tasks, scores.strategies)
    result = evaluate({}, cut, budgets=(1,))
    assert "task002" not in set(result.per_task["task"])
    assert any("1 regression tasks" in note for note in result.notes)
    with pytest.raises(ValueError, match="seeds"):
        evaluate({}, scores, seeds=(0, 9))


def test_falling_back_is_reported():
    scores, descriptions = make_scores(8, 4)
    result = evaluate({"near": NearestTasks()}, scores, descriptions.drop("task003"), budgets=(1,))
    assert result.summary().set_index("learner").loc["near", "fallback"] == pytest.approx(1 / 8)
    assert "near fell back on 1 of 8 tasks" in repr(result)


def test_curve_follows_the_summary():
    result = evaluate(LEARNERS, *make_scores(10, 6), budgets=(4, 1, 2))
    curve = result.curve("win_rate")
    assert curve["budget"].to_list()[:3] == [1, 2, 4]
    mine = curve[(curve["learner"] == "near") & (curve["budget"] == 2)].iloc[0]
    row = result.summary(budget=2).set_index("learner").loc["near"]
    assert mine[["value", "low", "high"]].to_list() == row[["win_rate", "win_rate_low", "win_rate_high"]].to_list()
    for call in (
        lambda: result.curve("luck"),
        lambda: result.summary(budget=3),
        lambda: result.summary(kind="x"),
    ):
        with pytest.raises(ValueError, match=r"luck|budget=3|kind='x'"):
            call()


def test_bad_requests_are_refused_by_name():
    scores, _ = make_scores(8, 4)
    with pytest.raises(ValueError, match="budgets"):
        evaluate({}, scores, budgets=(0, 1))
    with pytest.raises(TypeError, match=r"learners\['x'\] is a str"):
        evaluate({"x": "portfolio"}, scores)

    class Short(Default):
        def rank(self, description=None, observed=None, candidates=None):
            return super().rank(description, observed, list(candidates)[1:])

    with pytest.raises(ValueError, match="'short' ranked 3"):
        evaluate({"short": Short()}, scores)


def test_learners_handed_in_are_not_touched():
    learner = Portfolio(2)
    evaluate({"mine": learner}, make_scores(8, 4)[0], budgets=(1,))
    assert not hasattr(learner, "portfolio_")


def test_thirty_percent_fewer_cells_move_figures_within_their_intervals():
    scores, descriptions = make_scores(60, 10, n_families=20, n_folds=1)
    full = evaluate(LEARNERS, scores, descriptions, budgets=(1, 4)).summary()
    cells = scores.to_pandas()
    rng = np.random.default_rng(0)
    gone = pd.DataFrame(
        {"gone": rng.random(600) < 0.3},
        index=pd.MultiIndex.from_frame(cells[cells["seed"] == 0][["task", "strategy"]]),
    )
    keep = ~cells.join(gone, on=["task", "strategy"])["gone"].to_numpy(dtype=bool)
    thin = evaluate(
        LEARNERS, Scores(cells[keep], scores.tasks, scores.strategies), descriptions, budgets=(1, 4)
    ).summary()
    wide = 1.5 * (full["normalized_regret_high"] - full["normalized_regret_low"])
    assert ((full["normalized_regret"] - thin["normalized_regret"]).abs() < wide).all()


class Spy(SingleBest):
    """Refuses to rank a task of which it was handed anything."""

    def fit(self, scores, descriptions=None):
        assert scores.seeds == [0], "learners learn from seed A alone"
        self.seen_ = {*scores.tasks.index, *scores.cells["task"].cat.categories, *descriptions.index}
        return super().fit(scores, descriptions)

    def rank(self, description=None, observed=None, candidates=None):
        assert description.name not in self.seen_
        assert observed is None
        return super().rank(description, observed, candidates)


@pytest.mark.parametrize("leave_out", ["task", "family", KFold(3)])
def test_learners_are_handed_the_training_tasks_alone(leave_out):
    scores, descriptions = make_scores(12, 4, n_families=4)
    evaluate({"spy": Spy()}, scores, descriptions, leave_out=leave_out, budgets=(1,))
