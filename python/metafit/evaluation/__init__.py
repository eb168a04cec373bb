"""Evaluation: what learners reach on tasks, families or folds left out, beside what they have to beat."""

from metafit.evaluation.evaluate import evaluate
from metafit.evaluation.evaluation import BASELINES, CEILING, SINGLE_BEST, Evaluation
from metafit.evaluation.metrics import count_wins
from metafit.evaluation.significance import Comparison, compare
from metafit.evaluation.splits import Holdout, holdouts
from metafit.evaluation.training_tasks import by_training_tasks

__all__ = [
    "BASELINES",
    "CEILING",
    "SINGLE_BEST",
    "Comparison",
    "Evaluation",
    "Holdout",
    "by_training_tasks",
    "compare",
    "count_wins",
    "evaluate",
    "holdouts",
]
