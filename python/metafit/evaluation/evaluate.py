"""Judge learners on tasks that they have not seen."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone

from metafit.evaluation.evaluation import CEILING, SINGLE_BEST, Evaluation
from metafit.evaluation.metrics import beats, best_weights, pick_weights, random_weights, ranks_of
from metafit.evaluation.splits import Holdout, are_holdouts, holdouts, labels_of, warn_of_twins
from metafit.learners import Default, Learner, Random, Ranking, SingleBest
from metafit.scores import Scores, normalized_regret
from metafit.study.progress import Progress

FloatArray = npt.NDArray[np.float64]


def evaluate(
    learners: Mapping[str, Learner],
    scores: Scores,
    descriptions: pd.DataFrame | None = None,
    *,
    leave_out: Any = "family",
    budgets: Sequence[int] = (1, 2, 4, 8, 16),
    seeds: tuple[int, int] | None = None,
    n_resamples: int = 2000,
    random_state: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Leave tasks out, learn on the others, and score what each learner picks on those left out.

    With a budget of b a learner's first b strategies are tried on the task: the best of them on fold seed A,
    which is what cross-validation would see, is scored on fold seed B. Learners learn from seed A of the
    other tasks. Kinds are evaluated apart. Strategies that were not attempted on a task, on both seeds, are
    no candidates there, for anybody.

    Besides the learners the table always holds

    - ``single_best``: the best on average over the training tasks; then the second best, and so on;
    - ``default``: the strategies in the order of ``scores.strategies``;
    - ``random``: a random order, in exact expectation;
    - ``noise_ceiling``: the virtual best as far as it can be found, the best of *all* candidates on seed A
      scored on B. Regret is measured against the best on seed B, luck included, so nobody who selects on A
      gets to 0; what the ceiling leaves is fold noise.

    Parameters
    ----------
    learners : mapping of str to Learner
        They are cloned, and not touched. A `Random` is scored in expectation.
    scores : Scores
    descriptions : DataFrame, optional
        Index task, columns meta-features; by default those that the scores carry.
    leave_out : {"family", "task", "folds"}, array-like of shape (n_tasks,), splitter, or list of Holdout
        See `metafit.evaluation.splits.holdouts`.
    budgets : sequence of int
    seeds : (int, int), optional
        A and B; by default the first two that the scores hold, or twice the only one.
    n_resamples, random_state : int
        Of the bootstrap over families.
    progress : bool, default=True
        Show a progress bar if it takes over two seconds.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        For a budget below 1, a reserved name, seeds that are not there, or a `leave_out` that leaves nothing.

    Warns
    -----
    UserWarning
        If a task that is left out has a twin, by ``scores.tasks["fingerprint"]``, among those learned from.

    Examples
    --------
    >>> from metafit.learners import Portfolio
    >>> from metafit.testing import make_scores
    >>> scores, descriptions = make_scores(n_tasks=20, n_strategies=6, random_state=0)
    >>> result = evaluate({"portfolio": Portfolio(size=2)}, scores, descriptions, budgets=(1, 2))
    >>> result.summary(budget=2)[["learner", "normalized_regret"]].round(2)
             learner  normalized_regret
    0      portfolio               ...
    """
    contestants = _contestants(learners)
    seeds, notes = _checked_seeds(scores, seeds)
    about = scores.descriptions if descriptions is None else descriptions
    plan = _Plan(contestants, _with_text_index(about), *seeds, _checked_budgets(budgets))
    if not isinstance(leave_out, str) and not hasattr(leave_out, "split") and not are_holdouts(leave_out):
        leave_out = labels_of(scores.tasks, leave_out)
    parts = []
    for kind in scores.kinds:
        part = scores.of_kind(kind)
        boards = _boards(part, *seeds)
        notes += _skipped(kind, len(part.tasks) - len(boards))
        if boards:
            parts.append((part, boards, holdouts(part, leave_out)))
    n_splits = sum(len(splits) for *_, splits in parts)
    with Progress("evaluate", n_steps=n_splits, step="splits", shown=progress) as bar:
        outcomes = [outcome for part in parts for outcome in plan.run(*part, bar)]
    if not outcomes:
        raise ValueError(f"no task has a strategy attempted on both seeds {seeds}: {scores!r}")
    per_task = pd.DataFrame([row for outcome in outcomes for row in outcome.rows])
    rankings = {key: head for outcome in outcomes for key, head in outcome.heads.items()}
    notes += _fallbacks(per_task)
    return Evaluation(per_task, plan.budgets, notes, rankings, n_resamples, random_state)


