"""What learners must keep to: speed, no harm beside the single best, reasons that decide, figures that stand holes.

    METAFIT_DATA=... python benches/learner_laws.py              # all four; half an hour of one thread
    METAFIT_DATA=... python benches/learner_laws.py speed        # one of them
    METAFIT_DATA=... python benches/learner_laws.py reasons --tasks 32

speed: 1,000 tasks x 1,000 strategies, 20% holes, 40 meta-features; seconds of the processor.

harm: the first pick of the default learner beside that of the single best, on tasks left out in five folds: mean
normalised regrets, and the 95% interval of the paired difference by resampled tasks.

reasons: on Oboe's table (see oboe.py), the default learner is fitted again without the tasks, at most five, that a
ranking names as its reasons, and without as many drawn at random: how often does the pick change?

holes: on the scores that ship, with 30% of the cells of task and strategy deleted at random and without: how many
figures of `evaluate`, families left out, stay within the 95% interval that they had?
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from oboe import Table

from metafit import Scores
from metafit.evaluation import evaluate
from metafit.evaluation.bootstrap import cluster_weights, interval, weighted_means
from metafit.knowledge import Knowledge
from metafit.learners import REGISTRY, SingleBest, default
from metafit.testing import make_scores

Described = tuple[Scores, pd.DataFrame]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["speed", "harm", "reasons", "holes"])
    parser.add_argument("--tasks", type=int, default=96, help="tasks whose reasons are taken away")
    arguments = parser.parse_args()
    run = {"speed": speed, "harm": harm, "reasons": lambda: reasons(arguments.tasks), "holes": holes}
    for part in arguments.parts:
        print(part, flush=True)
        run[part]()


def large() -> Described:
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(1000, 8))
    noise = 0.3 * rng.normal(size=(1000, 1000))
    losses = 1 / (1 + np.exp(-latent @ rng.normal(size=(8, 1000)) / 3 - noise))
    losses[rng.random(losses.shape) < 0.2] = np.nan
    names = [f"task{i:04d}" for i in range(1000)]
    about = latent @ rng.normal(size=(8, 40)) + rng.normal(size=(1000, 40))
    strategies = [f"strategy{j:04d}" for j in range(1000)]
    scores = Scores.from_matrix(pd.DataFrame(losses, index=names, columns=strategies))
    return scores, pd.DataFrame(about, index=names, columns=[f"x{j}" for j in range(40)])


def speed() -> None:
    """Print a line a learner: seconds of the fit, milliseconds of a ranking before and after observations."""
    scores, about = large()
    seen = {"strategy0003": 0.4, "strategy0007": 0.3, "strategy0010": 0.5}
    for name, learner in REGISTRY.items():
        start = time.process_time()
        fitted = learner().fit(scores, about)
        fitting = time.process_time() - start
        took = []
        for observed in (None, seen):
            start = time.process_time()
            for task in about.index[:5]:
                fitted.rank(about.loc[task], observed)
            took.append(200 * (time.process_time() - start))
        print(f"{name:14s} fit {fitting:6.2f} s   rank {took[0]:6.1f} ms   observed {took[1]:6.1f} ms", flush=True)


def tables() -> Iterator[tuple[str, Scores, pd.DataFrame]]:
    """Yield tables in which descriptions tell much, little and nothing."""
    for noise in (0.02, 0.2):
        for n_tasks, n_strategies in ((40, 12), (120, 6), (120, 30)):
            scores, about = make_scores(n_tasks, n_strategies, holes=0.1, failures=0.05, noise=noise)
            label = f"made up, {n_tasks} x {n_strategies}, noise {noise}"
            yield label, scores, about
            yield f"{label}, told nothing", scores, about[["idle"]]
    table = Table.read(Path(os.environ["METAFIT_DATA"]))
    yield "oboe", Scores.from_matrix(table.regret), table.descriptions
    for folder in sorted((Path(os.environ["METAFIT_DATA"]) / "aslib").iterdir()):
        scores = Scores.from_aslib(folder)
        yield folder.name, scores, scores.descriptions


def harm() -> None:
    print(f"{'table':44s} single  default  difference, 95%")
    for label, scores, about in tables():
        picked = pd.concat([_picked(scores, about, fold) for fold in range(5)])
        difference = (picked["default"] - picked["single"]).to_numpy()
        weights = cluster_weights(picked.index, 5000, 0)
        low, high = interval(weighted_means(weights, difference[:, None])[1:, 0], 0.95)
        means = picked.mean()
        print(f"{label:44s} {means['single']:.4f}  {means['default']:.4f}   {low:+.4f} {high:+.4f}", flush=True)


def _picked(scores: Scores, about: pd.DataFrame, fold: int, n_folds: int = 5) -> pd.DataFrame:
    """Give the regret of the first picks among what was attempted, on the tasks of one fold."""
    names = scores.tasks.index
    here = names[np.random.default_rng(0).permutation(len(names)) % n_folds == fold]
    regret = scores.regret().loc[here].dropna(how="all")
    known = scores.without_tasks(here)
    rows = about.loc[about.index.isin(known.tasks.index)]
    ways = {"single": SingleBest().fit(known), "default": default().fit(known, rows)}
    picks = {
        way: [row[learner.rank(about.loc[task], candidates=row.dropna().index)[0]] for task, row in regret.iterrows()]
        for way, learner in ways.items()
    }
    return pd.DataFrame(picks, index=regret.index)


def reasons(n_tasks: int, n_folds: int = 10) -> None:
    table = Table.read(Path(os.environ["METAFIT_DATA"]))
    rng = np.random.default_rng(0)
    fold = rng.permutation(len(table.regret)) % n_folds
    flips = {"named": 0, "random": 0}
    judged = 0
    for k in range(n_folds):
        train, test = table.regret.index[fold != k], table.regret.index[fold == k]
        learner = default().fit(Scores.from_matrix(table.regret.loc[train]), table.descriptions.loc[train])
        for task in test[: -(-n_tasks // n_folds)]:
            ranking = learner.rank(table.descriptions.loc[task])
            if ranking.neighbours is None:
                continue
            judged += 1
            named = list(ranking.decided_by)
            without = {"named": named, "random": rng.choice(train, len(named), replace=False)}
            for what, tasks in without.items():
                flips[what] += _first(table, train.difference(tasks), task) != ranking[0]
        changed = f"{flips['named']} times without the named, {flips['random']} without others"
        print(f"{judged} tasks: the pick changed {changed}", flush=True)


def holes(share: float = 0.3) -> None:
    whole = Knowledge.load().scores
    pair = whole.cells["task"].cat.codes.to_numpy() * len(whole.strategies) + whole.cells["strategy"].cat.codes
    kept = np.random.default_rng(0).random(len(whole.tasks) * len(whole.strategies)) >= share
    parts = {name: getattr(whole, name) for name in ("tasks", "strategies", "descriptions")}
    holey = Scores(whole.cells[kept[pair]], **parts)
    contestants = {name: REGISTRY[name]() for name in ("portfolio", "nearest_tasks", "regression")}
    contestants["default learner"] = default()
    keys, budgets = ["kind", "budget", "learner"], (1, 4, 8)
    before, after = (
        pd.concat([result.summary(budget=b).assign(budget=b) for b in budgets]).set_index(keys)
        for result in (evaluate(contestants, scores, budgets=budgets) for scores in (whole, holey))
    )
    low, high = before["normalized_regret_low"], before["normalized_regret_high"]
    here = after["normalized_regret"].reindex(before.index)
    within = (low <= here) & (here <= high)
    overlap = (low <= after["normalized_regret_high"]) & (after["normalized_regret_low"] <= high)
    print(pd.DataFrame({"whole": before["normalized_regret"], "low": low, "high": high, "holes": here}).round(4))
    print(f"{within.sum()} of {len(within)} within their intervals, {overlap.sum()} intervals overlap")


def _first(table: Table, train: pd.Index, task: str) -> str:
    learner = default().fit(Scores.from_matrix(table.regret.loc[train]), table.descriptions.loc[train])
    return learner.rank(table.descriptions.loc[task])[0]


if __name__ == "__main__":
    main()
