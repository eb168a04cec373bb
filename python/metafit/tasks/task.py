"""A task: one table, its target, and what a fit may know of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast, get_args

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from metafit.tasks.encoding import Encoder
from metafit.tasks.fingerprints import Content, content_of, fingerprint
from metafit.tasks.frames import Floats, Frame, Ints, as_frame, as_values, is_category
from metafit.tasks.rows import fold_indices, sample_rows

Kind: TypeAlias = Literal["classification", "regression"]


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Task:
    """
    One table to learn from. A task never changes once made.

    Parameters
    ----------
    X : pandas, polars or pyarrow table, or array of shape (n, raw columns)
        Numbers, booleans and categories, with missing cells if need be.
    y : sequence of length n
        The target, with no missing value.
    name : str
        What to call the table.
    kind : {"classification", "regression"}, optional
        By default read from `y`: text, booleans and categories are classes, and so are numbers that take
        exactly two values, both whole; other numbers are a regression target.
    family : str, optional
        The source of the table; tables of one family are left out together. By default the table is its own
        family.
    groups : sequence of length n, optional
        Rows that share a value stay in one fold: repeated persons, panels.
    sample_weight : sequence of length n, optional
        Row weights, at least 0 and not all 0.
    offset : sequence of length n, optional
        Added to each row's linear predictor.

    Attributes
    ----------
    y : array of shape (n,)
        float64 for regression; int64 codes 0 .. n_classes - 1 for classification.
    classes : array of shape (n_classes,) or None
        The labels in sorted order; None for regression.
    groups : int array or None
        Codes of the groups.
    sample_weight, offset : float arrays or None

    Raises
    ------
    ValueError
        Where an argument does not fit its description; a column is named.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31, 25, 47, 52], "town": ["a", "b", "a", "c"]})
    >>> task = Task(frame, ["no", "yes", "yes", "no"], name="visits")
    >>> task
    Task('visits', classification, 4 rows, 2 features, 2 classes)
    >>> task.y
    array([0, 1, 1, 0])
    >>> task.columns
    ['age', 'town=a', 'town=b', 'town=c']
    """

    _frame: Frame
    y: NDArray[Any]
    name: str
    kind: Kind
    family: str
    classes: NDArray[Any] | None
    groups: Ints | None
    sample_weight: Floats | None
    offset: Floats | None

    def __init__(
        self,
        X: Any,
        y: ArrayLike,
        *,
        name: str = "task",
        kind: Kind | None = None,
        family: str | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> None:
        frame = as_frame(X)
        target = _no_missing(as_values(y, "y", len(frame)), "y")
        known = infer_kind(y) if kind is None else _checked_kind(kind)
        codes, classes = _classes_of(target) if known == "classification" else (_regression_target(target), None)
        self._fill(
            _frame=frame,
            y=_frozen(codes),
            name=str(name),
            kind=known,
            family=str(name if family is None else family),
            classes=None if classes is None else _frozen(classes),
            groups=_group_codes(groups, len(frame)),
            sample_weight=_weights(sample_weight, len(frame)),
            offset=_numbers_per_row(offset, "offset", len(frame)),
        )

    def _fill(self, **fields: Any) -> None:
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        parts = [repr(self.name), self.kind, f"{self.n_rows} rows", f"{self.n_features} features"]
        parts += [f"{self.n_classes} classes"] if self.classes is not None else []
        parts += [f"{len(np.unique(self.groups))} groups"] if self.groups is not None else []
        return f"Task({', '.join(parts)})"

    def __getstate__(self) -> dict[str, Any]:
        # The matrix follows from the frame and the encoder.
        kept = {name: value for name, value in self.__dict__.items() if name != "matrix"}
        return {**kept, "_frame": self._frame.to_native()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        frame = nw.from_native(state["_frame"], eager_only=True)
        self.__dict__.update({**state, "_frame": frame})
        for name in ("y", "classes", "groups", "sample_weight", "offset"):
            if state[name] is not None:
                _frozen(state[name])

    @property
    def X(self) -> Any:  # noqa: N802 - the name that scikit-learn gives it
        """The raw columns, in the library they came in (pandas for arrays)."""
        native = self._frame.to_native()
        # Under copy-on-write, what is done to this copy does not reach the task.
        return native.copy(deep=pd.__version__ < "3") if isinstance(native, pd.DataFrame) else native

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def n_features(self) -> int:
        """Number of raw columns."""
        return len(self._frame.columns)

    @property
    def n_classes(self) -> int | None:
        """Number of classes; None for regression."""
        return None if self.classes is None else len(self.classes)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoding of this table's columns, fixed once; subsets of the task keep it."""
        return Encoder().fit(self._frame)

    @cached_property
    def matrix(self) -> Floats:
        """The encoded features: read-only float64 (n, p) in Fortran order, NaN where missing."""
        return _frozen(self.encoder.transform(self._frame))

    @property
    def columns(self) -> list[str]:
        """Names of the p encoded columns."""
        return list(self.encoder.columns)

    @property
    def blocks(self) -> Ints:
        """The raw column that each encoded column comes from, of shape (p,)."""
        return self.encoder.blocks.copy()

    @property
    def block_names(self) -> list[str]:
        """Names of the raw columns."""
        return list(self.encoder.block_names)

    @cached_property
    def fingerprint(self) -> str:
        """
        Digest of the features and target, whatever the order of rows and columns and whatever their names.

        Two tables that hold the same rows have the same fingerprint; groups, weights and offsets do not
        count.
        """
        return fingerprint(self.content(), self.kind)

    @property
    def source_fingerprint(self) -> str:
        """The fingerprint of the table that `limit` sampled this one from; else this one's own."""
        return str(self.__dict__.get("_source_fingerprint") or self.fingerprint)

    def content(self) -> Content:
        """Hash every value of the table, the target last; not kept."""
        return content_of(self._frame, self.y, self.classes)

    def take(self, rows: ArrayLike) -> Task:
        """
        Take some rows, in the order given; classes and encoding stay those of the whole table.

        Parameters
        ----------
        rows : array of int or bool
            Row numbers, or a mask of length n.
        """
        index = self._row_numbers(rows)
        part = object.__new__(Task)
        part._fill(**{field: getattr(self, field) for field in ("name", "kind", "family", "classes")})
        part._fill(_frame=self._frame[index], y=_frozen(self.y[index]), encoder=self.encoder)
        for field in ("groups", "sample_weight", "offset"):
            values = getattr(self, field)
            part._fill(**{field: None if values is None else _frozen(values[index])})
        if "matrix" in self.__dict__:
            part._fill(matrix=_frozen(np.asfortranarray(self.matrix[index])))
        return part

    def _row_numbers(self, rows: ArrayLike) -> Ints:
        index = np.asarray(rows)
        if index.dtype == bool and index.shape != (self.n_rows,):
            raise ValueError(f"rows is a mask of shape {index.shape}; the task has {self.n_rows} rows.")
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        if index.ndim != 1 or len(index) == 0:
            raise ValueError(f"rows has shape {index.shape}; it must name at least one row.")
        return cast(Ints, np.arange(self.n_rows)[index])

    def rename(self, name: str, family: str | None = None) -> Task:
        """Give the same table another name, and another family if given."""
        renamed = object.__new__(Task)
        renamed.__dict__.update(self.__dict__)
        renamed._fill(name=str(name), family=self.family if family is None else str(family))
        return renamed

    def limit(self, max_rows: int | None, random_state: int = 0) -> Task:
        """
        Sample at most `max_rows` rows, in their order; the task itself if it has no more.

        Classes keep their shares. Groups stay whole where at least five of them fit, so that folds can still
        be made; where they do not, groups longer than a fifth of `max_rows` are thinned at random.
        """
        if max_rows is None or self.n_rows <= max_rows:
            return self
        part = self.take(self.sample_rows(max_rows, random_state))
        part._fill(_source_fingerprint=self.source_fingerprint)
        return part

    def sample_rows(self, max_rows: int, random_state: int = 0) -> Ints:
        """Choose the row numbers that `limit` keeps, in order."""
        if max_rows < 1:
            raise ValueError(f"max_rows={max_rows}; it must be at least 1.")
        if self.n_rows <= max_rows:
            return np.arange(self.n_rows)
        codes = self.y if self.kind == "classification" else None
        return sample_rows(max_rows, codes, self.groups, self.n_rows, np.random.default_rng(random_state))

    def splits(self, folds: int = 5, random_state: int = 0) -> list[tuple[Ints, Ints]]:
        """
        Split the rows for cross-validation.

        Shuffled by scikit-learn's `KFold`, by `StratifiedKFold` for classification, and by `GroupKFold` or
        `StratifiedGroupKFold` where the task has groups.

        Returns
        -------
        list of (train, test)
            `folds` pairs of sorted int arrays.
        """
        classified = self.kind == "classification"
        return fold_indices(self.y, folds=folds, stratify=classified, groups=self.groups, random_state=random_state)


