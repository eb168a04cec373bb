"""What is shared changes nothing: of calls full of neighbours, 1,000 fits equal cold fits made each by itself.

In a call many subsets, splits, strengths and penalties share moments, designs, factorisations and warm starts. A cold
fit sees a table of the rows of its own split, one strength, and nothing to share. Penalties are convex, and minimisers
are unique, as columns are continuous; those of the quantile loss may not be, and objectives are compared. A row has
another place in each of the two tables: scores that jump at ties agree only if equal rows are predicted equally.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from equation_draws import LOSSES, table
from oracle_losses import READINGS

from metafit.engine import Cell, CellResult, Split, Table, run_cells, solve
from metafit.strategies import losses, penalties

N_FITS = 1000
CLOSE = 1e-8
#: Calls a loss.
N_CALLS = 8
PENALTIES = ["l2", "l1", "elastic_net", "group_lasso", "sparse_group_lasso"]
BY_OBJECTIVE = ("quantile",)
GOOD = ("converged", "rank_deficient")


def draw_splits(rng: np.random.Generator, n: int) -> list[Split]:
    """A partition, splits that overlap, or both."""
    fold = rng.permutation(n) % 4
    folds = [Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4)]
    order = [rng.permutation(n) for _ in range(2)]
    odd = [Split(np.sort(rows[: 3 * n // 4]), np.sort(rows[3 * n // 4 :])) for rows in order]
    return [folds, odd, folds + odd][rng.integers(3)]


def draw_penalty(rng: np.random.Generator, p: int) -> Any:
    name = PENALTIES[rng.integers(len(PENALTIES))]
    if name == "elastic_net":
        return penalties.ElasticNet(rng.uniform(0.1, 0.9))
    if "group" in name:
        labels = [f"g{k}" for k in rng.integers(0, 3, p)]
        more = {"l1_ratio": rng.uniform(0.2, 0.8)} if name.startswith("sparse") else {}
        return penalties.REGISTRY[name](groups=labels, **more)
    factors = rng.uniform(0.5, 2, p) if rng.random() < 0.3 else None
    return penalties.REGISTRY[name](factors=factors)


class Call:
    """A random table with many cells in one call."""

    def __init__(self, loss: str, seed: int) -> None:
        rng = np.random.default_rng([seed, *loss.encode()])
        self.n_classes = 3 if loss == "softmax" else 1
        n, p = int(rng.integers(50, 120)), int(rng.integers(3, 9))
        self.X, eta = table(rng, n, p, self.n_classes)
        self.X = (self.X - self.X.mean(0)) / self.X.std(0)
        self.y = READINGS[loss]().draw(rng, eta)
        self.weight = rng.uniform(0.3, 2, n) if rng.random() < 0.5 else None
        self.offset = 0.3 * rng.normal(size=n) if rng.random() < 0.5 and loss != "softmax" else None
        self.splits = draw_splits(rng, n)
        subsets = [None, *(np.sort(rng.choice(p, rng.integers(1, p + 1), replace=False)) for _ in range(2))]
        base = Cell(
            alphas=np.geomspace(0.5, 0.02, 5),
            of_max=True,
            loss=losses.resolve("logistic" if loss == "softmax" else loss),
            n_classes=self.n_classes,
            standardize=bool(rng.random() < 0.5),
            fit_intercept=bool(rng.random() < 0.8),
        )
        parts = [draw_penalty(rng, p) for _ in range(3)]
        self.cells = [
            replace(base, split=k, columns=subset, penalty=penalty)
            for k in range(len(self.splits))
            for subset in subsets
            for penalty in parts
        ]

    def together(self) -> list[CellResult]:
        return run_cells(self.table(slice(None)), self.splits, self.cells, tol=0, max_iter=5000)

    def table(self, rows: Any) -> Table:
        weight, offset = (None if v is None else v[rows] for v in (self.weight, self.offset))
        return Table(self.X[rows], self.y[rows], sample_weight=weight, offset=offset)

    def alone(self, cell: Cell, alpha: float) -> CellResult:
        """The fit of training rows that are a table by themselves."""
        split = self.splits[cell.split]
        n, rows = len(split.train), np.r_[split.train, split.test]
        own = Split(np.arange(n), np.arange(n, len(rows)))
        request = replace(cell, split=0, alphas=[alpha], of_max=False)
        [result] = run_cells(self.table(rows), [own], [request], tol=0, max_iter=5000)
        return result


def distance(loss: str, result: CellResult, k: int, cold: CellResult) -> float:
    """The largest difference, as a part of the largest number where that is above 1."""
    pairs = [(result.objective[k], cold.objective[0])]
    if loss not in BY_OBJECTIVE:
        pairs += [(result.coef[k], cold.coef[0]), (result.intercept[k], cold.intercept[0])]
        pairs += [(values[k], cold.scores[name][0]) for name, values in result.scores.items()]
    return max(float(np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(b)))) for a, b in pairs if not np.isnan(b).any())


def differences(loss: str, n_fits: int) -> list[tuple[float, str]]:
    """Distance of random fits from cold ones, and what was fitted."""
    found = []
    for seed in range(N_CALLS):
        call, rng = Call(loss, seed), np.random.default_rng(seed)
        results = call.together()
        n_alphas = len(results[0].alphas)
        for place in rng.choice(len(results) * n_alphas, -(-n_fits // N_CALLS), replace=False):
            number, k = divmod(int(place), n_alphas)
            cell, result = call.cells[number], results[number]
            cold = call.alone(cell, result.alphas[k])
            label = f"{loss} {cell.penalty} seed {seed} cell {number} alpha {k}: {result.status[k]}, {cold.status[0]}"
            same = result.status[k] == cold.status[0] and result.status[k] in GOOD
            found.append((distance(loss, result, k, cold) if same else np.inf, label))
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_shared_fits_equal_cold_ones(loss):
    worst, label = max(differences(loss, -(-N_FITS // len(LOSSES))))
    print(f"{worst:.1e} {label}")
    assert worst <= CLOSE, label


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("n_rows", [60, 700])
def test_a_small_strength_is_reached_alone_as_along_a_path(loss, n_rows):
    """With more columns than rows the way there begins at a twentieth of alpha_max, and is not a part of the answer."""
    rng = np.random.default_rng(n_rows)
    X = rng.normal(size=(n_rows, 600)) + rng.normal(size=(n_rows, 1))
    eta = X[:, :5].sum(axis=1) + rng.normal(size=n_rows)
    y = eta if loss == "squared" else eta > 0
    path = solve(X, y, loss=loss, penalty="l1", n_alphas=40)
    for k in (10, 25, 39):
        alone = solve(X, y, loss=loss, penalty="l1", alphas=float(path.alphas[k]))
        assert alone.status.item() == path.status[k] == "converged"
        np.testing.assert_allclose(alone.coef, path.coef[k], atol=1e-8 * np.abs(path.coef[k]).max())


@pytest.mark.parametrize("n_rows", [60, 120])
def test_a_lasso_close_to_interpolation_is_certified(n_rows):
    """More columns enter on the way than there are rows: those that depend on the others leave again."""
    rng = np.random.default_rng(n_rows)
    X = rng.normal(size=(n_rows, 1000)) + 0.5 * rng.normal(size=(n_rows, 1))
    y = X[:, :20].sum(axis=1) + rng.normal(size=n_rows)
    alpha_max = solve(X, y, penalty="l1", n_alphas=2).alphas.max()
    for share in (1e-3, 1e-4, 1e-5):
        fit = solve(X, y, penalty="l1", alphas=share * alpha_max)
        slope = X.T @ (y - fit.intercept - X @ fit.coef) / n_rows
        assert fit.status.item() == "converged", share
        assert np.count_nonzero(fit.coef) < n_rows
        assert np.abs(slope).max() <= (1 + 1e-6) * share * alpha_max


@pytest.mark.parametrize("penalty", ["elastic_net", "l1"])
@pytest.mark.parametrize("solver", ["auto", "coordinate_descent", "proximal_newton"])
def test_a_wide_table_of_correlated_columns_is_certified(penalty, solver):
    """Descents on its rows creep, and ended at `max_iter`."""
    rng = np.random.default_rng(2)
    X = np.sqrt(0.1) * rng.normal(size=(86, 269)) + np.sqrt(0.9) * rng.normal(size=(86, 1))
    w = rng.normal(size=269)
    y = X @ w / np.linalg.norm(w) + rng.normal(size=86)
    alpha_max = solve(X, y, penalty=penalty, n_alphas=2).alphas.max()
    for share in (1e-2, 3e-3, 1e-3):
        fit = solve(X, y, penalty=penalty, alphas=share * alpha_max, solver=solver)
        assert fit.status.item() == "converged", share
        assert fit.n_iter.item() < 200, share
        assert fit.kkt.item() < 1e-9 * alpha_max, share


@pytest.mark.parametrize("n_alphas", [1, 20])
def test_few_rows_of_many_columns_have_the_ridge_fit_in_closed_form(n_alphas):
    """The hand rule takes their rows; the closed form is that of the dual."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(30, 400)), rng.normal(size=30)
    alphas = np.geomspace(10, 1e-3, 20)[-n_alphas:]
    fit = solve(X, y, penalty="l2", alphas=alphas)
    centred = X - X.mean(axis=0)
    kernel, target = centred @ centred.T, y - y.mean()
    for alpha, coef in zip(alphas, np.reshape(fit.coef, (n_alphas, -1)), strict=True):
        dual = np.linalg.solve(kernel + 30 * alpha * np.eye(30), target)
        np.testing.assert_allclose(coef, centred.T @ dual, rtol=0, atol=1e-7 * np.abs(coef).max())
