"""Step 1, choose data sets: tasks, suites of tasks, and the suites that come with the package."""

from metafit.tasks.encoding import Encoder
from metafit.tasks.entries import LazyTask
from metafit.tasks.sources import Source, load_frame, load_suite, real_sources
from metafit.tasks.suite import TaskSuite
from metafit.tasks.task import Kind, Task

__all__ = [
    "Encoder",
    "Kind",
    "LazyTask",
    "Source",
    "Task",
    "TaskSuite",
    "load_frame",
    "load_suite",
    "real_sources",
]
