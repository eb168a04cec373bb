"""How much of the gap between the single best solver and the virtual best a learner closes on ASlib scenarios.

    METAFIT_DATA=... python benches/aslib.py                      # all scenarios under $METAFIT_DATA/aslib
    METAFIT_DATA=... python benches/aslib.py --learners regression --seeds 1 --scenarios CSP-2010

Official folds, learners fitted on the training folds alone. Seconds are PAR10: an instance that the first pick does not
solve within the cutoff, the time its features took included, counts ten cutoffs. Sums run over all instances:
(single best - learner) / (single best - virtual best), where the single best is that of the training folds and neither
it nor the virtual best pays for features. The column seconds holds those of the processor, for all folds.

Beside them, where it is installed (`pip install asf==0.1.8`), the selectors of asf: pairwise classifiers weighted by
the difference, and a regression of the logarithm of PAR10 for each solver, each with forests of 100 trees.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from metafit import Scores
from metafit.evaluation.splits import holdouts
from metafit.learners import REGISTRY, BaseLearner, SingleBest, default

OURS = ["nearest_tasks", "regression", "pairwise", "default learner"]
ASF = ["asf pairwise", "asf regression"] if find_spec("asf") else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", nargs="*", default=[*OURS, *ASF])
    parser.add_argument("--scenarios", nargs="*", default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/aslib.csv"))
    arguments = parser.parse_args()
    root = Path(os.environ["METAFIT_DATA"]) / "aslib"
    folders = [root / name for name in arguments.scenarios or sorted(path.name for path in root.iterdir())]
    rows = [row for folder in folders for row in _scenario(folder, arguments.learners, arguments.seeds)]
    table = pd.DataFrame(rows)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out, index=False)
    closed = table.pivot_table(index="learner", columns="scenario", values="gap_closed", sort=False)
    seconds = table.groupby("learner", sort=False)["seconds"].mean()
    print(closed.assign(mean=closed.mean(axis=1), seconds=seconds).round(3).to_string())


def _scenario(folder: Path, learners: list[str], n_seeds: int) -> Iterator[dict[str, object]]:
    scores = Scores.from_aslib(folder)
    for name in learners:
        for seed in range(n_seeds):
            start = time.process_time()
            closed = gap_closed(scores, _learner(name, seed))
            seconds = time.process_time() - start
            print(f"{folder.name}, {name}, seed {seed}: {closed:.3f} in {seconds:.0f} s", flush=True)
            yield {"scenario": folder.name, "learner": name, "seed": seed, "gap_closed": closed, "seconds": seconds}


class Asf:
    """A selector of asf with the methods of a learner that are needed here."""

    def __init__(self, name: str, seed: int) -> None:
        from asf.selectors import PairwiseClassifier, PerformanceModel

        if name == "asf pairwise":
            self.selector = PairwiseClassifier(estimator=RandomForestClassifier(100, random_state=seed))
        else:
            self.selector = PerformanceModel(estimator=RandomForestRegressor(100, random_state=seed))

    def fit(self, scores: Scores, descriptions: pd.DataFrame) -> Asf:
        seconds = scores.matrix(tied_last=True).mul(10 * scores.tasks["cutoff"], axis=0)
        self.selector.fit(descriptions, seconds.loc[descriptions.index])
        return self

    def picks(self, descriptions: pd.DataFrame) -> list[str]:
        chosen = self.selector.predict(descriptions)
        return [chosen[task][0][0] for task in descriptions.index]


def _learner(name: str, seed: int) -> BaseLearner | Asf:
    if name in ASF:
        return Asf(name, seed)
    learner = default() if name == "default learner" else REGISTRY[name]()
    return learner.set_params(random_state=seed) if "random_state" in learner.get_params() else learner


def _picks(learner: BaseLearner | Asf, descriptions: pd.DataFrame) -> list[str]:
    if isinstance(learner, Asf):
        return learner.picks(descriptions)
    return [learner.rank(row)[0] for _, row in descriptions.iterrows()]


def gap_closed(scores: Scores, learner: BaseLearner | Asf) -> float:
    """Pool the PAR10 seconds of all folds."""
    loss = scores.matrix(tied_last=True)
    cutoff = scores.tasks["cutoff"]
    sums = np.zeros(3)
    for split in holdouts(scores, "folds"):
        known = scores.only_tasks(split.train)
        about = scores.descriptions.loc[split.train]
        single = SingleBest("loss").fit(known).rank()[0]
        learner.fit(known, about)
        picks = _picks(learner, scores.descriptions.loc[split.test])
        here = loss.loc[split.test]
        limit = cutoff[split.test].to_numpy()
        seconds = here.to_numpy()[np.arange(len(picks)), here.columns.get_indexer(picks)] * 10 * limit
        seconds = seconds + scores.tasks.loc[split.test, "feature_seconds"].to_numpy()
        seconds = np.where(seconds > limit, 10 * limit, seconds)
        sums += [here[single] @ (10 * limit), here.min(axis=1) @ (10 * limit), seconds.sum()]
    return float((sums[0] - sums[2]) / (sums[0] - sums[1]))


if __name__ == "__main__":
    main()
