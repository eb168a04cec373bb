"""The commands, their options and their order."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from metafit.cli.files import SUITES, read_suite, read_task, write_new_table
from metafit.cli.show import (
    err,
    say,
    show_advice,
    show_evaluation,
    show_model,
    show_portfolios,
    show_scores,
    title,
)
from metafit.estimators import MetaClassifier, MetaRegressor
from metafit.estimators.knowledge import advise
from metafit.evaluation import evaluate
from metafit.knowledge import Knowledge
from metafit.learners import Learner, NearestTasks, Portfolio
from metafit.report import write_report
from metafit.strategies import Strategy, default_strategies
from metafit.study import Study
from metafit.tasks import Task, TaskSuite

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Learn how to fit: score many ways to fit on many tables, and learn from that what suits the next table.",
    epilog="Start with [bold]metafit demo --suite toy[/bold]: a minute, nothing to download.",
)

_SCORING = {"regression": "neg_mean_squared_error", "classification": "neg_log_loss"}

F = TypeVar("F", bound=Callable[..., None])


def main() -> None:
    """Run the command line."""
    app(prog_name="metafit")


def _for_people(command: F) -> F:
    """Say errors and warnings in a line each; METAFIT_DEBUG=1 brings the traceback back."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for category in (UserWarning, RuntimeWarning):
                warnings.simplefilter("default", category)
            warnings.showwarning = _say_warning
            try:
                command(*args, **kwargs)
            except KeyboardInterrupt:
                err.print("Stopped. What is scored is kept: the same command goes on from there.")
                raise typer.Exit(130) from None
            except (ValueError, TypeError, OSError, ImportError) as error:
                if os.environ.get("METAFIT_DEBUG"):
                    raise
                err.print("Error:", style="red", end=" ")
                err.print(str(error), markup=False, soft_wrap=True)
                raise typer.Exit(1) from None

    return wrapped  # type: ignore[return-value]


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    err.print("Warning:", style="yellow", end=" ")
    err.print(str(message), markup=False, soft_wrap=True)


# -------------------------------------------------------------------------------------------------- options


class Suite(StrEnum):
    """Suites that come with the package."""

    REAL, TOY = SUITES


class LeaveOut(StrEnum):
    """What is left out together."""

    FAMILY = "family"
    TASK = "task"


