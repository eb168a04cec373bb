"""Evaluation: what learners reach on tasks, families or folds left out, beside what they have to beat."""

from metafit.evaluation.evaluate import evaluate
from metafit.evaluation.evaluation import BASELINES, CEILING, SINGLE_BEST, Evaluation
from metafit.evaluation.metrics import count_wins
from metafit.evaluation.significance import Comparison, compare
from metafit.evaluation.splits import Holdout, holdouts

__all__ = [
    "BASELINES",
    "CEILING",
    "SINGLE_BEST",
    "Comparison",
    "Evaluation",
    "Holdout",
    "compare",
    "count_wins",
    "evaluate",
    "holdouts",
]
