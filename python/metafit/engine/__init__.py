"""Room between Python and the Rust core: solving the equation for many subsets, strengths, folds and strategies."""

from metafit.engine.cells import Cell, CellResult, Split, run_cells
from metafit.engine.exhaustive import subset_errors
from metafit.engine.native import Table
from metafit.engine.solution import Solution
from metafit.engine.solve import solve
from metafit.engine.tasks import TaskSolutions, solve_tasks, stream_tasks

__all__ = [
    "Cell",
    "CellResult",
    "Solution",
    "Split",
    "Table",
    "TaskSolutions",
    "run_cells",
    "solve",
    "solve_tasks",
    "stream_tasks",
    "subset_errors",
]
