r"""An independent reading of the penalties in NumPy, in extended precision.

Everything here is in penalised coordinates q = s (w - w0) of the coefficients that may move, one vector over all
classes. At one strength a penalty is

    sum_j l1_j |q_j| + l2_j q_j^2 / 2  +  sum_g weight_g |f q|_g  +  q'Mq / 2    or    sum_j curve(lambda_j, |q_j|)

on the box lower <= q <= upper, which holds 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from oracle_losses import Wide, wide

#: part of the largest slope below which another one is rounding
NOISE = 1e-13
#: part of the largest eigenvalue of a metric below which another one is 0
NULL = 1e-12


class Shares(NamedTuple):
    """Weights of the terms at strength 1, and the curve of a folded concave penalty: (lambda, t) -> value, slope."""

    l1: float = 0.0
    l2: float = 0.0
    norm: float = 0.0
    curve: Callable[[Wide, Wide], tuple[Wide, Wide]] | None = None


def mcp(gamma: float) -> Shares:
    def curve(lam, t):
        inside = t < gamma * lam
        value = np.where(inside, lam * t - t**2 / (2 * gamma), gamma * lam**2 / 2)
        return value, np.where(inside, lam - t / gamma, 0)

    return Shares(l1=1.0, curve=curve)


def scad(gamma: float) -> Shares:
    def curve(lam, t):
        falling = (2 * gamma * lam * t - t**2 - lam**2) / (2 * (gamma - 1))
        value = np.where(t <= lam, lam * t, np.where(t < gamma * lam, falling, lam**2 * (gamma + 1) / 2))
        slope = np.where(t <= lam, lam, np.maximum(gamma * lam - t, 0) / (gamma - 1))
        return value, slope

    return Shares(l1=1.0, curve=curve)


#: by public name, as functions of the parameters of the public class
READINGS: dict[str, Callable[..., Shares]] = {
    "l2": lambda: Shares(l2=1.0),
    "l1": lambda: Shares(l1=1.0),
    "elastic_net": lambda l1_ratio=0.5: Shares(l1=l1_ratio, l2=1 - wide(l1_ratio)),
    "group_lasso": lambda: Shares(norm=1.0),
    "sparse_group_lasso": lambda l1_ratio=0.5: Shares(l1=l1_ratio, norm=1 - wide(l1_ratio)),
    "mcp": lambda gamma=3.0: mcp(wide(gamma)),
    "scad": lambda gamma=3.7: scad(wide(gamma)),
}


def soft(z: Wide, t: Any) -> Wide:
    return np.sign(z) * np.maximum(abs(z) - t, 0)


def length(v: Wide) -> Any:
    return np.sqrt(np.sum(v**2))


class Block(NamedTuple):
    """`weight |(f q)_members|`, without members of factor 0."""

    weight: Any
    members: NDArray[np.intp]
    f: Wide


@dataclass
class Terms:
    """A penalty at one strength."""

    l1: Wide
    l2: Wide
    lower: Wide
    upper: Wide
    blocks: list[Block] = field(default_factory=list)
    metric: Wide | None = None
    curve: Callable[[Wide, Wide], tuple[Wide, Wide]] | None = None

    # ------------------------------------------------------------------------------------------------------ values
    def value(self, q: Wide) -> Any:
        if self.curve:
            return np.sum(np.where(self.l1 > 0, self.curve(self.l1, abs(q))[0], 0))
        norms = sum(g.weight * length(g.f * q[g.members]) for g in self.blocks)
        square = 0 if self.metric is None else q @ self.metric @ q / 2
        return np.sum(self.l1 * abs(q) + self.l2 * q**2 / 2) + norms + square

    def convex_at(self, q: Wide) -> Terms:
        """The convex penalty that touches a folded concave one at q and lies above it, up to a constant."""
        slope = np.where(self.l1 > 0, self.curve(self.l1, abs(q))[1], 0)
        return Terms(l1=slope, l2=self.l2, lower=self.lower, upper=self.upper)

    # -------------------------------------------------------------------------------------------------- directions
    @property
    def blocked(self) -> NDArray[np.bool_]:
        inside = np.zeros(len(self.l1), bool)
        for g in self.blocks:
            inside[g.members] = True
        return inside

    @property
    def unpenalised(self) -> NDArray[np.bool_]:
        if self.metric is not None:
            return np.zeros(len(self.l1), bool)
        return (self.l1 == 0) & (self.l2 == 0) & ~self.blocked

    def touched(self, q: Wide) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which lower and upper ends q stands at, up to the rounding of a change of units."""
        near = 1e-14 * (1 + abs(q))
        return q <= self.lower + near, q >= self.upper - near

    def free(self, q: Wide) -> Wide:
        """Directions that cost nothing: unpenalised coordinates without two bounds or one touched, null space of M.

        That of M is taken on the coordinates that touch no bound.
        """
        low, high = self.touched(q)
        if self.metric is not None:
            return self._null_space(~(low | high))
        is_open = (np.isinf(self.lower) & ~high) | (np.isinf(self.upper) & ~low)
        return np.eye(len(self.l1), dtype=np.longdouble)[self.unpenalised & is_open]

    def _null_space(self, among: NDArray[np.bool_]) -> Wide:
        values, vectors = self._eigen(among)
        directions = np.zeros((int((values == 0).sum()), len(self.l1)), np.longdouble)
        directions[:, among] = vectors[:, values == 0].T
        return directions

    def _eigen(self, among: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, vectors = np.linalg.eigh(self.metric[np.ix_(among, among)].astype(float))
        cutoff = NULL * np.linalg.norm(self.metric.astype(float), 2)
        return np.where(values > cutoff, values, 0), vectors

    # --------------------------------------------------------------------------------------------------- conjugate
    def room(self, u: Wide, free: Wide) -> Any:
        """Largest s <= 1 at which the conjugate of s u is finite; u is 0 along `free`."""
        if self.metric is not None:
            return wide(1)
        beyond = np.where(u > 0, np.isinf(self.upper), np.isinf(self.lower))
        held = beyond & (self.l2 == 0) & ~self.blocked & ~free.any(axis=0)
        bound = np.maximum(self.l1, NOISE * abs(u).max(initial=0))
        single = np.where(held & (abs(u) > bound), self.l1 / np.where(u == 0, 1, abs(u)), 1)
        return min([wide(1), *single, *(self._block_room(g, u, beyond) for g in self.blocks)])

    def _block_room(self, g: Block, u: Wide, beyond: NDArray[np.bool_]) -> Any:
        is_open = beyond[g.members]
        u, l1, f = u[g.members][is_open], self.l1[g.members][is_open], g.f[is_open]
        if length(soft(u, l1) / f) <= g.weight:
            return wide(1)
        low, high = wide(0), wide(1)
        while low < (low + high) / 2 < high:
            middle = (low + high) / 2
            inside = length(soft(middle * u, l1) / f) <= g.weight
            low, high = (middle, high) if inside else (low, middle)
        return low

    def conjugate(self, u: Wide, free: Wide) -> Any:
        """Supremum of u'q - Omega(q) over the box, for a u with room for it."""
        if self.metric is not None:
            return self._conjugate_metric(u, free)
        single = ~self.blocked & ~free.any(axis=0)
        return np.sum(self._conjugate_single(u)[single]) + sum(self._conjugate_block(g, u) for g in self.blocks)

    def _conjugate_single(self, u: Wide) -> Wide:
        t = soft(u, self.l1)
        end = np.where(t > 0, self.upper, self.lower)
        # beyond l1 by rounding only, where nothing ends the move
        end = np.where(np.isinf(end) & (self.l2 == 0), 0, end)
        with np.errstate(divide="ignore", invalid="ignore"):
            best = np.where(self.l2 > 0, t / np.where(self.l2 > 0, self.l2, 1), end)
        best = np.where(t == 0, 0, np.clip(best, self.lower, self.upper))
        return u * best - self.l1 * abs(best) - self.l2 * best**2 / 2

    def _conjugate_block(self, g: Block, u: Wide) -> Any:
        """With |v| = min_t (t + |v|^2 / t) / 2 it is the maximum over t of a concave function, found by sections."""
        u, l1, low, high = (v[g.members] for v in (u, self.l1, self.lower, self.upper))
        ends = np.where(u > 0, high, low)
        if np.isinf(ends).all():
            return wide(0)

        def at(log_t: Any) -> Any:
            t = np.exp(log_t)
            q = np.clip(soft(u, l1) * t / (g.weight * g.f**2), low, high)
            return np.sum(u * q - l1 * abs(q)) - g.weight * (t + np.sum((g.f * q) ** 2) / t) / 2

        finite = abs(g.f * ends)[np.isfinite(ends)].max(initial=1e-300)
        start, stop = np.log(wide(finite)) - 40, np.log(wide(finite)) + 40
        return max(wide(0), golden(at, start, stop))

    def _conjugate_metric(self, u: Wide, free: Wide) -> Any:
        if np.isinf(self.lower).all() and np.isinf(self.upper).all():
            values, vectors = self._eigen(np.ones(len(u), bool))
            there = values > 0
            return np.sum((u @ vectors[:, there]) ** 2 / (2 * values[there]))
        q = largest_in_box(u, self.metric, self.lower, self.upper)
        if np.isinf(q).any():
            return wide(np.inf)
        return u @ q - q @ self.metric @ q / 2

    # --------------------------------------------------------------------------------------------------- stationary
    def violations(self, q: Wide, slope: Wide) -> Wide:
        """Distances of `slope` from subdifferential plus normal cone at q: one a coordinate, one a group that is 0."""
        low, high = self.touched(q)
        rest = slope - self.l2 * q - (0 if self.metric is None else self.metric @ q)
        l1 = np.where((q != 0) & (self.l1 > 0), self.curve(self.l1, abs(q))[1], self.l1) if self.curve else self.l1
        away = []
        single = np.ones(len(q), bool)
        for g in self.blocks:
            norm = length(g.f * q[g.members])
            if norm > 0:
                rest[g.members] -= g.weight * g.f**2 * q[g.members] / norm
            else:
                single[g.members] = False
                away.append(self._outside(g, rest, low, high))
        at_zero = q == 0
        least = np.where(at_zero, -l1, l1 * np.sign(q))
        most = np.where(at_zero, l1, l1 * np.sign(q))
        under = np.where(low, 0, np.maximum(least - rest, 0))
        over = np.where(high, 0, np.maximum(rest - most, 0))
        return np.r_[np.maximum(under, over)[single], wide(away)]

    def _outside(self, g: Block, rest: Wide, low: Any, high: Any) -> Any:
        v = soft(rest[g.members], self.l1[g.members])
        v = np.where((v < 0) & low[g.members] | (v > 0) & high[g.members], 0, v)
        return distance_to_ellipsoid(v, g.f * g.weight)

    def least_strength(self, slope: Wide, alpha: float) -> Any:
        """The multiple of `alpha`, which these terms have been made with, from which 0 is stationary."""
        inward = np.where(slope > 0, self.upper == 0, self.lower == 0)
        slope = np.where(inward, 0, slope)
        single = (self.l1 > 0) & ~self.blocked
        needed = [wide(0), *(abs(slope[single]) / self.l1[single])]
        for g in self.blocks:
            v, l1 = slope[g.members], self.l1[g.members]
            low, high = wide(0), length(v / g.f) / g.weight
            while low < (low + high) / 2 < high:
                middle = (low + high) / 2
                inside = length(soft(v, middle * l1) / g.f) <= middle * g.weight
                low, high = (low, middle) if inside else (middle, high)
            needed.append(high)
        return alpha * max(needed)


def distance_to_ellipsoid(v: Wide, axes: Wide) -> Any:
    """Distance of v from |z / axes| <= 1: the nearest z is v axes^2 / (axes^2 + m)."""
    if length(v / axes) <= 1:
        return wide(0)
    low, high = wide(0), length(v) * axes.max()
    while low < (low + high) / 2 < high:
        middle = (low + high) / 2
        outside = length(v * axes / (axes**2 + middle)) > 1
        low, high = (middle, high) if outside else (low, middle)
    return length(v * high / (axes**2 + high))


def golden(f: Callable[[Any], Any], low: Any, high: Any) -> Any:
    """Maximum of a unimodal function by golden sections."""
    share = (np.sqrt(wide(5)) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = f(left), f(right)
    for _ in range(90):
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - share * (high - low)
            at_left = f(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + share * (high - low)
            at_right = f(right)
    return max(at_left, at_right)


def largest_in_box(u: Wide, metric: Wide, lower: Wide, upper: Wide) -> Wide:
    """Where u'q - q'Mq/2 is largest in a box: an active-set method from 0.

    M has full rank but for rows of zeros, whose coordinates go to an end at once; where there is none, nowhere.
    """
    size, flat = abs(u).max(initial=0), np.diag(metric) == 0
    q = np.where(flat & (abs(u) > NOISE * size), np.where(u > 0, upper, lower), wide(0))
    if np.isinf(q).any():
        return q
    metric, u = metric[~flat][:, ~flat], u[~flat]
    q[~flat] = _active_set(u, metric, lower[~flat], upper[~flat], size)
    return q


def _active_set(u: Wide, metric: Wide, lower: Wide, upper: Wide, size: Any) -> Wide:
    q, inside = np.zeros_like(u), np.zeros(len(u), bool)
    for _ in range(50 * len(u)):
        slope = u - metric @ q
        if (abs(slope[inside]) <= 1e-16 * size).all():
            wants = np.where(slope > 0, q < upper, q > lower) & ~inside & (abs(slope) > 1e-16 * size)
            if not wants.any():
                break
            inside[np.argmax(np.where(wants, abs(slope), -1))] = True
        step = np.zeros_like(u)
        step[inside] = solve_wide(metric[np.ix_(inside, inside)], slope[inside])
        end = np.where(step > 0, upper, lower)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(step != 0, (end - q) / step, np.inf)
        t = min(wide(1), share.min())
        q = np.where(share <= t, end, q + t * step)
        inside &= share > t
    return q


def solve_wide(matrix: Wide, right: Wide, zero: float = 1e-13) -> Wide:
    """Solution of a positive semidefinite system by elimination with pivoting; dependent unknowns are 0."""
    k = len(right)
    scale = 1 / np.sqrt(np.where(np.diag(matrix) > 0, np.diag(matrix), 1))
    a, b = matrix * scale[:, None] * scale, right * scale
    left, order = list(range(k)), []
    while left:
        j = max(left, key=lambda i: a[i, i])
        if a[j, j] <= zero:
            break
        left.remove(j)
        order.append(j)
        for i in left:
            share = a[i, j] / a[j, j]
            a[i] = a[i] - share * a[j]
            b[i] = b[i] - share * b[j]
    x = np.zeros_like(b)
    for j in reversed(order):
        x[j] = (b[j] - a[j] @ x) / a[j, j]
    return x * scale
