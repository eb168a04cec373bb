"""Feature rules: which raw columns a strategy looks at.

A rule chooses whole *blocks*: a number is a block of one encoded column, a category is the block of its
indicator columns. It sees training rows only, as an encoded matrix with NaN where a value is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metafit.strategies.parts import Part, check_count

__all__ = ["REGISTRY", "All", "Columns", "FeatureRule", "Rows", "TopK", "block_scores"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Rows:
    """The training rows that a rule sees: the arguments of `FeatureRule.choose`."""

    matrix: Floats
    y: NDArray[Any]
    blocks: Ints
    block_names: tuple[str, ...]
    weights: Floats | None = None
    kind: str = "regression"


class FeatureRule(Part):
    """Base of the rules: `choose` is what callers use, `pick` is what a rule implements.

    A rule must be deterministic and depend on nothing but the rows it is given, which are training rows.
    """

    def choose(
        self,
        matrix: Floats,
        y: NDArray[Any],
        blocks: Ints,
        block_names: Sequence[str],
        weights: Floats | None = None,
        kind: str = "regression",
    ) -> Ints:
        """Return the ids of the chosen blocks, ascending.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_columns)
            Encoded training rows, NaN where missing.
        y : ndarray of shape (n_rows,)
            Targets; class codes for classification.
        blocks : ndarray of shape (n_columns,)
            The block that each column belongs to.
        block_names : sequence of str
            Name of each block, that is, of each raw column.
        weights : ndarray of shape (n_rows,), optional
            Row weights.
        kind : {"regression", "classification"}
            What y means.
        """
        return self.pick(Rows(matrix, y, blocks, tuple(block_names), weights, kind))

    def pick(self, rows: Rows) -> Ints:
        """Return the ids of the chosen blocks, ascending."""
        raise NotImplementedError


@dataclass(frozen=True)
class All(FeatureRule):
    """Every column.

    Examples
    --------
    >>> All().choose(np.zeros((2, 3)), np.zeros(2), np.array([0, 1, 1]), ["age", "sex"])
    array([0, 1])
    """

    name: ClassVar[str] = "all"

    def pick(self, rows: Rows) -> Ints:
        """Return every block."""
        return np.arange(len(rows.block_names))


@dataclass(frozen=True)
class Columns(FeatureRule):
    """The raw columns of these names.

    Parameters
    ----------
    names : sequence of str
        At least one, none twice.

    Raises
    ------
    ValueError
        If empty or if a name is repeated; from `choose`, if the table lacks a column.

    Examples
    --------
    >>> Columns(["sex"]).choose(np.zeros((2, 3)), np.zeros(2), np.array([0, 1, 1]), ["age", "sex"])
    array([1])
    """

    name: ClassVar[str] = "columns"
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Store the names as a sorted tuple: their order means nothing."""
        names = _as_names(self.names)
        if not names or len(set(names)) != len(names):
            raise ValueError(f"names must hold at least one column and none twice, got {list(names)}")
        object.__setattr__(self, "names", tuple(sorted(names)))

    def pick(self, rows: Rows) -> Ints:
        """Return the blocks of the named columns."""
        position = {str(name): block for block, name in enumerate(rows.block_names)}
        missing = [name for name in self.names if name not in position]
        if missing:
            raise ValueError(f"the table has no columns {missing}; it has {list(position)}")
        return np.sort(np.array([position[name] for name in self.names], dtype=np.intp))


@dataclass(frozen=True)
class TopK(FeatureRule):
    """The k raw columns that explain y best, each on its own.

    Parameters
    ----------
    k : int
        >= 1; a table with fewer columns keeps them all.
    by : {"correlation"}
        See `block_scores`.

    Notes
    -----
    Marginal screening: Fan and Lv (2008), Sure independence screening for ultrahigh dimensional feature
    space. JRSS B 70, 849-911. Ties go to the column that comes first.

    Examples
    --------
    >>> X = np.array([[0.0, 3.0], [1.0, 1.0], [0.0, 2.0], [1.0, 0.0]])
    >>> TopK(1).choose(X, X[:, 1], np.array([0, 1]), ["a", "b"])
    array([1])
    """

    name: ClassVar[str] = "top_k"
    k: int
    by: str = "correlation"

    def __post_init__(self) -> None:
        """Check k and the measure."""
        object.__setattr__(self, "k", check_count(self.k, "k"))
        if self.by != "correlation":
            raise ValueError(f"by must be 'correlation', got {self.by!r}")

    def pick(self, rows: Rows) -> Ints:
        """Return the k best blocks."""
        return self.cut(self.rank(rows))

    def rank(self, rows: Rows) -> Ints:
        """Return all blocks, best first: the part of the work that every k shares."""
        targets = _as_targets(rows.y, rows.kind)
        scores = block_scores(rows.matrix, targets, rows.blocks, len(rows.block_names), rows.weights)
        # Rounding lets mirror images and duplicates tie, whatever the last bit of a dot product says.
        return np.argsort(-np.round(scores, 12), kind="stable")

    def cut(self, ranking: Ints) -> Ints:
        """Return the k first of a ranking, ascending."""
        return np.sort(ranking[: self.k])


