from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
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
    def refusal(self, recipe: Recipe) -> str: ...
    @property
    def has_missing(self) -> bool: ...
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

class Fits:
    STATUSES: ClassVar[list[str]]
    def take_coef(self) -> _Floats: ...
    @property
    def intercept(self) -> _Floats: ...
    @property
    def scores(self) -> _Floats: ...
    @property
    def objective(self) -> _Floats: ...
    @property
    def gap(self) -> _Floats: ...
    @property
    def kkt(self) -> _Floats: ...
    @property
    def seconds(self) -> _Floats: ...
    @property
    def n_iter(self) -> _Ints: ...
    @property
    def status(self) -> NDArray[np.uint8]: ...
    @property
    def all_converged(self) -> bool: ...
    @property
    def counts(self) -> list[int]: ...
    @property
    def alphas(self) -> _Floats: ...
    @property
    def alpha_max(self) -> _Floats: ...
    @property
    def reasons(self) -> dict[int, str]: ...

def all_finite(values: NDArray[np.float64]) -> bool: ...
def losses() -> list[dict[str, Any]]: ...
def penalties() -> list[dict[str, Any]]: ...
def penalty_shape(name: str, parameters: Sequence[float]) -> tuple[float, bool]: ...
def predictions(loss: str, parameters: Sequence[float], eta: NDArray[np.float64]) -> NDArray[np.float64]: ...
def two_labels(y: _Floats) -> tuple[float, float, _Floats] | None: ...
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
    best_of: int | None,
    n_threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> Fits: ...
def run_single(
    x: Any, y: Any, recipe: Recipe, alpha: float, tol: float, max_iter: int
) -> tuple[Fits, _Floats, _Floats, _Floats | None] | None: ...
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
