"""What observed losses say of regrets, though nobody knows the best loss that the task allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from metafit.learners.table import FloatArray, IntArray
from metafit.learners.task_mixture import ClippedSquare, Conditional, TaskMixture
from metafit.scores import normalized_regret

# as in the normalised regret: where hardly any skill is to be had
_LEAST_SKILL = 0.02
# what components weigh together that may be left out
_NEGLIGIBLE = 5e-3
# means of components times strategies above which components are drawn, so that a ranking takes milliseconds
_MOST_MEANS = 80_000


@dataclass(frozen=True, eq=False)
class Levels:
    """Levels at which the best loss of a task may lie, with their probabilities.

    Attributes
    ----------
    values, weights : ndarray of shape (n_levels,)
    """

    values: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, best_losses: FloatArray, n_levels: int = 12) -> Levels:
        """Take quantiles of the best losses of tasks.

        Examples
        --------
        >>> Levels.of(np.array([0.0, 0.0, 0.5, 0.5]), n_levels=2)
        Levels(values=array([0. , 0.5]), weights=array([0.5, 0.5]))
        """
        quantiles = np.quantile(best_losses, (np.arange(n_levels) + 0.5) / n_levels, method="inverted_cdf")
        values, counts = np.unique(quantiles, return_counts=True)
        return cls(values, counts / n_levels)

    def up_to(self, lowest: float) -> Levels:
        """Keep those that a loss `lowest` allows; itself if there is none."""
        allowed = self.values <= lowest
        if not allowed.any():
            return Levels(np.array([lowest]), np.ones(1))
        return Levels(self.values[allowed], self.weights[allowed])


@dataclass(frozen=True, eq=False)
class Belief:
    """Square roots of the regrets of all strategies, as a mixture of normal distributions.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
    origins : ndarray of shape (n_components,)
        The component of the mixture before that each comes from, one of ``range(n_origins)``.
    n_origins : int
    means : ndarray of shape (n_components, n_strategies)
    std : ndarray of shape (n_strategies,)
        Within each component.
    skill : ndarray of shape (n_components,)
        The loss that a regret of 1 stands for.
    reached : ndarray of shape (n_components,)
        The lowest regret observed, which is uncertain as the best loss is.
    """

    weights: FloatArray
    origins: IntArray
    n_origins: int
    means: FloatArray
    std: FloatArray
    skill: FloatArray
    reached: FloatArray

    @classmethod
    def after(cls, mixture: TaskMixture, levels: Levels, tried: IntArray, losses: FloatArray) -> Belief:
        """Update a mixture by what was observed, NaN for a failure.

        Under each level losses are regrets, and the update is exact. A level is the likelier the better the regrets
        fit; r = z^2 = (loss - level) / skill has the density of z times dz / d loss = 1 / (2 z skill), z being known
        up to the noise.
        """
        finite = losses[~np.isnan(losses)]
        lowest = float(finite.min(initial=np.inf))
        levels = levels.up_to(lowest) if len(losses) else Levels(np.zeros(1), np.ones(1))
        floor = np.sqrt(mixture.model.noise)
        parts: list[Conditional] = []
        log_weights = np.log(levels.weights)
        for k, level in enumerate(levels.values):
            roots = np.sqrt(np.where(np.isnan(losses), 1.0, normalized_regret(losses, level)))
            parts.append(mixture.given(tried, roots))
            known = np.maximum(roots[~np.isnan(losses)], floor)
            log_weights[k] += parts[k].log_density - np.log(2 * known * _skill(level)).sum()
        return cls._pooled(parts, np.exp(log_weights - np.logaddexp.reduce(log_weights)), levels.values, lowest)

    @classmethod
    def _pooled(cls, parts: list[Conditional], shares: FloatArray, levels: FloatArray, lowest: float) -> Belief:
        weights = np.concatenate([share * part.weights for share, part in zip(shares, parts, strict=True)])
        kept = _weighty(weights)
        share = weights[kept] / weights[kept].sum()
        kept, share = _drawn(kept, share, max(_MOST_MEANS // parts[0].centres.shape[1], 1))
        n_origins = len(parts[0].weights)
        part, component = np.divmod(kept, n_origins)
        means = np.vstack([one.means(component[part == k]) for k, one in enumerate(parts)])
        level = levels[part]
        reached = normalized_regret(lowest, level) if np.isfinite(lowest) else np.ones(len(level))
        return cls(share, component, n_origins, means, parts[0].std, _skill(level), reached)

    def of_origins(self) -> FloatArray:
        """Give the weight of each component of the mixture before, (n_origins,)."""
        return np.asarray(np.bincount(self.origins, self.weights, self.n_origins), dtype=float)

    @cached_property
    def _squares(self) -> ClippedSquare:
        return ClippedSquare(self.means, self.std)

    def regret(self) -> tuple[FloatArray, FloatArray]:
        """Give the expectation and standard deviation of each strategy's regret."""
        first, second = (self.weights @ moment for moment in self._squares.moments(1.0))
        return first, np.sqrt(np.maximum(second - first**2, 0.0))

    def improvement(self) -> FloatArray:
        """Give by how much each strategy is expected to lower the best loss, (n_strategies,)."""
        reached = self.reached[:, None]
        lowered = reached - self._squares.mean_up_to(np.sqrt(reached))
        # so that equal strategies tie
        return np.asarray(np.round((self.weights * self.skill) @ lowered, 12))


def _skill(level: Any) -> Any:
    return np.maximum(1 - level, _LEAST_SKILL)


def _weighty(weights: FloatArray) -> IntArray:
    """Give the fewest components that hold all weight but what is negligible, in their order."""
    order = np.argsort(-weights, kind="stable")
    enough = int(np.searchsorted(np.cumsum(weights[order]), 1 - _NEGLIGIBLE)) + 1
    return np.sort(order[:enough])


def _drawn(kept: IntArray, share: FloatArray, most: int) -> tuple[IntArray, FloatArray]:
    """Give `most` of the components in equal steps of their cumulated shares, if they are more (Kitagawa 1996)."""
    if len(kept) <= most:
        return kept, share
    at = np.searchsorted(np.cumsum(share), (np.arange(most) + 0.5) / most)
    drawn, times = np.unique(np.minimum(at, len(kept) - 1), return_counts=True)
    return kept[drawn], times / most
