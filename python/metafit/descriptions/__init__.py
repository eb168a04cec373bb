"""
Step 4, first half: describe tasks by numbers that can be compared across tables.

`META_FEATURES` documents each of them. Sizes are in log10, so that differences mean ratios; a meta-feature
that has no meaning for a task (the class balance of a regression target, say) is NaN. Every description is a
pure function of the table: the same bits each time. Row weights and offsets are not looked at.
"""

from metafit.descriptions.describe import META_FEATURES, Scales, describe, describe_task, standardize

__all__ = ["META_FEATURES", "Scales", "describe", "describe_task", "standardize"]
