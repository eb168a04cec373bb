r"""An independent reading of the losses in NumPy, in extended precision: value, derivatives, conjugate, domain.

Linear predictions are (n, K) arrays: K = 1 but for the softmax. With theta a dual point of the same shape, `conjugate`
is L*(-theta), to be summed over classes, and `room` the largest s <= 1 that keeps -s theta in its domain, row by row.
Targets are (n, 1) numbers; classes are 0, 1, ... in the order of their labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.longdouble]


def wide(values: Any) -> Wide:
    return np.asarray(values, dtype=np.longdouble)


def expit(eta: Wide) -> Wide:
    small = np.exp(-abs(eta))
    return np.where(eta >= 0, 1, small) / (1 + small)


def xlogx(q: Wide) -> Wide:
    """Q log q, 0 at 0; rounding may leave q a hair below."""
    return q * np.log(np.where(q > 0, q, 1))


def ratio(room: Any, size: Wide) -> Wide:
    """Largest s <= 1 with s size <= room, for room >= 0."""
    return np.where(size > room, room / np.where(size > room, size, 1), wide(1))


@dataclass(frozen=True)
class Loss:
    """Base: a differentiable loss of one linear prediction whose minimum over eta is 0."""

    differentiable: ClassVar[bool] = True
    #: whether the derivative vanishes in the mean of y - prediction
    canonical: ClassVar[bool] = False
    #: whether L(y, o + eta) is L(y - o, eta)
    shifts: ClassVar[bool] = False
    classes: ClassVar[int] = 0

    def least(self, y: Wide) -> Wide:
        return np.zeros_like(y)

    def majorant(self, y: Wide, eta: Wide) -> Wide:
        return self.curvature(y, eta)

    def times(self, y: Wide, eta: Wide, moves: Wide, by_majorant: bool = False) -> Wide:
        """W d for moves d of shape (..., n, K)."""
        return (self.majorant(y, eta) if by_majorant else self.curvature(y, eta)) * moves

    def mean(self, eta: Wide) -> Wide:
        return eta

    def draw(self, rng: np.random.Generator, eta: Any) -> Any:
        return eta[:, 0] + 0.5 * rng.normal(size=len(eta)) * 10 ** rng.uniform(-1, 0.5)


@dataclass(frozen=True)
class Squared(Loss):
    canonical: ClassVar[bool] = True
    shifts: ClassVar[bool] = True

    def value(self, y, eta):
        return (y - eta) ** 2 / 2

    def residual(self, y, eta):
        return y - eta

    def curvature(self, y, eta):
        return np.ones_like(eta)

    def conjugate(self, y, theta):
        return theta**2 / 2 - theta * y

    def room(self, y, theta):
        return np.ones_like(theta)


@dataclass(frozen=True)
class Logistic(Loss):
    canonical: ClassVar[bool] = True
    classes: ClassVar[int] = 2

    def value(self, y, eta):
        return np.logaddexp(wide(0), np.where(y > 0.5, -eta, eta))

    def residual(self, y, eta):
        return np.where(y > 0.5, 1, -1) * expit(np.where(y > 0.5, -eta, eta))

    def curvature(self, y, eta):
        return expit(eta) * expit(-eta)

    def conjugate(self, y, theta):
        q = y - theta
        return xlogx(q) + xlogx(1 - q)

    def room(self, y, theta):
        size = np.where(y > 0.5, theta, -theta)
        return np.where(size < 0, 0, ratio(1, size))

    def mean(self, eta):
        return expit(eta)

    def draw(self, rng, eta):
        y = (rng.random(len(eta)) < expit(wide(eta[:, 0]))).astype(float)
        y[:4] = [0, 1, 0, 1]
        return y


@dataclass(frozen=True)
class SquaredHinge(Loss):
    classes: ClassVar[int] = 2

    def _short(self, y, eta):
        return np.maximum(0, 1 - (2 * y - 1) * eta)

    def value(self, y, eta):
        return self._short(y, eta) ** 2

    def residual(self, y, eta):
        return 2 * (2 * y - 1) * self._short(y, eta)

    def curvature(self, y, eta):
        return np.where(self._short(y, eta) > 0, wide(2), 0)

    def majorant(self, y, eta):
        return np.full_like(eta, 2)

    def conjugate(self, y, theta):
        a = (2 * y - 1) * theta
        return a**2 / 4 - a

    def room(self, y, theta):
        return np.where((2 * y - 1) * theta < 0, wide(0), 1)

    def draw(self, rng, eta):
        return Logistic().draw(rng, eta)


@dataclass(frozen=True)
class Poisson(Loss):
    canonical: ClassVar[bool] = True

    def value(self, y, eta):
        return np.exp(eta) - y * eta

    def least(self, y):
        return y - xlogx(y)

    def residual(self, y, eta):
        return y - np.exp(eta)

    def curvature(self, y, eta):
        return np.exp(eta)

    def conjugate(self, y, theta):
        return xlogx(y - theta) - (y - theta)

    def room(self, y, theta):
        return ratio(y, theta)

    def mean(self, eta):
        return np.exp(eta)

    def draw(self, rng, eta):
        y = rng.poisson(np.exp(np.clip(eta[:, 0], -8, 6))).astype(float)
        y[:2] = [0, 2]
        return y


@dataclass(frozen=True)
class Gamma(Loss):
    def value(self, y, eta):
        return y * np.exp(-eta) + eta

    def least(self, y):
        return 1 + np.log(y)

    def residual(self, y, eta):
        return y * np.exp(-eta) - 1

    def curvature(self, y, eta):
        return y * np.exp(-eta)

    def conjugate(self, y, theta):
        q = 1 + theta
        return xlogx(q) - q * np.log(y) - q

    def room(self, y, theta):
        return ratio(1, -theta)

    def mean(self, eta):
        return np.exp(eta)

    def draw(self, rng, eta):
        return np.exp(np.clip(eta[:, 0], -6, 6)) * rng.gamma(2.0, 0.5, len(eta)) + 1e-3


@dataclass(frozen=True)
class Tweedie(Loss):
    """With a = 2 - power and b = power - 1: e^(a eta) / a + y e^(-b eta) / b."""

    power: float = 1.5

    @property
    def _ab(self):
        return 2 - wide(self.power), wide(self.power) - 1

    def value(self, y, eta):
        a, b = self._ab
        return np.exp(a * eta) / a + y * np.exp(-b * eta) / b

    def least(self, y):
        a, b = self._ab
        return y**a / (a * b)

    def residual(self, y, eta):
        a, b = self._ab
        return y * np.exp(-b * eta) - np.exp(a * eta)

    def curvature(self, y, eta):
        a, b = self._ab
        return a * np.exp(a * eta) + b * y * np.exp(-b * eta)

    def conjugate(self, y, theta):
        """At the eta where the residual is theta; without y, theta is at most 0 and eta = log(-theta) / a."""
        a, _ = self._ab
        none = (xlogx(np.maximum(-theta, 0)) - np.maximum(-theta, 0)) / a
        positive = np.where(y > 0, y, 1)
        eta = self._at(positive, np.where(y > 0, theta, 0))
        return np.where(y > 0, -theta * eta - self.value(positive, eta), none)

    def _at(self, y, theta):
        """Where the residual, which falls in eta, is theta: bisection, then Newton's method."""
        low, high = np.full_like(theta, -200), np.full_like(theta, 200)
        for _ in range(60):
            middle = (low + high) / 2
            above = self.residual(y, middle) > theta
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        eta = (low + high) / 2
        for _ in range(3):
            eta = eta + (self.residual(y, eta) - theta) / self.curvature(y, eta)
        return eta

    def room(self, y, theta):
        return np.where((y == 0) & (theta > 0), wide(0), 1)

    def mean(self, eta):
        return np.exp(eta)

    def draw(self, rng, eta):
        return Gamma().draw(rng, eta) * (rng.random(len(eta)) < 0.8)


