"""W10. The same cells of the real suite through metafit and through scikit-learn with joblib, on the same cores.

A cell is a strategy on one fold of one task. metafit runs all cells of a task in one call of `run_strategies`:
choosing columns, imputing, standardising, fitting, scoring. scikit-learn runs a pipeline a cell (SimpleImputer,
StandardScaler, model) through joblib.Parallel, with the strengths and columns that metafit used, at its own default
tolerances. As it would run for hours it is given a seeded sample, and its time is extrapolated; such figures carry a ~.

Neither side may win by stopping early: beside the times stand the relative gaps (P - P*) / P of both. metafit's
is its certificate; scikit-learn's is its objective less the lower bound that this certificate gives.

The second case has all default strategies, those with inner folds and with transforms too. Both sides call the same
scikit-learn transformers, metafit once for all strategies that share one, and scikit-learn is told the strength that
metafit searched for.

    python benches/run.py --only W10
    python benches/w10_real_suite.py --quick     # tables by task and by penalty
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# before NumPy loads its threads: both sides get their parallelism from processes or from the engine
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from harness import Case, Contender
from joblib import Parallel, delayed
from sklearn import metrics
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from metafit.engine.cells import Cell, Split, run_cells
from metafit.engine.native import Table
from metafit.engine.rows import FoldRows
from metafit.engine.running import FoldResult, run_strategies
from metafit.strategies.alphas import CV
from metafit.strategies.grids import default_strategies
from metafit.strategies.penalties import ElasticNet as ElasticNetPenalty
from metafit.strategies.strategy import Strategy
from metafit.strategies.wrapped import Wrapped
from metafit.tasks.sources import load_suite
from metafit.tasks.task import Task

FOLDS = 5
#: Part of the cells that scikit-learn runs for the table of all workloads.
SHARE = 0.03
#: Columns of the table that is printed.
SHOWN = ["cells", "metafit_s", "sklearn_s", "ratio", "metafit_gap", "sklearn_gap", "metafit_max", "sklearn_max"]


def native_strategies(kind: str) -> list[Strategy]:
    """The default strategies that the engine fits by itself with a strength known beforehand.

    Those that choose it on inner folds are left out: scikit-learn's grids are not ours; so are penalties it lacks.
    """
    plain = [s for s in default_strategies(kind) if s.transform is None and not isinstance(s.alpha, CV)]
    return [s for s in plain if s.penalty.name in ("l2", "l1", "elastic_net")]


@dataclass(frozen=True)
class PeerCell:
    """What scikit-learn is asked for: rows and columns of a matrix, and the penalty in absolute terms."""

    train: np.ndarray
    test: np.ndarray
    columns: np.ndarray | None
    loss: str
    l1: float
    l2: float
    standardize: bool
    transform: Wrapped | None = None

    def model(self) -> Any:
        alpha, n = self.l1 + self.l2, len(self.train)
        l1_ratio = self.l1 / alpha if alpha else 0.0
        if self.loss == "squared":
            by_kind = {0.0: lambda: Ridge(alpha=n * alpha), 1.0: lambda: Lasso(alpha=alpha)}
            return by_kind.get(l1_ratio, lambda: ElasticNet(alpha=alpha, l1_ratio=l1_ratio))()
        # the solver that scikit-learn's guide recommends for each penalty
        solver = {0.0: "newton-cholesky", 1.0: "liblinear"}.get(l1_ratio, "saga")
        return LogisticRegression(C=1 / (n * alpha), l1_ratio=l1_ratio, solver=solver, random_state=0)

    def run(self, matrix: np.ndarray, y: np.ndarray) -> PeerFit:
        """Fit and score."""
        start = time.perf_counter()
        X = matrix if self.columns is None else matrix[:, self.columns]
        steps = [
            SimpleImputer(keep_empty_features=True),
            *([] if self.transform is None else [StandardScaler(), self.transform.build()]),
            *([StandardScaler()] if self.standardize else []),
            self.model(),
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = make_pipeline(*steps).fit(X[self.train], y[self.train])
        self.score(pipeline, X[self.test], y[self.test])
        coef, intercept = np.ravel(pipeline[-1].coef_), float(np.ravel(pipeline[-1].intercept_)[0])
        return PeerFit(coef, intercept, time.perf_counter() - start)

    def score(self, pipeline: Any, X: np.ndarray, y: np.ndarray) -> list[float]:
        """The scores that metafit makes of each fit, too."""
        if self.loss == "squared":
            eta = pipeline.predict(X)
            return [metrics.mean_squared_error(y, eta), metrics.r2_score(y, eta)]
        p = pipeline.predict_proba(X)[:, 1]
        both = len(np.unique(y)) == 2
        scores = [metrics.log_loss(y, p, labels=[0, 1]), metrics.brier_score_loss(y, p, pos_label=1)]
        return [*scores, metrics.accuracy_score(y, p > 0.5), metrics.roc_auc_score(y, p) if both else np.nan]

    def objective(self, fit: PeerFit, matrix: np.ndarray, y: np.ndarray) -> float:
        """What the fit reached, outside the clock."""
        X = matrix[self.train] if self.columns is None else matrix[np.ix_(self.train, self.columns)]
        Z = SimpleImputer(keep_empty_features=True).fit_transform(X)
        Z = StandardScaler().fit_transform(Z) if self.standardize else Z
        eta, y = Z @ fit.coef + fit.intercept, y[self.train]
        loss = (y - eta) ** 2 / 2 if self.loss == "squared" else np.logaddexp(0, eta) - y * eta
        return float(loss.mean() + self.l1 * np.abs(fit.coef).sum() + self.l2 * fit.coef @ fit.coef / 2)


@dataclass(frozen=True)
class PeerFit:
    """A fit of scikit-learn: coefficients of the columns as its model saw them."""

    coef: np.ndarray
    intercept: float
    seconds: float


@dataclass
class Measured:
    """One task, measured on both sides."""

    task: Task
    n_cells: int
    n_sampled: int
    metafit_seconds: float
    sklearn_seconds: float
    families: list[str] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    peer_gaps: list[float] = field(default_factory=list)
    peer_cell_seconds: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return self.sklearn_seconds / self.metafit_seconds

    def row(self) -> dict[str, Any]:
        return {
            "task": self.task.name,
            "kind": self.task.kind,
            "rows": self.task.n_rows,
            "columns": self.task.matrix.shape[1],
            "cells": self.n_cells,
            "cells_sampled": self.n_sampled,
            "metafit_s": self.metafit_seconds,
            "sklearn_s": self.sklearn_seconds,
            "sklearn_extrapolated": self.n_sampled < self.n_cells,
            "ratio": self.ratio,
            "metafit_gap": np.mean(self.gaps),
            "metafit_max": np.max(self.gaps),
            "sklearn_gap": np.mean(self.peer_gaps),
            "sklearn_max": np.max(self.peer_gaps),
        }


def measure(task: Task, n_folds: int, rng: np.random.Generator, pool: Parallel, n_threads: int) -> Measured:
    """Run all cells of a task through metafit and a sample of them through scikit-learn."""
    assert task.sample_weight is None, "the real suite has no row weights"
    strategies = native_strategies(task.kind)
    splits = task.splits(FOLDS, random_state=0)
    matrix, y = data_of(task)  # encoding belongs to neither side
    start = time.perf_counter()
    results = run_strategies(task, strategies, splits, n_threads=n_threads)
    metafit_seconds = time.perf_counter() - start

    by_cell = {(result.strategy_id, result.fold): result for result in results if result.status == "ok"}
    chosen = [
        (strategy, fold)
        for strategy in strategies
        for fold in rng.choice(FOLDS, n_folds, replace=False).tolist()
        if (strategy.id, fold) in by_cell
    ]
    rows = [FoldRows(task, train, test) for train, test in splits]
    cells = [peer_cell(rows[fold], strategy, by_cell[strategy.id, fold]) for strategy, fold in chosen]
    start = time.perf_counter()
    peers = pool(delayed(PeerCell.run)(cell, matrix, y) for cell in cells)
    seconds = time.perf_counter() - start

    measured = Measured(task, len(results), len(cells), metafit_seconds, seconds * len(results) / len(cells))
    for (strategy, _), cell, peer in zip(chosen, cells, peers, strict=True):
        reached, gap = certified(task, strategy, cell)
        excess = cell.objective(peer, matrix, y) - (reached - gap)
        measured.families.append(family(strategy))
        measured.gaps.append(gap / reached if reached > 0 else 0.0)
        measured.peer_gaps.append(max(excess, 0.0) / reached if reached > 0 else 0.0)
        measured.peer_cell_seconds.append(peer.seconds)
    return measured


def peer_cell(rows: FoldRows, strategy: Strategy, result: FoldResult) -> PeerCell:
    """The cell in scikit-learn's terms; metafit's strengths are for a target of unit deviation where it scales y."""
    sd = rows.task.y[rows.train].std() if strategy.scales_y else 1.0
    ratio, alpha = strategy.penalty.l1_ratio, result.alpha
    return PeerCell(
        train=rows.train,
        test=rows.test,
        columns=rows.columns(strategy.features),
        loss=strategy.equation_loss.name,
        l1=alpha * ratio * (sd or 1.0),
        l2=alpha * (1 - ratio),
        standardize=strategy.standardize,
        transform=strategy.transform,
    )


def certified(task: Task, strategy: Strategy, cell: PeerCell) -> tuple[float, float]:
    """Objective and gap of metafit's fit of a cell, outside the clock."""
    total = cell.l1 + cell.l2
    # the ratio of the penalty that a target in its own units meets
    penalty = ElasticNetPenalty(cell.l1 / total) if cell.l1 and cell.l2 else strategy.penalty
    request = Cell(alphas=[total], columns=cell.columns, loss=cell.loss, penalty=penalty, standardize=cell.standardize)
    split = Split(cell.train, np.empty(0, dtype=np.int64))
    [result] = run_cells(Table(task.matrix, task.y.astype(float)), [split], [request], missing="mean")
    return float(result.objective[0]), float(result.gap[0])


