"""Each learner against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import NotFittedError

from metafit.evaluation import evaluate
from metafit.learners import REGISTRY, Default, NearestTasks, Pairwise, Portfolio, Random, Regression, SingleBest
from metafit.scores import Scores
from metafit.testing import make_scores


def wide(**columns: list[float | None]) -> Scores:
    n_tasks = len(next(iter(columns.values())))
    return Scores.from_matrix(pd.DataFrame(columns, index=[f"t{i}" for i in range(n_tasks)], dtype=float))


def test_single_best_by_hand():
    scores = wide(a=[0.5, 0.9], b=[0.6, 0.6], c=[0.7, 0.5])
    ranking = SingleBest().fit(scores).rank()
    # regrets: a 0, 0.8; b 0.2, 0.2; c 0.4, 0
    assert ranking.strategies == ("b", "c", "a") or ranking.strategies == ("c", "b", "a")
    assert dict(zip(ranking, ranking.expected_loss, strict=True)) == pytest.approx({"a": 0.4, "b": 0.2, "c": 0.2})
    assert SingleBest("loss").fit(scores).rank().strategies == ("b", "c", "a")
    np.testing.assert_allclose(SingleBest("rank").fit(scores).criterion_, [4 / 6, 4 / 6, 4 / 6])
    with pytest.raises(ValueError, match="criterion='median'"):
        SingleBest("median").fit(scores)


def test_single_best_does_not_trust_a_few_easy_tasks():
    scores = wide(often=[0.5, 0.6, 0.5, 0.6, 0.5], seldom=[0.4, None, 0.4, None, None])
    assert SingleBest().fit(scores).rank().strategies == ("often", "seldom")
    assert SingleBest(min_coverage=0.4).fit(scores).rank().strategies == ("seldom", "often")


def test_many_holes_everywhere_disqualify_nobody():
    scores, _ = make_scores(60, 8, noise=0.0)
    rng = np.random.default_rng(0)
    thinned = Scores.from_matrix(scores.matrix().mask(rng.random((60, 8)) < 0.4))
    full, thin = SingleBest().fit(scores).rank(), SingleBest().fit(thinned).rank()
    assert full[0] in thin.strategies[:2]
    assert (
        np.corrcoef(full.to_frame().sort_index().expected_loss, thin.to_frame().sort_index().expected_loss)[0, 1] > 0.9
    )


@pytest.mark.parametrize(
    "learner", [SingleBest(), SingleBest("rank"), SingleBest("loss"), Portfolio(3), NearestTasks(5)]
)
def test_failing_on_hard_tasks_gains_nothing(learner):
    scores, descriptions = make_scores(30, 6, noise=0.01, n_seeds=1)
    hard = scores.matrix()["strategy002"].nlargest(12).index
    cells = scores.to_pandas()
    fails = (cells["strategy"] == "strategy002") & cells["task"].isin(hard)
    failing = Scores(cells.assign(status=cells["status"].mask(fails, "timeout")), scores.tasks, scores.strategies)
    for task in descriptions.index[:8]:
        before = learner.fit(scores, descriptions).rank(descriptions.loc[task])
        after = learner.fit(failing, descriptions).rank(descriptions.loc[task])
        assert after.strategies.index("strategy002") >= before.strategies.index("strategy002")


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)))
def test_names_and_order_of_strategies_do_not_matter(order):
    scores, descriptions = make_scores(20, 6, holes=0.1)
    shuffled = Scores(scores.to_pandas(), scores.tasks, scores.strategies.iloc[list(order)])
    for learner in (SingleBest(), Portfolio(3), NearestTasks(5, size=3)):
        one = learner.fit(scores, descriptions).rank(descriptions.iloc[3]).to_frame()
        two = learner.fit(shuffled, descriptions).rank(descriptions.iloc[3]).to_frame()
        assert one.index.to_list() == two.index.to_list()
        np.testing.assert_allclose(one, two)


def test_portfolio_reads_out_what_it_picked():
    scores = wide(flat=[0.4, 0.4, 0.4], left=[0.1, 1.0, 1.0], right=[1.0, 0.1, 1.0], bad=[1.0, 1.0, 1.0])
    learner = Portfolio(size=3).fit(scores)
    assert learner.portfolio_ == ["flat", "left", "right"]
    np.testing.assert_allclose(learner.curve_, [2 / 9, 1 / 9, 0], atol=1e-12)
    assert learner.rank().strategies == ("flat", "left", "right", "bad")
    assert "flat" in learner.rank().reasons[0]
    with pytest.raises(ValueError, match="size=0"):
        Portfolio(0).fit(scores)


def test_portfolio_goes_on_from_what_was_tried_and_what_there_is():
    scores = wide(flat=[0.4, 0.4], left=[0.1, 1.0], right=[1.0, 0.1], spare=[0.15, 1.0])
    learner = Portfolio(size=2).fit(scores)
    assert learner.portfolio_ == ["flat", "left"]
    assert learner.rank(candidates=["spare", "flat"]).strategies == ("flat", "spare")
    assert learner.rank(candidates=["spare", "right", "flat"]).strategies[:2] == ("flat", "right")
    # left is done with on its side: its stand-in has nothing to add, right has
    assert learner.rank(observed={"left": 0.7}).strategies == ("left", "right", "flat", "spare")


def test_nearest_tasks_follow_the_description():
    scores, descriptions = make_scores(80, 10, n_seeds=1, noise=0.0, random_state=3)
    learner = NearestTasks(n_neighbors=5, shrinkage=0.0).fit(scores, descriptions)
    regret = scores.regret()
    picks = [regret.loc[task, learner.rank(descriptions.loc[task])[0]] for task in descriptions.index]
    alone = regret[SingleBest().fit(scores).rank()[0]]
    assert np.mean(picks) < 0.3 * alone.mean()
    ranking = learner.rank(descriptions.iloc[7])
    assert ranking.neighbours.index[0] == descriptions.index[7]
    assert ranking.neighbours["distance"].is_monotonic_increasing
    assert ranking.decided_by[0] in ranking.reasons[0]
    assert not ranking.fallback


def test_one_distance_by_hand():
    scores = wide(a=[0.1, 0.2, 0.3, 0.4], b=[0.4, 0.3, 0.2, 0.1])
    descriptions = pd.DataFrame({"x": [1.0, 2.0, 3.0, 1e9], "y": [5.0, np.nan, 7.0, 8.0]}, index=scores.tasks.index)
    learner = NearestTasks(n_neighbors=3).fit(scores, descriptions)
    np.testing.assert_allclose(learner.coordinates_[:, 0], [1 / 8, 3 / 8, 5 / 8, 7 / 8])
    np.testing.assert_allclose(learner.coordinates_[:, 1], [1 / 6, np.nan, 3 / 6, 5 / 6])
    near = learner.rank({"x": 2.0}).neighbours["distance"]
    known, unknown = (1 / 4) ** 2, 1 / 6
    assert near["t1"] == 0, "missing on both sides is no difference"
    assert near["t0"] == pytest.approx(np.sqrt((known + unknown) / 2))


def test_votes_and_shrinkage_by_hand():
    scores = wide(a=[0.5, 0.6, 0.9], b=[0.6, 0.5, 0.5])
    descriptions = pd.DataFrame({"x": [0.0, 1.0, 10.0]}, index=scores.tasks.index)
    regret = scores.regret()["a"].to_numpy()
    ranking = NearestTasks(n_neighbors=2, shrinkage=0.0).fit(scores, descriptions).rank({"x": 0.0})
    distance = np.array([0, 1 / 3, 2 / 3])
    votes = 1 / (0.05 + distance[:2] / distance[2])
    expected = dict(zip(ranking, ranking.expected_loss, strict=True))
    assert expected["a"] == pytest.approx(votes @ regret[:2] / votes.sum())
    shrunk = NearestTasks(n_neighbors=2, shrinkage=1e9).fit(scores, descriptions).rank({"x": 0.0})
    expected = dict(zip(shrunk, shrunk.expected_loss, strict=True))
    assert expected["a"] == pytest.approx(regret.mean(), abs=1e-6)


def test_nearest_tasks_say_when_they_fall_back():
    scores, descriptions = make_scores(20, 5)
    learner = NearestTasks(size=8)
    with_none = learner.fit(scores).rank(descriptions.iloc[0])
    assert with_none.fallback
    assert with_none.strategies == Portfolio(8).fit(scores).rank().strategies
    learner.fit(scores, descriptions)
    assert learner.rank(None).fallback
    assert learner.rank(descriptions.iloc[0] * np.nan).fallback
    assert learner.rank({"unheard of": 1.0}).fallback
    assert not learner.rank({"east": 0.5}).fallback


def test_columns_that_cannot_help_are_left_out():
    scores, descriptions = make_scores(10, 4)
    odd = descriptions.assign(same=1.0, text="x", absent=np.nan, flag=np.arange(10) % 2 == 0)
    learner = NearestTasks().fit(scores, odd)
    assert learner.columns_.to_list() == ["east", "north", "idle", "flag"]
    learner.rank(odd.iloc[0])


@pytest.mark.parametrize("given", [{"n_neighbors": 0}, {"shrinkage": -1.0}])
def test_senseless_neighbourhoods_are_refused(given):
    with pytest.raises(ValueError, match="at least one neighbour"):
        NearestTasks(**given).fit(*make_scores(10, 4))


def test_default_keeps_the_order_it_was_given():
    scores, _ = make_scores(5, 4)
    assert Default().fit(scores).rank().strategies == tuple(scores.strategies.index)
    assert Default(["strategy002"]).fit(scores).rank().strategies[:2] == ("strategy002", "strategy000")
    with pytest.raises(ValueError, match="nobody"):
        Default(["nobody"]).fit(scores)


def test_random_depends_on_its_seed_alone():
    scores, _ = make_scores(5, 12)
    orders = {Random(seed).fit(scores).rank().strategies for seed in (0, 0, 1, 2)}
    assert len(orders) == 3


def test_asking_too_early_or_twice_is_refused():
    with pytest.raises(NotFittedError):
        SingleBest().rank()
    scores, descriptions = make_scores(5, 4)
    learner = SingleBest().fit(scores)
    with pytest.raises(ValueError, match="'strategy001' twice"):
        learner.rank(candidates=["strategy001", "strategy000", "strategy001"])
    with pytest.raises(ValueError, match="one task at a time"):
        learner.rank(descriptions)
    with pytest.raises(ValueError, match="'task000' twice"):
        NearestTasks().fit(scores, pd.concat([descriptions, descriptions[:1]]))
    with pytest.raises(ValueError, match="no attempted cell"):
        SingleBest().fit(scores.only_tasks([]))


def test_what_was_observed_decides_first():
    scores, _ = make_scores(10, 4)
    ranking = SingleBest().fit(scores).rank(observed={"strategy003": 0.8, "strategy001": 0.6, "stranger": 0.1})
    assert ranking.strategies[:2] == ("strategy001", "strategy003")
    assert "stranger" not in ranking.strategies
    np.testing.assert_allclose(ranking.expected_loss[:2], [0, 0.5])
    allowed = SingleBest().fit(scores).rank(observed={"stranger": 0.1}, candidates=["stranger", "strategy000"])
    assert allowed.strategies == ("stranger", "strategy000")


def test_a_ranking_reads_like_a_list():
    ranking = SingleBest().fit(make_scores(5, 4)[0]).rank()
    assert list(ranking) == list(ranking.strategies)
    assert len(ranking) == 4
    assert ranking[0] in repr(ranking)
    assert ranking.to_frame().columns.to_list() == ["expected_loss", "std"]


def test_neighbours_beat_the_single_best_where_descriptions_tell():
    scores, descriptions = make_scores(60, 10, n_families=20, random_state=5)
    table = evaluate({"near": NearestTasks()}, scores, descriptions, budgets=(1,)).summary().set_index("learner")
    assert table.loc["near", "normalized_regret_high"] < table.loc["single_best", "normalized_regret_low"]


def two_kinds_of_task(n_tasks=60, n_strategies=4, seed=0):
    """Strategy 0 is good where x > 0, strategy 1 elsewhere; the others are middling. `noise` says nothing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_tasks)
    losses = rng.uniform(0.5, 0.6, size=(n_tasks, n_strategies))
    losses[:, 0], losses[:, 1] = np.where(x > 0, 0.1, 0.9), np.where(x > 0, 0.9, 0.1)
    names = [f"t{i:02d}" for i in range(n_tasks)]
    scores = Scores.from_matrix(pd.DataFrame(losses, index=names, columns=[f"s{j}" for j in range(n_strategies)]))
    return scores, pd.DataFrame({"x": x, "noise": rng.normal(size=n_tasks)}, index=names)


