"""What was measured: `Scores`, an incomplete table of tasks x strategies."""

from metafit.scores.checks import FAILURES, STATUSES
from metafit.scores.figures import normalized_regret
from metafit.scores.metrics import by_metric
from metafit.scores.table import Scores

__all__ = ["FAILURES", "STATUSES", "Scores", "by_metric", "normalized_regret"]
