"""Transforms: phi of the equation, any scikit-learn transformer, and two that make them safer.

A transform is fitted on the imputed, standardised training rows of each fold. The two here leave the checks of
their input to the transformer they hold.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

__all__ = ["Clipped", "OnContinuous"]


class OnContinuous(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transform the columns that take many values; pass the others through.

    A spline of an indicator says nothing that the indicator does not say, and costs many columns.

    Parameters
    ----------
    transformer : transformer
        Fitted on the continuous columns; not used if there are none.
    min_distinct : int, default=10
        A column counts as continuous if the training rows hold at least so many distinct values.

    Attributes
    ----------
    continuous_ : ndarray of bool, shape (n_features_in_,)
        Which columns are transformed.
    transformer_ : transformer or None
        The fitted transformer.

    Examples
    --------
    >>> from sklearn.preprocessing import SplineTransformer
    >>> X = np.column_stack([np.arange(12.0), np.arange(12) % 2])
    >>> OnContinuous(SplineTransformer(n_knots=3)).fit_transform(X).shape
    (12, 6)
    """

    def __init__(self, transformer: Any, min_distinct: int = 10) -> None:
        self.transformer = transformer
        self.min_distinct = min_distinct

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the continuous columns of X and fit the transformer on them.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            No NaN.
        y : array of shape (n_rows,), optional
            Handed on to the transformer.
        """
        X = np.asarray(X, dtype=np.float64)
        distinct = 1 + np.count_nonzero(np.diff(np.sort(X, axis=0), axis=0), axis=0)
        self.continuous_ = distinct >= self.min_distinct
        self.transformer_ = None
        if self.continuous_.any():
            self.transformer_ = clone(self.transformer).fit(X[:, self.continuous_], y)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the transformed columns, then the others.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            No NaN.
        """
        check_is_fitted(self, "continuous_")
        columns = np.asarray(X, dtype=np.float64)
        if self.transformer_ is None:
            return columns
        made = self.transformer_.transform(columns[:, self.continuous_])
        return np.hstack([made, columns[:, ~self.continuous_]])


class Clipped(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Clip values before they are transformed.

    A polynomial carries a held-out value that lies far outside the training rows much farther outside.

    Parameters
    ----------
    transformer : transformer
        Fitted on the clipped columns.
    limit : float, default=3.0
        Values are kept within -limit and limit; in a strategy they are standardised, so it counts standard
        deviations.

    Attributes
    ----------
    transformer_ : transformer
        The fitted transformer.

    Examples
    --------
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> Clipped(PolynomialFeatures(include_bias=False)).fit_transform([[2.0], [-50.0]])
    array([[ 2.,  4.],
           [-3.,  9.]])
    """

    def __init__(self, transformer: Any, limit: float = 3.0) -> None:
        self.transformer = transformer
        self.limit = limit

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the transformer on the clipped columns.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            No NaN.
        y : array of shape (n_rows,), optional
            Handed on to the transformer.
        """
        X = np.asarray(X, dtype=np.float64)
        self.transformer_ = clone(self.transformer).fit(np.clip(X, -self.limit, self.limit), y)
        return self

    def transform(self, X: Any) -> Any:
        """Return what the transformer makes of the clipped columns.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            No NaN.
        """
        check_is_fitted(self, "transformer_")
        X = np.asarray(X, dtype=np.float64)
        return self.transformer_.transform(np.clip(X, -self.limit, self.limit))
