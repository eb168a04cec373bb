"""Strategies that were never attempted: what their hyper-parameters say, and that it is the same however they come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge

from metafit import Strategy
from metafit.learners import GaussianProcess, NearestTasks, Pairwise, Regression, SingleBest, Stack
from metafit.learners.like_strategies import LikeStrategies
from metafit.learners.strategy_features import StrategyFeatures
from metafit.learners.table import RegretTable
from metafit.scores import Scores
from metafit.strategies import grid
from metafit.strategies.alphas import PerRow
from metafit.strategies.features import TopK


def frame(strategies):
    rows = {one.id: {"name": one.name, "kind": one.kind, "json": one.to_json()} for one in strategies}
    return pd.DataFrame.from_dict(rows, orient="index")


SPACE = grid(loss="squared", alpha=[PerRow(c) for c in np.logspace(-3, 4, 15)], features=[TopK(2), TopK(16)])
UNSEEN = [SPACE[7], SPACE[20]]


def measured(listed, n_tasks=40, seed=0):
    """Losses that are smooth in log c, with an optimum that the description tells; UNSEEN was never attempted."""
    rng = np.random.default_rng(seed)
    best = rng.uniform(-3, 4, n_tasks)
    log_c = np.array([np.log10(one.alpha.c) for one in SPACE])
    narrow = np.array([one.features.k == 2 for one in SPACE])
    losses = 0.2 + 0.08 * np.abs(best[:, None] - log_c) + 0.1 * narrow + 0.01 * rng.random((n_tasks, len(SPACE)))
    table = pd.DataFrame(losses, columns=[one.id for one in SPACE], index=[f"t{i:02d}" for i in range(n_tasks)])
    gone = [one.id for one in UNSEEN]
    kept = table.drop(columns=gone)
    known = frame(SPACE) if listed else frame(SPACE).drop(gone)
    return table, Scores.from_matrix(kept, strategies=known), pd.DataFrame({"best": best}, index=table.index)


LEARNERS = [
    Regression(n_trees=30),
    GaussianProcess(),
    Stack([Regression(n_trees=30), Pairwise(4, n_trees=5)], n_errors=-99),
    Stack([Regression(n_trees=30), SingleBest(), NearestTasks()], n_errors=-99),
]


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_they_are_ranked_near_strategies_like_them(learner):
    table, scores, about = measured(listed=True)
    train, test = table.index[:30], table.index[30:]
    learner.fit(scores.only_tasks(train), about.loc[train])
    assert learner.infers()
    for one in UNSEEN:
        places = [list(learner.rank(about.loc[task])).index(one.id) for task in test]
        truth = table.loc[test].rank(axis=1)[one.id]
        assert np.corrcoef(places, truth)[0, 1] > 0.5
        ranking = learner.rank(about.loc[test[0]]).to_frame()
        assert np.isfinite(ranking.loc[one.id]).all()


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_it_is_the_same_whether_they_are_listed_or_given_when_asked(learner):
    table, with_them, about = measured(listed=True)
    _, without, _ = measured(listed=False)
    for task in table.index[:3]:
        listed = learner.fit(with_them, about).rank(about.loc[task])
        before = learner.fit(without, about).rank(about.loc[task])
        given = learner.rank(about.loc[task], candidates=SPACE)
        assert set(given) == set(listed) == set(before) | {one.id for one in UNSEEN}
        ours = given.to_frame().loc[list(listed)]
        np.testing.assert_allclose(ours, listed.to_frame(), atol=1e-6)
        after = learner.rank(about.loc[task])
        assert after.strategies == before.strategies, "asking must not leave a trace"


def test_the_forest_over_strategies_predicts_as_scikit_learns():
    rng = np.random.default_rng(0)
    regret = rng.random((5, 30))
    strategies = pd.DataFrame(
        {"depth": rng.random(30), "width": rng.random(30)}, index=[f"s{j:02d}" for j in range(30)]
    )
    like = LikeStrategies.of(strategies, RegretTable(regret), n_trees=20, random_state=3)
    new = pd.DataFrame({"depth": rng.random(4), "width": rng.random(4)}, index=list("abcd"))
    features = StrategyFeatures.of(strategies)
    forest = ExtraTreesRegressor(20, bootstrap=True, random_state=3).fit(features.rows(strategies), regret.T)
    np.testing.assert_allclose(like.infer(new), forest.predict(features.rows(new)).T, atol=1e-9)


def test_holes_count_nothing_for_strategies_like_them():
    regret = np.array([[0.2, np.nan, 0.8], [0.4, 0.1, 0.9]])
    strategies = pd.DataFrame({"depth": [1.0, 1.1, 9.0]}, index=list("abc"))
    like = LikeStrategies.of(strategies, RegretTable(regret), n_trees=50, random_state=0)
    weights = like.like.of(like.features.rows(pd.DataFrame({"depth": [1.05]})))[0]
    expected = (0.2 * weights[0] + 0.8 * weights[2]) / (weights[0] + weights[2])
    assert like.infer(pd.DataFrame({"depth": [1.05]}))[0, 0] == pytest.approx(expected)


def test_idle_hyper_parameters_are_not_used():
    rng = np.random.default_rng(0)
    level = rng.random(40)
    losses = pd.DataFrame(0.1 + 0.8 * level + 0.01 * rng.random((20, 40)), columns=[f"s{j:02d}" for j in range(40)])
    about = pd.DataFrame({"idle": rng.random(41)}, index=[*losses.columns, "new"])
    learner = Regression(n_trees=50).fit(Scores.from_matrix(losses, strategies=about))
    assert learner.explained_ <= 0
    assert not learner.infers()
    assert learner.rank()[-1] == "new"
    told = about.assign(level=[*level, 0.5])
    learner = Regression(n_trees=50).fit(Scores.from_matrix(losses, strategies=told))
    assert learner.explained_ > 0.5
    ranking = learner.rank()
    assert 5 < list(ranking).index("new") < 35
    assert "1 never attempted" in ranking.reasons[-1]
    assert ranking.to_frame().loc["new", "std"] > 0.01


@pytest.mark.parametrize("learner", [SingleBest(), Pairwise(4, n_trees=5), Stack(n_folds=2)], ids=str)
def test_learners_that_do_not_know_hyper_parameters_rank_them_last(learner):
    _, without, about = measured(listed=False, n_tasks=12)
    learner.fit(without, about * 0)
    ranking = learner.rank(about.iloc[0], candidates=SPACE)
    assert set(ranking.strategies[-2:]) == {one.id for one in UNSEEN}
    assert np.isnan(ranking.expected_loss[-2:]).all()


def test_after_observations_the_prober_ranks_them_last():
    _, without, about = measured(listed=False)
    stack = LEARNERS[2].fit(without, about)
    seen = {SPACE[0].id: 0.5, SPACE[3].id: 0.4}
    ranking = stack.rank(about.iloc[0], observed=seen, candidates=SPACE)
    assert ranking[0] == SPACE[3].id
    assert set(ranking.strategies[-2:]) == {one.id for one in UNSEEN}


def test_hyper_parameters_are_read_from_strategies():
    space = [
        Strategy(loss="squared", alpha=PerRow(1.0)),
        Strategy(loss="squared", alpha=PerRow(100.0), features=TopK(4)),
        Strategy(loss="squared", alpha=0.5),
        Strategy.from_estimator(Ridge(3.0)),
    ]
    features = StrategyFeatures.of(frame(space))
    rows = pd.DataFrame(features.rows(frame(space)), columns=[column.parameter for column in features.columns])
    strengths = rows[".alpha.per_row.c"].to_numpy()
    np.testing.assert_allclose(strengths, [-1, 1, 0, 0], err_msg="logarithms, in standard deviations; else the mean")
    assert rows[".estimator"].to_list() == [0, 0, 0, 1]
    assert not rows.T.duplicated().any()
    elsewhere = features.rows(frame([Strategy(loss="huber", alpha=PerRow(10.0))]))[0]
    assert elsewhere[list(rows).index(".alpha.per_row.c")] == pytest.approx(0)
    assert StrategyFeatures.of(frame(space[:1])) is None
    assert StrategyFeatures.of(pd.DataFrame({"name": ["a", "b"], "kind": "regression"})) is None


def test_what_is_missing_or_infinite_is_the_mean():
    table = pd.DataFrame({"depth": [1.0, np.nan, 3.0, np.inf], "shift": [-1.0, 0.0, 1.0, None]})
    rows = StrategyFeatures.of(table).rows(table)
    assert rows[1, 0] == rows[3, 0] == rows[3, 1] == 0
    np.testing.assert_allclose(rows[:3, 1], np.array([-1, 0, 1]) / np.std([-1, 0, 1]))
