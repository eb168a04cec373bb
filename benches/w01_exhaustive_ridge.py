"""W1: ridge on every column subset, mean squared error over 5 folds.

Peers fit a seeded share of the subsets. NumPy: moments are formed once, as ours are; the training Gram matrices of all
subsets of one size and all folds are stacked for one `np.linalg.solve`, which takes less time than `np.linalg.cholesky`
and the two solves after it that know nothing of triangles. mlxtend: `ExhaustiveFeatureSelector` on the 127 subsets of
the first 7 columns.

All errors are exact but for rounding. The gap is the largest relative difference to solutions by QR.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Case, Contender, installed
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from metafit.engine import subset_errors

Floats = NDArray[np.float64]
ALPHA = 0.01
N_FOLDS = 5
LIMIT = "arithmetic units: about 15 multiply-adds a subset and fold; at p=25 also the page faults of 256 MB"


def cases(size: str) -> list[Case]:
    if size == "quick":
        return [_case(16, n_batched=2_000, n_checked=200)]
    return [
        _case(20, n_batched=21_000, n_checked=10_000, seconds=0.025),
        _case(25, n_batched=200_000, n_checked=1_000, seconds=0.75),
    ]


def _case(p: int, n_batched: int, n_checked: int, seconds: float | None = None) -> Case:
    X, y = _table(p)
    masks = _sample(p, n_batched)
    checked = _sample(p, n_checked)
    peers = [
        Contender(
            name="NumPy batched solve",
            run=lambda: _batched(X, y, masks),
            gap=lambda errors: _gap(X, y, masks[: n_checked // 10], errors),
            share=n_batched / 2**p,
            runs=3 if p <= 20 else 1,
            packages=["numpy"],
        )
    ]
    if installed("mlxtend"):
        # all subsets of few columns are one after another in the peer too: time by subset is what counts
        few = 7
        peers.append(
            Contender(
                name="mlxtend",
                run=lambda: _mlxtend(X[:, :few], y),
                share=(2**few - 1) / 2**p,
                runs=1,
                packages=["mlxtend"],
            )
        )
    return Case(
        workload="W1",
        name=f"exhaustive ridge, p={p}",
        shape=f"1000 x {p}, {N_FOLDS} folds",
        n_fits=N_FOLDS * 2**p,
        ours=Contender(
            name="metafit",
            run=lambda: subset_errors(X, y, alpha=ALPHA, folds=N_FOLDS, n_threads=2),
            gap=lambda errors: _gap(X, y, checked, errors[checked]),
        ),
        peers=peers,
        seconds=seconds,
        ratios={"NumPy batched solve": 200},
        limit=LIMIT,
    )


def _table(p: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1000, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)))
    return X, X @ np.where(rng.random(p) < 0.4, rng.normal(size=p), 0) + rng.normal(size=1000) * np.sqrt(p)


def _sample(p: int, count: int) -> NDArray[np.int64]:
    masks = (
        np.random.default_rng(2).permutation(2**p) if p <= 20 else np.random.default_rng(2).integers(2**p, size=count)
    )
    return masks[:count].astype(np.int64)


def _folds(n: int) -> list[tuple[Any, Any]]:
    return list(KFold(N_FOLDS).split(np.empty(n)))


def _gap(X: Floats, y: Floats, masks: Any, errors: Floats) -> float:
    """Largest relative difference to least squares by QR on centred rows, the ridge below them."""
    p = X.shape[1]
    wanted = np.zeros(len(masks))
    for train, test in _folds(len(y)):
        Z = np.column_stack([X, y])
        Z = Z - Z[train].mean(axis=0)
        # the rows of R stand for those of the table in the QR of any columns
        rows = np.vstack([Z[train] / np.sqrt(len(train)), np.sqrt(ALPHA) * np.eye(p, p + 1)])
        triangle, held_out = (np.linalg.qr(part, mode="r") for part in (rows, Z[test] / np.sqrt(len(test))))
        for part, columns in _by_size(masks, p):
            Q, R = np.linalg.qr(triangle[:, columns].swapaxes(0, 1))
            w = np.linalg.solve(R, Q.swapaxes(-1, -2) @ triangle[:, p, None])
            residual = held_out[:, p] - (held_out[:, columns].swapaxes(0, 1) @ w)[..., 0]
            wanted[part] += (residual**2).sum(axis=-1) / N_FOLDS
    return float(np.max(np.abs(errors[: len(masks)] - wanted) / wanted))


def _batched(X: Floats, y: Floats, masks: Any) -> Floats:
    """Errors of some subsets, all of one size and all folds in one batch."""
    moments = [_moments(X, y, train, test) for train, test in _folds(len(y))]
    A, T = (np.array(side) for side in zip(*moments, strict=True))
    errors = np.empty(len(masks))
    for part, columns in _by_size(masks, X.shape[1]):
        errors[part] = _errors(A, T, columns).mean(axis=0)
    return errors


def _by_size(masks: Any, p: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Positions of subsets of one size and their columns, so many at a time that they stay in the cache."""
    bits = masks[:, None] >> np.arange(p) & 1 == 1
    sizes = bits.sum(axis=1)
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        for part in np.array_split(of_size, -(-len(of_size) // 256)):
            yield part, np.nonzero(bits[part])[1].reshape(len(part), size)


def _errors(A: Floats, T: Floats, columns: NDArray[np.intp]) -> Floats:
    """Fold by subset; the target stands behind the columns."""
    p = A.shape[1] - 1
    rows, across = columns[:, :, None], columns[:, None, :]
    w = np.linalg.solve(A[:, rows, across], A[:, columns, p][..., None])
    square = (w.swapaxes(-1, -2) @ (T[:, rows, across] @ w))[..., 0, 0]
    cross = (T[:, columns, p] * w[..., 0]).sum(axis=-1)
    return T[:, p, p][:, None] - 2 * cross + square


def _moments(X: Floats, y: Floats, train: Any, test: Any) -> tuple[Floats, Floats]:
    """Training moments with the ridge, and held-out ones about the training means."""
    Z = np.column_stack([X, y])
    Z = Z - Z[train].mean(axis=0)
    A = Z[train].T @ Z[train] / len(train) + np.diag(np.r_[np.full(X.shape[1], ALPHA), 0])
    return A, Z[test].T @ Z[test] / len(test)


def _mlxtend(X: Floats, y: Floats) -> Any:
    from mlxtend.feature_selection import ExhaustiveFeatureSelector

    ridge = Ridge(alpha=ALPHA * len(y) * (N_FOLDS - 1) / N_FOLDS)
    search = ExhaustiveFeatureSelector(
        ridge,
        max_features=X.shape[1],
        cv=KFold(N_FOLDS),
        scoring="neg_mean_squared_error",
        n_jobs=2,
        print_progress=False,
    )
    return search.fit(X, y)