def family(strategy: Strategy) -> str:
    return f"{strategy.equation_loss.name} {strategy.penalty.name}"


def by_family(measured: Iterable[Measured]) -> pd.DataFrame:
    """Gaps and scikit-learn's seconds of the sampled cells, by loss and penalty."""
    cells = pd.DataFrame(
        [
            {"family": f, "metafit_gap": a, "sklearn_gap": b, "sklearn_s_per_cell": s}
            for one in measured
            for f, a, b, s in zip(one.families, one.gaps, one.peer_gaps, one.peer_cell_seconds, strict=True)
        ]
    )
    groups = cells.groupby("family")
    return groups.agg(
        cells=("family", "size"),
        sklearn_ms=("sklearn_s_per_cell", lambda s: 1e3 * s.mean()),
        metafit_gap=("metafit_gap", "mean"),
        metafit_max=("metafit_gap", "max"),
        sklearn_gap=("sklearn_gap", "mean"),
        sklearn_max=("sklearn_gap", "max"),
    )


def summary(table: pd.DataFrame) -> str:
    """The verdict: cells a second of both sides, and the ratio three ways."""
    cells, ours, theirs = table["cells"].sum(), table["metafit_s"].sum(), table["sklearn_s"].sum()
    mark = "~" if table["sklearn_extrapolated"].any() else ""
    lines = [
        f"{len(table)} tasks, {cells} cells, {table['cells_sampled'].sum()} of them through scikit-learn",
        f"metafit       {ours:10.2f} s  {cells / ours:10.0f} cells/s",
        f"scikit-learn {mark:>1}{theirs:10.2f} s {mark:>1}{cells / theirs:10.0f} cells/s",
        f"ratio of totals {theirs / ours:.1f}, median over tasks {table['ratio'].median():.1f}, "
        f"least {table['ratio'].min():.1f} ({table.loc[table['ratio'].idxmin(), 'task']})",
        "relative gap, mean over tasks and largest: "
        f"metafit {table['metafit_gap'].mean():.1e}, {table['metafit_max'].max():.1e}; "
        f"scikit-learn {table['sklearn_gap'].mean():.1e}, {table['sklearn_max'].max():.1e}",
    ]
    return "\n".join(lines)


