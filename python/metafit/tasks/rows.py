"""Choosing rows: folds and samples that keep groups together and classes in proportion."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from metafit.tasks.frames import Ints

# A sample that must serve for cross-validation needs this many groups.
MIN_GROUPS = 5


def fold_indices(
    y: NDArray[np.generic], *, folds: int, stratify: bool, groups: Ints | None, random_state: int
) -> list[tuple[Ints, Ints]]:
    """Split rows into `folds` shuffled (train, test) pairs, by scikit-learn's splitter for the case."""
    units, unit = (len(y), "rows") if groups is None else (len(np.unique(groups)), "groups")
    if not 2 <= folds <= units:
        raise ValueError(f"folds={folds}; it must lie between 2 and the number of {unit}, {units}.")
    splitter = _splitter(folds, stratify, groups is not None, random_state)
    with warnings.catch_warnings():
        # A class rarer than `folds` is in fewer folds; nothing better can be done for it.
        warnings.filterwarnings("ignore", message="The least populated class")
        pairs = list(splitter.split(np.zeros(len(y)), y, groups))
    return [(train.astype(np.int64), test.astype(np.int64)) for train, test in pairs]


def _splitter(
    folds: int, stratify: bool, grouped: bool, random_state: int
) -> KFold | StratifiedKFold | GroupKFold | StratifiedGroupKFold:
    kinds = {
        (False, False): KFold,
        (True, False): StratifiedKFold,
        (False, True): GroupKFold,
        (True, True): StratifiedGroupKFold,
    }
    return kinds[stratify, grouped](folds, shuffle=True, random_state=random_state)


def sample_rows(max_rows: int, codes: Ints | None, groups: Ints | None, n_rows: int, rng: np.random.Generator) -> Ints:
    """
    Choose at most `max_rows` of the rows, in their own order.

    Whole groups are kept where at least five of them fit; longer ones are thinned at random. Without groups,
    each class of `codes` keeps its share.
    """
    if groups is not None:
        return _sample_groups(max_rows, groups, rng)
    if codes is not None:
        return _sample_classes(max_rows, codes, rng)
    return np.sort(rng.choice(n_rows, max_rows, replace=False))


def _sample_classes(max_rows: int, codes: Ints, rng: np.random.Generator) -> Ints:
    # Rows sorted by (class, chance), taken at even steps: each class gets its share to within one row.
    order = np.lexsort((rng.random(len(codes)), codes))
    steps = np.floor((np.arange(max_rows) + rng.random()) * len(codes) / max_rows).astype(np.int64)
    return np.sort(order[steps])


def _sample_groups(max_rows: int, groups: Ints, rng: np.random.Generator) -> Ints:
    labels, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    chance = rng.permutation(len(labels))
    kept = _that_fit(chance, sizes, max_rows)
    wanted = min(MIN_GROUPS, len(labels))
    if len(kept) >= wanted:
        return np.flatnonzero(np.isin(members, kept))
    thin = max(max_rows // wanted, 1)
    # A row's rank in its group by chance; only the first `thin` rows of a group compete.
    rank = _rank_within(members, sizes, rng)
    kept = _that_fit(chance, np.minimum(sizes, thin), max_rows)
    return np.flatnonzero(np.isin(members, kept) & (rank < thin))


def _that_fit(order: Ints, sizes: Ints, max_rows: int) -> list[int]:
    """Take items in order while they fit, passing over those that do not."""
    kept, free = [], max_rows
    for item in order:
        if sizes[item] <= free:
            kept.append(int(item))
            free -= sizes[item]
    return kept


def _rank_within(members: Ints, sizes: Ints, rng: np.random.Generator) -> Ints:
    order = np.lexsort((rng.random(len(members)), members))
    rank = np.empty(len(members), dtype=np.int64)
    rank[order] = np.arange(len(members)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank
