"""All subsets at once are what `metafit.solve` finds one by one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

import metafit as mf
from metafit.engine import subset_errors
from metafit.engine.exhaustive import columns_of

pytestmark = pytest.mark.filterwarnings("ignore::metafit.exceptions.RankWarning")


def table(seed: int, n: int = 103, p: int = 9) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.4 * rng.normal(size=(p, p))) + rng.normal(size=p) * 5
    return X, X @ np.where(rng.random(p) < 0.5, rng.normal(size=p), 0) + rng.normal(size=n) + 3


def one_by_one(X: Any, y: Any, masks: Any, *, alpha: float, folds: Any = 5, **options: Any) -> Any:
    subsets = [columns_of(mask) for mask in masks]
    fits = mf.solve(X, y, alphas=alpha, subsets=subsets, folds=folds, keep="scores", **options)
    return fits.scores["mean_squared_error"].mean(axis=-1)


def check(X: Any, y: Any, *, n_masks: int = 200, rtol: float = 1e-8, **options: Any) -> None:
    errors = subset_errors(X, y, **options)
    assert errors.shape == (2 ** X.shape[1],)
    masks = np.random.default_rng(0).permutation(len(errors))[:n_masks]
    masks[0], masks[-1] = 0, len(errors) - 1
    np.testing.assert_allclose(errors[masks], one_by_one(X, y, masks, **options), rtol=rtol)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 2.0])
def test_every_option_of_the_ridge(fit_intercept: bool, standardize: bool, alpha: float) -> None:
    check(*table(1), alpha=alpha, fit_intercept=fit_intercept, standardize=standardize)


@pytest.mark.parametrize("p", range(8))
def test_every_number_of_columns(p: int) -> None:
    check(*table(2, n=40, p=p), alpha=0.1)


def test_weights_and_offsets() -> None:
    X, y = table(3)
    rng = np.random.default_rng(3)
    weight = rng.integers(0, 4, size=len(y)) * rng.random(len(y))
    check(X, y, alpha=0.01, sample_weight=weight, offset=rng.normal(size=len(y)) * 3, standardize=True)


@pytest.mark.parametrize(
    "folds",
    [
        2,
        11,
        KFold(4, shuffle=True, random_state=0),
        ShuffleSplit(3, test_size=0.3, random_state=0),
        [(np.arange(50), np.arange(50, 60)), (np.arange(20, 100), np.arange(17))],
        [(np.r_[0:40, 10:40, 5], np.r_[50:60, 55])],
    ],
)
def test_folds_of_any_kind(folds: Any) -> None:
    check(*table(4), alpha=0.01, folds=folds)


def test_groups() -> None:
    X, y = table(5)
    groups = np.arange(len(y)) % 7
    check(X, y, alpha=0.01, folds=GroupKFold(3), groups=groups)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1e-9, 0.1])
def test_constant_and_dependent_columns(fit_intercept: bool, standardize: bool, alpha: float) -> None:
    X, y = table(6, p=8)
    X[:, 2], X[:, 5], X[:, 6] = 3.0, X[:, 1], X[:, 0] - 2 * X[:, 3]
    # the least norm of dependent columns is found with fewer digits
    rtol = 1e-8 if alpha == 0.1 else 1e-6
    check(X, y, alpha=alpha, fit_intercept=fit_intercept, standardize=standardize, n_masks=256, rtol=rtol)


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4, 1e-6])
def test_nearly_dependent_columns(noise: float) -> None:
    X, y = table(7, p=8)
    rng = np.random.default_rng(7)
    X[:, 4:] = X[:, :4] + noise * rng.normal(size=(len(y), 4))
    check(X, y, alpha=0.0, n_masks=256)


def test_a_target_without_noise() -> None:
    X, y = table(8, p=8)
    y = X[:, 1] - 2 * X[:, 6]
    errors = subset_errors(X, y, alpha=0.0)
    exact = [m for m in range(256) if m >> 1 & m >> 6 & 1]
    assert (errors[exact] < 1e-20).all()
    assert (np.delete(errors, exact) > 1e-3).all()


def test_more_columns_than_training_rows() -> None:
    X, y = table(9, n=20, p=18)
    check(X, y, alpha=0.05, folds=2)


def test_columns_far_from_zero_and_of_very_different_units() -> None:
    X, y = table(10)
    check((X + 100) * np.geomspace(1e-6, 1e6, 9), y, alpha=0.01, standardize=True)


def test_sparse_columns_and_frames() -> None:
    X, y = table(11, p=6)
    X[np.random.default_rng(0).random(X.shape) < 0.7] = 0
    errors = subset_errors(X, y, alpha=0.1)
    np.testing.assert_allclose(subset_errors(scipy.sparse.csr_array(X), y, alpha=0.1), errors, rtol=1e-12)


def test_bits_do_not_depend_on_threads() -> None:
    X, y = table(12, p=18)
    one = subset_errors(X, y, alpha=0.01, n_threads=1)
    for n_threads in (2, 3, 8):
        assert (subset_errors(X, y, alpha=0.01, n_threads=n_threads) == one).all()
    masks = np.random.default_rng(0).integers(len(one), size=300)
    np.testing.assert_allclose(one[masks], one_by_one(X, y, masks, alpha=0.01), rtol=1e-8)


def test_repeated_columns_do_not_change_bits_with_threads_either() -> None:
    X, y = table(13, p=7)
    X = np.hstack([X, X[:, :2]])
    one = subset_errors(X, y, alpha=0.0, n_threads=1)
    assert (subset_errors(X, y, alpha=0.0, n_threads=3) == one).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha must be finite and at least 0"),
        ({"alpha": "much"}, "alpha must be a number"),
        ({"alpha": 1.0, "n_threads": 0}, "n_threads"),
        ({"alpha": 1.0, "folds": 1}, "k-fold"),
        ({"alpha": 1.0, "sample_weight": np.r_[np.zeros(30), np.ones(73)]}, "folds: fold 0 has no"),
        ({"alpha": 1.0, "offset": np.full(103, np.nan)}, "offset holds NaN"),
    ],
)
def test_what_cannot_be_done_is_named(options: dict[str, Any], message: str) -> None:
    X, y = table(14)
    with pytest.raises(ValueError, match=message):
        subset_errors(X, y, **options)


def test_missing_values_and_too_many_columns_are_refused() -> None:
    X, y = table(15)
    X[4, 2] = np.nan
    with pytest.raises(ValueError, match="X holds NaN or infinity at row 4, column 2"):
        subset_errors(X, y, alpha=1.0)
    with pytest.raises(ValueError, match=r"X: has 31 columns, .* at most 30"):
        subset_errors(np.ones((10, 31)), np.ones(10), alpha=1.0)


def test_progress_rises_and_its_exception_comes_out() -> None:
    X, y = table(16, p=25)
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        subset_errors(X, y, alpha=1.0, folds=50, progress=stop, n_threads=1)
    assert 0 <= seen[0][0] <= seen[1][0] < seen[1][1]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_result_beyond_memory_is_a_memory_error() -> None:
    script = """
import resource, numpy as np
from metafit.engine import subset_errors
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
try:
    subset_errors(np.random.default_rng(0).normal(size=(99, 30)), np.arange(99.0), alpha=1.0)
except MemoryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "8589934592 bytes" in done.stdout