def pick(options: argparse.Namespace, rng: np.random.Generator) -> list[Task]:
    """A seeded sample of the suite without the tables of more than two classes."""
    suite = load_suite("real", max_rows=options.max_rows)
    order = rng.permutation(len(suite)) if options.tasks else np.arange(len(suite))
    chosen: list[Task] = []
    for k in order:
        if options.tasks and len(chosen) == options.tasks:
            break
        task = suite[int(k)]
        if task.classes is None or len(task.classes) == 2:
            chosen.append(task)
    return chosen


@dataclass(frozen=True)
class Sampled:
    """A cell that scikit-learn runs, too."""

    task: Task
    strategy: Strategy
    cell: PeerCell


@dataclass(frozen=True)
class Suite:
    """Tasks with their strategies and splits: the work of a case."""

    tasks: Sequence[Task]
    strategies: Sequence[Sequence[Strategy]]
    splits: Sequence[Any]

    def run(self) -> list[list[FoldResult]]:
        work = zip(self.tasks, self.strategies, self.splits, strict=True)
        return [run_strategies(task, strategies, splits, n_threads=2) for task, strategies, splits in work]

    def sample(self, results: list[list[FoldResult]], rng: np.random.Generator) -> list[Sampled]:
        """Draw cells at equal distances in the order of tasks, so that every table has its share."""
        places = [
            (t, k) for t, mine in enumerate(results) for k in rng.permutation(len(mine)) if mine[k].status == "ok"
        ]
        step = round(1 / SHARE)
        return [self._sampled(t, results[t][k], k) for t, k in places[int(rng.integers(step)) :: step]]

    def _sampled(self, t: int, result: FoldResult, k: int) -> Sampled:
        strategy = self.strategies[t][k // FOLDS]
        rows = FoldRows(self.tasks[t], *self.splits[t][result.fold])
        return Sampled(self.tasks[t], strategy, peer_cell(rows, strategy, result))


def largest_gaps(sampled: Sequence[Sampled], fits: Sequence[PeerFit] | None) -> float:
    """The largest relative gap of the cells on a table's own columns: of scikit-learn's fits, or else of metafit's."""
    gaps = [0.0]
    for k, one in enumerate(sampled):
        if one.cell.transform is not None:
            continue
        reached, gap = certified(one.task, one.strategy, one.cell)
        excess = gap if fits is None else one.cell.objective(fits[k], *data_of(one.task)) - (reached - gap)
        gaps.append(max(excess, 0.0) / reached if reached > 0 else 0.0)
    return max(gaps)


def data_of(task: Task) -> tuple[np.ndarray, np.ndarray]:
    return task.matrix, task.y.astype(float)


def case_of(name: str, tasks: Sequence[Task], choose: Any, ratios: dict[str, float]) -> Case:
    """Time both sides on tasks; the strengths that scikit-learn is told come from a run before."""
    suite = Suite(tasks, [choose(task.kind) for task in tasks], [task.splits(FOLDS, random_state=0) for task in tasks])
    results = suite.run()
    sampled = suite.sample(results, np.random.default_rng(0))
    data = {task.name: data_of(task) for task in tasks}
    pool = Parallel(n_jobs=2)
    peer = Contender(
        name="sklearn pipelines, joblib",
        run=lambda: pool(delayed(PeerCell.run)(one.cell, *data[one.task.name]) for one in sampled),
        gap=lambda fits: largest_gaps(sampled, fits),
        share=len(sampled) / sum(map(len, results)),
        packages=["scikit-learn", "joblib"],
    )
    return Case(
        workload="W10",
        name=name,
        shape=f"{len(tasks)} tables, {sum(task.n_rows for task in tasks)} rows",
        n_fits=sum(map(len, results)),
        ours=Contender(name="metafit", run=suite.run, gap=lambda _: largest_gaps(sampled, None)),
        peers=[peer],
        ratios=ratios,
        limit="flops of logistic Newton steps on tables of more than 2,000 rows",
    )


def cases(size: str) -> list[Case]:
    """All tables at full size; the sample of all strategies is small, as kernels take most of it on either side."""
    is_quick = size == "quick"
    wanted = argparse.Namespace(tasks=8 if is_quick else 0, max_rows=1000 if is_quick else 10_000)
    few = argparse.Namespace(tasks=3 if is_quick else 16, max_rows=1000)
    warm_up(Parallel(n_jobs=2), 2)
    native = case_of("loss x penalty", pick(wanted, np.random.default_rng(0)), native_strategies, {"*": 50.0})
    return [native, case_of("all default strategies", pick(few, np.random.default_rng(1)), default_strategies, {})]


def warm_up(pool: Parallel, n_threads: int) -> None:
    """Start workers, threads and imports outside the clock."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 10)), rng.normal(size=400)
    rows = np.arange(400)
    cells = [PeerCell(rows, rows, None, "squared", 0.1, 0.0, True) for _ in range(8 * n_threads)]
    pool(delayed(PeerCell.run)(cell, X, y) for cell in cells)
    run_strategies(Task(X, y), native_strategies("regression"), Task(X, y).splits(3), n_threads=n_threads)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="12 tasks of at most 1,000 rows")
    parser.add_argument("--tasks", type=int, default=0, help="a seeded sample of this many tasks (default: all)")
    parser.add_argument("--max-rows", type=int, default=10_000, help="row cap of a task")
    parser.add_argument(
        "--sampled-folds", type=int, default=1, choices=range(1, FOLDS + 1), help="folds for scikit-learn"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cores for either side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args(argv)
    if options.quick:
        options.tasks, options.max_rows = options.tasks or 12, min(options.max_rows, 1000)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    rng = np.random.default_rng(options.seed)
    measured: list[Measured] = []
    with Parallel(n_jobs=options.jobs) as pool:
        warm_up(pool, options.jobs)
        tasks = pick(options, rng)
        for k, task in enumerate(tasks, start=1):
            measured.append(measure(task, options.sampled_folds, rng, pool, options.jobs))
            line = f"{k}/{len(tasks)} {task.name}: {measured[-1].ratio:.0f} x"
            print(f"\r{line:<70}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    table = pd.DataFrame([one.row() for one in measured])
    families = by_family(measured)
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "w10_tasks.csv", index=False)
    families.to_csv(options.out / "w10_families.csv")
    with pd.option_context("display.width", 160, "display.max_rows", 400, "display.float_format", "{:.3g}".format):
        print(table.set_index("task")[SHOWN].to_string())
        print()
        print(families.to_string())
    print()
    print(summary(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
