"""The outcome of an evaluation: what each contestant reached on each task, and means with intervals."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from metafit.evaluation.bootstrap import cluster_weights, interval, weighted_means
from metafit.evaluation.significance import Comparison, Posthoc, compare

FloatArray = npt.NDArray[np.float64]

SINGLE_BEST, CEILING = "single_best", "noise_ceiling"
BASELINES = (SINGLE_BEST, "default", "random", CEILING)
_MEANS = {
    "mean_regret": "regret",
    "normalized_regret": "normalized_regret",
    "mean_rank": "rank",
    "win_rate": "win",
}
FIGURES = (*_MEANS, "gap_closed", "ceiling_gap_closed")


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What learners reached on tasks that they had not seen.

    Attributes
    ----------
    per_task : DataFrame
        A row per (kind, repeat, task, budget, learner): ``family``, ``strategy`` (the pick; missing where it
        is a mixture, as for chance), ``loss`` of the pick on seed B, ``best_loss`` of the task on seed B,
        ``regret``, ``normalized_regret``, ``rank`` among the contestants (the ceiling is none), ``win`` over
        the single best at the same budget (a draw is a half) and ``fallback``.
    budgets : tuple of int
    notes : tuple of str
        What a reader must know to read the figures.
    rankings : dict of (learner, repeat, task) to tuple of str
        The head of each ranking, as long as the largest budget.
    n_resamples, random_state : int
        Of the bootstrap.
    """

    per_task: pd.DataFrame
    budgets: tuple[int, ...]
    notes: tuple[str, ...] = ()
    rankings: dict[tuple[str, int, str], tuple[str, ...]] = field(default_factory=dict)
    n_resamples: int = 2000
    random_state: int = 0

    def summary(self, budget: int | None = None, kind: str | None = None, level: float = 0.95) -> pd.DataFrame:
        """Average over tasks, with bootstrap intervals over families.

        Parameters
        ----------
        budget, kind : optional
            Only this budget, only this kind; every one by default.
        level : float
            Coverage of the intervals.

        Returns
        -------
        DataFrame
            A row per (kind, budget, learner). Each figure has two companions, ``*_low`` and ``*_high``:

            - ``mean_regret``: u - u_best, in units of the loss u;
            - ``normalized_regret``: see `metafit.scores.normalized_regret`;
            - ``mean_rank`` among the contestants at this budget, 1 the best; NaN for the ceiling, which is
              none;
            - ``win_rate``: share of the tasks won against the single best at this budget, a draw a half;
            - ``gap_closed``: how much of the way from the single best's first pick to the virtual best, in
              mean normalised regret;
            - ``ceiling_gap_closed``: the same way, but to the noise ceiling: the virtual best as far as
              selecting on seed A can find it.

            Then ``n_tasks``, ``n_families`` and ``fallback``, the share of the tasks on which the learner
            fell back.

        Raises
        ------
        ValueError
            If nothing was evaluated at that budget or of that kind.
        """
        kinds = list(self.per_task["kind"].unique())
        for name, value, known in (("budget", budget, list(self.budgets)), ("kind", kind, kinds)):
            if value is not None and value not in known:
                raise ValueError(f"{name}={value!r}: evaluated were {known}")
        tables = [self._summary_of(one, level) for one in kinds if kind in (None, one)]
        table = pd.concat(tables, ignore_index=True)
        return table if budget is None else table[table["budget"] == budget].reset_index(drop=True)

    def curve(self, metric: str = "normalized_regret", kind: str | None = None, level: float = 0.95) -> pd.DataFrame:
        """Give one figure against the budget.

        Returns
        -------
        DataFrame
            Columns ``kind``, ``learner``, ``budget``, ``value``, ``low``, ``high``.

        Raises
        ------
        ValueError
            If there is no such figure.
        """
        if metric not in FIGURES:
            raise ValueError(f"metric={metric!r}: choose one of {list(FIGURES)}")
        table = self.summary(kind=kind, level=level)
        names = {metric: "value", f"{metric}_low": "low", f"{metric}_high": "high"}
        table = table[["kind", "learner", "budget", *names]].rename(columns=names)
        order = {name: place for place, name in enumerate(table["learner"].drop_duplicates())}
        by = table.assign(place=table["learner"].map(order)).sort_values(["kind", "place", "budget"], kind="stable")
        return by.drop(columns="place").reset_index(drop=True)

    def blocks(
        self, figure: str = "normalized_regret", *, budget: int | None = None, kind: str | None = None
    ) -> pd.DataFrame:
        """Give a figure by family and learner, the table that tests compare.

        Tasks of one family are alike, and would count as evidence more than once: a family is one block, with the mean
        over its tasks and repeats.

        Parameters
        ----------
        figure : {"normalized_regret", "regret", "loss", "rank"}
        budget : int, optional
            The least that was evaluated by default.
        kind : str, optional
            May be left out where there is only one.

        Returns
        -------
        DataFrame
            Index family, columns learner. The noise ceiling is no learner.

        Raises
        ------
        ValueError
            If there is no such figure, budget or kind, or several kinds and none is named.
        """
        kinds = list(self.per_task["kind"].unique())
        budget = min(self.budgets) if budget is None else budget
        kind = kinds[0] if kind is None and len(kinds) == 1 else kind
        figures = ["normalized_regret", "regret", "loss", "rank"]
        for name, value, known in (
            ("figure", figure, figures),
            ("budget", budget, self.budgets),
            ("kind", kind, kinds),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r}: choose one of {list(known)}")
        rows = self.per_task
        rows = rows[(rows["kind"] == kind) & (rows["budget"] == budget) & (rows["learner"] != CEILING)]
        names = list(rows["learner"].unique())
        return rows.groupby(["family", "learner"])[figure].mean().unstack("learner")[names].rename_axis(columns=None)

    def compare(
        self,
        figure: str = "normalized_regret",
        *,
        budget: int | None = None,
        kind: str | None = None,
        posthoc: Posthoc = "wilcoxon_holm",
        alpha: float = 0.05,
    ) -> Comparison:
        """Test whether the learners differ over families of tasks.

        Parameters
        ----------
        figure, budget, kind
            As in `blocks`.
        posthoc, alpha
            As in `metafit.evaluation.compare`.

        Returns
        -------
        Comparison

        Raises
        ------
        ValueError
            As `blocks`, and for fewer than two families.
        """
        return compare(self.blocks(figure, budget=budget, kind=kind), posthoc=posthoc, alpha=alpha)

    def _summary_of(self, kind: str, level: float) -> pd.DataFrame:
        rows = self.per_task[self.per_task["kind"] == kind]
        # repeats of one task are no new tasks
        by = ["task", "family", "budget", "learner"]
        wide = rows.groupby(by, sort=False)[[*_MEANS.values(), "fallback"]].mean().unstack(["budget", "learner"])
        families = wide.index.get_level_values("family")
        weights = cluster_weights(families, self.n_resamples, self.random_state)
        names = rows["learner"].drop_duplicates()
        contestants = pd.MultiIndex.from_product([self.budgets, names], names=["budget", "learner"])
        means = {name: weighted_means(weights, wide[column][contestants].to_numpy()) for name, column in _MEANS.items()}
        means |= self._gaps(means["normalized_regret"], contestants)
        table = contestants.to_frame(index=False).assign(kind=kind)[["kind", "budget", "learner"]]
        for name, values in means.items():
            low, high = interval(values[1:], level) if families.nunique() > 1 else (np.nan, np.nan)
            table = table.assign(**{name: values[0], f"{name}_low": low, f"{name}_high": high})
        fallback = wide["fallback"][contestants].to_numpy().mean(axis=0)
        return table.assign(n_tasks=len(wide), n_families=families.nunique(), fallback=fallback)

    def _gaps(self, regret: FloatArray, contestants: pd.MultiIndex) -> dict[str, FloatArray]:
        first = min(self.budgets)
        places = contestants.get_indexer(pd.MultiIndex.from_tuples([(first, SINGLE_BEST), (first, CEILING)]))
        start, ceiling = regret[:, places[:1]], regret[:, places[1:]]
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = (start - regret) / start, (start - regret) / (start - ceiling)
        names = ("gap_closed", "ceiling_gap_closed")
        return {name: np.where(np.isfinite(x), x, np.nan) for name, x in zip(names, shares, strict=True)}

    def __repr__(self) -> str:
        blocks = [self._block(kind) for kind in self.per_task["kind"].unique()]
        return "\n\n".join([*blocks, *(f"Note: {note}" for note in self.notes)])

    def _block(self, kind: str) -> str:
        table = self.summary(kind=kind)
        shown = [
            f"{value:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) else f"{value:.3f}"
            for value, low, high in zip(
                table["normalized_regret"],
                table["normalized_regret_low"],
                table["normalized_regret_high"],
                strict=True,
            )
        ]
        wide = table.assign(shown=shown).pivot(index="learner", columns="budget", values="shown")
        wide = wide.loc[table["learner"].drop_duplicates()].rename_axis(index=None, columns="budget")
        size = f"{table['n_tasks'].iloc[0]} tasks of {table['n_families'].iloc[0]} families"
        return f"{kind}, {size}: normalised regret [95% interval]\n{wide.to_string()}"
