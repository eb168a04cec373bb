"""The process over cells against scikit-learn's, on small tables with holes; and what the learner makes of it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Kernel, StationaryKernelMixin

from metafit.learners import GaussianProcess, gaussian_process
from metafit.learners.cell_process import CellProcess, Covariance, _Cells, _distances, most_likely
from metafit.scores import Scores
from metafit.testing import make_scores

MODEL = Covariance(
    rows=2.0, row_length=0.7, common=0.02, columns=0.05, column_length=1.3, own=0.01, noise=0.004
)  # fmt: skip


class Pairs(StationaryKernelMixin, Kernel):
    """The covariance of cells, each a row's two coordinates, a column's one and the column's number."""

    def __init__(self, model=MODEL):
        self.model = model

    def __call__(self, X, Y=None, eval_gradient=False):
        Y = X if Y is None else Y
        rows = 1 + self.model.rows * RBF(self.model.row_length)(X[:, :2], Y[:, :2])
        columns = self.model.common + self.model.columns * RBF(self.model.column_length)(X[:, 2:3], Y[:, 2:3])
        return rows * (columns + self.model.own * (X[:, 3][:, None] == Y[:, 3]))

    def diag(self, X):
        model = self.model
        return np.full(len(X), (1 + model.rows) * (model.common + model.columns + model.own))


def made_up(holes, seed=0, shape=(12, 7)):
    rng = np.random.default_rng(seed)
    rows, columns = rng.random((shape[0], 2)), rng.normal(size=(shape[1], 1))
    table = rows[:, :1] + np.sin(rows[:, 1:] + columns.T) + 0.1 * rng.normal(size=shape)
    return np.where(rng.random(shape) < holes, np.nan, table), rows, columns


def stacked(rows, columns, numbers):
    row, column = (part.ravel() for part in np.meshgrid(range(len(rows)), range(len(columns)), indexing="ij"))
    return np.hstack([rows[row], columns[column], np.asarray(numbers)[column][:, None]])


def theirs(table, rows, columns):
    there = ~np.isnan(table.ravel())
    cells = stacked(rows, columns, range(len(columns)))[there]
    return GaussianProcessRegressor(Pairs(), alpha=MODEL.noise, optimizer=None).fit(
        cells, table.ravel()[there] - np.nanmean(table)
    )


def ours(monkeypatch, table, rows, columns):
    monkeypatch.setattr("metafit.learners.cell_process.most_likely", lambda *_: MODEL)
    return CellProcess(table, rows, columns)


@pytest.mark.parametrize("holes", [0.0, 0.1, 0.5])
def test_means_are_those_of_scikit_learn(monkeypatch, holes):
    table, rows, columns = made_up(holes)
    process, oracle = ours(monkeypatch, table, rows, columns), theirs(table, rows, columns)
    new_rows, new_columns = np.random.default_rng(1).random((4, 2)), np.array([[0.3], [-2.0]])
    for mean, cells in (
        (process.predict(new_rows)[0], stacked(new_rows, columns, range(7))),
        (process.predict_columns(new_rows, new_columns)[0], stacked(new_rows, new_columns, [-1, -2])),
    ):
        expected = oracle.predict(cells) + np.nanmean(table)
        np.testing.assert_allclose(mean.ravel(), expected, atol=1e-6)


def test_deviations_are_those_of_scikit_learn(monkeypatch):
    table, rows, columns = made_up(0.0)
    process, oracle = ours(monkeypatch, table, rows, columns), theirs(table, rows, columns)
    new_rows, new_columns = np.random.default_rng(1).random((4, 2)), np.array([[0.3], [-2.0]])
    for std, cells in (
        (process.predict(new_rows)[1], stacked(new_rows, columns, range(7))),
        (process.predict_columns(new_rows, new_columns)[1], stacked(new_rows, new_columns, [-1, -2])),
    ):
        expected = oracle.predict(cells, return_std=True)[1]
        np.testing.assert_allclose(std.ravel(), np.hypot(expected, np.sqrt(MODEL.noise)), rtol=1e-6)