@dataclass(frozen=True)
class _Board:
    """The candidates of one task with their losses: seed A selects, seed B scores."""

    task: str
    kind: str
    family: str
    candidates: list[str]
    selecting: FloatArray
    scoring: FloatArray


def _boards(scores: Scores, seed_a: int, seed_b: int) -> dict[str, _Board]:
    if not {seed_a, seed_b} <= set(scores.seeds):
        return {}
    a, b = (scores.matrix(seed=seed, tied_last=True).to_numpy() for seed in (seed_a, seed_b))
    both = ~np.isnan(a) & ~np.isnan(b)
    names = scores.strategies.index.to_numpy()
    about = scores.tasks[["kind", "family"]].itertuples()
    return {
        task: _Board(task, kind, family, names[there].tolist(), a[row, there], b[row, there])
        for row, ((task, kind, family), there) in enumerate(zip(about, both, strict=True))
        if there.any()
    }


@dataclass(frozen=True)
class _Outcome:
    """What was reached on one task: a row per budget and contestant, and the heads of the rankings."""

    rows: list[dict[str, Any]]
    heads: dict[tuple[str, int, str], tuple[str, ...]]


@dataclass(frozen=True)
class _Plan:
    learners: dict[str, Learner]
    descriptions: pd.DataFrame | None
    seed_a: int
    seed_b: int
    budgets: tuple[int, ...]

    def run(
        self, scores: Scores, boards: Mapping[str, _Board], splits: Sequence[Holdout], progress: Progress
    ) -> list[_Outcome]:
        warn_of_twins(scores.tasks, splits)
        outcomes = []
        for split in splits:
            fitted = self.fit(scores, split)
            outcomes += [self.judge(fitted, boards[task], split.repeat) for task in split.test if task in boards]
            progress.advance(len(fitted))
        return outcomes

    def fit(self, scores: Scores, split: Holdout) -> dict[str, Learner]:
        """Fit fresh learners on what the training tasks alone have to say on seed A."""
        known = scores.only_tasks(split.train).seed(self.seed_a)
        about = self.descriptions
        about = None if about is None else about[about.index.isin(split.train)]
        return {name: _fresh(learner).fit(known, about) for name, learner in self.learners.items()}

    def judge(self, fitted: Mapping[str, Learner], board: _Board, repeat: int) -> _Outcome:
        about = self.descriptions
        description = None if about is None or board.task not in about.index else about.loc[board.task]
        rankings = {}
        for name, learner in fitted.items():
            ranking = learner.rank(description, candidates=board.candidates)
            rankings[name] = _checked_ranking(name, ranking, board)
        chance = [name for name, learner in fitted.items() if isinstance(learner, Random)]
        key = {"kind": board.kind, "repeat": repeat, "task": board.task, "family": board.family}
        rows = [
            key | {"budget": budget} | row
            for budget in self.budgets
            for row in _contest(board, rankings, budget, chance)
        ]
        heads = {
            (name, repeat, board.task): ranking.strategies[: max(self.budgets)] for name, ranking in rankings.items()
        }
        return _Outcome(rows, heads)


