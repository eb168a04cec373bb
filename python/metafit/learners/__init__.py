"""Learners: from an incomplete table of scores to what to try on the next task.

A new learner is one file and one line in `REGISTRY`, which enrols it in the checks of `metafit.testing`.
"""

from __future__ import annotations

from metafit.learners.base import BaseLearner, Learner, Ranking
from metafit.learners.baselines import Default, Random
from metafit.learners.factors import Factorization
from metafit.learners.gaussian_process import GaussianProcess
from metafit.learners.nearest_tasks import NearestTasks
from metafit.learners.pairwise import Pairwise
from metafit.learners.portfolio import Portfolio
from metafit.learners.regression import Regression
from metafit.learners.runtimes import Runtimes
from metafit.learners.single_best import SingleBest
from metafit.learners.stack import Stack

__all__ = [
    "REGISTRY",
    "BaseLearner",
    "Default",
    "Factorization",
    "GaussianProcess",
    "Learner",
    "NearestTasks",
    "Pairwise",
    "Portfolio",
    "Random",
    "Ranking",
    "Regression",
    "Runtimes",
    "SingleBest",
    "Stack",
    "default",
]

REGISTRY: dict[str, type[BaseLearner]] = {
    "default": Default,
    "random": Random,
    "single_best": SingleBest,
    "portfolio": Portfolio,
    "nearest_tasks": NearestTasks,
    "regression": Regression,
    "pairwise": Pairwise,
    "factors": Factorization,
    "gaussian_process": GaussianProcess,
    "stack": Stack,
}


def default() -> Stack:
    """Give the learner that is used when none is named; unfitted.

    Returns
    -------
    Stack
        The mean of two kinds of forests where tasks left out speak for it, else a greedy portfolio; what was observed
        on the task is followed up by probing.
    """
    return Stack()
