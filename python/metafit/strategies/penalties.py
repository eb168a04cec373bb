r"""The regularisers Omega(w) of the equation.

Like the losses they are descriptions, made from the registry of the Rust core. Each acts on the distances
``u_j = s_j (w_j - w0_j)`` of the coefficients from a centre w0 (default 0), with ``s_j`` the standard deviation of
column j where columns are standardised and 1 elsewhere. All take

- ``factors``: how strongly each ``u_j`` counts. 0 leaves a coefficient unpenalised, infinity pins it to its centre;
- ``center``: w0, in original units like the coefficients;
- ``lower``, ``upper``: bounds of the coefficients, in original units. They must hold the centre.

Penalties of groups take ``groups`` first, and ``L2`` a ``metric``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metafit.strategies.parts import lookup
from metafit.strategies.registered import Option, Registered, make_class, penalty_shape, penalty_specs

Array = NDArray[np.float64]
Row = tuple[float, ...]

_COMMON = """factors : sequence of float, shape (n_features,), optional
    How strongly each coefficient is penalised: >= 0, infinity allowed. None means 1 everywhere.
center : sequence of float, shape (n_features,) or (n_classes, n_features), optional
    The coefficients that cost nothing, in original units. None means 0 everywhere. With more than two classes one
    row is for all of them.
lower, upper : sequence of float, shape (n_features,) or (n_classes, n_features), optional
    Bounds of the coefficients, in original units; infinity allowed. They must hold the centre."""

_GROUPS = """groups : sequence, optional
    A label for each column, or lists of column numbers or names; columns in no list are groups of their own. In a
    strategy None means the encoded columns of each raw column, and a name may be that of a raw column."""

_METRIC = """metric : array, shape (n_features,) or (n_features, n_features), optional
    A diagonal >= 0, or a symmetric positive semidefinite matrix, in original units of the columns: not with
    standardize=True."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Penalty(Registered):
    """Base of the penalties: what each of them may say of single columns.

    Parameters
    ----------
    factors : sequence of float, shape (n_features,), optional
        How strongly each coefficient is penalised: >= 0, infinity allowed. None means 1 everywhere.
    center : sequence of float, shape (n_features,) or (n_classes, n_features), optional
        The coefficients that cost nothing, in original units. None means 0 everywhere.
    lower, upper : sequence of float, shape (n_features,) or (n_classes, n_features), optional
        Bounds of the coefficients, in original units; infinity allowed.

    Attributes
    ----------
    groups, metric : tuple or None
        Of those penalties that take them.

    Raises
    ------
    ValueError
        If a number is out of range, lengths differ, or bounds do not hold the centre.
    """

    name: ClassVar[str]
    has_groups: ClassVar[bool]
    has_metric: ClassVar[bool]
    groups: ClassVar[Any] = None
    metric: ClassVar[Any] = None
    factors: Row | None = None
    center: Row | tuple[Row, ...] | None = None
    lower: Row | tuple[Row, ...] | None = None
    upper: Row | tuple[Row, ...] | None = None

    def __post_init__(self) -> None:
        """Store arrays as tuples, so that a penalty is hashable and cannot change."""
        super().__post_init__()
        for argument, as_stored in _STORED.items():
            if getattr(self, argument) is not None:
                object.__setattr__(self, argument, as_stored(getattr(self, argument)))
        _check_lengths(self)
        _check_box(self)

    @property
    def widths(self) -> dict[str, int]:
        """For each argument that says something of every column, of how many columns it speaks."""
        given = {argument: getattr(self, argument) for argument in ("factors", "center", "lower", "upper", "metric")}
        sizes = {argument: np.shape(values)[-1] for argument, values in given.items() if values is not None}
        return sizes | ({} if self.groups is None or _are_lists(self.groups) else {"groups": len(self.groups)})

    @property
    def class_rows(self) -> dict[str, int]:
        """For each argument that says something of every class, of how many classes it speaks."""
        given = {argument: np.shape(getattr(self, argument)) for argument in ("center", "lower", "upper")}
        return {argument: shape[0] for argument, shape in given.items() if len(shape) == 2}

    @property
    def is_per_column(self) -> bool:
        """Whether it speaks of single columns, so that it fits tables of one width only."""
        has_box = self.lower is not None or self.upper is not None
        has_others = self.factors is not None or self.center is not None or self.metric is not None
        return has_box or has_others or self.groups is not None

    @property
    def l1_share(self) -> float:
        """The share of absolute values and norms in the penalty, from 0 (ridge) to 1: what a grid of alphas goes by."""
        return penalty_shape(self.name, self.parameters)[0]

    @property
    def l1_ratio(self) -> float:
        """`l1_share`, of a penalty that has no parameter of this name."""
        return self.l1_share

    @property
    def is_convex(self) -> bool:
        """Whether a fit can be certified by a duality gap."""
        return penalty_shape(self.name, self.parameters)[1]

    def without_columns(self) -> Penalty:
        """Return the penalty with nothing said of single columns."""
        return type(self)(**{parameter.name: getattr(self, parameter.name) for parameter in self.takes})