def _contest(
    board: _Board, rankings: Mapping[str, Ranking], budget: int, chance: Collection[str]
) -> list[dict[str, Any]]:
    """Give a row per contestant on one task at one budget."""
    place = {name: position for position, name in enumerate(board.candidates)}
    weights = [
        random_weights(board.selecting, budget)
        if name in chance
        else pick_weights([place[strategy] for strategy in ranking.strategies[:budget]], board.selecting)
        for name, ranking in rankings.items()
    ]
    mixed = np.array([*weights, best_weights(board.selecting)])
    losses, best = board.scoring, board.scoring.min()
    figures = {
        "loss": mixed @ losses,
        "best_loss": np.full(len(mixed), best),
        "regret": mixed @ (losses - best),
        "normalized_regret": mixed @ normalized_regret(losses, best),
        "rank": np.append(ranks_of(mixed[:-1], losses), np.nan),
        "win": beats(mixed, losses)[:, list(rankings).index(SINGLE_BEST)],
    }
    names = [*rankings, CEILING]
    picks = [board.candidates[row.argmax()] if row.max() == 1 else None for row in mixed]
    fell_back = [*(ranking.fallback for ranking in rankings.values()), False]
    return [
        {"learner": name, "strategy": pick}
        | {figure: float(values[i]) for figure, values in figures.items()}
        | {"fallback": fell}
        for i, (name, pick, fell) in enumerate(zip(names, picks, fell_back, strict=True))
    ]


def _contestants(learners: Mapping[str, Learner]) -> dict[str, Learner]:
    baselines: dict[str, Learner] = {SINGLE_BEST: SingleBest(), "default": Default(), "random": Random()}
    for name, learner in learners.items():
        reserved = name == CEILING or (name in baselines and type(learner) is not type(baselines[name]))
        if reserved:
            raise ValueError(f"learners: the name {name!r} is that of a baseline; call {learner!r} something else")
        if not isinstance(learner, Learner):
            raise TypeError(f"learners[{name!r}] is a {type(learner).__name__}; it needs fit and rank")
    return dict(learners) | {name: baseline for name, baseline in baselines.items() if name not in learners}


def _fresh(learner: Learner) -> Learner:
    copied: Learner = clone(learner) if isinstance(learner, BaseEstimator) else copy.deepcopy(learner)
    return copied


def _checked_ranking(name: str, ranking: Ranking, board: _Board) -> Ranking:
    if len(ranking) != len(board.candidates) or set(ranking) != set(board.candidates):
        raise ValueError(
            f"learner {name!r} ranked {len(ranking)} strategies for task {board.task!r}, "
            f"not each of the {len(board.candidates)} candidates once"
        )
    return ranking


def _checked_budgets(budgets: Sequence[int]) -> tuple[int, ...]:
    if not len(budgets) or min(budgets) < 1:
        raise ValueError(f"budgets={budgets!r}: at least one, and each at least 1")
    return tuple(sorted({int(budget) for budget in budgets}))


def _checked_seeds(scores: Scores, seeds: tuple[int, int] | None) -> tuple[tuple[int, int], tuple[str, ...]]:
    held = scores.seeds
    chosen = tuple(seeds) if seeds is not None else (*held, *held)[:2] if len(held) < 2 else tuple(held[:2])
    if len(chosen) != 2 or not set(chosen) <= set(held):
        raise ValueError(f"seeds={seeds!r}: two of those that the scores hold, {held}")
    notes: tuple[str, ...] = ()
    if chosen[0] == chosen[1]:
        notes = ("picks were selected and scored on the same folds: budgets above 1 and the ceiling flatter.",)
    return (chosen[0], chosen[1]), notes


def _skipped(kind: str, n_skipped: int) -> tuple[str, ...]:
    if not n_skipped:
        return ()
    return (f"{n_skipped} {kind} tasks have no strategy attempted on both seeds; they were left aside.",)


def _fallbacks(per_task: pd.DataFrame) -> tuple[str, ...]:
    fell = per_task[per_task["fallback"].to_numpy(dtype=bool)]
    counts = fell.groupby("learner", sort=False)["task"].nunique()
    total = per_task["task"].nunique()
    return tuple(f"{learner} fell back on {count} of {total} tasks." for learner, count in counts.items())


def _with_text_index(descriptions: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if descriptions is None else descriptions.set_axis(descriptions.index.map(str), axis=0)
