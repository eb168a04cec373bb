"""Whether contestants differ: rank tests over tasks, also where cells are missing, and which pairs do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

__all__ = ["Comparison", "compare"]

FloatArray = npt.NDArray[np.float64]
Posthoc = Literal["wilcoxon_holm", "nemenyi"]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Contestants compared over blocks: tasks, or families of them.

    Attributes
    ----------
    values : DataFrame
        A row a block, a column a contestant; lower is better, NaN was not measured.
    test : {"friedman", "skillings_mack"}
        The second where cells are missing.
    statistic, p_value : float
        Of the hypothesis that all contestants are alike.
    mean_ranks : Series
        1 is the best, in ascending order. Ranks among the contestants that a block has, stretched to all of them.
    posthoc : {"wilcoxon_holm", "nemenyi"}
    p_values : DataFrame
        Of every pair, adjusted for the number of pairs; 1 on the diagonal, NaN for pairs without a common block.
    critical_difference : float
        Least difference of mean ranks that Nemenyi's test calls one; NaN with Wilcoxon's.
    alpha : float
        Level of the tests.
    """

    values: pd.DataFrame
    test: str
    statistic: float
    p_value: float
    mean_ranks: pd.Series[float]
    posthoc: Posthoc
    p_values: pd.DataFrame
    critical_difference: float
    alpha: float

    def groups(self) -> list[list[str]]:
        """Return the longest runs of neighbours by mean rank of which no two differ at level alpha.

        Examples
        --------
        >>> values = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20) + 0.5, "c": np.arange(20) + 9.0})
        >>> values.loc[::2, "b"] -= 1
        >>> compare(values).groups()
        [['a', 'b']]
        """
        names = list(self.mean_ranks.index)
        alike = self.p_values.loc[names, names].to_numpy() > self.alpha
        ends = []
        for start in range(len(names)):
            end = start + 1
            while end < len(names) and alike[end, start:end].all():
                end += 1
            ends.append(end)
        fresh = [end > max(ends[:start], default=0) for start, end in enumerate(ends)]
        return [
            names[start:end]
            for start, (end, new) in enumerate(zip(ends, fresh, strict=True))
            if new and end - start > 1
        ]

    def bayesian(
        self, reference: str, rope: float = 0.01, *, n_samples: int = 50_000, random_state: int = 0
    ) -> pd.DataFrame:
        """Return how probable it is that each contestant is practically better than another one.

        Parameters
        ----------
        reference : str
            The contestant that the others are compared with.
        rope : float
            Differences up to this are practically none, in units of the values.
        n_samples, random_state : int
            Of the posterior.

        Returns
        -------
        DataFrame
            Index contestant; columns ``better``, ``equivalent`` and ``worse`` than the reference sum to 1.

        Raises
        ------
        ImportError
            Without baycomp.
        ValueError
            If the reference is no contestant.

        Notes
        -----
        The Bayesian signed-rank test: Benavoli, Corani, Demsar and Zaffalon (2017), Time for a change, JMLR 18(77).
        """
        if reference not in self.values:
            raise ValueError(f"reference={reference!r}: compared were {list(self.values)}")
        try:
            from baycomp import SignedRankTest
        except ImportError as error:
            raise ImportError("the Bayesian test needs baycomp: pip install 'metafit[report]'") from error
        rows = {}
        for name in self.mean_ranks.index.drop(reference):
            pair = self.values[[name, reference]].dropna().to_numpy()
            posterior = SignedRankTest(*(-pair.T), rope, nsamples=n_samples, random_state=random_state)
            rows[name] = posterior.probs()
        return pd.DataFrame.from_dict(rows, orient="index", columns=["better", "equivalent", "worse"])

    def __repr__(self) -> str:
        head = f"{self.test}: statistic {self.statistic:.4g}, p {self.p_value:.3g}, {len(self.values)} blocks"
        groups = "; ".join(" = ".join(group) for group in self.groups()) or "none"
        return f"{head}\n{self.mean_ranks.round(3).to_string()}\nnot told apart ({self.posthoc}): {groups}"


def compare(values: pd.DataFrame, *, posthoc: Posthoc = "wilcoxon_holm", alpha: float = 0.05) -> Comparison:
    """Test whether contestants differ, then which pairs.

    Parameters
    ----------
    values : DataFrame
        A row a block (a task or a family: blocks should be independent), a column a contestant; lower is better.
        NaN was not measured: Friedman's test becomes that of Skillings and Mack, which uses the cells there are, and
        pairs are compared on their common blocks. Blocks with fewer than two cells say nothing and are left out.
    posthoc : {"wilcoxon_holm", "nemenyi"}
        Wilcoxon's signed-rank test of every pair, adjusted after Holm; or Nemenyi's of mean ranks: it needs all cells.
    alpha : float

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        For fewer than two contestants or blocks, infinite values, or Nemenyi's test with holes.

    Notes
    -----
    Demsar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7; Skillings and Mack (1981), On
    the use of a Friedman-type statistic in balanced and unbalanced block designs, Technometrics 23. Ties get their mean
    rank, and the variance that follows from it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> loss = pd.DataFrame(rng.random((30, 3)), columns=["a", "b", "c"]) + [0.0, 0.0, 0.5]
    >>> compare(loss).groups()
    [['b', 'a']]
    """
    table = _checked(values, posthoc, alpha)
    ranks = table.rank(axis=1)
    statistic, p_value = _skillings_mack(ranks.to_numpy())
    complete = bool(table.notna().to_numpy().all())
    mean_ranks = _stretched(ranks).mean(axis=0).sort_values(kind="stable")
    n, k = table.shape
    if posthoc == "nemenyi":
        error = np.sqrt(k * (k + 1) / (12 * n))
        p_values, difference = _nemenyi(mean_ranks[table.columns], error), _q(alpha, k) * error
    else:
        p_values, difference = _wilcoxon_holm(table), float("nan")
    test = "friedman" if complete else "skillings_mack"
    return Comparison(table, test, statistic, p_value, mean_ranks, posthoc, p_values, difference, alpha)