def test_deviations_with_holes_are_about_those_of_scikit_learn(monkeypatch):
    table, rows, columns = made_up(0.3, shape=(30, 12))
    process, oracle = ours(monkeypatch, table, rows, columns), theirs(table, rows, columns)
    new = np.random.default_rng(1).random((6, 2))
    expected = np.hypot(oracle.predict(stacked(new, columns, range(12)), return_std=True)[1], np.sqrt(MODEL.noise))
    ratio = process.predict(new)[1].ravel() / expected
    assert 0.85 < ratio.min() < ratio.max() < 1.15


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_likelihood_is_that_of_scikit_learn_and_slopes_are_its_differences(holes):
    table, rows, columns = made_up(holes)
    off = table - np.nanmean(table)
    cells = _Cells.of(off, _distances(rows), _distances(columns))
    value, slopes = cells.surprise(MODEL)
    assert value == pytest.approx(-theirs(table, rows, columns).log_marginal_likelihood_value_)
    for field in fields(Covariance):
        sides = []
        for step in (1e-5, -1e-5):
            moved = {f.name: getattr(MODEL, f.name) for f in fields(Covariance)}
            moved[field.name] *= np.exp(step)
            sides.append(cells.surprise(Covariance(**moved))[0])
        assert slopes[field.name] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4, abs=1e-6), field.name


def test_the_most_likely_covariance_is_more_likely_than_its_neighbours():
    table, rows, columns = made_up(0.2)
    off = table - np.nanmean(table)
    distances = _distances(rows), _distances(columns)
    best = most_likely(off, *distances)
    cells = _Cells.of(off, *distances)
    lowest = cells.surprise(best)[0]
    assert lowest < cells.surprise(MODEL)[0]
    for field in fields(Covariance):
        for factor in (0.7, 1.4):
            moved = {f.name: getattr(best, f.name) for f in fields(Covariance)}
            moved[field.name] *= factor
            if 1e-6 <= moved[field.name] <= 1e3:
                assert cells.surprise(Covariance(**moved))[0] >= lowest - 1e-3, field.name


def test_a_row_of_which_nothing_is_known_is_far_from_all(monkeypatch):
    table, rows, columns = made_up(0.0)
    process = ours(monkeypatch, table, rows, columns)
    unknown, far = process.predict(np.full((1, 2), np.inf))[0], process.predict(np.full((1, 2), 1e6))[0]
    np.testing.assert_allclose(unknown, far)


def test_descriptions_tell():
    scores, descriptions = make_scores(60, 10, n_seeds=1)
    learner = GaussianProcess().fit(scores.only_tasks(scores.tasks.index[:45]), descriptions)
    regret = scores.regret().iloc[45:]
    expected = learner.expect(descriptions.loc[regret.index])
    assert expected.min() >= 0
    picked = regret.to_numpy()[np.arange(15), expected.argmin(axis=1)].mean()
    assert picked < 0.6 * regret[scores.regret().iloc[:45].mean().idxmin()].mean()
    ranking = learner.rank(descriptions.loc[regret.index[0]])
    row = expected[0][scores.strategies.index.get_indexer(list(ranking))]
    np.testing.assert_allclose(ranking.expected_loss, row)
    assert ranking.neighbours["distance"].is_monotonic_increasing
    told_nothing = learner.rank(None)
    assert told_nothing.fallback
    np.testing.assert_allclose(
        np.sort(told_nothing.expected_loss), np.sort(learner.expect(descriptions.iloc[:1] * np.nan)[0])
    )


def test_deviations_cover():
    scores, descriptions = make_scores(80, 10, n_seeds=1, holes=0.2)
    learner = GaussianProcess().fit(scores.only_tasks(scores.tasks.index[:60]), descriptions)
    regret = scores.regret().iloc[60:]
    tables = [learner.rank(descriptions.loc[task]).to_frame().reindex(regret.columns) for task in regret.index]
    expected, std = (np.array([table[what] for table in tables]) for what in ("expected_loss", "std"))
    off = ((regret.to_numpy() - expected) / std)[regret.notna().to_numpy()]
    assert np.mean(np.abs(off) < 2) > 0.85
    assert 0.5 < off.std() < 1.5


def test_too_large_a_table_is_refused_and_says_what_to_take(monkeypatch):
    monkeypatch.setattr(gaussian_process, "MOST", 10)
    with pytest.raises(ValueError, match=r"12 tasks x 4 strategies.*at most 10.*Regression"):
        GaussianProcess().fit(make_scores(12, 4)[0])


def test_one_cell_and_equal_cells_are_enough():
    assert len(GaussianProcess().fit(Scores.from_matrix(pd.DataFrame({"a": [0.5]}))).rank()) == 1
    flat = pd.DataFrame({"a": [0.5, 0.5], "b": [0.5, 0.5]})
    np.testing.assert_allclose(GaussianProcess().fit(Scores.from_matrix(flat)).rank().expected_loss, 0.0, atol=1e-6)