# leaves of one task: where the best strategy changes at a point, larger ones blur what is expected
@pytest.mark.parametrize("learner", [Regression(n_trees=50), Pairwise(n_trees=50, min_tasks=1)])
def test_trees_learn_which_description_decides(learner):
    scores, about = two_kinds_of_task()
    learner.fit(scores, about)
    for x, best, worst in [(1.0, "s0", "s1"), (-1.0, "s1", "s0")]:
        ranking = learner.rank({"x": x, "noise": 0.0})
        frame = ranking.to_frame()["expected_loss"]
        assert ranking[0] == best
        assert 2 * frame[best] < frame["s2"] < frame[worst]
        assert not ranking.fallback


@pytest.mark.parametrize("learner", [Regression(n_trees=20), Pairwise(n_trees=20)])
def test_trees_take_missing_descriptions_and_say_where_they_know_nothing(learner):
    scores, about = two_kinds_of_task()
    learner.fit(scores, about[~about.index.str.endswith("3")])
    assert learner.rank({"x": 1.0, "noise": np.nan})[0] == "s0"
    assert learner.rank({"x": np.nan, "noise": np.nan}).fallback
    assert learner.rank().fallback


def test_a_forest_names_the_tasks_that_decided():
    scores, about = two_kinds_of_task()
    ranking = Regression(n_trees=50, min_tasks=1).fit(scores, about).rank(about.loc["t00"])
    assert ranking.neighbours.index[0] == "t00"
    assert ranking.neighbours["weight"].sum() == pytest.approx(1.0)
    assert ((about.loc[ranking.neighbours.index, "x"] > 0) == (about.loc["t00", "x"] > 0)).all()


