"""What must not reach a fit: held-out rows, threads, neighbours, a fork, Ctrl-C, a request beyond memory."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from metafit.engine import Cell, Split, Table, run_cells, solve
from metafit.strategies import penalties

LOSSES = ["squared", "logistic"]
PENALTIES = [penalties.L2(), penalties.L1(), penalties.ElasticNet(0.5)]
ALPHAS = [0.1, 0.01, 0.001]
N = 70
GROUPS = np.arange(N) % 14
SPLITTERS = {
    "KFold": KFold(5),
    "KFold shuffled": KFold(4, shuffle=True, random_state=0),
    "GroupKFold": GroupKFold(4),
    "StratifiedKFold": StratifiedKFold(3),
    "RepeatedKFold": RepeatedKFold(n_splits=4, n_repeats=2, random_state=0),
    "ShuffleSplit": ShuffleSplit(3, random_state=0),
    "TimeSeriesSplit": TimeSeriesSplit(3),
    "one pair": [(np.arange(20, N), np.arange(20))],
    "many folds": KFold(20),
}

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork, signals and limits as on Linux")


def table(missing=False, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 6)) * 10.0 ** rng.uniform(-2, 2, 6) + rng.normal(size=6) * 20
    signal = (X - X.mean(0)) / X.std(0) @ rng.normal(size=6) + rng.normal(size=N)
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    return X, {"squared": signal, "logistic": (signal > np.median(signal)) * 1.0}, rng.uniform(0.5, 2, N)


def spoil(X, y, loss, rows, factor=1e6):
    """Held-out rows a million times too large; labels cannot grow and are turned round."""
    X, y = X.copy(), y.copy()
    X[rows] *= factor
    y[rows] = 1 - y[rows] if loss == "logistic" else y[rows] * factor
    return X, y


# ----------------------------------------------------------------------------------------------- held-out rows


def pairs_of(splitter, X, y):
    if isinstance(splitter, list):
        return splitter
    groups = {"groups": GROUPS} if isinstance(splitter, GroupKFold) else {}
    return list(splitter.split(X, y, **groups))


# the fits that do learn from the spoilt rows may be out of reach
@pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", SPLITTERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("missing", ["error", "mean"])
def test_held_out_rows_do_not_reach_the_fit(kind, loss, standardize, missing):
    X, targets, weight = table(missing == "mean")
    pairs = pairs_of(SPLITTERS[kind], X, targets["logistic"])
    request = {"loss": loss, "alphas": ALPHAS, "standardize": standardize, "missing": missing}
    request |= {"folds": pairs, "sample_weight": weight, "subsets": [[0, 1, 2, 3], range(6)]}
    for penalty in PENALTIES:
        clean = solve(X, targets[loss], penalty=penalty, **request)
        for k in {0, len(pairs) // 2, len(pairs) - 1}:
            dirty = solve(*spoil(X, targets[loss], loss, pairs[k][1]), penalty=penalty, **request)
            np.testing.assert_array_equal(dirty.fold_coef[:, :, k], clean.fold_coef[:, :, k])
            np.testing.assert_array_equal(dirty.fold_intercept[:, :, k], clean.fold_intercept[:, :, k])
            np.testing.assert_array_equal(dirty.fold_gap[:, :, k], clean.fold_gap[:, :, k])


@pytest.mark.parametrize("loss", LOSSES)
def test_strengths_relative_to_alpha_max_do_not_see_held_out_rows(loss):
    X, targets, weight = table()
    pairs = list(KFold(5).split(X))
    cells = [Cell(split=k, alphas=[0.5, 0.05], of_max=True, loss=loss, penalty=penalties.L1()) for k in range(5)]
    splits = [Split(train, test) for train, test in pairs]
    clean = run_cells(Table(X, targets[loss], sample_weight=weight), splits, cells)
    for k in range(5):
        dirty = run_cells(Table(*spoil(X, targets[loss], loss, pairs[k][1]), sample_weight=weight), splits, cells)
        np.testing.assert_array_equal(dirty[k].coef, clean[k].coef)
        np.testing.assert_array_equal(dirty[k].alphas, clean[k].alphas)


def test_a_leak_would_be_seen():
    """The test above can fail: the fit on all rows does move."""
    X, targets, _ = table()
    # no larger: a row that dwarfs all others leaves too few digits for the default tolerance
    dirty = solve(*spoil(X, targets["squared"], "squared", [0], factor=1e3), alphas=0.1)
    assert (dirty.coef != solve(X, targets["squared"], alphas=0.1).coef).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_missing_value_takes_the_mean_of_the_training_rows(loss):
    X, targets, weight = table(missing=True)
    pairs = list(KFold(5).split(X))
    solution = solve(
        X,
        targets[loss],
        loss=loss,
        alphas=ALPHAS,
        folds=5 if loss == "squared" else pairs,
        missing="mean",
        sample_weight=weight,
    )
    for k, (train, test) in enumerate(pairs):
        means = np.ma.average(np.ma.masked_invalid(X[train]), axis=0, weights=weight[train])
        filled = np.where(np.isnan(X), np.asarray(means), X)
        by_hand = solve(filled, targets[loss], loss=loss, alphas=ALPHAS, folds=[(train, test)], sample_weight=weight)
        np.testing.assert_allclose(solution.fold_coef[:, k], by_hand.fold_coef[:, 0], rtol=1e-7, atol=1e-9)
        for name, values in solution.scores.items():
            np.testing.assert_allclose(values[:, k], by_hand.scores[name][:, 0], rtol=1e-9)


# --------------------------------------------------------------------------------------------------- same bits


def wide_request(loss):
    """Large enough for the engine to use its threads."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(600, 20))
    y = X[:, :5].sum(axis=1) + rng.normal(size=600)
    subsets = [np.flatnonzero(rng.random(20) < 0.7) for _ in range(6)]
    return (X, y if loss == "squared" else y > 0), {
        "loss": loss,
        "subsets": subsets,
        "folds": 4,
        "n_alphas": 12,
    }


