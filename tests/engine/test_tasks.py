"""Many tasks in one call are what they are in calls of their own, to the last bit."""

import gc
import pickle

import numpy as np
import pandas as pd
import pytest
from engine_oracle import same_bits

from metafit.engine import Table, solve, solve_tasks, stream_tasks
from metafit.engine import tasks as tasks_module
from metafit.exceptions import ConvergenceWarning
from metafit.strategies import penalties

ALPHAS = [0.3, 0.03, 0.003]
FIGURES = ("coef", "intercept", "objective", "gap", "kkt", "n_iter", "status", "reason", "fold_coef", "fold_gap")


def draw(seed, n=40, p=4, classes=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X @ rng.normal(size=p) + rng.normal(size=n)
    return X, (np.digitize(y, [-0.5, 0.5]) if classes == 3 else y > 0) if classes else y


def check_stacked(solutions, alone):
    for name in FIGURES:
        np.testing.assert_array_equal(getattr(solutions, name), np.stack([getattr(one, name) for one in alone]), name)
    for name, values in solutions.scores.items():
        np.testing.assert_array_equal(values, np.stack([one.scores[name] for one in alone]), name)


@pytest.mark.parametrize("penalty", ["l2", "l1", penalties.ElasticNet(0.4, factors=(0.0, 1.0, 2.0, 1.0))])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_each_task_is_what_it_is_alone(penalty, classes):
    options = {"loss": "logistic" if classes else "squared", "penalty": penalty, "alphas": ALPHAS, "folds": 3}
    given = [draw(seed, n=40 + seed % 3, classes=classes) for seed in range(9)]
    solutions, alone = solve_tasks(given, **options), [solve(X, y, **options) for X, y in given]
    check_stacked(solutions, alone)
    for one, other in zip(solutions, alone, strict=True):
        same_bits(one, other)
        assert one.best == other.best
        np.testing.assert_array_equal(one.predict(given[0][0]), other.predict(given[0][0]))
    assert solutions.best["alpha"].tolist() == [one.best["alpha"] for one in alone]
    assert solutions.dims["fold_coef"] == ("task", *alone[0].dims["fold_coef"])


@pytest.mark.parametrize("keep", ["coef", "scores", "best"])
def test_a_grid_for_each_task(keep):
    given = [draw(seed) for seed in range(5)]
    options = {"penalty": "l1", "n_alphas": 7, "subsets": [[0, 1], [1, 2, 3]], "folds": 4, "keep": keep}
    solutions, alone = solve_tasks(given, **options), [solve(X, y, **options) for X, y in given]
    np.testing.assert_array_equal(solutions.alphas, np.stack([one.alphas for one in alone]))
    for one, other in zip(solutions, alone, strict=True):
        same_bits(one, other)
    if keep == "best":
        assert solutions.coef.shape == (5, 4)


def test_keep_best_is_the_best_of_all_fits():
    for seed in range(20):
        X, y = draw(seed)
        options = {"penalty": "l1", "alphas": ALPHAS, "subsets": [[0], [1, 2], [0, 1, 2, 3]], "folds": 5}
        whole, best = solve(X, y, **options), solve(X, y, keep="best", **options)
        at = whole.best["subset"], whole.best["alpha"]
        assert best.best == whole.best
        np.testing.assert_array_equal(best.coef, whole.coef[at])
        assert best.intercept == whole.intercept[at]


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("n_alphas", [3, 20])
def test_targets_and_weightings_of_one_matrix(penalty, n_alphas):
    X, _ = draw(0)
    rng = np.random.default_rng(1)
    targets, weights = rng.normal(size=(6, 40)), rng.poisson(1.0, size=(6, 40)).astype(float)
    alphas = np.geomspace(0.3, 1e-3, n_alphas)
    options = {"penalty": penalty, "alphas": alphas, "folds": 4, "subsets": [[0, 2], [0, 1, 2, 3]]}
    for more in ({}, {"standardize": True}, {"fit_intercept": False}):
        given = options | more
        check_stacked(solve_tasks(((X, y) for y in targets), **given), [solve(X, y, **given) for y in targets])
    # pairs of one weighting share more than neighbours that differ in it
    both = [(y, w) for w in weights for y in targets[:2]]
    alone = [solve(X, y, sample_weight=w, **options) for y, w in both]
    check_stacked(solve_tasks(((X, y, w) for y, w in both), **options), alone)


def test_many_strengths_of_ridge_equal_one_at_a_time():
    rng = np.random.default_rng(2)
    for seed, columns in enumerate([4, 30, 30]):
        X = rng.normal(size=(60, columns)) + 3 * rng.normal(size=(60, 1)) ** seed
        targets = rng.normal(size=(8, 60)) + X[:, 0]
        alphas = np.geomspace(1e3, 1e-9, 25)
        options = {"penalty": penalties.L2(factors=rng.uniform(0.5, 2, columns)), "folds": 4, "tol": 0.0}
        solutions = solve_tasks(((X, y) for y in targets), alphas=alphas, **options)
        for task, y in enumerate(targets):
            for k, alpha in enumerate(alphas):
                cold = solve(X, y, alphas=float(alpha), **options)
                assert solutions.status[task, k] == cold.status
                for name in ("coef", "fold_coef", "objective"):
                    shared = getattr(solutions, name)[task, k]
                    wanted = getattr(cold, name)
                    np.testing.assert_allclose(shared, wanted, rtol=0, atol=1e-8 * max(1.0, np.abs(wanted).max()))
                error = cold.scores["mean_squared_error"]
                np.testing.assert_allclose(solutions.scores["mean_squared_error"][task, k], error, rtol=1e-8)


def test_tables_share_a_matrix():
    X, y = draw(0)
    table = Table(X, y)
    other = table.with_rows(-y, sample_weight=np.ones(40))
    assert (other.n_rows, other.n_columns) == (40, 4)
    with pytest.raises(ValueError, match="39 values for 40 rows"):
        table.with_rows(y[1:])


def test_mappings_frames_and_folds_of_any_kind():
    X, y = draw(0)
    frame = pd.DataFrame(X, columns=list("abcd"))
    pairs = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    for folds in (pairs, iter(pairs), lambda X, y: pairs):
        [one] = solve_tasks([{"X": frame, "y": y, "offset": y / 2}], alphas=0.1, folds=folds)
        same_bits(one, solve(frame, y, offset=y / 2, alphas=0.1, folds=pairs))
        assert one.feature_names == list("abcd")
    with pytest.raises(ValueError, match="task 0: a mapping holds X, y"):
        solve_tasks([{"X": X, "target": y}], alphas=0.1)


def test_tasks_of_different_shapes_are_taken_one_by_one():
    given = [draw(seed, p=3 + seed % 2) for seed in range(6)]
    solutions = solve_tasks(given, alphas=0.1)
    for one, (X, y) in zip(solutions, given, strict=True):
        same_bits(one, solve(X, y, alphas=0.1))
    with pytest.raises(ValueError, match="2 shapes"):
        _ = solutions.coef


def test_chunks_change_nothing(monkeypatch):
    given = [draw(seed) for seed in range(7)]
    together = solve_tasks(given, alphas=ALPHAS, folds=3)
    monkeypatch.setattr(tasks_module, "_CALL_FITS", 20)
    done = []
    check_stacked(solve_tasks(given, alphas=ALPHAS, folds=3, progress=done.append), list(together))
    assert done[-1] == 7
    assert len(done) > 2
    streamed = [one for part in stream_tasks(iter(given), alphas=ALPHAS, folds=3) for one in part]
    for one, other in zip(streamed, together, strict=True):
        same_bits(one, other)


def test_errors_and_warnings_speak_of_tasks():
    X, y = draw(0)
    with pytest.raises(ValueError, match=r"task 1: y must have shape \(40,\)"):
        solve_tasks([(X, y), (X, y[1:])], alphas=0.1)
    with pytest.raises(ValueError, match=r"task 1: Poisson\(\) cannot be fitted: y holds"):
        solve_tasks([(X, abs(y)), (X, y - 100)], loss="poisson", alphas=0.1)
    with pytest.warns(ConvergenceWarning, match="of 2 fits 2 did not reach the tolerance"):
        solve_tasks([(X, y > 0), (X, y > 0.1)], loss="logistic", alphas=0.001, max_iter=1)
    assert len(solve_tasks([])) == 0


def test_solutions_can_be_stored():
    X, y = draw(0)
    solution = solve(X, y, alphas=ALPHAS, folds=3)
    same_bits(pickle.loads(pickle.dumps(solution)), solution)
    with pytest.raises(AttributeError, match="cannot assign"):
        solution.coef = 1


def test_a_stream_drops_its_tables_before_it_reads_on(monkeypatch):
    """What lazy tasks hold in memory does not grow with their number."""
    monkeypatch.setattr(tasks_module, "_CALL_FITS", 10)
    alive = []

    def tasks():
        for seed in range(60):
            alive.append(sum(isinstance(thing, Table) for thing in gc.get_objects()))
            rng = np.random.default_rng(seed)
            yield rng.normal(size=(20, 2)), rng.normal(size=20)

    assert sum(len(part) for part in stream_tasks(tasks(), alphas=0.1)) == 60
    assert max(alive) - alive[0] <= 12