def test_a_regression_predicts_what_scikit_learn_says():
    scores, about = two_kinds_of_task()
    about = about.mask(np.random.default_rng(0).random(about.shape) < 0.2)
    about = about[about.notna().any(axis=1)]
    scores = scores.only_tasks(about.index)
    learner = Regression(n_trees=30).fit(scores, about)
    known = np.hstack([about.fillna(about.median()), about.isna()])
    forest = ExtraTreesRegressor(30, min_samples_leaf=2, random_state=0).fit(known, scores.regret())
    frame = learner.rank(about.iloc[5]).to_frame()["expected_loss"]
    np.testing.assert_allclose(frame.loc[["s0", "s1", "s2", "s3"]], forest.predict(known[[5]])[0], atol=1e-12)


def test_where_describing_fails_that_says_something():
    scores, about = two_kinds_of_task()
    about[about["x"] > 0] = np.nan
    nothing = {"x": np.nan, "noise": np.nan}
    for learner in (Regression(n_trees=20), Pairwise(n_trees=20), NearestTasks(n_neighbors=5)):
        ranking = learner.fit(scores, about).rank(nothing)
        assert ranking[0] == "s0"
        assert not ranking.fallback
        undescribed = about.dropna(how="all")
        assert learner.fit(scores, undescribed).rank(nothing).fallback


