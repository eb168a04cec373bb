"""What linear predictions mean: labels and probabilities of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

__all__ = ["labels", "probabilities"]

Floats = NDArray[np.float64]


def labels(eta: Floats, classes: NDArray[Any]) -> NDArray[Any]:
    """Return the likeliest class of each row.

    Parameters
    ----------
    eta : array, shape (..., n_rows) of two classes, (..., n_rows, n_classes) of more
    classes : array, shape (n_classes,)

    Examples
    --------
    >>> labels(np.array([-1.0, 2.0]), np.array(["no", "yes"]))
    array(['no', 'yes'], dtype='<U3')
    """
    return np.asarray(classes[(eta > 0).astype(np.int64) if len(classes) == 2 else eta.argmax(axis=-1)])


def probabilities(eta: Floats, n_classes: int) -> Floats:
    """Return the probabilities of the logit model, shape (..., n_rows, n_classes).

    Examples
    --------
    >>> probabilities(np.array([0.0]), 2)
    array([[0.5, 0.5]])
    """
    if n_classes > 2:
        return np.asarray(softmax(eta, axis=-1))
    # each tail from its own side, so that small probabilities keep their digits
    return np.stack([expit(-eta), expit(eta)], axis=-1)
