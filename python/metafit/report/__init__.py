"""Reports: pictures and a page. Pictures need matplotlib: ``pip install 'metafit[report]'``."""

from metafit.report._matplotlib import Display
from metafit.report.critical_difference import CriticalDifferenceDisplay
from metafit.report.front import FrontDisplay
from metafit.report.heat_map import HeatMapDisplay
from metafit.report.regret_curve import RegretCurveDisplay
from metafit.report.regret_distribution import RegretDistributionDisplay
from metafit.report.summary import summary_page, write_report
from metafit.report.training_tasks import TrainingTasksDisplay
from metafit.report.win_rates import WinRateDisplay

__all__ = [
    "CriticalDifferenceDisplay",
    "Display",
    "FrontDisplay",
    "HeatMapDisplay",
    "RegretCurveDisplay",
    "RegretDistributionDisplay",
    "TrainingTasksDisplay",
    "WinRateDisplay",
    "summary_page",
    "write_report",
]
