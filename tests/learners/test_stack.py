"""Validation against the plain loop; what the stack chooses, and when it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metafit.learners import (
    Factorization,
    GaussianProcess,
    NearestTasks,
    Pairwise,
    Portfolio,
    Regression,
    SingleBest,
    Stack,
)
from metafit.learners.validation import gains, regret_left_out
from metafit.scores import Scores
from metafit.testing import make_scores


def small(**given):
    return Stack([Regression(n_trees=15), NearestTasks(n_neighbors=5)], n_folds=3, **given)


def test_what_is_left_out_is_judged_as_by_the_plain_loop():
    scores, about = make_scores(24, 5, n_families=12, holes=0.2, n_seeds=1, random_state=1)
    about = about.drop("task003")
    near, far = NearestTasks(3, 0.0), NearestTasks(20)
    regret = regret_left_out({"near": near, "far": far}, scores, about, n_folds=3, min_coverage=0.0)
    assert sorted(regret.index) == sorted(about.index)
    assert regret.columns.to_list() == ["near", "far", "mean", "single best"]
    families = scores.tasks["family"]
    fold = np.random.default_rng(0).permutation(12) % 3
    of_task = pd.Series(fold[np.searchsorted(np.unique(families), families)], index=families.index)
    for task in about.index:
        known = of_task.index[of_task != of_task[task]]
        part, told = scores.only_tasks(known), about[about.index.isin(known)]
        row = scores.regret().loc[task].dropna()
        rankings = [one.fit(part, told).rank(about.loc[task], candidates=row.index) for one in (near, far)]
        picks = [ranking.to_frame()["expected_loss"].idxmin() for ranking in rankings]
        both = sum(ranking.to_frame()["expected_loss"] for ranking in rankings)
        picks += [both.idxmin(), SingleBest(min_coverage=0.0).fit(part).rank(candidates=row.index)[0]]
        np.testing.assert_allclose(regret.loc[task], row[picks])


def test_errors_are_over_families():
    rng = np.random.default_rng(0)
    regret = pd.DataFrame(rng.random((30, 2)), columns=["way", "single best"], index=[f"t{i}" for i in range(30)])
    gain = regret["single best"] - regret["way"]
    alone = gains(regret, regret.index.to_series())
    assert alone.loc["way", "gain"] == pytest.approx(gain.mean())
    assert alone.loc["way", "error"] == pytest.approx(gain.std() / np.sqrt(30))
    thrice = pd.concat([regret.set_axis([f"{name}{copy}" for name in regret.index]) for copy in "abc"])
    family = pd.Series([name[:-1] for name in thrice.index], index=thrice.index)
    pd.testing.assert_frame_equal(gains(thrice, family), alone)  # copies add no evidence


def test_a_stack_follows_what_helps():
    scores, about = make_scores(80, 10, random_state=3)
    stack = small().fit(scores, about)
    assert not stack.abstains_
    assert stack.chosen_ in ("Regression", "NearestTasks", "mean")
    ranking = stack.rank(about.iloc[7])
    assert not ranking.fallback
    assert ranking.expected_loss[0] == ranking.expected_loss.min()
    assert f"{stack.validation_.loc[stack.chosen_, 'gain']:.3f}" in ranking.reasons[0]
    assert ranking.neighbours["weight"].sum() == pytest.approx(1)
    assert stack.rank(None).fallback


def judged(regrets):
    """A stack of learners a and b that judges their regrets, mean and single best, on tasks left out."""
    stack = Stack(n_errors=2.0)
    regret = pd.DataFrame(regrets, index=[f"t{i}" for i in range(len(regrets["a"]))])
    families = regret.index.to_series()
    over_mean = gains(regret, families, "mean")
    stack.validation_ = gains(regret, families).assign(
        gain_over_mean=over_mean["gain"], error_over_mean=over_mean["error"]
    )
    return stack


def test_of_equals_none_is_chosen():
    rng = np.random.default_rng(0)
    mean = rng.random(100)
    a, b = mean + 0.3 * rng.normal(size=100), mean + 0.3 * rng.normal(size=100)
    alike = judged({"a": a, "b": b, "mean": mean, "single best": mean + 1})
    assert alike.validation_["regret"].idxmin() != "mean"  # by luck
    assert alike._choice() == "mean"
    better = judged({"a": mean - 0.2 + 0.1 * rng.normal(size=100), "b": b, "mean": mean, "single best": mean + 1})
    assert better._choice() == "a"
    useless = judged({"a": a, "b": b, "mean": mean, "single best": mean + 0.3 * rng.normal(size=100)})
    assert useless._choice() == "portfolio"


def test_a_single_choice_is_that_learner():
    scores, about = make_scores(40, 6, random_state=3)
    learner = NearestTasks(n_neighbors=5, size=4)
    stack = Stack([learner], size=4).fit(scores, about)
    assert stack.chosen_ == "NearestTasks"
    for task in about.index[:5]:
        mine, plain = stack.rank(about.loc[task]), learner.fit(scores, about).rank(about.loc[task])
        assert mine[0] == plain[0]
        pd.testing.assert_frame_equal(mine.to_frame().sort_index(), plain.to_frame().sort_index())


def test_it_says_what_would_come_first_without_the_tasks_it_names():
    scores, about = make_scores(80, 10, random_state=3)
    stack = Stack([NearestTasks(n_neighbors=8)]).fit(scores, about)
    said = set()
    for task in about.index:
        ranking = stack.rank(about.loc[task])
        named = list(ranking.decided_by)
        assert len(named) == min(5, (ranking.neighbours["lead"] > 0).sum())
        weights = ranking.neighbours["weight"].drop(named)
        regret = scores.regret().loc[weights.index]
        instead = regret.mul(weights, axis=0).sum().idxmin()
        would = "would still come first" if instead == ranking[0] else "would come first"
        assert ranking.reasons[-1] == f"without these {len(named)} tasks {instead} {would}"
        said.add(would)
    assert len(said) == 2


@pytest.mark.parametrize("random_state", range(3))
def test_it_abstains_where_descriptions_say_nothing(random_state):
    scores, about = make_scores(40, 8, random_state=random_state)
    noise = pd.DataFrame(
        np.random.default_rng(100 + random_state).random((40, 3)), index=about.index, columns=list("abc")
    )
    stack = small().fit(scores, noise)
    assert stack.abstains_
    assert stack.chosen_ == "portfolio"
    ranking = stack.rank(noise.iloc[0])
    assert ranking.fallback
    assert "too little to be relied on" in ranking.reasons[0]
    assert ranking.strategies == Portfolio(16).fit(scores).rank().strategies


def test_a_higher_bar_is_harder_to_clear():
    scores, about = make_scores(40, 6)
    assert not small(n_errors=0.0).fit(scores, about).abstains_
    assert small(n_errors=1000.0).fit(scores, about).abstains_


def test_few_families_are_no_evidence():
    scores, about = make_scores(40, 6, n_families=9)
    stack = small().fit(scores, about)
    assert stack.abstains_
    assert "too few families" in stack.rank(about.iloc[0]).reasons[0]
    assert small().fit(scores).abstains_


def test_a_family_is_never_on_both_sides():
    scores, about = make_scores(60, 6, n_families=20, n_seeds=1)
    seen = []

    class Watching(NearestTasks):
        def fit(self, scores, descriptions=None):
            seen.append(set(scores.tasks["family"]))
            return super().fit(scores, descriptions)

        def expect(self, descriptions):
            assert not seen[-1] & set(families[descriptions.index])
            return super().expect(descriptions)

    families = scores.tasks["family"]
    regret_left_out({"watching": Watching()}, scores, about, n_folds=4)
    assert len(seen) == 4


@pytest.mark.parametrize("described", [True, False])
def test_probing_is_that_of_the_factorization(described):
    scores, about = make_scores(40, 12, random_state=1)
    told = about if described else None
    description = about.iloc[0] if described else None
    seen = {"strategy003": 0.6, "strategy007": 0.9}
    prober = Factorization(size=16).fit(scores, told)
    assert small().fit(scores, told).rank(description, seen).strategies == prober.rank(description, seen).strategies


def test_fitting_again_forgets_what_was_known():
    (first, about), (second, other) = make_scores(30, 8, random_state=1), make_scores(30, 8, random_state=2)
    seen = {"strategy003": 0.6}
    stack = small().fit(first, about)
    stack.rank(about.iloc[0], seen)
    again = stack.fit(second, other).rank(other.iloc[0], seen)
    assert again.strategies == small().fit(second, other).rank(other.iloc[0], seen).strategies


def test_half_of_the_cells_missing_does_no_harm():
    scores, about = make_scores(60, 10, holes=0.5, failures=0.2)
    stack = Stack([Regression(n_trees=10), Pairwise(n_trees=5), NearestTasks()]).fit(scores, about)
    assert len(stack.rank(about.iloc[0])) == 10


@pytest.mark.parametrize("member", [Factorization(), GaussianProcess(), Portfolio(), small()])
def test_any_learner_can_be_a_member(member, monkeypatch):
    monkeypatch.setattr(Stack, "_choice", lambda stack: "mean")
    scores, about = make_scores(60, 6, random_state=3)
    regression = Regression(n_trees=15)
    ranking = Stack([regression, member]).fit(scores, about).rank(about.iloc[7])
    alone = [one.fit(scores, about).rank(about.iloc[7]) for one in (regression, member)]
    wanted = sum(one.to_frame()["expected_loss"].sort_index() for one in alone) / 2
    pd.testing.assert_series_equal(ranking.to_frame()["expected_loss"].sort_index(), wanted)
    assert ranking[0] == wanted.idxmin()
    assert any("without these" in reason for reason in ranking.reasons)


def test_without_a_mean_over_tasks_nothing_is_said_of_their_absence():
    scores, about = make_scores(60, 6, random_state=3)
    ranking = Stack([GaussianProcess()], n_errors=-9.0).fit(scores, about).rank(about.iloc[7])
    assert not ranking.fallback
    assert not any("without these" in reason for reason in ranking.reasons)


def test_no_candidates_no_reasons():
    scores, about = make_scores(60, 6, random_state=3)
    for learner in (Regression(n_trees=15), small()):
        ranking = learner.fit(scores, about).rank(about.iloc[7], candidates=[])
        assert len(ranking) == 0
        assert not any("where" in reason for reason in ranking.reasons)


def test_one_fold_is_no_validation():
    with pytest.raises(ValueError, match="n_folds=1"):
        Stack(n_folds=1).fit(*make_scores(12, 4))


def test_learners_of_one_class_are_told_apart():
    scores, about = make_scores(30, 6)
    stack = Stack([NearestTasks(3), NearestTasks(20)]).fit(scores, about)
    assert stack.validation_.index.to_list() == ["NearestTasks 0", "NearestTasks 1", "mean"]


def test_scores_without_a_cell_on_one_side_of_a_fold():
    table = pd.DataFrame(np.nan, index=[f"t{i:02d}" for i in range(12)], columns=["a", "b"])
    table.iloc[0] = [0.1, 0.2]
    about = pd.DataFrame({"x": np.arange(12.0)}, index=table.index)
    assert small().fit(Scores.from_matrix(table), about).rank({"x": 1.0})[0] == "a"