def _make(spec: Mapping[str, Any]) -> type[Penalty]:
    options = [Option("groups", _GROUPS, kw_only=False)] if spec["has_groups"] else []
    options += [Option("metric", _METRIC, kw_only=True)] if spec["has_metric"] else []
    return make_class(spec, Penalty, __name__, options=options, common=_COMMON)


REGISTRY: dict[str, type[Penalty]] = {spec["name"]: _make(spec) for spec in penalty_specs()}

globals().update({penalty.__name__: penalty for penalty in REGISTRY.values()})

__all__ = ["REGISTRY", "Penalty", "label_groups", "resolve"] + [penalty.__name__ for penalty in REGISTRY.values()]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def resolve(penalty: str | Penalty) -> Penalty:
    """Return the penalty that a name or an object stands for.

    Examples
    --------
    >>> resolve("l1")
    L1()
    """
    if isinstance(penalty, Penalty):
        return penalty
    if not isinstance(penalty, str):
        raise TypeError(f"penalty must be a name or a penalty such as penalties.L2(), got {penalty!r}")
    return _named(penalty)


@cache
def _named(name: str) -> Penalty:
    return lookup(name, REGISTRY, "penalty")()


def label_groups(
    penalty: Penalty,
    names: Sequence[str],
    blocks: NDArray[np.integer[Any]] | None = None,
    block_names: Sequence[str] = (),
) -> Penalty:
    """Return the penalty with a label for each column as its groups; one without groups as it is.

    Parameters
    ----------
    penalty : Penalty
    names : sequence of str
        The columns.
    blocks : array of int, shape (n_columns,), optional
        Block of each column: the groups where the penalty is told none.
    block_names : sequence of str
        Names of the blocks, which stand for their columns.

    Raises
    ------
    ValueError
        If the penalty needs groups and there are none, or they name a column that is not there, or one twice.

    Examples
    --------
    >>> label_groups(REGISTRY["group_lasso"]([["a", "c"]]), ["a", "b", "c"]).groups
    (0, 2, 0)
    """
    if not penalty.has_groups:
        return penalty
    if penalty.groups is None:
        labels = _blocks_as_labels(penalty, blocks)
    elif _are_lists(penalty.groups):
        labels = _label_lists(penalty.groups, _Columns(names, blocks, block_names))
    else:
        labels = list(penalty.groups)
    changed: dict[str, Any] = {"groups": labels}
    return replace(penalty, **changed)


def _blocks_as_labels(penalty: Penalty, blocks: NDArray[np.integer[Any]] | None) -> list[int]:
    if blocks is None:
        how = "a label for each column, e.g. groups=[0, 0, 1], or lists of columns, e.g. groups=[['a', 'b'], ['c']]"
        raise ValueError(f"groups of penalties.{type(penalty).__name__} are missing: pass {how}")
    return list(blocks.tolist())


@dataclass(frozen=True)
class _Columns:
    """What a number or a name in a list of columns stands for."""

    names: Sequence[str]
    blocks: NDArray[np.integer[Any]] | None
    block_names: Sequence[str]

    def find(self, column: int | str) -> list[int]:
        if isinstance(column, str):
            return self._named(column)
        if not -len(self.names) <= column < len(self.names):
            raise ValueError(f"groups names column {column}, there are columns 0 to {len(self.names) - 1}")
        return [column % len(self.names)]

    def _named(self, name: str) -> list[int]:
        if name in self.names:
            return [list(self.names).index(name)]
        if self.blocks is None or name not in self.block_names:
            raise ValueError(f"groups names a column {name!r} that is not there")
        return list(np.flatnonzero(self.blocks == list(self.block_names).index(name)).tolist())


def _label_lists(lists: Sequence[Sequence[int | str]], columns: _Columns) -> list[int]:
    label_of: dict[int, int] = {}
    for label, group in enumerate(lists):
        for column in group:
            for j in columns.find(column):
                if j in label_of:
                    raise ValueError(f"groups holds column {columns.names[j]!r} twice")
                label_of[j] = label
    return [label_of.get(j, len(lists) + j) for j in range(len(columns.names))]


# ------------------------------------------------------------------------------------- what is stored, and checked


def _as_factors(values: Any) -> Row:
    vector = _as_array(values, "factors", 1)
    _check(vector, vector >= 0, "factors", ">= 0 (infinity allowed)")
    return tuple(vector.tolist())


def _as_center(values: Any) -> Any:
    array = _as_array(values, "center", 2)
    _check(array, np.isfinite(array), "center", "finite")
    return _frozen(array)


