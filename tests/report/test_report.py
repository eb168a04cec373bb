"""Pictures are drawn and say what they show; the page holds the figures of the evaluation."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from metafit.evaluation import by_training_tasks, evaluate
from metafit.learners import NearestTasks, Portfolio
from metafit.report import (
    CriticalDifferenceDisplay,
    FrontDisplay,
    HeatMapDisplay,
    RegretCurveDisplay,
    RegretDistributionDisplay,
    TrainingTasksDisplay,
    WinRateDisplay,
    summary_page,
    write_report,
)
from metafit.report.heat_map import like_by_like
from metafit.scores import Scores
from metafit.testing import make_scores

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def measured():
    scores, descriptions = make_scores(12, 5, n_families=6, holes=0.1, failures=0.05)
    learners = {"portfolio": Portfolio(2), "nearest_tasks": NearestTasks(4)}
    return scores, evaluate(learners, scores, descriptions, budgets=(1, 2, 4))


def test_report_is_written_whole(measured, tmp_path):
    written = write_report(
        tmp_path / "new" / "folder", *measured, title="A trial", notes=["Measured on made-up tasks."]
    )
    kind = measured[0].kinds[0]
    of_kind = [f"{name}_{kind}.png" for name in ("distribution", "ranks", "win_rates")]
    pictures = ["regret.png", *of_kind, "front.png", "heat_map.png"]
    assert [path.name for path in written] == [*pictures, "evaluation.csv", "summary.md"]
    for path in written[:-2]:
        assert path.read_bytes().startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv(written[-2]), measured[1].summary(), check_dtype=False)
    page = written[-1].read_text(encoding="utf-8")
    assert all(f"]({name})" in page for name in pictures)
    assert page.startswith("# A trial\n")
    assert "Measured on made-up tasks." in page
    assert "](regret.png)" in page


def test_page_holds_the_figures(measured):
    scores, evaluation = measured
    page = summary_page(scores, evaluation)
    row = evaluation.summary(budget=4).set_index("learner").loc["portfolio"]
    shown = f"| portfolio | {row['normalized_regret']:.3f} [{row['normalized_regret_low']:.3f}, "
    assert shown in page
    assert "12 tasks of 6 families, 5 strategies" in page
    assert "| noise_ceiling |" in page


def test_curve_draws_the_summary(measured):
    _, evaluation = measured
    figure = RegretCurveDisplay.from_evaluation(evaluation).figure_
    panel = figure.axes[0]
    drawn = {line.get_label(): line for line in panel.containers}
    assert list(drawn) == ["portfolio", "nearest tasks", "single best", "default order", "random order"]
    curve = evaluation.curve()
    expected = curve.loc[curve["learner"] == "portfolio", "value"]
    np.testing.assert_allclose(drawn["portfolio"].lines[0].get_ydata(orig=False), expected)
    assert panel.get_ylim()[0] == 0
    for metric in ("mean_rank", "gap_closed"):
        assert RegretCurveDisplay.from_evaluation(evaluation, metric).figure_.axes[0].get_ylabel()


def test_heat_map_shows_every_cell_holes_and_failures(measured):
    scores, _ = measured
    panel = HeatMapDisplay.from_scores(scores).figure_.axes[0]
    regrets, failures = (image.get_array() for image in panel.images)
    assert regrets.shape == (12, 5)
    assert regrets.mask.sum() == (~scores.attempted()).to_numpy().sum()
    assert (~failures.mask).sum() == scores.failed().to_numpy().sum()
    means = scores.regret().mean().sort_values()
    assert [label.get_text() for label in panel.get_xticklabels()] == means.index.to_list()


def test_pictures_leave_matplotlib_as_it_was(measured):
    import matplotlib as mpl

    before = {name: value for name, value in mpl.rcParams.items() if name != "backend"}  # found out when asked for
    RegretCurveDisplay.from_evaluation(measured[1])
    assert {name: mpl.rcParams[name] for name in before} == before


def test_like_stands_by_like():
    block = pd.DataFrame(np.repeat([[0.0, 1.0], [1.0, 0.0]], 4, axis=0))
    order = like_by_like(block.iloc[[0, 4, 1, 5, 2, 6, 3, 7]])
    assert (order % 2 == np.sort(order % 2)).all() or (order % 2 == np.sort(order % 2)[::-1]).all()
    assert like_by_like(block[:2]).tolist() == [0, 1]


def test_without_matplotlib_it_says_how_to_get_it(measured, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'metafit\[report\]'"):
        RegretCurveDisplay.from_evaluation(measured[1])


def test_critical_difference_shows_ranks_and_groups(measured):
    comparison = measured[1].compare(budget=4)
    display = CriticalDifferenceDisplay.from_comparison(comparison)
    panel = display.figure_.axes[0]
    np.testing.assert_allclose(panel.lines[0].get_xdata(), comparison.mean_ranks)
    assert len(panel.lines) == 1 + len(comparison.groups())
    assert "Friedman p = " in panel.get_title(loc="left")


def test_training_tasks_draws_every_way_of_every_learner(measured):
    scores, descriptions = make_scores(16, 4, n_families=8)
    learners = {"portfolio": Portfolio(2), "nearest_tasks": NearestTasks(4)}
    curve = by_training_tasks(learners, scores, descriptions, sizes=(4, 8), n_draws=1)
    fewer = curve[(curve["n_train"] == 4) & (curve["learner"] != "noise_ceiling")].assign(kind="classification")
    display = TrainingTasksDisplay.from_curve(pd.concat([fewer, curve]))
    lower, panels = display.figure_.axes[:2], display.figure_.axes[2:]
    assert [panel.get_title(loc="left") for panel in panels] == ["portfolio, regression", "nearest tasks, regression"]
    assert lower[0].get_title(loc="left") == "portfolio, classification"
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["4", "8"]
    names = {text.get_text() for text in display.figure_.legends[0].get_texts()}
    assert names == {"random", "diverse", "nearest", "single best", "noise ceiling"}
    near = curve[(curve["learner"] == "nearest_tasks") & (curve["how"] == "diverse")]
    drawn = [container for container in panels[1].containers if container.get_label() == "diverse"]
    heights = np.asarray(drawn[0].lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(heights, near["normalized_regret"].astype(float))
    with pytest.raises(ValueError, match="nothing to draw"):
        TrainingTasksDisplay.from_curve(curve[curve["learner"] == "single_best"])


def test_win_rates_of_a_pair_sum_to_one(measured):
    table = WinRateDisplay.from_values(measured[1].blocks(budget=4)).table
    off = ~np.eye(len(table), dtype=bool)
    np.testing.assert_allclose((table + table.T).to_numpy()[off], 1)
    assert np.isnan(np.diagonal(table)).all()


def test_regret_distribution_rises_to_one(measured):
    display = RegretDistributionDisplay.from_evaluation(measured[1], budget=2)
    for line in display.figure_.axes[0].lines:
        share = line.get_ydata()
        assert (np.diff(share) >= 0).all()
        assert (share[0], share[-1]) == (0, 1)
    rows = measured[1].per_task.query("budget == 2 and learner == 'portfolio'").set_index("task")
    expected = rows["normalized_regret"].sort_index()
    pd.testing.assert_series_equal(display.table["portfolio"], expected, check_names=False)


def test_front_is_what_nobody_beats(measured):
    scores, _ = measured
    display = FrontDisplay.from_scores(scores)
    table = display.table.droplevel("kind")
    assert len(table) == len(scores.strategies)
    for name, row in table.iterrows():
        others = table.drop(index=name)
        at_least = (others["time"] <= row["time"]) & (others["regret"] <= row["regret"])
        assert row["front"] == (not at_least.any()), name
    drawn = display.figure_.axes[0].lines[0]
    np.testing.assert_allclose(drawn.get_xdata(orig=False), table["time"])
    np.testing.assert_allclose(drawn.get_ydata(orig=False), table["regret"])


def test_front_compares_times_within_tasks():
    frame = pd.DataFrame(
        {
            "task": ["small", "small", "large", "large", "large"],
            "strategy": ["a", "b", "a", "b", "c"],
            "loss": 0.5,
            "seconds": [1.0, 2.0, 100.0, 200.0, 150.0],
        }
    )
    table = FrontDisplay.from_scores(Scores.from_frame(frame)).table.droplevel("kind")
    assert list(table.index) == ["a", "c", "b"]
    assert table.loc["b", "time"] / table.loc["a", "time"] == pytest.approx(2.0)
