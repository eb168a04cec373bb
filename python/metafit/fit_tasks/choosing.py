"""Which mode and which strengths: what held-out rows of all groups say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metafit.fit_tasks.grouped import Floats, Grouped, Ints
from metafit.fit_tasks.modes import POOLED, Candidate, Path
from metafit.fit_tasks.stage import Stage, row_losses
from metafit.study.progress import Progress

__all__ = ["Fold", "HeldOut", "folds_of", "score"]

Mask = NDArray[np.bool_]
#: Coefficients that may be in memory at once.
_CHUNK = 20_000_000


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from, rows to score on, and the folds within the former."""

    train: Mask
    test: Mask
    inner: list[tuple[Mask, Mask]]


def folds_of(data: Grouped, n_folds: int, random_state: int) -> list[Fold]:
    """Split the rows of every group into folds, the classes in proportion.

    Inner folds are the outer ones without the held-out one, so that no row changes its fold.
    """
    used = data.weights > 0
    fold = _deal(data, n_folds, np.random.default_rng(random_state))
    masks = [fold == k for k in range(n_folds)]
    return [
        Fold(
            used & ~test,
            test,
            [(used & ~test & ~other, used & other) for other in masks if other is not test],
        )
        for test in masks
    ]


def _deal(data: Grouped, n_folds: int, rng: np.random.Generator) -> Ints:
    """Deal the rows like cards, group by group and class by class, each in random order."""
    n_rows = data.task.n_rows
    classes = np.zeros(n_rows) if data.task.classes is None else data.task.y
    order = np.lexsort((rng.random(n_rows), classes, data.codes))
    fold = np.empty(n_rows, dtype=np.int64)
    fold[order] = np.arange(n_rows) % n_folds
    return fold


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out losses of all candidates.

    Attributes
    ----------
    candidates : list of Candidate
        The first is the pooled fit, whose strength each fold chooses for itself.
    losses : array, shape (n_folds, n_groups, n_candidates)
        Sums over the held-out rows of a group, weighted; NaN where a fit did not converge.
    weights : array, shape (n_folds, n_groups)
    partition : int array, shape (n_folds,)
        Which repeat a fold belongs to.
    """

    candidates: list[Candidate]
    losses: Floats
    weights: Floats
    partition: Ints

    def best(self, mode: str) -> int:
        """Return the candidate of a mode with the least loss over all folds."""
        return self._best(mode, self.losses.sum(axis=(0, 1)))

    def by_group(self, mode: str) -> Floats:
        """Return each group's held-out loss (a sum, weighted), shape (n_groups,).

        A fold is scored with the strengths that did best on the other folds of its partition: no loss has a
        say in the strength that it is counted for.
        """
        totals = self.losses.sum(axis=1)
        by_fold = []
        for k, partition in enumerate(self.partition):
            others = (self.partition == partition) & (np.arange(len(totals)) != k)
            by_fold.append(self.losses[k, :, self._best(mode, totals[others].sum(axis=0))])
        return np.asarray(np.sum(by_fold, axis=0))

    def _best(self, mode: str, totals: Floats) -> int:
        mine = [i for i, candidate in enumerate(self.candidates) if candidate.mode == mode]
        # of equally good ones the last: the strongest
        return min(reversed(mine), key=lambda i: np.inf if np.isnan(totals[i]) else totals[i])


def score(
    data: Grouped,
    partitions: list[list[Fold]],
    paths: list[Path],
    strengths: tuple[float, ...],
    *,
    n_threads: int | None,
    progress: Progress,
) -> HeldOut:
    """Fit all candidates on the training rows of each fold and score them on the others."""
    candidates = [Candidate(POOLED, 0.0, np.nan), *(c for path in paths for c in path.candidates)]
    folds = [(number, fold) for number, part in enumerate(partitions) for fold in part]
    losses = np.zeros((len(folds), len(data.groups), len(candidates)))
    weights = np.zeros(losses.shape[:2])
    for k, (_, fold) in enumerate(folds):
        stage = Stage(data, fold.train, fold.inner, strengths, n_threads)
        train, test = data.rows_of(fold.train), data.rows_of(fold.test)
        weights[k] = [data.weights[rows].sum() for rows in test]
        scored = [group for group, rows in enumerate(test) if len(rows)]
        for chunk in _chunks(scored, len(candidates) * stage.n_columns):
            coef = stage.fit_groups([train[group] for group in chunk], paths)
            for group, own in zip(chunk, coef, strict=True):
                losses[k, group] = _loss(stage, np.vstack([stage.pooled, own]), test[group])
        progress.advance(len(data.groups) * len(candidates))
    return HeldOut(candidates, losses, weights, np.array([number for number, _ in folds]))


def _chunks(groups: list[int], size: int) -> Iterator[list[int]]:
    step = max(1, _CHUNK // size)
    return (groups[start : start + step] for start in range(0, len(groups), step))


def _loss(stage: Stage, coef: Floats, rows: Ints) -> Floats:
    """Return the summed loss of each candidate (n_candidates, n_columns) on some rows."""
    data = stage.data
    eta = stage.inputs[rows] @ coef.T + data.offset[rows, None]
    return data.weights[rows] @ row_losses(data.loss, data.task.y[rows, None].astype(np.float64), eta)