def bits(solution):
    arrays = [
        solution.coef,
        solution.intercept,
        solution.fold_coef,
        solution.gap,
        solution.n_iter,
        *solution.scores.values(),
    ]
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_any_number_of_threads_gives_the_same_bits(loss, penalty):
    data, request = wide_request(loss)
    one, two, three, default = (bits(solve(*data, penalty=penalty, n_threads=n, **request)) for n in (1, 2, 3, None))
    assert one == two == three == default


@pytest.mark.parametrize("loss", LOSSES)
def test_bits_do_not_depend_on_company(loss):
    """A cell gives the same bits alone and among others; what is merged from folds hangs on the splits alone."""
    X, targets, _ = table()
    splits = [Split(train, test) for train, test in KFold(5).split(X)]
    data = Table(X, targets[loss])
    cells = [Cell(split=k, alphas=ALPHAS, loss=loss, penalty=penalties.L1()) for k in range(5)]
    together = run_cells(data, splits, cells)
    for k in range(5):
        [alone] = run_cells(data, splits, [cells[k]])
        np.testing.assert_array_equal(alone.coef, together[k].coef)
        [cold] = run_cells(data, [splits[k]], [Cell(alphas=ALPHAS, loss=loss, penalty=penalties.L1())])
        np.testing.assert_allclose(cold.coef, together[k].coef, rtol=0, atol=1e-10 * np.abs(cold.coef).max())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_fit_on_all_rows_does_not_depend_on_the_folds(loss):
    X, targets, _ = table()
    plain = solve(X, targets[loss], loss=loss, n_alphas=5)
    folded = solve(X, targets[loss], loss=loss, n_alphas=5, folds=4)
    np.testing.assert_array_equal(folded.alphas, plain.alphas)
    np.testing.assert_array_equal(folded.coef, plain.coef)


def test_calls_from_several_python_threads():
    data, request = wide_request("logistic")
    expected = bits(solve(*data, **request))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: bits(solve(*data, **request)), range(8)))
    assert all(result == expected for result in results)


def test_other_python_threads_go_on_while_the_engine_works():
    """The interpreter's lock is released."""
    data, request = wide_request("logistic")
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    for _ in range(3):
        solve(*data, **(request | {"n_alphas": 40}))
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    assert len(ticks) > 5
    assert np.diff(ticks).max() < max(0.1, 0.7 * seconds)


# ------------------------------------------------------------------------------------------------------- forks


def _in_child(connection, loss):
    data, request = wide_request(loss)
    connection.send(bits(solve(*data, n_threads=2, **request)))
    connection.close()


@linux_only
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("loss", LOSSES)
def test_a_forked_child_has_threads_of_its_own(loss):
    data, request = wide_request(loss)
    expected = bits(solve(*data, n_threads=2, **request))
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_in_child, args=(there, loss))
    child.start()
    try:
        assert here.poll(20), "the child hangs"
        assert here.recv() == expected
        child.join(20)
        assert child.exitcode == 0
    finally:
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
    # the parent's pool still works
    assert bits(solve(*data, n_threads=2, **request)) == expected


# ---------------------------------------------------------------------------------- subprocesses: signals, memory