def _checked(values: pd.DataFrame, posthoc: str, alpha: float) -> pd.DataFrame:
    if posthoc not in ("wilcoxon_holm", "nemenyi"):
        raise ValueError(f"posthoc must be 'wilcoxon_holm' or 'nemenyi', got {posthoc!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}")
    table = values.astype(float)
    if np.isinf(table.to_numpy()).any():
        raise ValueError("values holds infinity: give what failed its loss, or leave it out as NaN")
    table = table[table.notna().sum(axis=1) >= 2]
    if table.shape[0] < 2 or table.shape[1] < 2:
        raise ValueError(f"a comparison needs two contestants and two blocks with two cells, got {table.shape}")
    if table.isna().all().any():
        raise ValueError(f"values holds no cell of {list(table.columns[table.isna().all()])} beside another one")
    if posthoc == "nemenyi" and table.isna().to_numpy().any():
        raise ValueError("Nemenyi's test needs every contestant on every block: use posthoc='wilcoxon_holm'")
    return table


def _skillings_mack(ranks: FloatArray) -> tuple[float, float]:
    """Statistic and p-value of ranks within blocks (rows); Friedman's where all are there."""
    there = ~np.isnan(ranks)
    size = there.sum(axis=1, keepdims=True)
    away = np.where(there, ranks - (size + 1) / 2, 0.0)
    # a block of k ranks weighs sqrt(12 / (k + 1)), which levels what blocks of different sizes contribute
    weight = 12 / (size[:, 0] + 1)
    total = np.sqrt(weight) @ away
    # covariance of a block's ranks under permutations: their variance times (I - 1/k)
    spread = weight * np.square(away).sum(axis=1) / (size[:, 0] - 1)
    seen = there.astype(float)
    covariance = np.diag(spread @ seen) - (seen * (spread / size[:, 0])[:, None]).T @ seen
    statistic = float(total @ np.linalg.pinv(covariance, hermitian=True) @ total)
    freedom = int(np.linalg.matrix_rank(covariance, hermitian=True))
    return statistic, float(stats.chi2.sf(statistic, freedom)) if freedom else 1.0


def _stretched(ranks: pd.DataFrame) -> pd.DataFrame:
    """Ranks among those of a block, 1 to its size, as ranks from 1 to the number of contestants."""
    size = ranks.notna().sum(axis=1)
    return (ranks - 1).mul((ranks.shape[1] - 1) / (size - 1), axis=0) + 1


def _q(alpha: float, k: int) -> float:
    return float(stats.studentized_range.isf(alpha, k, np.inf))


def _nemenyi(mean_ranks: pd.Series[float], error: float) -> pd.DataFrame:
    away = np.abs(np.subtract.outer(mean_ranks.to_numpy(), mean_ranks.to_numpy())) / error
    return _symmetric(mean_ranks.index, stats.studentized_range.sf(away, len(mean_ranks), np.inf))


def _wilcoxon_holm(table: pd.DataFrame) -> pd.DataFrame:
    k = table.shape[1]
    pairs = list(combinations(range(k), 2))
    values = table.to_numpy()
    adjusted = holm(np.array([_wilcoxon(values[:, i] - values[:, j]) for i, j in pairs]))
    p_values = np.full((k, k), np.nan)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        p_values[i, j] = p_values[j, i] = p
    return _symmetric(table.columns, p_values)


def _wilcoxon(differences: FloatArray) -> float:
    known = differences[~np.isnan(differences)]
    if not len(known):
        return float("nan")
    return float(stats.wilcoxon(known).pvalue) if known.any() else 1.0


def holm(p_values: FloatArray) -> FloatArray:
    """Adjust p-values for their number, stepping down; NaN are none.

    Notes
    -----
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p_values)
    n = int((~np.isnan(p_values)).sum())
    adjusted = np.full(len(p_values), np.nan)
    steps = p_values[order[:n]] * (n - np.arange(n))
    adjusted[order[:n]] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _symmetric(names: pd.Index[str], p_values: FloatArray) -> pd.DataFrame:
    np.fill_diagonal(p_values, 1.0)
    return pd.DataFrame(p_values, index=names, columns=names)
