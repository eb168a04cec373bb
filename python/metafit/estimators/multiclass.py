"""More than two classes, until the engine has a softmax: scikit-learn's logistic regression. Provisional."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from metafit.strategies.strategy import Strategy

__all__ = ["StandardizedLogistic", "multiclass_strategies"]


class StandardizedLogistic(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Multinomial logistic regression with an L2 penalty on columns of unit variance.

    Unlike a pipeline of the two it takes row weights, for both steps.

    Parameters
    ----------
    c : float, default=1.0
        The penalty weighs as much as c rows, as in `metafit.alphas.PerRow`.

    Attributes
    ----------
    classes_ : array, shape (n_classes,)
    scaler_ : StandardScaler
    logistic_ : LogisticRegression

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [1.0], [1.1], [2.0], [2.1]])
    >>> StandardizedLogistic(0.1).fit(X, [0, 0, 1, 1, 2, 2]).predict(X)
    array([0, 0, 1, 1, 2, 2])
    """

    def __init__(self, c: float = 1.0) -> None:
        self.c = c

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit scales and coefficients.

        Parameters
        ----------
        X : array, shape (n_rows, n_features)
            No NaN.
        y : array, shape (n_rows,)
        sample_weight : array, shape (n_rows,), optional
        """
        X, y = validate_data(self, X, y)
        self.scaler_ = StandardScaler().fit(X, sample_weight=sample_weight)
        # a Newton step solves a small system exactly: no tuning of tolerances, and it converges where lbfgs
        # may not
        self.logistic_ = LogisticRegression(C=1.0 / self.c, solver="newton-cholesky", max_iter=100)
        self.logistic_.fit(self.scaler_.transform(X), y, sample_weight=sample_weight)
        self.classes_ = self.logistic_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class of each row."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return np.asarray(self.logistic_.predict_proba(self.scaler_.transform(X)))


def multiclass_strategies() -> list[Strategy]:
    """Return what is tried on more than two classes, in this order: strengths from medium to extreme."""
    return [Strategy.from_estimator(StandardizedLogistic(c)) for c in (1.0, 10.0, 0.1, 100.0, 0.01, 1000.0)]
