"""What the commands print."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from metafit.estimators.knowledge import Advice
from metafit.evaluation import Evaluation
from metafit.learners import Portfolio
from metafit.scores import Scores

out, err = Console(highlight=False), Console(stderr=True, highlight=False)

_FIGURES = {
    "normalized_regret": "normalised regret",
    "mean_rank": "rank",
    "win_rate": "win rate",
    "gap_closed": "gap closed",
}


def say(text: str) -> None:
    """Print a line as it is."""
    out.print(text, markup=False, soft_wrap=True)


def title(text: str) -> None:
    """Print the head of a section."""
    out.print()
    out.rule(f"[bold]{text}", align="left")


def table(head: str, texts: Iterable[str], numbers: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print columns of text, to the left, then columns of numbers, to the right."""
    out.print(head, style="bold", markup=False, soft_wrap=True)
    grid = Table()
    for column in texts:
        grid.add_column(column, overflow="fold")
    for column in numbers:
        grid.add_column(column, justify="right")
    for row in rows:
        grid.add_row(*map(str, row))
    out.print(grid)


def show_scores(scores: Scores) -> None:
    """Print the size of a study and its best strategies, kind by kind."""
    for kind in scores.kinds:
        part = scores.of_kind(kind)
        best = part.regret().mean().sort_values(kind="stable").head(5)
        names = part.strategies["name"].reindex(best.index)
        families = part.tasks["family"].nunique()
        head = f"{kind}: {len(part.tasks)} tasks of {families} families, {len(part.strategies)} strategies"
        rows = ((name, f"{value:.3f}") for name, value in zip(names, best, strict=True))
        table(head, ["best on average"], ["normalised regret"], rows)


def show_portfolios(scores: Scores, size: int) -> None:
    """Print the greedy portfolio of each kind, and how far each member brings it."""
    for kind in scores.kinds:
        learner = Portfolio(size=size).fit(scores.of_kind(kind))
        place = learner.strategies_.get_indexer(pd.Index(learner.portfolio_))
        rows = (
            (learner.names_[i], f"{learner.mean_regret_[i]:.3f}", f"{reached:.3f}")
            for i, reached in zip(place, learner.curve_, strict=True)
        )
        head = f"{kind}: {len(place)} strategies that complement each other, normalised regret"
        table(head, ["in the order to try"], ["alone", "best so far"], rows)


def show_evaluation(result: Evaluation, budget: int) -> None:
    """Print what each learner reached on the tasks left out."""
    for kind, rows in result.summary(budget=budget).groupby("kind", sort=False):
        size = f"{rows['n_tasks'].iloc[0]} tasks of {rows['n_families'].iloc[0]} families left out"
        figures = ([row["learner"], *(_figure(row, name) for name in _FIGURES)] for row in _records(rows))
        head = f"{kind}: {size}, best of {budget} strategies tried"
        table(head, ["learner"], _FIGURES.values(), figures)
    say("Below each figure: its 95% bootstrap interval over families.")
    for note in result.notes:
        say(f"Note: {note}")


def _records(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    return frame.to_dict("records")


def _figure(row: Mapping[Hashable, Any], name: str) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if pd.isna(value):
        return "-"
    return f"{value:.3f}" if pd.isna(low) else f"{value:.3f}\n[dim]{low:.3f}..{high:.3f}[/]"


def show_advice(advice: Advice, top: int) -> None:
    """Print the head of a ranking, and why."""
    ranking = advice.ranking
    known = zip(advice.strategies[:top], ranking.expected_loss, ranking.std, strict=False)
    rows = (
        (place, strategy.name, "-" if np.isnan(expected) else f"{expected:.3f} ± {std:.3f}")
        for place, (strategy, expected, std) in enumerate(known, start=1)
    )
    table("What to try, in this order", ["", "strategy"], ["expected regret"], rows)
    say("Why:")
    for reason in ranking.reasons:
        say(f"  - {reason}")
    if ranking.fallback:
        say("  - nothing is known about this table in particular: this order would serve any table")


def show_model(model: Any) -> None:
    """Print what was cross-validated, and what was chosen."""
    results = model.cv_results_
    rows = (
        (results["name"][i], f"{results['mean_test_score'][i]:.4g}", f"{results['std_test_score'][i]:.3g}")
        for i in results["rank_test_score"].argsort(kind="stable")
    )
    table(f"Cross-validated on this table: {model.scoring}", ["strategy"], ["mean", "std"], rows)
    say(f"Chosen and fitted on all rows: {model.strategy_.name}")
