"""Which solver is the fastest for a problem: learned from timings, beside the hand rule and the best of each cell.

Cells are random problems (rows, columns, correlation, share of columns that matter, loss, penalty, strength), each
timed with every solver that serves it, by name, and with solver="auto", the hand rule. `Runtimes` learns from seven
cells of ten; the others say what its choices would have cost in all. Seconds are those of the processor, on one thread,
the least of three. A fit that does not converge, or not within three of them, counts ten times (PAR10).

    python benches/solver_choice.py            # 5,000 cells: about ten minutes
    python benches/solver_choice.py --quick    # 600 cells: under two minutes

What was timed stays in runs/solver_choice.csv: a run that was stopped goes on, and --report alone times nothing.
"""

from __future__ import annotations

import argparse
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import metafit as mf
from metafit.exceptions import ConvergenceWarning
from metafit.learners import Runtimes
from metafit.scores import Scores

PATH = Path("runs/solver_choice.csv")
#: Numbers of multiplications that a cell's Gram matrix may need.
LARGEST = 3e7
SMOOTH = ("cholesky", "svd", "newton")
KINKED = ("coordinate_descent", "proximal_newton")
#: By the number of columns.
PENALTIES: dict[str, Callable[[int], Any]] = {
    "l2": lambda p: mf.penalties.L2(),
    "l1": lambda p: mf.penalties.L1(),
    "elastic_net": lambda p: mf.penalties.ElasticNet(0.5),
    "positive": lambda p: mf.penalties.L2(lower=np.zeros(p)),
}
FAILURE = 10.0
#: Seconds of the processor after which a fit has failed.
CUTOFF = 3.0
#: Seconds from which on one run tells enough.
LONG = 0.02


def cell(seed: int) -> dict[str, Any]:
    """Draw what a problem looks like."""
    rng = np.random.default_rng(seed)
    n, p = np.inf, np.inf
    while n * p * min(n, p) > LARGEST:
        n, p = int(10 ** rng.uniform(1.3, 4.5)), int(10 ** rng.uniform(0.3, 3.3))
    return {
        "seed": seed,
        "n": n,
        "p": p,
        "correlation": rng.choice([0.0, 0.5, 0.9, 0.99]),
        "density": rng.choice([0.05, 0.3, 1.0]),
        # the other losses have one solver for each penalty: nothing to choose
        "loss": rng.choice(["squared", "logistic", "huber"], p=[0.8, 0.1, 0.1]),
        "penalty": rng.choice(list(PENALTIES)),
        # with a kink, as a share of the least strength that leaves no column
        "alpha": 10 ** rng.uniform(-3, 0),
    }


def problem(about: dict[str, Any]) -> dict[str, Any]:
    """Make the table and the arguments of `solve`."""
    rng = np.random.default_rng([about["seed"], 1])
    n, p, rho = about["n"], about["p"], about["correlation"]
    X = np.sqrt(1 - rho) * rng.standard_normal((n, p)) + np.sqrt(rho) * rng.standard_normal((n, 1))
    w = rng.standard_normal(p) * (rng.random(p) < about["density"])
    eta = X @ w / max(np.linalg.norm(w), 1.0) + rng.standard_normal(n)
    y = eta if about["loss"] != "logistic" else (eta > np.median(eta)).astype(float)
    alpha = about["alpha"]
    if about["penalty"] in ("l1", "elastic_net"):
        alpha *= np.abs((y - y.mean()) @ X).max() / n / (1.0 if about["penalty"] == "l1" else 0.5)
    arguments = {"loss": about["loss"], "penalty": PENALTIES[about["penalty"]](p), "alphas": alpha}
    return {"X": np.asfortranarray(X), "y": y, "n_threads": 1} | arguments


def solvers(about: dict[str, Any]) -> tuple[str, ...]:
    """Name the solvers that serve a cell."""
    named = SMOOTH if about["penalty"] == "l2" else KINKED
    return ("auto", *named) if about["loss"] == "squared" else ("auto", named[-1])


def timed(arguments: dict[str, Any], names: tuple[str, ...], repeats: int = 3) -> dict[str, float]:
    """Give the seconds of each solver, least of some in turns; ten times as many where it does not converge."""
    seconds = dict.fromkeys(names, np.inf)
    for turn in range(repeats):
        for name in names if turn % 2 == 0 else reversed(names):
            if turn == 0 or seconds[name] < LONG:
                seconds[name] = min(seconds[name], spent(arguments, name))
    return seconds


def spent(arguments: dict[str, Any], name: str) -> float:
    """Give the seconds of one fit."""
    start = time.process_time()
    signal.signal(signal.SIGALRM, lambda *_: stop(start))
    signal.setitimer(signal.ITIMER_REAL, CUTOFF)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            solution = mf.solve(**arguments, solver=name)
        worked = str(np.ravel(solution.status)[0]) in ("converged", "rank_deficient")
    except TimeoutError:
        worked = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - start
    return seconds if worked else FAILURE * seconds


