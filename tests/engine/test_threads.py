"""The same bits for any number of threads, run after run, for a call that mixes everything that can share work."""

import hashlib

import numpy as np
import pytest
from equation_draws import LOSSES
from oracle_losses import READINGS

from metafit.engine import Cell, Split, Table, run_cells, solve
from metafit.strategies import losses, penalties

RUNS = 20
PENALTIES = [penalties.L2(), penalties.L1(), penalties.ElasticNet(0.4), penalties.MCP(3.0)]
#: as small as they can be for the engine to use its threads
N_ROWS, N_COLUMNS = 75, 6


def mixed_call():
    """Tables, splits and cells: every loss on a table with and without gaps, folds and odd splits, subsets, paths."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, N_COLUMNS))
    with_gaps = np.where(rng.random(X.shape) < 0.05, np.nan, X)
    eta = np.stack([X[:, 0] - X[:, 1], X[:, 2], X[:, 3]], axis=1)
    fold = rng.permutation(N_ROWS) % 3
    pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    pairs.append((rng.permutation(N_ROWS)[:50], rng.permutation(N_ROWS)[:20]))
    subsets = [None, np.array([0, 2, 3]), np.array([1])]
    tables, splits, cells = [], [], []
    for number, name in enumerate(LOSSES):
        n_classes = 3 if name == "softmax" else 1
        y = READINGS[name]().draw(rng, eta[:, :n_classes] / 2)
        tables.append(Table(with_gaps if number % 2 else X, y, sample_weight=rng.uniform(0.5, 2, N_ROWS)))
        for pair, subset in zip(pairs, [*subsets, None], strict=True):
            splits.append(Split(*pair, number))
            cells += [
                Cell(
                    split=len(splits) - 1,
                    columns=subset if k % 2 else None,
                    alphas=[0.3, 0.1],
                    of_max=True,
                    loss=losses.resolve("logistic" if name == "softmax" else name),
                    penalty=penalty,
                    n_classes=n_classes,
                    standardize=bool(k % 2),
                )
                for k, penalty in enumerate(PENALTIES)
            ]
    return tables, splits, cells


def digest(results):
    """Everything a result says but how long it took."""
    sha = hashlib.sha256()
    for result in results:
        figures = [
            result.coef,
            result.intercept,
            result.alphas,
            result.gap,
            result.kkt,
            result.objective,
            result.n_iter,
        ]
        for array in [*figures, *result.scores.values()]:
            sha.update(np.ascontiguousarray(array).tobytes())
        sha.update(repr((result.status, result.reason, result.alpha_max)).encode())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def call():
    return mixed_call()


@pytest.fixture(scope="module")
def expected(call):
    return digest(run_cells(*call, missing="mean", n_threads=1))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_every_run_gives_the_same_bits(call, expected, n_threads):
    found = {digest(run_cells(*call, missing="mean", n_threads=n_threads)) for _ in range(RUNS)}
    assert found == {expected}


def test_the_digest_sees_a_last_bit(call, expected):
    """Else the test above could not fail."""
    results = run_cells(*call, missing="mean", n_threads=1)
    results[-1].coef[-1, 0] = np.nextafter(results[-1].coef[-1, 0], np.inf)
    assert digest(results) != expected


def test_the_fits_are_of_every_kind(call):
    """Not a call of failures."""
    statuses = [status for result in run_cells(*call, missing="mean") for status in result.status]
    good = sum(status in ("converged", "local", "rank_deficient") for status in statuses)
    assert good >= 0.95 * len(statuses), statuses


@pytest.mark.parametrize("penalty", ["l1", "group_lasso"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_threads_that_share_the_columns_of_one_path(loss, penalty):
    """A table of more than 2^20 numbers and one cell: the threads take pieces of the columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2700))
    eta = X[:, :5].sum(axis=1) + rng.normal(size=400)
    y = eta if loss == "squared" else eta > 0
    omega = penalties.GroupLasso(np.arange(2700) // 10) if penalty == "group_lasso" else penalty
    fits = [solve(X, y, loss=loss, penalty=omega, n_alphas=4, tol=1e-6, n_threads=n) for n in (1, 2, 3, 8)]
    for fit in fits[1:]:
        for name in ("coef", "intercept", "gap", "objective", "n_iter"):
            np.testing.assert_array_equal(getattr(fit, name), getattr(fits[0], name))