def _as_lower(values: Any) -> Any:
    array = _as_array(values, "lower", 2)
    _check(array, array < np.inf, "lower", "numbers, or minus infinity")
    return _frozen(array)


def _as_upper(values: Any) -> Any:
    array = _as_array(values, "upper", 2)
    _check(array, array > -np.inf, "upper", "numbers, or infinity")
    return _frozen(array)


def _as_metric(values: Any) -> Any:
    array = _as_array(values, "metric", 2)
    _check(array, np.isfinite(array), "metric", "finite")
    if array.ndim == 1:
        _check(array, array >= 0, "metric", ">= 0 where it is a diagonal")
        return _frozen(array)
    if array.shape[0] != array.shape[1]:
        raise ValueError(f"metric must be a vector or a square matrix, got shape {array.shape}")
    return _frozen(_as_semidefinite(array))


def _as_semidefinite(matrix: Array) -> Array:
    """Take away what rounding has left of an asymmetry; refuse more, and negative eigenvalues."""
    size = float(np.abs(matrix).max(initial=0.0))
    apart = float(np.abs(matrix - matrix.T).max(initial=0.0))
    if apart > 1e-10 * size:
        raise ValueError(f"metric must be symmetric, but entries differ by {apart:g} from their mirror image")
    symmetric = (matrix + matrix.T) / 2
    least = float(np.linalg.eigvalsh(symmetric).min(initial=0.0))
    if least < -1e-10 * size:
        raise ValueError(f"metric must be positive semidefinite, it has an eigenvalue of {least:g}")
    return np.asarray(symmetric)


def _as_groups(values: Any) -> Any:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"groups must be a label for each column, or lists of columns, got {values!r}")
    entries = tuple(values)
    if any(not isinstance(entry, str) and isinstance(entry, Iterable) for entry in entries):
        return tuple(_as_list(entry) for entry in entries)
    return tuple(_as_label(entry) for entry in entries)


def _as_list(entry: Any) -> tuple[int | str, ...]:
    if isinstance(entry, str) or not isinstance(entry, Iterable):
        raise TypeError(f"groups must hold labels only, or lists of columns only, got {entry!r} among lists")
    return tuple(_as_label(column) for column in entry)


def _as_label(value: Any) -> int | str:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int | str):
        raise TypeError(f"groups must hold whole numbers or text, got {value!r}")
    return value


_STORED: dict[str, Callable[[Any], Any]] = {
    "factors": _as_factors,
    "center": _as_center,
    "lower": _as_lower,
    "upper": _as_upper,
    "groups": _as_groups,
    "metric": _as_metric,
}


def _are_lists(groups: Sequence[Any]) -> bool:
    return any(isinstance(entry, tuple) for entry in groups)


def _as_array(values: Any, argument: str, most: int) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a sequence of numbers, got {values!r}") from None
    if not 1 <= array.ndim <= most:
        wanted = "one-dimensional" if most == 1 else "one- or two-dimensional"
        raise ValueError(f"{argument} must be {wanted}, got shape {array.shape}")
    return array


def _check(array: Array, is_good: NDArray[np.bool_], argument: str, wanted: str) -> None:
    bad = np.argwhere(~is_good)
    if len(bad):
        place = tuple(bad[0].tolist())
        shown = place[0] if len(place) == 1 else place
        raise ValueError(f"{argument} must be {wanted}, got {array[place]} at position {shown}")


def _frozen(array: Array) -> Any:
    return tuple(array.tolist()) if array.ndim == 1 else tuple(map(tuple, array.tolist()))


def _check_lengths(penalty: Penalty) -> None:
    for sizes, what in ((penalty.widths, "long"), (penalty.class_rows, "many rows, one a class")):
        if len(set(sizes.values())) > 1:
            numbers = " and ".join(map(str, sizes.values()))
            way = "equally long" if what == "long" else f"as {what}"
            raise ValueError(f"{' and '.join(sizes)} must be {way}, got {numbers}")


def _check_box(penalty: Penalty) -> None:
    if penalty.lower is None and penalty.upper is None:
        return
    center = np.zeros(1) if penalty.center is None else np.asarray(penalty.center)
    lower = np.full(1, -np.inf) if penalty.lower is None else np.asarray(penalty.lower)
    upper = np.full(1, np.inf) if penalty.upper is None else np.asarray(penalty.upper)
    low, middle, high = np.broadcast_arrays(lower, center, upper)
    bad = np.argwhere(~((low <= middle) & (middle <= high)))
    if len(bad):
        place = tuple(bad[0])
        box = f"[{low[place]:g}, {high[place]:g}]"
        raise ValueError(f"lower and upper {box} do not hold the center {middle[place]:g} of column {place[-1]}")
