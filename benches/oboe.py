"""What a first pick, a fixed list and probing leave of the regret on Oboe's table of errors.

    METAFIT_DATA=... python benches/oboe.py               # six minutes of one thread
    METAFIT_DATA=... python benches/oboe.py --quick       # one split; a minute
    METAFIT_DATA=... python benches/oboe.py --variants    # two more of factors; a quarter of an hour

The table: errors of 219 configurations on 418 tables of OpenML (Yang et al. 2019); the 318 whose meta-features are
known (Fusi et al. 2018) are the tasks. Errors are scaled to [0, 1] on each task, the test task included: a learner that
observes a scaled error knows how far from the best it is. The variant "best unknown" does without that: there an error
is given back the level of the task's best one, the regrets are what they were, and the level has to be guessed.

Ten folds over tasks, five random splits into folds; learners are fitted on the other nine folds, and whatever they tune
they tune inside these. Probing alternates: rank, observe the error of the strategy that is next, rank again, until b
are observed. A fixed list is the first b of one ranking. What counts is the lowest of the b errors. The column after a
mean holds the 95% interval of the paired difference: at b = 1 to the single best, above to the greedy portfolio of the
same size. Tasks are resampled, each with its mean over the splits.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from metafit import Scores
from metafit.evaluation.bootstrap import cluster_weights, interval, weighted_means
from metafit.learners import BaseLearner, Factorization, NearestTasks, Portfolio, Regression, SingleBest, default

BUDGETS = (1, 2, 4, 8, 16)
N_FOLDS = 10


@dataclass(frozen=True)
class Entrant:
    """A learner, and what it is given."""

    name: str
    learner: BaseLearner
    probes: bool = False
    described: bool = True
    best_known: bool = True


SINGLE, LIST = "single best", "greedy portfolio"
LISTS = [
    Entrant(SINGLE, SingleBest()),
    Entrant(LIST, Portfolio(max(BUDGETS))),
    Entrant("nearest tasks", NearestTasks()),
    Entrant("regression", Regression()),
]
PROBING = [
    Entrant("factors", Factorization(), probes=True),
    Entrant("default", default(), probes=True),
]
VARIANTS = [
    Entrant("factors, no descriptions", Factorization(), probes=True, described=False),
    Entrant("factors, best unknown", Factorization(), probes=True, best_known=False),
]


@dataclass(frozen=True, eq=False)
class Table:
    """Scaled errors of the described tasks, the level of the best error, and descriptions."""

    regret: pd.DataFrame
    best: pd.Series
    descriptions: pd.DataFrame

    @classmethod
    def read(cls, root: Path) -> Table:
        errors = pd.read_csv(root / "oboe" / "error_matrix.csv", index_col=0)
        about = pd.read_csv(root / "openml_metafeatures_pmf" / "data_feats_featurized.csv", index_col=0)
        errors = errors.loc[errors.index.intersection(about.index)]
        best, worst = errors.min(axis=1), errors.max(axis=1)
        regret = errors.sub(best, axis=0).div(worst - best, axis=0)
        names = regret.index.map(str)
        regret.columns = [f"{place:03d}" for place in range(regret.shape[1])]
        return cls(regret.set_axis(names), best.set_axis(names), about.loc[errors.index].set_axis(names))

    def losses(self, best_known: bool) -> pd.DataFrame:
        if best_known:
            return self.regret
        return self.regret.mul(1 - self.best, axis=0).add(self.best, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--variants", action="store_true", help="probing without descriptions, and best unknown")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/oboe.csv"))
    arguments = parser.parse_args()
    table = Table.read(Path(os.environ["METAFIT_DATA"]))
    repeats = 1 if arguments.quick else 5
    entrants = [*LISTS, *PROBING, *(VARIANTS if arguments.variants else [])]
    rows = pd.DataFrame(
        [row for entrant in entrants for repeat in range(repeats) for row in measured(table, entrant, repeat)]
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(arguments.out, index=False)
    print(f"{len(table.regret)} tasks x {table.regret.shape[1]} strategies, {N_FOLDS} folds, {repeats} splits")
    print(shown(rows).to_string())
    print(arguments.out)


def measured(table: Table, entrant: Entrant, repeat: int) -> Iterator[dict[str, object]]:
    """Yield a row a task and way: regret with each budget, seconds of the fit and of a ranking."""
    losses = table.losses(entrant.best_known)
    fold = np.random.default_rng(repeat).permutation(len(losses)) % N_FOLDS
    for k in range(N_FOLDS):
        train, test = losses.index[fold != k], losses.index[fold == k]
        start = time.perf_counter()
        about = table.descriptions.loc[train] if entrant.described else None
        learner = entrant.learner.fit(Scores.from_matrix(losses.loc[train]), about)
        fitting = time.perf_counter() - start
        for task in test:
            description = table.descriptions.loc[task] if entrant.described else None
            for way, tried, ranking in ways(entrant, learner, description, losses.loc[task]):
                reached = np.minimum.accumulate(table.regret.loc[task, tried].to_numpy())
                regrets = {str(budget): reached[budget - 1] for budget in BUDGETS}
                yield {"way": way, "repeat": repeat, "task": task, "fit_s": fitting, "rank_s": ranking} | regrets


def ways(
    entrant: Entrant, learner: BaseLearner, description: pd.Series | None, losses: pd.Series
) -> Iterator[tuple[str, list[str], float]]:
    """Yield the name of a way, the strategies that are tried, and seconds of a ranking."""
    start = time.perf_counter()
    tried = list(learner.rank(description)[: max(BUDGETS)])
    yield entrant.name, tried, time.perf_counter() - start
    if entrant.probes:
        start = time.perf_counter()
        tried = probed(learner, description, losses)
        yield f"{entrant.name}, probing", tried, (time.perf_counter() - start) / len(tried)


def probed(learner: BaseLearner, description: pd.Series | None, losses: pd.Series) -> list[str]:
    observed: dict[str, float] = {}
    while len(observed) < max(BUDGETS):
        upcoming = learner.rank(description, observed)[len(observed)]
        observed[upcoming] = float(losses[upcoming])
    return list(observed)


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a way: means, and intervals of the differences."""
    columns = [str(budget) for budget in BUDGETS]
    means = rows.groupby(["way", "task"], sort=False)[columns].mean()
    weights = cluster_weights(means.loc[SINGLE].index, 10_000, 0)
    seconds = rows.groupby("way", sort=False)[["fit_s", "rank_s"]].mean()
    return pd.DataFrame({way: _figures(means, way, weights) for way in seconds.index}).T.assign(
        fit_s=seconds["fit_s"].round(2), rank_ms=(1000 * seconds["rank_s"]).round(1)
    )


def _figures(means: pd.DataFrame, way: str, weights: np.ndarray) -> dict[str, str]:
    figures = {}
    own = means.loc[way]
    for column in means:
        rival = SINGLE if column == "1" else LIST
        difference = (own[column] - means.loc[rival][column]).to_numpy()
        low, high = interval(weighted_means(weights, difference[:, None])[1:, 0], 0.95)
        versus = f"vs {'single' if column == '1' else 'list'} {column}"
        figures |= {column: f"{own[column].mean():.4f}", versus: "" if way == rival else f"{low:+.4f} {high:+.4f}"}
    return figures


if __name__ == "__main__":
    main()
