"""Reports: pictures and a page. Pictures need matplotlib: ``pip install 'metafit[report]'``."""

from metafit.report.heat_map import heat_map
from metafit.report.regret_curve import regret_curve
from metafit.report.summary import summary_page, write_report

__all__ = ["heat_map", "regret_curve", "summary_page", "write_report"]
