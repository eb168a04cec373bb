"""The factor model, the mixture and the belief against dense formulas; the learner against what it promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from metafit.learners import Factorization, Portfolio
from metafit.learners.belief import Belief, Levels, _drawn
from metafit.learners.factor_model import FactorModel, _first_axes
from metafit.learners.task_mixture import ClippedSquare, TaskMixture
from metafit.scores import Scores
from metafit.testing import make_scores


def made_up(n_rows, n_columns, n_factors, random_state=0, noise=0.01):
    rng = np.random.default_rng(random_state)
    model = FactorModel(rng.random(n_columns), 0.3 * rng.normal(size=(n_columns, n_factors)), noise)
    factors = rng.normal(size=(n_rows, n_factors))
    return model, model.mean + factors @ model.loadings.T + np.sqrt(noise) * rng.normal(size=(n_rows, n_columns))


def dense(model):
    return model.loadings @ model.loadings.T + model.noise * np.eye(len(model.mean))


@pytest.mark.parametrize("n_factors", [0, 1, 3])
def test_rows_with_holes_have_the_density_and_the_fillings_of_the_dense_formula(n_factors):
    model, rows = made_up(6, 8, n_factors)
    rows[np.random.default_rng(1).random(rows.shape) < 0.4] = np.nan
    inferred, filled, covariance = model.infer(rows), model.fill(rows), dense(model)
    for t, row in enumerate(rows):
        there, hole = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        among = covariance[np.ix_(there, there)]
        wanted = multivariate_normal(model.mean[there], among).logpdf(row[there])
        got = -(inferred.distance[t] + inferred.log_det[t] + len(there) * np.log(2 * np.pi)) / 2
        assert got == pytest.approx(wanted)
        expected = model.mean[hole] + covariance[np.ix_(hole, there)] @ np.linalg.solve(
            among, row[there] - model.mean[there]
        )
        np.testing.assert_allclose(filled[t, hole], expected, atol=1e-12)


def test_each_step_makes_the_cells_likelier():
    _, rows = made_up(60, 10, 2)
    rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan
    densities = []
    for n_steps in range(6):
        inferred = FactorModel.fit(rows, 2, max_iter=n_steps, tol=0.0).infer(rows)
        densities.append(-(inferred.distance + inferred.log_det).sum() / 2)
    # one made-up row for each column is part of what is maximised, hence the slack
    assert (np.diff(densities) > -1).all()
    assert densities[-1] > densities[0] + 5


def test_holes_hide_little_of_what_few_factors_say():
    model, rows = made_up(200, 20, 2)
    holes = np.random.default_rng(1).random(rows.shape) < 0.3
    fitted = FactorModel.fit(np.where(holes, np.nan, rows), 2)
    assert fitted.noise == pytest.approx(model.noise, rel=0.2)
    error = (fitted.fill(np.where(holes, np.nan, rows)) - rows)[holes]
    assert np.sqrt((error**2).mean()) < 1.2 * np.sqrt(model.noise)
    assert rows.std() > 2 * np.sqrt(model.noise)


def test_the_number_of_factors_is_found():
    assert FactorModel.chosen(made_up(90, 20, 4)[1]).loadings.shape == (20, 4)
    assert FactorModel.chosen(np.random.default_rng(0).random((2, 5))).loadings.shape == (5, 0)
    assert FactorModel.chosen(np.full((1, 1), 0.5)).loadings.shape == (1, 0)


def test_covariances_are_scaled_to_rows_left_out():
    few, rows = made_up(45, 40, 16)
    model = FactorModel.chosen(rows, [16])
    plain = FactorModel.fit(rows, 16)
    assert model.noise > 1.5 * plain.noise, "16 factors of 30 rows leave too little noise"
    new = made_up(1000, 40, 16)[1][45:]
    assert (model.infer(new).distance / 40).mean() == pytest.approx(1, rel=0.3)
    assert (plain.infer(new).distance / 40).mean() > 1.5
    assert few.noise == 0.01


def mixture(share=0.5, n_components=5, n_columns=7):
    model, rows = made_up(n_components, n_columns, 2, random_state=3)
    weights = np.random.default_rng(4).dirichlet(np.ones(n_components))
    return TaskMixture.around(rows, weights, model, share), rows, weights


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_conditioning_is_that_of_the_dense_formula(share):
    prior, rows, weights = mixture(share)
    columns, values = np.array([4, 1, 2]), np.array([0.3, 0.8, 0.1])
    covariance = share * dense(prior.model)
    among, cross = covariance[np.ix_(columns, columns)], covariance[columns]
    mean = weights @ rows
    centres = mean + np.sqrt(1 - share) * (rows - mean) if share < 1 else mean[None]
    shares = weights if share < 1 else np.ones(1)
    densities = np.array([multivariate_normal(c[columns], among).pdf(values) for c in centres])
    posterior = prior.given(columns, values)
    assert posterior.log_density == pytest.approx(np.log(shares @ densities))
    np.testing.assert_allclose(posterior.weights, shares * densities / (shares @ densities))
    means = centres + (values - centres[:, columns]) @ np.linalg.solve(among, cross)
    np.testing.assert_allclose(posterior.means(), means, atol=1e-12)
    variance = np.diag(covariance - cross.T @ np.linalg.solve(among, cross))
    np.testing.assert_allclose(posterior.std[[0, 3, 5, 6]], np.sqrt(variance[[0, 3, 5, 6]]))
    np.testing.assert_allclose(posterior.means()[:, columns], np.tile(values, (len(means), 1)), atol=0.2)


def test_one_update_after_another_is_both_at_once():
    prior, *_ = mixture(share=1.0)
    covariance = dense(prior.model)
    first, second = 2, 5
    mean, seen = prior.centres[0], np.array([0.9, 0.2])
    once = mean + covariance[first] / covariance[first, first] * (seen[0] - mean[first])
    left = covariance - np.outer(covariance[first], covariance[first]) / covariance[first, first]
    twice = once + left[second] / left[second, second] * (seen[1] - once[second])
    np.testing.assert_allclose(prior.given(np.array([first, second]), seen).mean, twice)


def test_a_mixture_keeps_mean_and_between_variance():
    prior, rows, weights = mixture()
    nothing = prior.given(np.empty(0, dtype=int), np.empty(0))
    np.testing.assert_allclose(nothing.mean, weights @ rows)
    np.testing.assert_allclose(nothing.weights, weights)
    assert nothing.log_density == pytest.approx(0)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1, 2), st.floats(0.05, 1), st.floats(0, 1))
def test_moments_are_those_of_integration(mean, std, upper):
    first, second = ClippedSquare(np.array(mean), np.array(std)).moments(upper)
    for power, moment in ((2, first), (4, second)):
        inside = quad(lambda z, power=power: z**power * norm.pdf(z, mean, std), 0, upper)[0]
        assert moment == pytest.approx(inside + upper**power * norm.sf(upper, mean, std), abs=1e-8)
    assert ClippedSquare(np.array(mean), np.array(std)).mean_up_to(np.array(upper)) == pytest.approx(first)


def test_improvement_and_regret_are_those_of_draws():
    prior, *_ = mixture()
    columns, losses = np.array([0, 3]), np.array([0.5, 0.3])
    belief = Belief.after(prior, Levels(np.zeros(1), np.ones(1)), columns, losses)
    posterior = prior.given(columns, np.sqrt(losses))
    rng = np.random.default_rng(0)
    component = rng.choice(len(posterior.weights), size=100_000, p=posterior.weights)
    draws = posterior.means(component) + posterior.std * rng.normal(size=(100_000, 7))
    regret = np.clip(draws, 0, 1) ** 2
    expected, std = belief.regret()
    np.testing.assert_allclose(expected, regret.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(std, regret.std(axis=0), atol=0.01)
    np.testing.assert_allclose(belief.improvement(), np.maximum(0.3 - regret, 0).mean(axis=0), atol=0.005)
    assert belief.of_origins().sum() == pytest.approx(1)


def test_the_best_loss_is_averaged_over_by_bayes_rule():
    prior, *_ = mixture(share=1.0)
    columns, losses = np.array([0, 3]), np.array([0.7, 0.6])
    levels = Levels(np.array([0.1, 0.5, 0.9]), np.array([0.5, 0.25, 0.25]))
    belief = Belief.after(prior, levels, columns, losses)
    evidence = []
    for level, weight in zip(levels.values[:2], levels.weights[:2], strict=True):
        roots = np.sqrt((losses - level) / (1 - level))
        jacobian = np.prod(1 / (2 * roots * (1 - level)))
        evidence.append(weight * jacobian * np.exp(prior.given(columns, roots).log_density))
    np.testing.assert_allclose(belief.weights, np.array(evidence) / sum(evidence))
    np.testing.assert_allclose(belief.reached, [0.5 / 0.9, 0.1 / 0.5])
    beyond = Belief.after(prior, Levels(np.array([0.9]), np.ones(1)), columns, losses)
    np.testing.assert_allclose(beyond.reached, [0.0])


# ---------------------------------------------------------------- the learner


def probe(learner, description, losses, budget):
    observed = {}
    for _ in range(budget):
        upcoming = learner.rank(description, observed)[len(observed)]
        observed[upcoming] = losses[upcoming]
    return observed


def left_out(scores, learner, descriptions, n_test, budget):
    """Best loss of those probed, less the best there is, on the last tasks."""
    losses = scores.matrix()
    train = losses.index[:-n_test]
    about = None if descriptions is None else descriptions.loc[train]
    learner.fit(scores.only_tasks(train), about)
    regrets = []
    for task in losses.index[-n_test:]:
        description = None if descriptions is None else descriptions.loc[task]
        regrets.append(min(probe(learner, description, losses.loc[task], budget).values()) - losses.loc[task].min())
    return np.array(regrets)


def test_without_anything_known_it_is_the_portfolio():
    scores, descriptions = make_scores(30, 12, holes=0.1)
    ranking = Factorization(size=6).fit(scores).rank(descriptions.iloc[0])
    assert ranking.fallback
    assert ranking.strategies[:6] == Portfolio(size=6).fit(scores).rank().strategies[:6]


@pytest.mark.parametrize("described", [False, True])
def test_probing_beats_the_list_of_the_same_size(described):
    scores, descriptions = make_scores(90, 40, n_seeds=1, noise=0.0, random_state=1)
    about = descriptions if described else None
    probed = left_out(scores, Factorization(n_trees=30), about, n_test=30, budget=5)
    listed = left_out(scores, Portfolio(size=5), about, n_test=30, budget=5)
    assert probed.mean() < 0.7 * listed.mean()


def test_what_is_observed_tells_which_strategies_go_together():
    rng = np.random.default_rng(0)
    side, level = rng.random((40, 1)) < 0.5, rng.uniform(0.1, 0.2, (40, 1))
    left, right = np.where(side, level, 0.8), np.where(side, 0.8, level)
    losses = np.hstack([left, left, right, right]) + 0.02 * rng.random((40, 4))
    names = ["left0", "left1", "right0", "right1"]
    learner = Factorization().fit(Scores.from_matrix(pd.DataFrame(losses, columns=names)))
    assert learner.rank(observed={"left0": 0.8})[1].startswith("right")
    assert learner.rank(observed={"right0": 0.8})[1].startswith("left")
    assert learner.rank(observed={"left0": 0.15})[1] == "left1"
    failed = learner.rank(observed={"left0": np.nan})
    assert failed[1].startswith("right"), "a failure is as bad as no skill"


def test_std_shrinks_with_observations():
    scores, _ = make_scores(80, 30, n_seeds=1, noise=0.0, random_state=2)
    losses = scores.matrix()
    learner = Factorization(n_trees=30).fit(scores.only_tasks(losses.index[:-10]))
    for task in losses.index[-10:]:
        seen = dict(losses.loc[task].iloc[::3])
        unseen = losses.columns.difference(seen)
        before = learner.rank().to_frame().loc[unseen]
        few = learner.rank(observed=dict(list(seen.items())[:3])).to_frame().loc[unseen]
        many = learner.rank(observed=seen).to_frame().loc[unseen]
        assert before["std"].mean() > few["std"].mean() > many["std"].mean()
        regret = scores.regret().loc[task, unseen]
        assert (many["expected_loss"] - regret).abs().mean() < (before["expected_loss"] - regret).abs().mean()


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(8)))
def test_order_of_tasks_and_strategies_does_not_matter(order):
    scores, descriptions = make_scores(24, 8, holes=0.1)
    shuffled = Scores(scores.to_pandas(), scores.tasks[::-1], scores.strategies.iloc[list(order)])
    seen = {"strategy003": 0.7, "strategy005": 0.5}
    learner = Factorization(n_trees=20)
    for observed in ({}, seen):
        one = learner.fit(scores, descriptions).rank(descriptions.iloc[3], observed).to_frame()
        two = learner.fit(shuffled, descriptions[::-1]).rank(descriptions.iloc[3], observed).to_frame()
        assert one.index.to_list() == two.index.to_list()
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_held_out_rows_do_not_matter():
    scores, descriptions = make_scores(40, 10)
    train, test = scores.tasks.index[:30], scores.tasks.index[30:]
    cells = scores.to_pandas()
    spoilt = cells.assign(loss=cells["loss"].where(cells["task"].isin(train), 0.01))
    known = [Scores(table, scores.tasks, scores.strategies).only_tasks(train) for table in (cells, spoilt)]
    elsewhere = descriptions.copy()
    elsewhere.loc[test] = 7.0
    one, two = (
        Factorization(n_trees=20).fit(table, about)
        for table, about in zip(known, (descriptions, elsewhere), strict=True)
    )
    for observed in ({}, {"strategy001": 0.6}):
        pair = [learner.rank(descriptions.loc[test[0]], observed).to_frame() for learner in (one, two)]
        pd.testing.assert_frame_equal(*pair)


def test_holes_are_not_filled_with_anything_that_ranks():
    scores, descriptions = make_scores(60, 12, noise=0.0, n_seeds=1)
    holes = np.random.default_rng(0).random((60, 12)) < 0.3
    thinned = Scores.from_matrix(scores.matrix().mask(holes))
    full, thin = (Factorization(n_trees=50).fit(table, descriptions) for table in (scores, thinned))
    for task in descriptions.index[:5]:
        one, two = (learner.rank(descriptions.loc[task]).to_frame()["expected_loss"] for learner in (full, thin))
        assert np.corrcoef(one, two[one.index])[0, 1] > 0.9


def test_idle_descriptions_are_not_used():
    scores, descriptions = make_scores(60, 10, n_seeds=1)
    noise = pd.DataFrame(np.random.default_rng(0).random((60, 2)), index=descriptions.index, columns=["a", "b"])
    learner = Factorization().fit(scores, noise)
    assert learner.explained_ < 0
    assert learner.rank(noise.iloc[0]).fallback
    told = Factorization().fit(scores, descriptions)
    assert told.explained_ > 0.2
    ranking = told.rank(descriptions.iloc[7])
    assert not ranking.fallback
    assert ranking.neighbours["weight"].is_monotonic_decreasing
    assert "task007" in ranking.neighbours.index[:5]
    assert told.rank(descriptions.iloc[7] * np.nan).fallback


def test_a_plain_gaussian_names_no_tasks():
    scores, descriptions = make_scores(40, 10)
    ranking = Factorization(share=1.0).fit(scores, descriptions).rank(descriptions.iloc[0], {"strategy000": 0.5})
    assert ranking.neighbours is None
    assert "1 observed" in ranking.reasons[0]
    with pytest.raises(ValueError, match=r"share=0\.0"):
        Factorization(share=0.0).fit(scores)


def test_the_number_of_factors_can_be_given():
    rng = np.random.default_rng(0)
    losses = pd.DataFrame(np.clip(made_up(30, 40, 5)[1], 0.05, 1)).mask(rng.random((30, 40)) < 0.2)
    learner = Factorization(n_factors=5).fit(Scores.from_matrix(losses))
    assert learner.model_.loadings.shape == (40, 5)
    assert len(learner.rank(observed={"3": 0.4, "5": 0.3})) == 40


def test_drawn_components_stand_for_all():
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(5000))
    values = np.sort(rng.random(5000))
    kept, drawn = _drawn(np.arange(5000), share, 400)
    assert len(kept) <= 400
    assert drawn.sum() == pytest.approx(1)
    assert drawn @ values[kept] == pytest.approx(share @ values, abs=2 / 400)
    few = _drawn(np.array([3, 7]), np.array([0.25, 0.75]), 2)
    np.testing.assert_array_equal(few, [[3, 7], [0.25, 0.75]])


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (9, 9)])
def test_first_axes_are_those_of_the_singular_value_decomposition(shape):
    rows = np.random.default_rng(0).normal(size=shape)
    squares, axes = _first_axes(rows, 5)
    _, singular, theirs = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(squares, singular[:5] ** 2)
    np.testing.assert_allclose(np.abs((axes * theirs[:5]).sum(axis=1)), 1)
    assert _first_axes(rows, 0)[1].shape == (0, shape[1])
