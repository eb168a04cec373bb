"""The border to the core: cells, splits and tables by number."""

import numpy as np
import pytest

from metafit.engine import Cell, Split, Table, run_cells
from metafit.strategies import penalties

LOSSES = ["squared", "logistic"]
PENALTIES = ["l2", "l1", penalties.ElasticNet(0.4)]
SUBSETS = [[0, 1, 2], [1, 4], []]
ALPHAS = [0.3, 0.03, 0.003]


def test_multiples_of_alpha_max_are_taken_from_the_training_rows(X, signal):
    train, test = np.arange(40), np.arange(40, 60)
    cell = Cell(alphas=[1.0, 0.5], of_max=True, penalty=penalties.L1(), standardize=True)
    [result] = run_cells(Table(X, signal), [Split(train, test)], [cell])
    Z = (X[train] - X[train].mean(0)) / X[train].std(0)
    alpha_max = np.abs(Z.T @ (signal[train] - signal[train].mean())).max() / 40
    assert result.alpha_max == pytest.approx(alpha_max, rel=1e-12)
    np.testing.assert_allclose(result.alphas, [alpha_max, alpha_max / 2], rtol=1e-12)
    assert not result.coef[0].any()


@pytest.mark.parametrize("penalty", [penalties.L2(), penalties.L1(), penalties.ElasticNet(0.5)])
def test_scaled_targets(X, signal, penalty):
    """scale_y: strengths act as if the training target had unit standard deviation."""
    train, test = np.arange(40), np.arange(40, 60)
    y = 1000 * signal + 7
    cell = Cell(alphas=[0.2, 0.02], scale_y=True, penalty=penalty)
    [result] = run_cells(Table(X, y), [Split(train, test)], [cell], tol=1e-12)
    sd = y[train].std()
    [unit] = run_cells(Table(X, y / sd), [Split(train, test)], [Cell(alphas=[0.2, 0.02], penalty=penalty)], tol=1e-12)
    np.testing.assert_allclose(result.coef, unit.coef * sd, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(result.scores["mean_squared_error"], unit.scores["mean_squared_error"] * sd**2)


def test_cells_of_several_tables_in_one_call(X, targets):
    """Each cell is what it is in a call of its own."""
    y = (targets["logistic"] == "yes") * 1.0
    tables = [Table(X, targets["squared"]), Table(X[:30, :3], y[:30]), Table(X, y)]
    splits = [
        Split(np.arange(50), np.arange(50, 60), 0),
        Split(np.arange(20), np.arange(20, 30), 1),
        Split(np.arange(10, 60), np.arange(10), 2),
    ]
    cells = [
        Cell(split=s, alphas=a, loss="squared" if s == 0 else "logistic", penalty=p, standardize=True)
        for s in (2, 0, 1)
        for a in (ALPHAS, [0.1])
        for p in (penalties.L1(), penalties.L2())
    ]
    for cell, together in zip(cells, run_cells(tables, splits, cells), strict=True):
        [alone] = run_cells(tables, splits, [cell])
        np.testing.assert_array_equal(together.coef, alone.coef)
        for name, values in together.scores.items():
            np.testing.assert_array_equal(values, alone.scores[name])
