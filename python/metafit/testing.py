"""What every learner must do: made-up scores, and checks that a newcomer's class passes as ours do.

>>> from metafit.learners import Portfolio
>>> check_learner(Portfolio(size=3))
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from metafit.learners import Learner, Ranking
from metafit.scores import Scores

__all__ = ["check_learner", "learner_checks", "make_scores"]


def make_scores(
    n_tasks: int = 40,
    n_strategies: int = 12,
    *,
    n_families: int | None = None,
    n_seeds: int = 2,
    n_folds: int = 3,
    holes: float = 0.0,
    failures: float = 0.0,
    noise: float = 0.02,
    kind: str = "regression",
    random_state: int = 0,
) -> tuple[Scores, pd.DataFrame]:
    """Make up scores in which tasks that are described alike favour the same strategies.

    A task is a point in the plane, which is what its description tells (and a third, idle coordinate); a
    strategy is good on the tasks near its own point. Losses lie in (0, 1.3), fold noise added.

    Parameters
    ----------
    n_tasks, n_strategies, n_seeds, n_folds : int
    n_families : int, optional
        Families of consecutive tasks; by default each task is one.
    holes, failures : float
        Share of the (task, strategy) cells never attempted, and of the remaining fits that failed.
    noise : float
        Standard deviation of the loss from fold to fold.
    kind : str
    random_state : int

    Returns
    -------
    scores : Scores
    descriptions : DataFrame of shape (n_tasks, 3)

    Examples
    --------
    >>> scores, descriptions = make_scores(n_tasks=5, n_strategies=4, holes=0.2)
    >>> scores
    Scores: 5 tasks x 4 strategies, 2 seeds, 20.0% holes, 0 failures
    """
    rng = np.random.default_rng(random_state)
    places, centres = rng.random((n_tasks, 3)), rng.random((n_strategies, 2))
    distance = np.sqrt(((places[:, None, :2] - centres) ** 2).sum(axis=2))
    level = 0.2 + 0.3 * rng.random((n_tasks, 1)) + 0.1 * rng.random(n_strategies) + 0.4 * distance
    loss = level[:, :, None, None] + noise * rng.normal(size=(n_tasks, n_strategies, n_seeds, n_folds))
    attempted = np.ones(n_tasks * n_strategies, dtype=bool)
    attempted[rng.permutation(attempted.size)[: round(holes * attempted.size)]] = False
    row, column, seed, fold = np.nonzero(np.broadcast_to(attempted.reshape(level.shape)[..., None, None], loss.shape))
    names = np.array([f"task{i:03d}" for i in range(n_tasks)])
    strategies = np.array([f"strategy{j:03d}" for j in range(n_strategies)])
    values = np.clip(loss[row, column, seed, fold], 0.01, 1.3)
    cells = pd.DataFrame({"task": names[row], "strategy": strategies[column], "seed": seed, "fold": fold})
    failed = rng.random(len(cells)) < failures
    cells = cells.assign(loss=np.where(failed, np.nan, values), status=np.where(failed, "failed", "ok"))
    cells = cells.assign(seconds=rng.exponential(size=len(cells)))
    n_families = n_tasks if n_families is None else n_families
    family = [f"family{i * n_families // n_tasks:03d}" for i in range(n_tasks)]
    tasks = pd.DataFrame({"kind": kind, "family": family}, index=names)
    scores = Scores(cells, tasks, pd.DataFrame({"kind": kind}, index=strategies))
    return scores, pd.DataFrame(places, index=names, columns=["east", "north", "idle"])


def check_learner(learner: Learner) -> None:
    """Run every check of `learner_checks` on a learner.

    Raises
    ------
    AssertionError
        With what went wrong, named by the check.
    """
    for check in learner_checks():
        check(learner)


def learner_checks() -> tuple[Callable[[Learner], None], ...]:
    """Give the checks one by one, for ``pytest.mark.parametrize``; each leaves the learner unfitted."""
    return (
        check_fit_returns_itself,
        check_parameters_survive_cloning,
        check_ranks_each_strategy_once,
        check_keeps_to_candidates,
        check_unknown_candidates_come_last,
        check_observed_come_first,
        check_inputs_are_left_alone,
        check_same_input_same_ranking,
        check_pickles,
        check_holes_and_failures,
        check_nothing_is_filled,
        check_a_task_added_and_removed_leaves_no_trace,
        check_other_tasks_order_does_not_matter,
        check_failing_gains_nothing,
        check_never_attempted_comes_last,
        check_kinds_are_not_mixed,
        check_without_descriptions,
    )


def fitted(learner: Learner, scores: Scores, descriptions: pd.DataFrame | None) -> Learner:
    """Fit a copy."""
    copied: Learner = clone(learner) if isinstance(learner, BaseEstimator) else copy.deepcopy(learner)
    return copied.fit(scores, descriptions)


def check_fit_returns_itself(learner: Learner) -> None:
    """``fit`` gives the learner, so that calls chain."""
    copied = copy.deepcopy(learner)
    assert copied.fit(*make_scores()) is copied, "fit must return self"


def _alike(one: Any, other: Any) -> bool:
    """Say whether parameters are equal; learners among them are cloned, too, and equal if their parameters are."""
    if isinstance(one, BaseEstimator):
        return type(one) is type(other) and _alike(one.get_params(), other.get_params())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


def check_parameters_survive_cloning(learner: Learner) -> None:
    """Parameters are set in ``__init__`` and nowhere else, as in scikit-learn."""
    if isinstance(learner, BaseEstimator):
        assert _alike(clone(learner).get_params(), learner.get_params()), "clone must keep the parameters"
        assert type(learner).__name__ in repr(learner)


def check_ranks_each_strategy_once(learner: Learner) -> None:
    """Rank each strategy once, with a loss and a spread."""
    scores, descriptions = make_scores()
    ranking = fitted(learner, scores, descriptions).rank(descriptions.iloc[0])
    _assert_ranks(ranking, scores.strategies.index.to_list())
    assert np.isfinite(ranking.expected_loss).all(), "every strategy was attempted: its loss can be expected"


def check_keeps_to_candidates(learner: Learner) -> None:
    """Candidates, and they alone, are ranked."""
    scores, descriptions = make_scores()
    some = scores.strategies.index[::3].to_list()
    _assert_ranks(fitted(learner, scores, descriptions).rank(descriptions.iloc[0], candidates=some), some)


def check_unknown_candidates_come_last(learner: Learner) -> None:
    """Rank a candidate that no training task knows at the end, with no expectation."""
    scores, descriptions = make_scores()
    names = ["new", *scores.strategies.index]
    ranking = fitted(learner, scores, descriptions).rank(descriptions.iloc[0], candidates=names)
    _assert_ranks(ranking, names)
    assert ranking.strategies[-1] == "new", "an unknown strategy must come last"
    assert np.isnan(ranking.expected_loss[-1]), "nothing is known of it"


def check_observed_come_first(learner: Learner) -> None:
    """Put first what was seen on the task, the best seen foremost and failures (NaN) hindmost."""
    scores, descriptions = make_scores()
    seen = dict(zip(scores.strategies.index[:3], (0.7, np.nan, 0.4), strict=True))
    ranking = fitted(learner, scores, descriptions).rank(descriptions.iloc[0], observed=seen)
    _assert_ranks(ranking, scores.strategies.index.to_list())
    wanted = tuple(scores.strategies.index[[2, 0, 1]])
    assert ranking.strategies[:3] == wanted, f"observed must come first: {ranking}"
    assert ranking.expected_loss[0] == 0
    assert (ranking.std[:3] == 0).all(), "what was seen is not uncertain"


def check_inputs_are_left_alone(learner: Learner) -> None:
    """Neither scores nor descriptions are written to."""
    scores, descriptions = make_scores(holes=0.1, failures=0.1)
    before = scores.to_pandas(), descriptions.copy()
    fitted(learner, scores, descriptions).rank(descriptions.iloc[0])
    pd.testing.assert_frame_equal(scores.to_pandas(), before[0])
    pd.testing.assert_frame_equal(descriptions, before[1])


def check_same_input_same_ranking(learner: Learner) -> None:
    """Two copies agree, and a learner asked twice agrees with itself."""
    scores, descriptions = make_scores(holes=0.1)
    one, two = (fitted(learner, scores, descriptions) for _ in range(2))
    first = one.rank(descriptions.iloc[0]).strategies
    assert first == two.rank(descriptions.iloc[0]).strategies == one.rank(descriptions.iloc[0]).strategies


def check_pickles(learner: Learner) -> None:
    """Survive pickling once fitted."""
    scores, descriptions = make_scores()
    one = fitted(learner, scores, descriptions)
    two = pickle.loads(pickle.dumps(one))
    assert one.rank(descriptions.iloc[0]).strategies == two.rank(descriptions.iloc[0]).strategies


def check_holes_and_failures(learner: Learner) -> None:
    """Incomplete tables are learned from as they are, whatever is missing."""
    scores, descriptions = make_scores(holes=0.5, failures=0.2)
    descriptions = descriptions.mask(np.random.default_rng(0).random(descriptions.shape) < 0.3)
    one = fitted(learner, scores, descriptions)
    for task in descriptions.index[:5]:
        _assert_ranks(one.rank(descriptions.loc[task]), scores.strategies.index.to_list())


def check_nothing_is_filled(learner: Learner) -> None:
    """Of a table without 30% of its cells, drawn at random, those that are left alone are learned from."""
    scores, descriptions = make_scores(holes=0.3)
    one = fitted(learner, scores, descriptions)
    names = scores.strategies.index.to_list()
    for task in descriptions.index[:5]:
        ranking = one.rank(descriptions.loc[task])
        _assert_ranks(ranking, names)
        assert np.isfinite(ranking.expected_loss).all(), "every strategy was attempted somewhere"
    if hasattr(one, "regret_"):
        np.testing.assert_array_equal(np.isnan(one.regret_), scores.matrix().isna(), "a hole was filled")
    if hasattr(one, "coverage_"):
        np.testing.assert_allclose(one.coverage_, scores.matrix().notna().mean(), err_msg="holes must not count")


def check_a_task_added_and_removed_leaves_no_trace(learner: Learner) -> None:
    """Restore every figure, to the last bit, when a task that joined leaves again."""
    whole, descriptions = make_scores(holes=0.2)
    guest = whole.tasks.index[17]
    before = whole.without_tasks([guest])
    after = before.join(whole.only_tasks([guest])).without_tasks([guest])
    one, two = fitted(learner, before, descriptions), fitted(learner, after, descriptions)
    for task in (guest, *descriptions.index[:3]):
        first, second = one.rank(descriptions.loc[task]), two.rank(descriptions.loc[task])
        assert first.strategies == second.strategies, "a task that left still changes the order"
        np.testing.assert_array_equal(first.expected_loss, second.expected_loss)
        np.testing.assert_array_equal(first.std, second.std)


def check_other_tasks_order_does_not_matter(learner: Learner) -> None:
    """Training tasks in another order give the same ranking."""
    scores, descriptions = make_scores(holes=0.1)
    shuffled = Scores(scores.to_pandas(), scores.tasks[::-1], scores.strategies)
    one, two = fitted(learner, scores, descriptions), fitted(learner, shuffled, descriptions[::-1])
    assert one.rank(descriptions.iloc[0]).strategies == two.rank(descriptions.iloc[0]).strategies


def check_failing_gains_nothing(learner: Learner) -> None:
    """Do not choose a strategy that always fails, nor raise one for failing where it is bad."""
    if not getattr(learner, "learns", True):
        return
    scores, descriptions = make_scores()
    names = scores.strategies.index
    ranking = fitted(learner, _failing(scores, names[0], worst=1.0), descriptions).rank(descriptions.iloc[0])
    assert ranking.strategies.index(names[0]) >= len(names) // 2, "a strategy that always fails stands too high"
    before = fitted(learner, scores, descriptions).rank(descriptions.iloc[0])
    after = fitted(learner, _failing(scores, names[0], worst=0.3), descriptions).rank(descriptions.iloc[0])
    assert _expected(after, names[0]) >= _expected(before, names[0]) - 1e-9, "failing on hard tasks paid"


def check_never_attempted_comes_last(learner: Learner) -> None:
    """Rank a strategy without a single cell last."""
    if not getattr(learner, "learns", True):
        return
    scores, descriptions = make_scores()
    first = scores.strategies.index[0]
    cells = scores.to_pandas()
    bare = Scores(cells[cells["strategy"] != first], scores.tasks, scores.strategies)
    assert fitted(learner, bare, descriptions).rank(descriptions.iloc[0]).strategies[-1] == first


def check_kinds_are_not_mixed(learner: Learner) -> None:
    """Scores of two kinds are refused: their losses do not compare."""
    scores, descriptions = make_scores()
    kinds = np.where(np.arange(len(scores.tasks)) % 2, "classification", "regression")
    mixed = Scores(scores.to_pandas(), scores.tasks.assign(kind=kinds), scores.strategies)
    try:
        fitted(learner, mixed, descriptions)
    except ValueError:
        return
    raise AssertionError("fit must refuse scores of two kinds with a ValueError")


def check_without_descriptions(learner: Learner) -> None:
    """Without descriptions a learner still ranks; one that needs them says that it fell back."""
    scores, _ = make_scores()
    _assert_ranks(fitted(learner, scores, None).rank(), scores.strategies.index.to_list())


def _failing(scores: Scores, strategy: str, worst: float) -> Scores:
    """Let a strategy fail on the share `worst` of the tasks on which it did worst."""
    loss = scores.matrix()[strategy].sort_values()
    tasks = loss.index[len(loss) - round(worst * len(loss)) :]
    cells = scores.to_pandas()
    fails = (cells["strategy"] == strategy) & cells["task"].isin(tasks)
    return Scores(cells.assign(status=cells["status"].mask(fails, "failed")), scores.tasks, scores.strategies)


def _expected(ranking: Ranking, strategy: str) -> float:
    return float(ranking.expected_loss[ranking.strategies.index(strategy)])


def _assert_ranks(ranking: Ranking, names: list[str]) -> None:
    assert isinstance(ranking, Ranking), f"rank must give a Ranking, not a {type(ranking).__name__}"
    assert sorted(ranking.strategies) == sorted(names), f"each of {len(names)} strategies once: {ranking}"
    assert len(ranking.expected_loss) == len(ranking.std) == len(names)