def stop(start: float) -> None:
    """End a fit that takes too long; a timer of the processor's time would make its clock coarse, so look at both."""
    left = CUTOFF - (time.process_time() - start)
    if left <= 0:
        raise TimeoutError
    signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))


def measure(n_cells: int) -> None:
    """Time the cells that are not in the file yet."""
    done = set(pd.read_csv(PATH)["seed"]) if PATH.exists() else set()
    PATH.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    for count, rows in enumerate(_rows(seed for seed in range(n_cells) if seed not in done), 1):
        rows.to_csv(PATH, mode="a", header=not PATH.exists(), index=False)
        if count % 200 == 0:
            print(f"{len(done) + count} of {n_cells} cells, {time.perf_counter() - start:.0f} s", flush=True)


def _rows(seeds: Iterator[int]) -> Iterator[pd.DataFrame]:
    for seed in seeds:
        about = cell(seed)
        seconds = timed(problem(about), solvers(about))
        yield pd.DataFrame([about | {"solver": name, "seconds": value} for name, value in seconds.items()])


def described(cells: pd.DataFrame) -> pd.DataFrame:
    """Say of each cell what is known before it is solved: sizes, parts, and the correlation of a few columns."""
    about = cells.drop_duplicates("seed").set_index("seed")
    n, p = about["n"], about["p"]
    sizes = {"n": n, "p": p, "square": n * p * np.minimum(n, p), "ratio": n / p, "alpha": about["alpha"]}
    logs = pd.DataFrame({f"log_{name}": np.log10(values) for name, values in sizes.items()})
    logs["correlation"] = [coherence(seed) for seed in about.index]
    kinds = pd.get_dummies(about[["loss", "penalty"]], dtype=float)
    table = logs.join(kinds)
    return table.set_axis(table.index.map(str)).rename_axis("task")


def coherence(seed: int) -> float:
    """Give the mean absolute correlation of the first columns of a cell, by some rows."""
    X = problem(cell(seed))["X"][:200, :10]
    off = np.atleast_2d(np.corrcoef(X, rowvar=False))[np.triu_indices(X.shape[1], 1)]
    return float(np.abs(off).mean()) if len(off) else 0.0


def report(n_cells: int) -> None:
    """Print what the learned choice costs on the cells that it has not seen."""
    cells = pd.read_csv(PATH)
    cells = cells[cells["seed"] < n_cells]
    about = described(cells)
    wide = cells.pivot(index="seed", columns="solver", values="seconds")
    wide = wide.set_axis(wide.index.map(str))
    about, named = about.loc[wide.index], wide.drop(columns="auto")
    learning = pd.Series(np.random.default_rng(0).random(len(wide)) < 0.7, wide.index)
    long = named[learning].rename_axis("task").reset_index().melt("task", None, "strategy", "seconds").dropna()
    model = Runtimes().fit(Scores.from_frame(long.assign(loss=0.5)), about)
    held_out, there = about[~learning], named[~learning]
    is_smooth = held_out["penalty_l2"] == 1
    parts = ((held_out[is_smooth], SMOOTH), (held_out[~is_smooth], KINKED))
    for part, candidates in parts:  # what is learned when first asked
        model.fastest(part, candidates)
    start = time.process_time()
    choice = pd.concat([model.fastest(part, candidates) for part, candidates in parts])[there.index]
    asking = time.process_time() - start
    # the other losses have one solver
    choice = choice.where(there.notna().sum(axis=1) > 1, there.idxmin(axis=1))
    cost = pd.Series([there.loc[task, name] for task, name in choice.items()], choice.index)
    solved = there.min(axis=1) < CUTOFF
    some = (there.notna().sum(axis=1) > 1) & solved
    print(f"{int((~solved).sum())} held-out cells that no solver solves in {CUTOFF:g} s are left out")
    print(
        f"{int(learning.sum())} cells to learn from, {len(there)} held out; {asking / len(there):.2g} s to ask for one"
    )
    for title, rows in (("with a choice", some), ("all", solved)):
        _print(title, cost[rows], wide["auto"][there.index][rows], there[rows])
    for penalty in ("l2", "l1", "elastic_net", "positive"):
        rows = some & (held_out[f"penalty_{penalty}"] == 1)
        _print(penalty, cost[rows], wide["auto"][there.index][rows], there[rows])


def _print(title: str, cost: pd.Series, auto: pd.Series, named: pd.DataFrame) -> None:
    best = named.min(axis=1)
    fixed = {name: named[name].sum() for name in named if named[name].notna().all()}
    others = ", ".join(f"{name} {total / best.sum():.2f}" for name, total in fixed.items())
    print(
        f"{title:14s} {len(best):5d} cells: best {best.sum():7.2f} s; learned {cost.sum() / best.sum():.3f}, "
        f"auto {auto.sum() / best.sum():.3f} of it{'; always ' + others if others else ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true", help="only from what was timed before")
    arguments = parser.parse_args()
    n_cells = 600 if arguments.quick else 5000
    if not arguments.report:
        measure(n_cells)
    report(n_cells)


if __name__ == "__main__":
    main()
