"""Step 1 judged: what learners reach by the number of training tasks, and by how these were chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from metafit.descriptions import standardize
from metafit.evaluation.evaluate import evaluate
from metafit.evaluation.splits import Holdout, holdouts
from metafit.learners import Learner
from metafit.scores import Scores
from metafit.study.progress import Progress
from metafit.tasks.suite import farthest_first

WAYS = ("random", "diverse", "nearest")
FIGURES = ("normalized_regret", "normalized_regret_low", "normalized_regret_high")


def by_training_tasks(
    learners: Mapping[str, Learner],
    scores: Scores,
    descriptions: pd.DataFrame | None = None,
    *,
    sizes: Sequence[int] = (4, 8, 16, 32, 64),
    ways: Sequence[str] = WAYS,
    leave_out: Any = "family",
    budget: int = 1,
    n_draws: int = 3,
    random_state: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Give the regret of learners that learn from few of the tasks that are not left out.

    Parameters
    ----------
    learners : mapping of str to Learner
    scores : Scores
    descriptions : DataFrame, optional
        Index task; by default those that the scores carry.
    sizes : sequence of int
        Numbers of training tasks; those above the smallest number that a split leaves are left out.
    ways : sequence of {"random", "diverse", "nearest"}
        Tasks are drawn at random; or each is the farthest, by its description, from those before (as in
        `TaskSuite.sample`); or they are those nearest to the task left out (as in `TaskSuite.nearest`), for each anew.
    leave_out
        See `evaluate`.
    budget : int
    n_draws : int
        Random choices, and random first tasks of diverse ones: figures are means over them.
    random_state : int
    progress : bool, default=True
        Show a progress bar if it takes over two seconds.

    Returns
    -------
    DataFrame
        A row for each kind, way, number of training tasks and learner: columns ``kind``, ``how``, ``n_train``,
        ``learner``, ``normalized_regret`` and the bounds of its 95% interval.

    Raises
    ------
    ValueError
        For an unknown way, sizes none of which can be had, or without descriptions of all tasks where a way needs them.

    Examples
    --------
    >>> from metafit.learners import NearestTasks
    >>> from metafit.testing import make_scores
    >>> scores, descriptions = make_scores(n_tasks=40, n_strategies=6, random_state=1)
    >>> curve = by_training_tasks({"near": NearestTasks()}, scores, descriptions, sizes=(4, 32), n_draws=2)
    >>> near = curve[curve["learner"] == "near"].set_index(["how", "n_train"])["normalized_regret"]
    >>> bool(near["random", 32] < near["random", 4])
    True
    """
    unknown = set(ways) - set(WAYS)
    if unknown:
        raise ValueError(f"ways={list(ways)!r}: choose among {list(WAYS)}")
    about = scores.descriptions if descriptions is None else descriptions
    cases = []
    for kind in scores.kinds:
        part = scores.of_kind(kind)
        splits = holdouts(part, leave_out)
        most = min(len(split.train) for split in splits)
        allowed = [size for size in sizes if 1 <= size <= most]
        if not allowed:
            raise ValueError(f"sizes={tuple(sizes)!r}: {kind} tasks leave at most {most} to learn from")
        points = _points(about, part.tasks.index, ways)
        cases += [(part, splits, points, how, size) for how in ways for size in allowed]
    parts = []
    with Progress("by_training_tasks", n_steps=len(cases), step="sizes and ways", shown=progress) as bar:
        for part, splits, points, how, size in cases:
            chosen = list(_chosen(splits, how, size, points, n_draws, random_state))
            result = evaluate(
                learners,
                part,
                about,
                leave_out=chosen,
                budgets=(budget,),
                random_state=random_state,
                progress=False,
            )
            table = result.summary(budget=budget)[["learner", *FIGURES]]
            parts.append(table.assign(kind=part.kinds[0], how=how, n_train=size))
            bar.advance(len(chosen) * len(learners))
    return pd.concat(parts, ignore_index=True)[["kind", "how", "n_train", "learner", *FIGURES]]


def _points(about: pd.DataFrame | None, tasks: pd.Index[str], ways: Sequence[str]) -> pd.DataFrame:
    """Give standardised descriptions of all tasks; without columns if no way needs them."""
    if set(ways) == {"random"}:
        return pd.DataFrame(index=tasks)
    missing = tasks if about is None else tasks.difference(about.index.map(str))
    if about is None or len(missing):
        raise ValueError(f"ways={list(ways)!r} need a description of every task; {len(missing)} have none")
    return standardize(about.set_axis(about.index.map(str), axis=0).loc[tasks])


def _chosen(
    splits: Sequence[Holdout], how: str, size: int, points: pd.DataFrame, n_draws: int, random_state: int
) -> Iterator[Holdout]:
    """Yield splits with fewer training tasks."""
    rng = np.random.default_rng(random_state)
    for split in splits:
        known = points.loc[split.train].to_numpy()
        if how == "nearest":
            for task in split.test:
                yield Holdout(_named(split.train, _nearest(known, points.loc[task].to_numpy(), size)), [task])
            continue
        for draw in range(n_draws):
            if how == "random":
                places = rng.choice(len(known), size, replace=False)
            else:
                places = np.array(farthest_first(known, size, int(rng.integers(len(known)))))
            yield Holdout(_named(split.train, places), split.test, draw)


def _nearest(known: npt.NDArray[np.float64], point: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.intp]:
    return np.argsort(np.square(known - point).sum(axis=1), kind="stable")[:size]


def _named(names: Sequence[str], places: npt.NDArray[np.intp]) -> list[str]:
    return [names[place] for place in np.sort(places)]