def infer_kind(y: ArrayLike) -> Kind:
    """
    Tell classification from regression by the target alone; `Task` documents the rule.

    Examples
    --------
    >>> infer_kind(np.array(["a", "b"])), infer_kind(np.array([0, 1, 1])), infer_kind(np.array([0, 1, 2]))
    ('classification', 'classification', 'regression')
    """
    target = as_values(y, "y")
    if is_category(y) or target.dtype.kind not in "iufO":
        return "classification"
    if target.dtype.kind == "O":
        contents = pd.api.types.infer_dtype(target, skipna=True)
        numeric = contents in {"integer", "floating", "mixed-integer-float", "decimal"}
        return infer_kind(target.astype(np.float64)) if numeric else "classification"
    values = np.unique(target)
    return "classification" if len(values) == 2 and bool(np.all(values == np.floor(values))) else "regression"


def _checked_kind(kind: Kind) -> Kind:
    if kind not in get_args(Kind):
        raise ValueError(f"kind={kind!r}; it must be one of {get_args(Kind)}.")
    return kind


def _no_missing(values: NDArray[Any], name: str) -> NDArray[Any]:
    missing = int(pd.isna(values).sum())
    if missing:
        raise ValueError(f"{name} has {missing} missing values (NaN or None); drop those rows first.")
    return values


