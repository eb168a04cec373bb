"""Room between Python and the Rust core: solving the equation for many subsets, strengths, folds and strategies."""

from metafit.engine.exhaustive import subset_errors
from metafit.engine.native import Cell, CellResult, Split, Table, run_cells
from metafit.engine.solution import Solution
from metafit.engine.solve import solve

__all__ = ["Cell", "CellResult", "Solution", "Split", "Table", "run_cells", "solve", "subset_errors"]
