"""A new task as one of the training tasks, more or less: exact conditioning on what was observed of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from metafit.learners.factor_model import FactorModel
from metafit.learners.table import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class TaskMixture:
    """A row that is N(centre_t, share * covariance of the model) with probability weight_t.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
        Their sum is 1.
    centres : ndarray of shape (n_components, n_columns)
    model : FactorModel
        Its mean is not used.
    share : float

    Examples
    --------
    One cell tells which of two rows it is.

    >>> model = FactorModel(np.zeros(3), np.array([[0.1], [0.1], [0.0]]), noise=0.01)
    >>> mixture = TaskMixture(np.array([0.5, 0.5]), np.array([[0.1, 0.1, 0.9], [0.9, 0.1, 0.1]]), model, share=1.0)
    >>> mixture.given(np.array([0]), np.array([0.9])).mean.round(2)
    array([0.9, 0.1, 0.1])
    """

    weights: FloatArray
    centres: FloatArray
    model: FactorModel
    share: float

    @classmethod
    def around(cls, rows: FloatArray, weights: FloatArray, model: FactorModel, share: float) -> TaskMixture:
        """Spread components around rows, drawn together so that the mixture has the variance of the rows.

        A kernel density estimate with the variance inside a kernel taken from that between kernels (Jones 1991); with
        ``share=1`` one Gaussian is left.
        """
        mean = weights @ rows
        if share == 1:
            return cls(np.ones(1), mean[None], model, share)
        return cls(weights, mean + np.sqrt(1 - share) * (rows - mean), model, share)

    def given(self, columns: IntArray, values: FloatArray) -> Conditional:
        """Condition on the values of some columns."""
        cross = self.model.covariance(columns)
        among = self.share * cross[:, columns]
        off = values - self.centres[:, columns]
        distance = (off.T * np.linalg.solve(among, off.T)).sum(axis=0)
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights) - distance / 2
        volume = len(columns) * np.log(2 * np.pi) + np.linalg.slogdet(among)[1]
        log_density = float(np.logaddexp.reduce(log_weights))
        regression = np.linalg.solve(cross[:, columns], cross)
        variance = self.share * (self.model.variance - (cross * regression).sum(axis=0))
        return Conditional(
            np.exp(log_weights - log_density),
            np.sqrt(np.maximum(variance, 1e-12)),
            log_density - volume / 2,
            self.centres,
            off,
            np.asarray(regression),
        )


@dataclass(frozen=True, eq=False)
class Conditional:
    """What a mixture is once some columns are known.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
    std : ndarray of shape (n_columns,)
        Within each component.
    log_density : float
        Of what was observed.
    centres, off : ndarray
        Of the components before, and what was observed less that.
    regression : ndarray of shape (n_observed, n_columns)
        What each observed cell says of every other.
    """

    weights: FloatArray
    std: FloatArray
    log_density: float
    centres: FloatArray
    off: FloatArray
    regression: FloatArray

    def means(self, components: IntArray | slice = slice(None)) -> FloatArray:
        """Give those of some components, (n, n_columns)."""
        return np.asarray(self.centres[components] + self.off[components] @ self.regression)

    @property
    def mean(self) -> FloatArray:
        """Of each column, (n_columns,)."""
        return np.asarray(self.weights @ self.means())


class ClippedSquare:
    """Moments of r = min(max(z, 0), upper)^2 for normal z.

    With I_n the integral of z^n over the normal density from 0 to `upper`, integration by parts gives
    I_n = mean I_(n-1) + (n - 1) std^2 I_(n-2) - std (upper^(n-1) phi(upper) - 0^(n-1) phi(0)).

    Parameters
    ----------
    mean, std : array-like
        Of z; broadcast together.

    Examples
    --------
    >>> [moment.round(6).item() for moment in ClippedSquare(np.array([0.5]), np.array([1e-9])).moments(1.0)]
    [0.25, 0.0625]
    """

    def __init__(self, mean: FloatArray, std: FloatArray) -> None:
        self.mean, self.std = mean, std
        low = -mean / std
        self._below, self._at_zero = ndtr(low), _density(low)

    def mean_up_to(self, upper: FloatArray) -> FloatArray:
        """Give E r."""
        integrals, above = self._integrals(upper, 2)
        return np.asarray(integrals[2] + upper**2 * above)

    def moments(self, upper: float) -> tuple[FloatArray, FloatArray]:
        """Give E r and E r^2."""
        integrals, above = self._integrals(np.asarray(upper), 4)
        return integrals[2] + upper**2 * above, integrals[4] + upper**4 * above

    def _integrals(self, upper: FloatArray, last: int) -> tuple[list[FloatArray], FloatArray]:
        """Give I_0 ... I_last, and the probability that z is larger than `upper`."""
        high = (upper - self.mean) / self.std
        at_high, above = _density(high), ndtr(-high)
        integrals = [1 - above - self._below]
        integrals.append(self.mean * integrals[0] - self.std * (at_high - self._at_zero))
        for n in range(2, last + 1):
            edge = self.std * upper ** (n - 1) * at_high
            integrals.append(self.mean * integrals[n - 1] + (n - 1) * self.std**2 * integrals[n - 2] - edge)
        return integrals, above


def _density(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
