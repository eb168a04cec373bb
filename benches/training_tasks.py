"""How many tasks it takes to learn from, and which: on the scores that ship, families left out.

    python benches/training_tasks.py            # three minutes of one thread

What the first pick leaves of the regret after 4, 8, 16 and 32 training tasks: drawn at random, as diverse as can be, or
nearest to the task left out (see `metafit.evaluation.by_training_tasks`). A table and a picture in runs/bench.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import metafit as mf
from metafit.evaluation import by_training_tasks
from metafit.learners import NearestTasks, Regression
from metafit.report import TrainingTasksDisplay

SIZES = (4, 8, 16, 32)
LEARNERS = {"nearest_tasks": NearestTasks(size=1), "regression": Regression(size=1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/training_tasks.csv"))
    arguments = parser.parse_args()
    curve = by_training_tasks(LEARNERS, mf.Knowledge.load().scores, sizes=SIZES, n_draws=arguments.draws)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    curve.to_csv(arguments.out, index=False)
    shown = curve[curve["learner"].isin([*LEARNERS, "single_best", "noise_ceiling"])]
    wide = shown.pivot_table(
        index=["kind", "learner", "how"], columns="n_train", values="normalized_regret", sort=False
    )
    print(wide.round(3).to_string())
    picture = arguments.out.with_suffix(".png")
    TrainingTasksDisplay.from_curve(curve).figure_.savefig(picture)
    print(arguments.out, picture)


if __name__ == "__main__":
    main()
