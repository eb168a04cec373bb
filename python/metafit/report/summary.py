"""The report of an evaluation: pictures, and a page that says in words what they show."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metafit.evaluation import BASELINES, CEILING, SINGLE_BEST, Evaluation, count_wins
from metafit.report._matplotlib import Display
from metafit.report.critical_difference import CriticalDifferenceDisplay
from metafit.report.front import FrontDisplay
from metafit.report.heat_map import HeatMapDisplay
from metafit.report.regret_curve import RegretCurveDisplay
from metafit.report.regret_distribution import RegretDistributionDisplay
from metafit.report.win_rates import WinRateDisplay
from metafit.scores import Scores

# families below which a test of ranks says nothing
_FEWEST_FAMILIES = 5
_COLUMNS = {
    "normalized_regret": "normalised regret",
    "mean_regret": "regret",
    "mean_rank": "rank",
    "win_rate": "win rate",
    "gap_closed": "gap closed",
    "ceiling_gap_closed": "of the ceiling",
}


def write_report(
    directory: str | Path,
    scores: Scores,
    evaluation: Evaluation,
    *,
    title: str = "metafit",
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write the pictures, ``evaluation.csv`` and ``summary.md``.

    Pictures are ``regret.png``; for each kind, of the first picks, ``distribution``, and where there are families
    enough to compare ``ranks`` and ``win_rates``; ``front.png`` where seconds are known; and ``heat_map.png``.

    Parameters
    ----------
    directory : path
        Made if it is not there; files of these names are replaced.
    scores : Scores
    evaluation : Evaluation
    title : str
    notes : sequence of str
        Paragraphs for the page, such as how the scores were measured.

    Returns
    -------
    list of Path
        What was written, `summary.md` last.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    captions = {}
    for name, caption, display in _pictures(scores, evaluation):
        display.figure_.savefig(directory / name)
        captions[name] = caption
    evaluation.summary().to_csv(directory / "evaluation.csv", index=False)
    page = summary_page(scores, evaluation, title=title, notes=notes, pictures=captions)
    (directory / "summary.md").write_text(page, encoding="utf-8")
    return [directory / name for name in (*captions, "evaluation.csv", "summary.md")]


def _pictures(scores: Scores, evaluation: Evaluation) -> Iterator[tuple[str, str, Display]]:
    """Draw the pictures of a page, with their file names and captions."""
    about = "Regret against the number of strategies tried, on tasks left out"
    yield "regret.png", about, RegretCurveDisplay.from_evaluation(evaluation)
    for kind in evaluation.per_task["kind"].unique():
        yield from _of_kind(kind, evaluation)
    if scores.cells["seconds"].gt(0).any():
        yield "front.png", "Accuracy and time of the strategies", FrontDisplay.from_scores(scores)
    yield "heat_map.png", "Normalised regret of every strategy on every task", HeatMapDisplay.from_scores(scores)


def _of_kind(kind: str, evaluation: Evaluation) -> Iterator[tuple[str, str, Display]]:
    values = evaluation.blocks(kind=kind)
    distribution = RegretDistributionDisplay.from_evaluation(evaluation, kind=kind)
    yield f"distribution_{kind}.png", f"Regret of the first pick over tasks: {kind}", distribution
    if len(values) >= _FEWEST_FAMILIES and values.shape[1] > 2:
        ranks = CriticalDifferenceDisplay.from_comparison(evaluation.compare(kind=kind))
        yield f"ranks_{kind}.png", f"Mean ranks of the first picks, and who is not told apart: {kind}", ranks
        yield f"win_rates_{kind}.png", f"Who beats whom with the first pick: {kind}", WinRateDisplay.from_values(values)


def summary_page(
    scores: Scores,
    evaluation: Evaluation,
    *,
    title: str = "metafit",
    notes: Sequence[str] = (),
    pictures: Mapping[str, str] | None = None,
) -> str:
    """Write the page as Markdown.

    Parameters
    ----------
    scores : Scores
    evaluation : Evaluation
    title : str
    notes : sequence of str
    pictures : mapping of str to str, optional
        File names, relative to the page, and captions.

    Returns
    -------
    str
    """
    blocks = [f"# {title}", _measured(scores), *notes]
    for kind in evaluation.per_task["kind"].unique():
        table = evaluation.summary(kind=kind)
        blocks += [f"## {kind.capitalize()}: tasks left out", _verdict(table)]
        blocks += [f"### {_tried(budget)}\n\n{_table(table, budget)}" for budget in evaluation.budgets]
        blocks += [_winners(scores.of_kind(kind))]
    blocks += ["## How to read this", _READING, *(f"Note: {note}" for note in evaluation.notes)]
    blocks += [f"![{caption}]({name})" for name, caption in (pictures or {}).items()]
    return "\n\n".join(block for block in blocks if block) + "\n"


_READING = """\
Loss is relative: held-out loss divided by that of a prediction without skill, so 1 is no skill. Regret is the
loss of what was picked minus the best loss that any strategy had on that task; normalised regret divides by
the skill there was to be had and is cut to [0, 1]. Picks are selected on one set of folds and scored on
another. The *noise ceiling* is what one reaches by trying *all* strategies and selecting on those folds: what
it leaves is luck, mostly. *Gap closed* is the share of the way from the single best strategy's first pick to
the best strategy of every task; *of the ceiling*, to the noise ceiling. Brackets are 95% bootstrap intervals
over families of tasks."""


def _measured(scores: Scores) -> str:
    status = scores.cells["status"]
    failures = int(status.isin(["failed", "timeout", "not_converged"]).sum())
    holes = 1 - sum(int(part.attempted().to_numpy().sum()) for part in _parts(scores)) / max(_size(scores), 1)
    fits = int((status != "not_applicable").sum())
    return (
        f"{len(scores.tasks)} tasks of {scores.tasks['family'].nunique()} families, "
        f"{len(scores.strategies)} strategies, {fits:,} fits over {len(scores.seeds)} fold seeds; "
        f"{failures:,} fits failed, {holes:.1%} of the cells were never attempted."
    )


def _parts(scores: Scores) -> list[Scores]:
    return [scores.of_kind(kind) for kind in scores.kinds]


def _size(scores: Scores) -> int:
    return sum(len(part.tasks) * len(part.strategies) for part in _parts(scores))


def _verdict(summary: pd.DataFrame) -> str:
    least, most = summary["budget"].min(), summary["budget"].max()
    rows = {(row["budget"], row["learner"]): row for row in summary.to_dict("records")}
    learned = [row for (budget, name), row in rows.items() if budget == most and name not in BASELINES]
    if not learned:
        return ""
    winner = min(learned, key=lambda row: float(row["normalized_regret"]))
    mine, alone, ceiling = (
        _number(row, "normalized_regret") for row in (winner, rows[least, SINGLE_BEST], rows[least, CEILING])
    )
    return (
        f"{_tried(most)}: among the learners `{winner['learner']}` has the lowest normalised regret, {mine}. "
        f"The single best strategy alone has {alone}; the noise ceiling is {ceiling}."
    )


def _table(summary: pd.DataFrame, budget: int) -> str:
    rows = [["learner", *_COLUMNS.values()], ["---"] * (1 + len(_COLUMNS))]
    for row in summary[summary["budget"] == budget].to_dict("records"):
        rows.append([str(row["learner"]), *(_number(row, name) for name in _COLUMNS)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _number(row: Mapping[Hashable, Any], name: str) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if not np.isfinite(value):
        return "-"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) else f"{value:.3f}"


def _winners(scores: Scores, n: int = 12) -> str:
    seed = scores.seeds[min(1, len(scores.seeds) - 1)]
    wins = count_wins(scores, seed)
    top = wins[wins > 0].head(n)
    names = scores.strategies["name"].reindex(top.index)
    lines = [f"- {name}: {count:.1f}" for name, count in zip(names, top, strict=True)]
    head = f"{int((wins > 0).sum())} strategies are best on some task (seed {seed}); ties are shared."
    return "\n".join([f"### Who wins\n\n{head} The first {len(top)}:\n", *lines])


def _tried(budget: int) -> str:
    return "One strategy tried" if budget == 1 else f"Best of {budget} strategies tried"
