"""Studies: strategies scored on tasks, kept on disk part by part and resumed."""

from metafit.study.shard import Shard, run_shard
from metafit.study.study import Study

__all__ = ["Shard", "Study", "run_shard"]
