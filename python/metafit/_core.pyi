from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Table:
    def __new__(
        cls,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        weights: NDArray[np.float64] | None,
        offset: NDArray[np.float64] | None,
    ) -> Table: ...
    @staticmethod
    def sparse(
        n_rows: int,
        n_columns: int,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int64],
        values: NDArray[np.float64],
        y: NDArray[np.float64],
        weights: NDArray[np.float64] | None,
        offset: NDArray[np.float64] | None,
    ) -> Table: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def n_columns(self) -> int: ...

def score_names(loss: str) -> list[str]: ...
def run_cells(
    tables: Sequence[Table],
    splits: Sequence[tuple[int, NDArray[np.int64], NDArray[np.int64]]],
    cells: Sequence[Any],
    *,
    tol: float,
    max_iter: int,
    impute: bool,
    keep_coef: bool,
    n_threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]: ...