class Kind(StrEnum):
    """Kinds of task."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


StudyFolder = Annotated[Path, typer.Argument(help="Folder of a study that `metafit run` made.", metavar="STUDY")]
TaskKind = Annotated[Kind | None, typer.Option(help="What the target is; by default read from its values.")]
Drop = Annotated[list[str] | None, typer.Option(help="A column that is no feature; may be repeated.")]
Groups = Annotated[str | None, typer.Option(help="A column whose equal values stay in one fold: persons, sites.")]
MaxRows = Annotated[int, typer.Option(help="Sample larger tables down to this many rows.", min=10)]


# ------------------------------------------------------------------------------------------------- commands


@app.command()
@_for_people
def demo(
    suite: Annotated[Suite, typer.Option(help="real: 159 tables, minutes. toy: 7 tables.")] = Suite.REAL,
    folder: Annotated[Path, typer.Option("--out", help="Where everything is written.")] = Path("runs/demo"),
    max_rows: MaxRows = 1_000,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; by default one a core for the real suite.", min=1)
    ] = None,
) -> None:
    """See all of it: score, learn, judge on families left out, recommend for a new table.

    Run it again and it goes on from what it has.
    """
    table = write_new_table(folder / "new_table.csv")
    tasks = read_suite([suite.value]).limit(max_rows)
    tasks = tasks[[name for name in tasks.names if name != "diabetes"]]  # the new table is one of the toys
    title(f"1. Score {len(default_strategies('regression'))} strategies on {len(tasks)} tables")
    workers = workers or ((os.cpu_count() or 1) if suite is Suite.REAL else 1)
    study = _score(folder / "study", tasks, workers)
    title("2. Learn which strategies complement each other")
    show_portfolios(study.scores(), size=8)
    title("3. Judge the learners on families of tables that they have not seen")
    _judge(study, "family", 8, folder)
    title("4. Recommend for a table that the study has not seen")
    _recommend(Knowledge.of(study), read_task(table, str(table), "progression"), top=5, budget=8)


@app.command()
@_for_people
def run(
    data: Annotated[list[str], typer.Argument(help="CSV or Parquet files, a table each; or a suite: real, toy.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the study; one that exists goes on.")],
    target: Annotated[str | None, typer.Option(help="Column to predict, the same in every file.")] = None,
    by: Annotated[str | None, typer.Option(help="Split one file into a task for each value.")] = None,
    kind: TaskKind = None,
    drop: Drop = None,
    groups: Groups = None,
    max_rows: MaxRows = 10_000,
    folds: Annotated[int, typer.Option(help="Folds of each cross-validation.", min=2)] = 5,
    repeats: Annotated[int, typer.Option(help="Cross-validations; 2 to judge learners.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the first cross-validation.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Worker processes; 1: this one, on all cores.", min=1)] = 1,
) -> None:
    """Score the default strategies on tables, and keep the result as a study.

    [bold]metafit run real --out runs/real[/bold]

    [bold]metafit run shops/*.csv --target sales --out runs/shops[/bold]

    [bold]metafit run pupils.csv --target score --by school --out runs/schools[/bold]
    """
    tasks = read_suite(data, target, by, **_columns(kind, drop, groups)).limit(max_rows)
    study = _score(folder, tasks, workers, folds=folds, repeats=repeats, random_state=seed)
    show_scores(study.scores())


@app.command()
@_for_people
def learn(
    study: StudyFolder,
    size: Annotated[int, typer.Option(help="Strategies in the portfolio.", min=1)] = 8,
) -> None:
    """Show what a study teaches: the best strategies, and the few that complement each other."""
    scores = Study(study).scores()
    show_scores(scores)
    show_portfolios(scores, size)


@app.command("evaluate")
@_for_people
def evaluate_command(
    study: StudyFolder,
    leave_out: Annotated[LeaveOut, typer.Option(help="What is left out together.")] = LeaveOut.FAMILY,
    budget: Annotated[int, typer.Option(help="Strategies tried on a new table.", min=1)] = 8,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the pictures and the page; by default the study's."),
    ] = None,
) -> None:
    """Judge learners on tasks left out; write a table, two pictures and a page."""
    _judge(Study(study), leave_out.value, budget, folder or study)


@app.command()
@_for_people
def recommend(
    study: Annotated[
        str, typer.Argument(help="Folder of a study or of knowledge; default: what ships.", metavar="STUDY")
    ],
    table: Annotated[Path, typer.Argument(help="CSV or Parquet file.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    kind: TaskKind = None,
    drop: Drop = None,
    groups: Groups = None,
    top: Annotated[int, typer.Option(help="Strategies to show.", min=1)] = 5,
    fit: Annotated[bool, typer.Option("--fit", help="Cross-validate the first ones, fit the best.")] = False,
    budget: Annotated[int, typer.Option(help="Strategies to cross-validate with --fit.", min=1)] = 8,
) -> None:
    """Rank strategies for a new table, and say why."""
    task = read_task(table, str(table), target, **_columns(kind, drop, groups))
    _recommend(Knowledge.load(study), task, top, budget if fit else 0)


# ---------------------------------------------------------------------------------------------------- steps


def _columns(kind: Kind | None, drop: list[str] | None, groups: str | None) -> dict[str, Any]:
    return {"kind": None if kind is None else kind.value, "drop": tuple(drop or ()), "groups": groups}


def _score(folder: Path, tasks: TaskSuite, workers: int, **settings: Any) -> Study:
    with _pool(workers) as executor:
        study = Study(folder).run(tasks, _strategies(), executor=executor, **settings)
    say(repr(study))
    return study


def _strategies() -> list[Strategy]:
    return [*default_strategies("regression"), *default_strategies("classification")]


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    """Give a pool whose workers are ended at once when we stop: parts are whole or absent."""
    if workers == 1:
        yield None
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,  # a terminal sends Ctrl-C to the workers too, but it is ours to answer
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield pool
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _judge(study: Study, leave_out: str, budget: int, folder: Path) -> None:
    scores, descriptions = study.scores(), study.descriptions()
    learners: dict[str, Learner] = {"portfolio": Portfolio(size=8), "nearest_tasks": NearestTasks()}
    budgets = sorted({1, 2, 4, 8, 16, budget})
    result = evaluate(learners, scores, descriptions, leave_out=leave_out, budgets=budgets)
    show_evaluation(result, budget)
    for path in write_report(folder, scores, result, title=f"metafit: the study {study.path}"):
        say(f"wrote {path}")


def _recommend(known: Knowledge, task: Task, top: int, budget: int) -> None:
    advice = advise(task, known, None, "fast")
    say(f"{task.name}: {task.kind}, {task.n_rows:,} rows, {task.n_features} features")
    show_advice(advice, top)
    if budget:
        model = (MetaRegressor if task.classes is None else MetaClassifier)(
            knowledge=known, budget=budget, scoring=_SCORING[task.kind], random_state=0
        )
        y = task.y if task.classes is None else task.classes[task.y]
        show_model(model.fit(task.X, y, groups=task.groups))
