"""Probabilities that keep what they promise, learned from rows held out."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

__all__ = ["METHODS", "Calibration", "Method"]

Floats = NDArray[np.float64]
Method = Literal["temperature", "sigmoid", "isotonic"]
METHODS = ("temperature", "sigmoid", "isotonic")


class Calibration:
    """A map from probabilities to better ones, by scikit-learn's `CalibratedClassifierCV`.

    Parameters
    ----------
    method : {"temperature", "sigmoid", "isotonic"}
        One number that all log probabilities are divided by; Platt's curve, or a monotone one, for each class.

    Notes
    -----
    Platt (1999), Probabilistic outputs for support vector machines; Guo, Pleiss, Sun and Weinberger (2017), On
    calibration of modern neural networks, ICML; Zadrozny and Elkan (2002), KDD.

    Examples
    --------
    >>> told = np.tile([[0.01, 0.99], [0.99, 0.01]], (50, 1))
    >>> y = np.tile([1, 0], 50)
    >>> y[:20] = 1 - y[:20]
    >>> Calibration("temperature").fit(told, y).of(np.array([[0.01, 0.99]])).round(2)
    array([[0.2, 0.8]])
    """

    def __init__(self, method: Method) -> None:
        self.method = method

    def fit(self, probabilities: Floats, y: NDArray[Any], sample_weight: Floats | None = None) -> Self:
        """Learn from probabilities of rows that their models have not seen.

        Parameters
        ----------
        probabilities : ndarray of shape (n_rows, n_classes)
        y : ndarray of int, shape (n_rows,)
            Codes of the classes.
        sample_weight : ndarray of shape (n_rows,), optional

        Returns
        -------
        self
        """
        told = _AsTold().fit(probabilities, np.arange(probabilities.shape[1]))
        # the estimator is frozen: the folds only give its own outputs back
        folds = [(np.arange(len(y)), np.arange(len(y)))]
        self._map = CalibratedClassifierCV(FrozenEstimator(told), method=self.method, cv=folds, ensemble=False)
        self._map.fit(_logs(probabilities), y, sample_weight=sample_weight)
        return self

    def of(self, probabilities: Floats) -> Floats:
        """Give the better probabilities, of shape (n_rows, n_classes)."""
        return np.asarray(self._map.predict_proba(_logs(probabilities)), dtype=np.float64)


def _logs(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).smallest_normal)))


class _AsTold(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose input is what it decides by: log probabilities."""

    def fit(self, X: Floats, y: NDArray[Any]) -> Self:
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def decision_function(self, X: Floats) -> Floats:
        return X[:, 1] - X[:, 0] if X.shape[1] == 2 else X

    def predict(self, X: Floats) -> NDArray[Any]:
        return np.asarray(self.classes_[X.argmax(axis=1)])
