"""What `metafit.solve` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from metafit.engine.validation import as_matrix, as_row_vector

__all__ = ["Solution"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """Fits of `metafit.solve`, with their certificates.

    An axis exists exactly where its argument was a sequence (for alphas: or None); `dims` names the axes of
    each array. Below, (...) stands for the axes subset and alpha that exist.

    Attributes
    ----------
    coef : array, shape (..., n_features), or None
        The fits on all rows, in original units; excluded features are 0. With keep="best" the best of them alone,
        shape (n_features,); None with keep="scores".
    intercept : array, shape (...), or None
        As coef.
    alphas : array, shape (n_alphas,), or float
        The strengths solved.
    objective, gap, n_iter, seconds : array, shape (...)
        `gap` bounds how far the objective lies above the least one.
    status : array of str, shape (...)
        "converged", "max_iter", "rank_deficient" (dependent unpenalised columns) or "failed".
    reason : array of str, shape (...)
        Why a fit failed, else "".
    fold_coef, fold_intercept, fold_objective, fold_gap, fold_n_iter, fold_seconds, fold_status
        The same for the fits on training rows, with an axis fold after alpha; None without folds, and coefficients
        and intercepts only with keep="coef". So is `fold_reason`.
    scores : dict of str to array, shape (..., n_folds)
        Held-out scores, named as in `sklearn.metrics` without "_score": e.g. ``scores["log_loss"]``.
    classes : array, shape (2,), or None
        Labels of a classification; probabilities are of the second.
    best : dict or None
        With folds: the number of the subset and of the alpha with the least mean held-out loss (0 where there is
        no such axis).
    dims : dict of str to tuple of str
    feature_names : list of str
    column_means : array, shape (n_features,), or None
        What `predict` puts in place of NaN, with missing="mean".
    has_names : bool
        Whether X was a frame, so that `predict` matches columns by name.
    """

    coef: Floats | None
    intercept: Floats | None
    alphas: Any
    objective: Floats
    gap: Floats
    n_iter: NDArray[np.int64]
    seconds: Floats
    status: NDArray[np.str_]
    reason: NDArray[np.str_]
    scores: dict[str, Floats] = field(default_factory=dict)
    fold_coef: Floats | None = None
    fold_intercept: Floats | None = None
    fold_objective: Floats | None = None
    fold_gap: Floats | None = None
    fold_n_iter: NDArray[np.int64] | None = None
    fold_seconds: Floats | None = None
    fold_status: NDArray[np.str_] | None = None
    fold_reason: NDArray[np.str_] | None = None
    best: dict[str, int] | None = None
    classes: NDArray[Any] | None = None
    dims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    feature_names: list[str] = field(default_factory=list)
    column_means: Floats | None = None
    has_names: bool = False

    def decision_function(self, X: Any, offset: Any = None) -> Floats:
        """Return the linear predictions b + o + x'w of every fit on all rows.

        Parameters
        ----------
        X : array-like or frame, shape (n_rows, n_features)
            NaN becomes the training mean if the fit was made with missing="mean".
        offset : array-like, shape (n_rows,), optional

        Returns
        -------
        array, shape (..., n_rows)

        Raises
        ------
        ValueError
            If the solution kept no coefficients, or X does not fit them.
        """
        if self.coef is None or self.intercept is None:
            raise ValueError("the solution was made with keep='scores': it holds no coefficients to predict with")
        matrix = self._matrix(X)
        shift = as_row_vector(offset, len(matrix), "offset")
        eta = self.coef @ matrix.T + np.asarray(self.intercept)[..., None]
        return eta if shift is None else eta + shift

    def _matrix(self, X: Any) -> Floats:
        matrix, names = as_matrix(X, allow_missing=self.column_means is not None)
        if matrix.shape[1] != len(self.feature_names):
            raise ValueError(f"X must have the {len(self.feature_names)} columns of the fit, got {matrix.shape[1]}")
        if hasattr(X, "columns") and self.has_names:
            matrix = matrix[:, self._order(names)]
        if self.column_means is not None:
            matrix = np.where(np.isnan(matrix), self.column_means, matrix)
        return matrix

    def _order(self, names: list[str]) -> list[int]:
        unknown = sorted(set(self.feature_names) - set(names))
        if unknown:
            raise ValueError(f"X lacks the columns {unknown} of the fit")
        return [names.index(name) for name in self.feature_names]

    def predict(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """Return predicted means, or labels of a classification, of every fit; shape (..., n_rows).

        Parameters and errors are those of `decision_function`.
        """
        eta = self.decision_function(X, offset)
        return eta if self.classes is None else self.classes[(eta > 0).astype(np.int64)]

    def predict_proba(self, X: Any, offset: Any = None) -> Floats:
        """Return class probabilities of every fit; shape (..., n_rows, 2).

        Raises
        ------
        AttributeError
            If the fit is a regression.
        """
        if self.classes is None:
            raise AttributeError("predict_proba exists for classifications only")
        eta = self.decision_function(X, offset)
        # each tail from its own side, so that small probabilities keep their digits
        return np.stack([expit(-eta), expit(eta)], axis=-1)

    def __repr__(self) -> str:
        sizes = dict(zip(self.dims["status"], self.status.shape, strict=True))
        axes = ", ".join(f"{size} {axis}s" for axis, size in sizes.items()) or "one fit"
        folds = "" if self.fold_status is None else f", {self.fold_status.shape[-1]} folds"
        statuses, counts = np.unique(self.status, return_counts=True)
        ended = ", ".join(f"{count} {status}" for status, count in zip(statuses, counts, strict=True))
        return f"Solution({axes}{folds}; {len(self.feature_names)} features; {ended})"