@pytest.mark.parametrize("name", REGISTRY)
def test_many_tasks_at_once_are_expected_as_one_by_one(name):
    scores, about = make_scores(30, 8, holes=0.2, random_state=4)
    about = about.mask(np.random.default_rng(0).random(about.shape) < 0.4)
    learner = REGISTRY[name]()
    learner = learner.set_params(n_trees=10) if "n_trees" in learner.get_params() else learner
    learner = learner.set_params(learners=[Regression(n_trees=10), NearestTasks()]) if name == "stack" else learner
    expected = learner.fit(scores, about).expect(about)
    for row, task in zip(expected, about.index, strict=True):
        frame = learner.rank(about.loc[task]).to_frame()["expected_loss"]
        np.testing.assert_allclose(row, frame[learner.strategies_], atol=1e-12)


def test_only_candidates_meet_in_duels():
    scores, about = two_kinds_of_task(n_strategies=6)
    learner = Pairwise(n_candidates=2, n_trees=10).fit(scores, about)
    assert len(learner.candidates_) == 2
    assert learner.rank(about.iloc[0]).strategies[:2] in (tuple(learner.candidates_), tuple(learner.candidates_[::-1]))
    with pytest.raises(ValueError, match="n_candidates"):
        Pairwise(n_candidates=1).fit(scores, about)


