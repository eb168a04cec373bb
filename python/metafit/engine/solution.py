"""What `metafit.solve` returns."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from metafit.engine.fits import FIGURES, Axes, Fits
from metafit.engine.native import predictions
from metafit.engine.predicting import labels, probabilities
from metafit.engine.validation import as_matrix, as_row_vector
from metafit.strategies.losses import Loss

__all__ = ["LAZY", "Solution"]

Floats = NDArray[np.float64]


#: What is made from the fits when it is asked for.
LAZY = {*FIGURES, "coef", *(f"fold_{name}" for name in (*FIGURES, "coef")), "scores", "best", "dims"}

_NOTHING: dict[str, Any] = {}


class Solution:
    """Fits of `metafit.solve`, with their certificates.

    An axis exists exactly where its argument was a sequence (for alphas: or None); `dims` names the axes of
    each array. Below, (...) stands for the axes subset and alpha that exist.

    Attributes
    ----------
    loss : Loss
        The loss that was minimised.
    coef : array, shape (..., n_features), or None
        The fits on all rows, in original units; excluded features are 0. More than two classes have an axis class
        before the features. With keep="best" the best fit alone, without the axes (...); None with keep="scores".
    intercept : array, shape (...), or None
        As coef, without the features.
    alphas : array, shape (n_alphas,), or float
        The strengths solved.
    objective, n_iter, seconds : array, shape (...)
    gap : array, shape (...)
        Bounds how far the objective lies above the least one; infinite where no bound is known, as for penalties
        that are not convex.
    kkt : array, shape (...)
        Largest distance of the loss's slope from the subdifferential of the penalty, in the coordinates that are
        penalised: 0 at a stationary point.
    status : array of str, shape (...)
        "converged", "max_iter", "separated" (classes that can be told apart without error, and nothing that holds the
        coefficients back), "rank_deficient" (dependent unpenalised columns: the fit of least norm), "local" (a
        stationary point of a problem that is not convex), "overflow" (linear predictions beyond what numbers hold) or
        "failed".
    reason : array of str, shape (...)
        Why a fit failed, else "".
    fold_coef, fold_intercept, fold_objective, fold_gap, fold_kkt, fold_n_iter, fold_seconds, fold_status
        The same for the fits on training rows, with an axis fold after alpha; None without folds, and coefficients
        and intercepts only with keep="coef". So is `fold_reason`.
    scores : dict of str to array, shape (..., n_folds)
        Held-out scores, named as in `sklearn.metrics` without "_score": e.g. ``scores["log_loss"]``.
    classes : array, shape (n_classes,), or None
        Labels of a classification. Linear predictions of two classes are of the second.
    best : dict or None
        With folds: the number of the subset and of the alpha with the least mean held-out score (0 where there is
        no such axis); which score, `loss.score` says.
    dims : dict of str to tuple of str
    feature_names : list of str
    column_means : array, shape (n_features,), or None
        What `predict` puts in place of NaN, with missing="mean".
    has_names : bool
        Whether X was a frame, so that `predict` matches columns by name.
    """

    loss: Loss
    coef: Floats | None
    intercept: Floats | None
    alphas: Any
    objective: Floats
    gap: Floats
    kkt: Floats
    n_iter: NDArray[np.int64]
    seconds: Floats
    status: NDArray[np.str_]
    reason: NDArray[np.str_]
    scores: dict[str, Floats]
    fold_coef: Floats | None
    fold_intercept: Floats | None
    fold_objective: Floats | None
    fold_gap: Floats | None
    fold_kkt: Floats | None
    fold_n_iter: NDArray[np.int64] | None
    fold_seconds: Floats | None
    fold_status: NDArray[np.str_] | None
    fold_reason: NDArray[np.str_] | None
    best: dict[str, int] | None
    classes: NDArray[Any] | None
    dims: dict[str, tuple[str, ...]]
    feature_names: list[str]
    column_means: Floats | None
    has_names: bool

    def __init__(
        self,
        fits: Fits,
        axes: Axes,
        *,
        alphas: Any,
        classes: NDArray[Any] | None,
        feature_names: list[str],
        column_means: Floats | None = None,
        has_names: bool = False,
        task: int = 0,
        made: dict[str, Any] | None = None,
    ) -> None:
        self.__dict__.update(
            made or _NOTHING,
            loss=fits.loss,
            alphas=alphas,
            classes=classes,
            feature_names=feature_names,
            column_means=column_means,
            has_names=has_names,
            _fits=fits,
            _axes=axes,
            _task=task,
        )

    def __getattr__(self, name: str) -> Any:
        """Make what is not there yet: most callers read a few arrays of many."""
        if name not in LAZY:
            raise AttributeError(f"a solution has no {name!r}")
        value = self._make(name)
        self.__dict__[name] = value
        return value

    def _make(self, name: str) -> Any:
        fits, axes, at = self._fits, self._axes, slice(self._task, self._task + 1)
        if name == "dims":
            return axes.dims(fits.keep)
        if name == "scores":
            return fits.scores_of(axes, at)
        if name != "best":
            return fits.field(name, axes, at)
        subset, alpha, is_there = (array[self._task] for array in fits.best) if axes.fold else (0, 0, False)
        return {"subset": int(subset), "alpha": int(alpha)} if is_there else None

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the core's own fits behind, all arrays made."""
        lazy = {name: getattr(self, name) for name in LAZY}
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")} | lazy

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def decision_function(self, X: Any, offset: Any = None) -> Floats:
        """Return the linear predictions b + o + x'w of every fit on all rows.

        Parameters
        ----------
        X : array-like or frame, shape (n_rows, n_features)
            NaN becomes the training mean if the fit was made with missing="mean".
        offset : array-like, shape (n_rows,), optional

        Returns
        -------
        array, shape (..., n_rows), or (..., n_rows, n_classes) for more than two classes

        Raises
        ------
        ValueError
            If the solution kept no coefficients, or X does not fit them.
        """
        if self.coef is None or self.intercept is None:
            raise ValueError("the solution was made with keep='scores': it holds no coefficients to predict with")
        matrix = self._matrix(X)
        shift = as_row_vector(offset, matrix.shape[0], "offset")
        eta = _times(self.coef, matrix) + np.asarray(self.intercept)[..., None]
        eta = eta if shift is None else eta + shift
        return np.moveaxis(eta, -2, -1) if self._n_classes > 2 else eta

    @property
    def _n_classes(self) -> int:
        return 0 if self.classes is None else len(self.classes)

    def _matrix(self, X: Any) -> Any:
        matrix, names = as_matrix(X, allow_missing=self.column_means is not None)
        if matrix.shape[1] != len(self.feature_names):
            raise ValueError(f"X must have the {len(self.feature_names)} columns of the fit, got {matrix.shape[1]}")
        if hasattr(X, "columns") and self.has_names:
            matrix = matrix[:, self._order(names)]
        if self.column_means is not None and not scipy.sparse.issparse(matrix):
            matrix = np.where(np.isnan(matrix), self.column_means, matrix)
        return matrix

    def _order(self, names: list[str]) -> list[int]:
        unknown = sorted(set(self.feature_names) - set(names))
        if unknown:
            raise ValueError(f"X lacks the columns {unknown} of the fit")
        return [names.index(name) for name in self.feature_names]

    def predict(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """Return what every fit predicts; shape (..., n_rows).

        That is the mean of y for most losses of regressions (a rate, where the link is the logarithm), a quantile for
        the quantile loss, and the likeliest label of a classification. Parameters and errors are those of
        `decision_function`.
        """
        eta = self.decision_function(X, offset)
        return predictions(self.loss, eta) if self.classes is None else labels(eta, self.classes)

    def predict_proba(self, X: Any, offset: Any = None) -> Floats:
        """Return class probabilities of every fit; shape (..., n_rows, n_classes).

        Raises
        ------
        AttributeError
            If the fit is a regression, or its loss gives no probabilities.
        """
        if self.classes is None:
            raise AttributeError("predict_proba exists for classifications only")
        if not self.loss.has_probabilities:
            raise AttributeError(f"predict_proba does not exist: the {self.loss.name} loss gives no probabilities")
        return probabilities(self.decision_function(X, offset), self._n_classes)

    def __repr__(self) -> str:
        sizes = dict(zip(self.dims["status"], self.status.shape, strict=True))
        axes = ", ".join(f"{size} {axis}s" for axis, size in sizes.items()) or "one fit"
        folds = "" if self.fold_status is None else f", {self.fold_status.shape[-1]} folds"
        statuses, counts = np.unique(self.status, return_counts=True)
        ended = ", ".join(f"{count} {status}" for status, count in zip(statuses, counts, strict=True))
        return f"Solution({axes}{folds}; {len(self.feature_names)} features; {ended})"


def _times(coef: Floats, matrix: Any) -> Floats:
    """Return coef @ matrix.T; a sparse matrix takes no more than two axes."""
    if not scipy.sparse.issparse(matrix):
        return np.asarray(coef @ matrix.T)
    flat = coef.reshape(-1, coef.shape[-1])
    return np.asarray(matrix @ flat.T).T.reshape(*coef.shape[:-1], matrix.shape[0])
