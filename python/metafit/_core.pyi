from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int64]
_Ragged = tuple[NDArray[Any], _Ints]

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
    def with_rows(
        self, y: NDArray[np.float64], weights: NDArray[np.float64] | None, offset: NDArray[np.float64] | None
    ) -> Table: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def n_columns(self) -> int: ...

class Recipe:
    def __new__(
        cls,
        *,
        loss: str,
        loss_parameters: Sequence[float],
        penalty: str,
        penalty_parameters: Sequence[float],
        factors: NDArray[np.float64] | None,
        center: NDArray[np.float64] | None,
        lower: NDArray[np.float64] | None,
        upper: NDArray[np.float64] | None,
        groups: _Ints | None,
        metric: NDArray[np.float64] | None,
        of_max: bool,
        fit_intercept: bool,
        standardize: bool,
        scale_y: bool,
        n_classes: int,
        solver: str,
    ) -> Recipe: ...

def losses() -> list[dict[str, Any]]: ...
def penalties() -> list[dict[str, Any]]: ...
def penalty_shape(name: str, parameters: Sequence[float]) -> tuple[float, bool]: ...
def predictions(loss: str, parameters: Sequence[float], eta: NDArray[np.float64]) -> NDArray[np.float64]: ...
def run_cells(
    tables: Sequence[Table],
    rows: _Ragged,
    splits: tuple[_Ints, _Ints, _Ints],
    subsets: _Ragged,
    grids: _Ragged,
    recipes: Sequence[Recipe],
    cells: tuple[_Ints, _Ints, _Ints, _Ints],
    *,
    tol: float,
    max_iter: int,
    impute: bool,
    keep_coef: bool,
    n_threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]: ...
def subset_errors(
    table: Table,
    rows: _Ragged,
    splits: tuple[_Ints, _Ints, _Ints],
    *,
    alpha: float,
    fit_intercept: bool,
    standardize: bool,
    n_threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float64]: ...