@pytest.mark.parametrize("learner", [NearestTasks(n_neighbors=8, size=1), Regression(n_trees=15, size=1)])
def test_what_would_come_first_without_the_named_is_what_their_weights_say(learner):
    scores, about = make_scores(60, 8, random_state=3)
    regret, said = scores.regret(), set()
    learner.fit(scores, about)
    for task in about.index:
        ranking = learner.rank(about.loc[task])
        weights = pd.Series(learner._weights(about.loc[[task]].to_numpy())[0], index=learner.tasks_)
        weights[list(ranking.decided_by)] = 0.0
        if weights.sum() > 0:
            instead = regret.mul(weights, axis=0).sum().idxmin()
            would = "would still come first" if instead == ranking[0] else "would come first"
            assert ranking.reasons[-1] == f"without these {len(ranking.decided_by)} tasks {instead} {would}"
            said.add(would)
    assert len(said) == 2


def test_the_named_tasks_decide_far_more_than_others():
    learner = NearestTasks(n_neighbors=10, size=1)
    scores, about = make_scores(80, 8, noise=0.1, random_state=5)
    rng = np.random.default_rng(0)
    flips = {"named": 0, "random": 0}
    for task in about.index[:25]:
        known = scores.without_tasks([task])
        ranking = learner.fit(known, about).rank(about.loc[task])
        named = list(ranking.decided_by)
        without = {"named": named, "random": rng.choice(learner.tasks_, len(named), replace=False)}
        for what, tasks in without.items():
            flips[what] += learner.fit(known.without_tasks(tasks), about).rank(about.loc[task])[0] != ranking[0]
    assert flips["named"] >= max(2 * flips["random"], 5), flips


@pytest.mark.parametrize("learner", [NearestTasks(n_neighbors=8), Regression(n_trees=15)])
def test_leads_say_how_far_the_first_is_ahead(learner):
    scores, about = make_scores(40, 8, noise=0.1, random_state=5)
    learner.set_params(size=1).fit(scores, about)
    for task in about.index[:10]:
        ranking = learner.rank(about.loc[task])
        table = ranking.to_frame()["expected_loss"]
        if isinstance(learner, Regression):  # nobody else has weight
            assert ranking.neighbours["lead"].sum() == pytest.approx(table.iloc[1] - table.iloc[0])
        ahead = scores.regret()[ranking[1]] - scores.regret()[ranking[0]]
        expected = (ranking.neighbours["weight"] * ahead[ranking.neighbours.index]).sort_values(ascending=False)
        assert list(ranking.decided_by) == list(expected[expected > 0].index[:5])
        assert all(f"like {name} " in reason for name, reason in zip(ranking.decided_by, ranking.reasons, strict=False))
