"""The default strategies of the equation, without their loss: columns x transforms x penalties x strengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

from metafit.strategies import penalties
from metafit.strategies.alphas import CV, Alpha, OfMax, PerRow
from metafit.strategies.features import TopK
from metafit.strategies.penalties import Penalty
from metafit.strategies.transforms import Clipped, OnContinuous

__all__ = ["default_parts"]

Parts = list[dict[str, Any]]

L1: Any = penalties.L1
L2: Any = penalties.L2
ElasticNet: Any = penalties.ElasticNet
GroupLasso: Any = penalties.GroupLasso
MCP: Any = penalties.MCP
SCAD: Any = penalties.SCAD


def default_parts() -> Parts:
    """Return the arguments of `Strategy` beside the loss, the plain default first."""
    plain = _linear() + _chosen() + _screened() + _raw()
    return plain + _splines() + _steps() + _bent() + _products() + _components() + _kernels() + _sparse()


def _linear() -> Parts:
    """Use all columns as they are, penalised from almost nothing to almost everything."""
    return [
        *_each(L2(), PerRow, 1, 0.01, 10, 100, 1000, 10_000),
        *(_part(L2(), alpha) for alpha in (0.03, 0.3, 3.0)),
        *_each(L1(), OfMax, 0.5, 0.25, 0.1, 0.05, 0.02, 0.005),
        *_each(ElasticNet(0.5), OfMax, 0.3, 0.1, 0.03, 0.01),
        *_each(ElasticNet(0.1), OfMax, 0.1, 0.03),
    ]


def _chosen() -> Parts:
    """Let inner folds choose the strength; the weak end of a lasso path is the dear one."""
    sparse = (L1(), ElasticNet(0.5))
    return [_part(L2(), CV()), *(_part(penalty, CV(n_alphas=6, smallest=0.005)) for penalty in sparse)]


def _screened() -> Parts:
    """Use a few columns only."""
    return [
        *(_part(L2(), PerRow(1), features=TopK(k)) for k in (1, 2, 4, 8, 16)),
        *(_part(L2(), PerRow(100), features=TopK(k)) for k in (4, 8, 16)),
        *(_part(L1(), OfMax(0.05), features=TopK(k)) for k in (4, 8, 16)),
    ]


def _raw() -> Parts:
    """Keep columns in their own units: large ones are hardly penalised."""
    pairs = [(L2(), PerRow(1)), (L2(), PerRow(100)), (L2(), CV()), (L1(), OfMax(0.05))]
    return [_part(penalty, alpha, standardize=False) for penalty, alpha in pairs]


def _splines() -> Parts:
    """Bend the lines: smooth curves and broken lines, additive in the columns."""
    cubic = OnContinuous(SplineTransformer(n_knots=4, knots="quantile", include_bias=False))
    finer = OnContinuous(SplineTransformer(n_knots=8, knots="quantile", include_bias=False))
    broken = OnContinuous(SplineTransformer(n_knots=4, degree=1, knots="quantile", include_bias=False))
    return [
        *_each(L2(), PerRow, 1, 10, 100, 1000, transform=cubic),
        *_each(L1(), OfMax, 0.1, 0.03, transform=cubic),
        *(_part(L2(), PerRow(10), transform=cubic, features=TopK(k)) for k in (2, 4, 8)),
        *_each(L2(), PerRow, 10, 100, transform=broken),
        _part(L1(), OfMax(0.03), transform=broken),
        *_each(L2(), PerRow, 10, 100, 1000, transform=finer),
        *_each(L1(), OfMax, 0.1, 0.03, transform=finer),
    ]


def _steps() -> Parts:
    """Cut columns into six levels of equally many rows each."""
    levels = OnContinuous(
        KBinsDiscretizer(6, encode="onehot-dense", strategy="quantile", quantile_method="averaged_inverted_cdf")
    )
    return [*_each(L2(), PerRow, 1, 10, 100, transform=levels), _part(L1(), OfMax(0.1), transform=levels)]


def _bent() -> Parts:
    """Take columns as ranks, or by their logarithms, counted from the least value of the training rows."""
    # fifty quantiles are there in the smallest training rows that are of use
    ranks = OnContinuous(QuantileTransformer(n_quantiles=50, output_distribution="normal", random_state=0))
    shares = ("shares", MinMaxScaler((0, 100), clip=True))
    logs = OnContinuous(Pipeline([shares, ("log", FunctionTransformer(np.log1p)), ("scale", StandardScaler())]))
    return [
        *_each(L2(), PerRow, 1, 100, transform=ranks),
        _part(L1(), OfMax(0.03), transform=ranks),
        *_each(L2(), PerRow, 1, 10, 100, transform=logs),
        *_each(L1(), OfMax, 0.1, 0.03, transform=logs),
    ]


def _products() -> Parts:
    """Let the best columns interact: squares and products of those that are continuous."""
    products = OnContinuous(Clipped(PolynomialFeatures(2, include_bias=False)))
    return [
        *(_part(L2(), PerRow(c), transform=products, features=TopK(k)) for k in (4, 8) for c in (10, 100)),
        *(_part(L1(), OfMax(r), transform=products, features=TopK(8)) for r in (0.1, 0.03)),
    ]


def _components() -> Parts:
    """Look along the directions in which the columns vary most."""
    return [_part(L2(), PerRow(1), transform=PCA(share, svd_solver="full")) for share in (0.5, 0.8, 0.95)]


def _kernels() -> Parts:
    """Let columns interact, through training rows as landmarks (gamma = 1 / columns)."""
    radial, wider = (Nystroem(n_components=n, random_state=0) for n in (50, 150))
    quadratic, richer = (_polynomial(2, n) for n in (50, 100))
    beside = FeatureUnion([("linear", "passthrough"), ("radial", radial)])
    ranked = Pipeline([("ranks", OnContinuous(QuantileTransformer(n_quantiles=50, random_state=0))), ("radial", wider)])
    return [
        *_each(L2(), PerRow, 10, 100, 1000, transform=radial),
        *_each(L2(), PerRow, 10, 100, 1000, transform=quadratic),
        _part(L1(), OfMax(0.1), transform=quadratic),
        _part(L2(), PerRow(100), transform=richer),
        _part(L2(), PerRow(10), transform=radial, features=TopK(4)),
        *(_part(L2(), PerRow(10), transform=quadratic, features=TopK(k)) for k in (4, 8)),
        *_each(L2(), PerRow, 0.1, 1, 10, transform=wider),
        *_each(L2(), PerRow, 1, 10, transform=beside),
        *_each(L2(), PerRow, 0.1, 1, transform=ranked),
        *_each(L2(), PerRow, 10, 100, transform=_polynomial(3, 100)),
    ]


def _polynomial(degree: int, n_components: int) -> Clipped:
    return Clipped(Nystroem(kernel="poly", degree=degree, coef0=1, n_components=n_components, random_state=0))


def _sparse() -> Parts:
    """Drop whole columns of the raw table, or shrink what stays less than the lasso does."""
    return [
        *_each(GroupLasso(), OfMax, 0.3, 0.1, 0.03, 0.01),
        *_each(MCP(), OfMax, 0.3, 0.1, 0.03),
        *_each(SCAD(), OfMax, 0.2, 0.05),
    ]


def _each(penalty: Penalty, scale: type[PerRow] | type[OfMax], *values: float, **others: Any) -> Parts:
    return [_part(penalty, scale(value), **others) for value in values]


def _part(penalty: Penalty, alpha: float | Alpha, **others: Any) -> dict[str, Any]:
    return {"penalty": penalty, "alpha": alpha} | others