#: Columns are scaled to at most 1: a sum of squares below this is rounding noise of a constant one.
_NOISE = 1e-20

REGISTRY: dict[str, type[FeatureRule]] = {rule.name: rule for rule in (All, Columns, TopK)}


def block_scores(matrix: Floats, targets: Floats, blocks: Ints, n_blocks: int, weights: Floats | None = None) -> Floats:
    """Score each block by the adjusted R^2 of the least-squares fit of the targets on it alone.

    For single columns this is the order of their absolute correlations with y. The adjustment,
    ``1 - (1 - R^2) (n - 1) / (n - 1 - rank)``, keeps a category of many levels from winning by chance.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_columns)
        NaN counts as the column's mean.
    targets : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Several targets are explained jointly.
    blocks : ndarray of shape (n_columns,)
        The block of each column.
    n_blocks : int
        Number of blocks.
    weights : ndarray of shape (n_rows,), optional
        Row weights.

    Returns
    -------
    ndarray of shape (n_blocks,)
        At most 1; minus infinity for a block that is constant.

    Examples
    --------
    >>> X = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    >>> block_scores(X, np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1]), 2)
    array([  1., -inf])
    """
    weights = np.ones(len(matrix)) if weights is None else np.asarray(weights, dtype=np.float64)
    root = np.sqrt(weights / weights.sum())[:, None]
    X = _centred(matrix, weights) * root
    Y = _centred(targets.reshape(len(targets), -1), weights) * root
    total = float(np.sum(Y * Y))
    explained, rank = _explained_by(X, Y, blocks, n_blocks)
    n_rows = int(np.count_nonzero(weights))
    with np.errstate(invalid="ignore"):
        left = np.maximum(total - explained, 0.0) / total
    scores = 1.0 - left * (n_rows - 1) / np.maximum(n_rows - 1 - rank, 1)
    return np.where((rank > 0) & (total > 0), scores, -np.inf)


def _explained_by(X: Floats, Y: Floats, blocks: Ints, n_blocks: int) -> tuple[Floats, Ints]:
    """Return `_explained` of every block."""
    size = np.bincount(blocks, minlength=n_blocks)
    explained, rank = _explained_alone(X, Y)
    alone = size[blocks] == 1
    of_block, rank_of_block = np.zeros(n_blocks), np.zeros(n_blocks, dtype=np.intp)
    of_block[blocks[alone]], rank_of_block[blocks[alone]] = explained[alone], rank[alone]
    columns = _columns_of(blocks, n_blocks)
    for block in np.flatnonzero(size > 1):
        of_block[block], rank_of_block[block] = _explained(X[:, columns[block]], Y)
    return of_block, rank_of_block


def _explained_alone(X: Floats, Y: Floats) -> tuple[Floats, Ints]:
    """Return `_explained` of every column taken by itself."""
    squares = np.einsum("ij,ij->j", X, X)
    varies = squares > _NOISE
    products = np.sum((X.T @ Y) ** 2, axis=1)
    return np.divide(products, squares, out=np.zeros(len(squares)), where=varies), varies.astype(np.intp)


def _columns_of(blocks: Ints, n_blocks: int) -> list[Ints]:
    """Return the columns of each block."""
    order = np.argsort(blocks, kind="stable")
    return np.split(order, np.searchsorted(blocks[order], np.arange(1, n_blocks)))


def _explained(B: Floats, Y: Floats) -> tuple[float, int]:
    """Return the sum of squares of Y's projection on the centred columns of B, and their rank.

    The eigenvectors of the Gram matrix leave out what indicator columns repeat: they sum to a constant.
    """
    values, vectors = np.linalg.eigh(B.T @ B)
    kept = values > max(1e-9 * values[-1], _NOISE)
    along = vectors[:, kept].T @ (B.T @ Y)
    return float(np.sum(along**2 / values[kept][:, None])), int(kept.sum())


def _centred(matrix: Floats, weights: Floats) -> Floats:
    """Return columns about their weighted means, scaled to at most 1 in absolute value, NaN as 0."""
    missing = np.isnan(matrix)
    is_whole = not missing.any()
    filled = matrix if is_whole else np.where(missing, 0.0, matrix)
    mass = weights.sum() if is_whole else weights @ ~missing
    means = (weights @ filled) / np.where(mass > 0, mass, 1.0)
    centred = matrix - means
    if not is_whole:
        centred[missing] = 0.0
    largest = np.maximum(centred.max(axis=0, initial=0.0), -centred.min(axis=0, initial=0.0))
    # A constant column leaves rounding noise of the size of its mean's last bits.
    varies = largest > 1e-13 * np.abs(means)
    centred *= varies
    centred /= np.where(varies, largest, 1.0)
    return centred


def _as_targets(y: NDArray[Any], kind: str) -> Floats:
    """Return y, or an indicator column for each class where there are more than two."""
    values = np.asarray(y)
    if kind == "regression":
        return values.astype(np.float64)
    labels = np.unique(values)
    return np.asarray(values[:, None] == labels[-1 if len(labels) <= 2 else slice(None)], dtype=np.float64)


def _as_names(names: Iterable[str] | str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"names must be a sequence of column names, got the string {names!r}")
    return tuple(str(name) for name in names)
