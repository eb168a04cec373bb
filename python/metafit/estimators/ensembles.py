"""Weighted means of the strategies that were tried, by what they predicted of rows held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metafit.estimators.held_out import row_losses
from metafit.estimators.trials import Trials
from metafit.tasks.task import Task

__all__ = ["greedy_weights", "held_out_of", "only_best"]

Floats = NDArray[np.float64]


def only_best(trials: Trials) -> Floats:
    """Give all weight to the best trial."""
    weights = np.zeros(len(trials))
    weights[trials.order[0]] = 1.0
    return weights


def greedy_weights(task: Task, trials: Trials, size: int) -> Floats:
    """Draw strategies one by one, with replacement, each that whose mean with those drawn before predicts best.

    What is compared are predictions of rows held out, by log loss or mean squared error. The first drawn is the best
    alone; of all means that come about so, the best one counts.

    Parameters
    ----------
    task : Task
    trials : Trials
    size : int
        Draws.

    Returns
    -------
    ndarray of shape (n_tried,)
        Weights, of sum 1; 0 for what was not finished.

    Notes
    -----
    Caruana, Niculescu-Mizil, Crew and Ksikes (2004), Ensemble selection from libraries of models, ICML.
    """
    pool = trials.finished
    rows, made = held_out_of(trials, pool)
    if len(pool) < 2 or not len(rows):
        return only_best(trials)
    share = np.ones(len(rows)) if task.sample_weight is None else task.sample_weight[rows]
    drawn: list[int] = []
    best, kept = np.inf, 1
    total = np.zeros(made[0].shape)
    for count in range(1, size + 1):
        losses = [float(share @ row_losses(task, rows, (total + one) / count)) for one in made]
        pick = int(np.argmin(losses))
        drawn.append(pick)
        total = total + made[pick]
        # a mean that is not better by more than rounding is not worth another member
        if losses[pick] < best * (1 - 1e-9):
            best, kept = losses[pick], count
    weights = np.zeros(len(trials))
    np.add.at(weights, np.array(pool)[drawn[:kept]], 1 / kept)
    return weights


def held_out_of(trials: Trials, places: list[int]) -> tuple[NDArray[np.intp], list[Floats]]:
    """Put the folds together on which anything worked: row numbers, and what each of some trials predicts for them."""
    chosen = [trials.trials[place] for place in places]
    folds = [k for k in range(trials.n_folds) if all(trial.folds[k].model is not None for trial in chosen)]
    if not folds or not chosen:
        return np.arange(0), []
    rows = np.concatenate([chosen[0].folds[k].rows for k in folds])
    return rows, [np.concatenate([trial.folds[k].output for k in folds]) for trial in chosen]
