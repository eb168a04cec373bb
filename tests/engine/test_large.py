"""Tables that are fitted without a standardised copy, in blocks of rows that threads share."""

from __future__ import annotations

import numpy as np
import pytest

import metafit as mf

N, P = 90_000, 46  # more than a block of rows, and more numbers than are written down twice


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    # means that dwarf the spread: what is not centred first has no digits left
    X = rng.normal(size=(N, P)) * np.geomspace(0.1, 10, P) + 1e5 * np.linspace(-1, 1, P)
    eta = (X - X.mean(0)) / X.std(0) @ np.linspace(-0.3, 0.3, P)
    return X, rng.poisson(np.exp(eta - 1)).astype(float), rng.uniform(0.5, 2, N)


@pytest.mark.parametrize(("loss", "penalty"), [("logistic", "l2"), ("logistic", "l1"), ("poisson", "l2")])
@pytest.mark.parametrize("standardize", [True, False])
def test_threads_and_copies_change_nothing(table, loss, penalty, standardize):
    X, counts, weights = table
    y = (counts > 0).astype(float) if loss == "logistic" else counts
    options = {"loss": loss, "penalty": penalty, "alphas": 1e-3, "standardize": standardize}
    one, two = (mf.solve(X, y, sample_weight=weights, n_threads=n, **options) for n in (1, 2))
    assert (one.coef == two.coef).all()
    assert one.intercept == two.intercept
    assert one.status == "converged"
    # a row without weight has the table written out
    padded = mf.solve(np.vstack([X, X[:1]]), np.append(y, y[0]), sample_weight=np.append(weights, 0.0), **options)
    scale = abs(padded.coef * X.std(0)).max()
    assert (abs((one.coef - padded.coef) * X.std(0)) <= 1e-8 * scale).all()
    assert one.objective == pytest.approx(padded.objective, rel=1e-11)