def run_python(code, *, limit_gb=None):
    head = "import numpy as np, time\nfrom metafit.engine import solve, Table\n"
    if limit_gb:
        head = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, ({limit_gb} << 30,) * 2)\n" + head
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LONG = """
rng = np.random.default_rng(0)
X = np.tile(rng.normal(size=(1000, {p})), ({n} // 1000, 1))
y = X[:, 0] + rng.normal(size={n}) {sign}
print("ready", flush=True)
time.sleep(0.05)
try:
    solve(X, y, loss="{loss}", penalty="{penalty}", subsets={subsets}, n_alphas={n_alphas}, tol=0, n_threads={threads})
    print("finished", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
RUNS = {
    "many logistic cells": {
        "n": 3000,
        "p": 60,
        "loss": "logistic",
        "penalty": "l1",
        "subsets": "[range(60)] * 500",
        "n_alphas": 50,
        "threads": 2,
    },
    "one large path": {
        "n": 20000,
        "p": 300,
        "loss": "logistic",
        "penalty": "l2",
        "subsets": "None",
        "n_alphas": 200,
        "threads": 2,
    },
    "large moments": {
        "n": 100000,
        "p": 400,
        "loss": "squared",
        "penalty": "l1",
        "subsets": "[range(400)] * 50",
        "n_alphas": 500,
        "threads": 2,
    },
}


@linux_only
@pytest.mark.parametrize("name", RUNS)
def test_ctrl_c_is_answered(name):
    run = RUNS[name] | {"sign": "> 0" if RUNS[name]["loss"] == "logistic" else ""}
    process = run_python(LONG.format(**run))
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.4)
        assert process.poll() is None, "the run is too short to be interrupted: " + process.stderr.read()[-500:]
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        answer = process.stdout.readline()
        seconds = time.perf_counter() - start
    finally:
        process.kill()
        process.communicate()
    assert answer == "interrupted\n"
    # 0.25 s promised; the rest is for a machine with other work to do
    assert seconds < 0.25 + 0.25


AFTERWARDS = """
start = seen = time.process_time()
quiet = 0
while quiet < 5:
    time.sleep(0.1)
    now = time.process_time()
    quiet, seen = (quiet + 1 if now - seen < 0.03 else 0), now
print(seen - start, flush=True)
"""


@linux_only
def test_nothing_is_computed_long_after_ctrl_c():
    """Seconds of the processor, which other work does not change, until the threads that were told to stop are idle."""
    run = {"n": 20000, "p": 200, "loss": "squared", "penalty": "l1", "n_alphas": 2000, "threads": 2, "sign": ""}
    process = run_python(LONG.format(**run, subsets="[range(200)] * 400") + AFTERWARDS)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(2.0)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        seconds = float(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
    assert seconds < 1.0


ABSURD = {
    "coefficients": "solve(np.ones((2, 10_000)), [0.0, 1.0], subsets=[[0]] * 50_000, alphas=np.ones(100_000))",
    "scores": "solve(np.eye(20), np.arange(20.0), subsets=[[0]] * 20_000, alphas=np.ones(10**5), keep='scores')",
    "table": "Table(np.broadcast_to(1.0, (10**6, 10**6)), np.zeros(10**6))",
    "frame": "solve(np.broadcast_to(1.0, (10**6, 10**6)), np.zeros(10**6))",
    "grid": "solve(np.eye(3), [1.0, 2.0, 3.0], n_alphas=10**12)",
    "two thirds": "solve(np.ones((4, 1000)), np.arange(4.0), subsets=[[0]] * 1000, alphas=np.ones(330))",
}


@linux_only
def test_requests_beyond_memory_are_errors():
    """One process makes them all: it must live to tell."""
    tries = "".join(
        f"try:\n    {request}\n    print('{name}: done', flush=True)\n"
        f"except MemoryError as error:\n    print('{name}: MemoryError', flush=True)\n"
        for name, request in ABSURD.items()
    )
    process = run_python(tries, limit_gb=4)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    assert out.splitlines() == [f"{name}: MemoryError" for name in ABSURD], f"{process.returncode}: {err[-300:]}"


@linux_only
def test_an_interrupted_process_can_go_on():
    code = """
    import os, signal, threading
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 60)); y = X[:, 0] + rng.normal(size=3000) > 0
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        solve(X, y, loss="logistic", penalty="l1", subsets=[range(60)] * 300, n_alphas=50)
        print("too short")
    except KeyboardInterrupt:
        print(solve(X, y, loss="logistic", penalty="l1", subsets=[range(60)] * 2, alphas=[0.1]).status.tolist())
    """
    out, err = run_python(code).communicate(timeout=60)
    assert out == "[['converged'], ['converged']]\n", err