@dataclass(frozen=True)
class Huber(Loss):
    delta: float = 1.35
    shifts: ClassVar[bool] = True

    def value(self, y, eta):
        r, delta = abs(y - eta), wide(self.delta)
        return np.where(r <= delta, r**2 / 2, delta * r - delta**2 / 2)

    def residual(self, y, eta):
        return np.clip(y - eta, -wide(self.delta), wide(self.delta))

    def curvature(self, y, eta):
        return np.where(abs(y - eta) <= self.delta, wide(1), 0)

    def majorant(self, y, eta):
        return wide(self.delta) / np.maximum(abs(y - eta), wide(self.delta))

    def conjugate(self, y, theta):
        return theta**2 / 2 - theta * y

    def room(self, y, theta):
        return ratio(wide(self.delta), abs(theta))


@dataclass(frozen=True)
class Quantile(Loss):
    level: float = 0.5
    differentiable: ClassVar[bool] = False
    shifts: ClassVar[bool] = True

    def value(self, y, eta):
        r, level = y - eta, wide(self.level)
        return np.maximum(level * r, (level - 1) * r)

    def residual(self, y, eta):
        """One of them: at a kink any between level - 1 and level would do."""
        return np.where(y > eta, wide(self.level), wide(self.level) - 1)

    def conjugate(self, y, theta):
        return -theta * y

    def room(self, y, theta):
        level = wide(self.level)
        return np.where(theta > 0, ratio(level, theta), ratio(1 - level, -theta))


@dataclass(frozen=True)
class Softmax(Loss):
    """The logistic loss of more than two classes; y holds their numbers."""

    canonical: ClassVar[bool] = True
    classes: ClassVar[int] = 3

    def _one_hot(self, y, k):
        return wide(y == np.arange(k))

    def _log_sum(self, eta):
        top = eta.max(axis=1, keepdims=True)
        return top + np.log(np.exp(eta - top).sum(axis=1, keepdims=True))

    def value(self, y, eta):
        return self._log_sum(eta) - (self._one_hot(y, eta.shape[1]) * eta).sum(axis=1, keepdims=True)

    def residual(self, y, eta):
        return self._one_hot(y, eta.shape[1]) - self.mean(eta)

    def times(self, y, eta, moves, by_majorant=False):
        p = self.mean(eta)
        return p * moves - p * (p * moves).sum(axis=-1, keepdims=True)

    def conjugate(self, y, theta):
        return xlogx(self._one_hot(y, theta.shape[1]) - theta)

    def room(self, y, theta):
        hot = self._one_hot(y, theta.shape[1]) > 0
        return np.where(hot, ratio(1, theta), np.where(theta > 0, wide(0), 1))

    def mean(self, eta):
        return np.exp(eta - self._log_sum(eta))

    def draw(self, rng, eta):
        y = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1).astype(float)
        y[:6] = [0, 1, 2, 0, 1, 2]
        return y


#: by public name; the softmax is the logistic loss of more than two classes
READINGS: dict[str, type[Loss]] = {
    "squared": Squared,
    "logistic": Logistic,
    "softmax": Softmax,
    "poisson": Poisson,
    "gamma": Gamma,
    "tweedie": Tweedie,
    "huber": Huber,
    "quantile": Quantile,
    "squared_hinge": SquaredHinge,
}