def _classes_of(y: NDArray[Any]) -> tuple[Ints, NDArray[Any]]:
    if y.dtype.kind in "mMc":
        raise ValueError(f"y holds {y.dtype} values; classes must be text, booleans or numbers.")
    try:
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError:
        raise ValueError("y mixes text and numbers; make its labels all of one type.") from None
    return codes.astype(np.int64), classes


def _regression_target(y: NDArray[Any]) -> Floats:
    target = _as_numbers(y, "y", "a regression target must be numbers; for labels use kind='classification'.")
    if np.isinf(target).any():
        raise ValueError("y holds infinite values; a regression target must be finite.")
    return target


def _as_numbers(values: NDArray[Any], name: str, wanted: str) -> Floats:
    if values.dtype.kind not in "biufO":
        raise ValueError(f"{name} holds {values.dtype} values; {wanted}")
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} holds values that are no numbers; {wanted}") from None


def _numbers_per_row(values: ArrayLike | None, name: str, n: int) -> Floats | None:
    if values is None:
        return None
    numbers = _as_numbers(_no_missing(as_values(values, name, n), name), name, "it must be one number per row.")
    if np.isinf(numbers).any():
        raise ValueError(f"{name} holds infinite values.")
    return _frozen(numbers)


def _weights(values: ArrayLike | None, n: int) -> Floats | None:
    weights = _numbers_per_row(values, "sample_weight", n)
    if weights is not None and (weights.min() < 0 or weights.max() == 0):
        raise ValueError("sample_weight must be at least 0 in every row and above 0 in some.")
    return weights


def _group_codes(values: ArrayLike | None, n: int) -> Ints | None:
    if values is None:
        return None
    codes, _ = pd.factorize(_no_missing(as_values(values, "groups", n), "groups"))
    return _frozen(codes.astype(np.int64))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Make an array of our own read-only."""
    array.flags.writeable = False
    return array
