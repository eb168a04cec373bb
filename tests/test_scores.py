"""The table of scores: holes and failures apart, nothing filled, no repeat counted twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metafit.scores import FAILURES, Scores, normalized_regret
from metafit.testing import make_scores


def long(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["task", "strategy", "seed", "fold", "status", "loss"])


def brute_force_matrix(scores: Scores, tied_last: bool = False) -> dict[tuple[str, str], float]:
    """Aggregate cell by cell, as the definition reads."""
    cells = scores.to_pandas()
    cells = cells[cells["status"] != "not_applicable"]
    values: dict[tuple[str, str], dict[int, list[float]]] = {}
    for row in cells.itertuples():
        loss = row.loss
        if row.status in FAILURES:
            same = cells[(cells.task == row.task) & (cells.seed == row.seed) & (cells.fold == row.fold)]
            worked = same.loc[same.status == "ok", "loss"]
            loss = max([1.0, *worked]) if tied_last else 1.0
        values.setdefault((row.task, row.strategy), {}).setdefault(row.seed, []).append(loss)
    return {key: np.mean([np.mean(folds) for folds in seeds.values()]) for key, seeds in values.items()}


@pytest.mark.parametrize("tied_last", [False, True])
@pytest.mark.parametrize("random_state", range(3))
def test_matrix_is_what_the_definition_says(random_state, tied_last):
    scores, _ = make_scores(6, 5, n_folds=4, holes=0.2, failures=0.2, random_state=random_state)
    cells = scores.to_pandas().assign(loss=lambda c: c["loss"] * 2)  # losses above 1, so that last is worse than 1
    cells = cells.sample(frac=0.7, random_state=random_state)  # unequal repeats, any order
    scores = Scores(cells, scores.tasks, scores.strategies)
    matrix = scores.matrix(tied_last=tied_last)
    expected = brute_force_matrix(scores, tied_last)
    assert matrix.notna().to_numpy().sum() == len(expected)
    for (task, strategy), value in expected.items():
        assert matrix.loc[task, strategy] == pytest.approx(value, rel=1e-12)


def test_unequal_repeats_do_not_bias():
    scores = Scores(long(("t", "s", 0, 0, "ok", 0.2), ("t", "s", 0, 1, "ok", 0.4), ("t", "s", 1, 0, "ok", 0.9)))
    assert scores.matrix().loc["t", "s"] == pytest.approx(((0.2 + 0.4) / 2 + 0.9) / 2)
    assert scores.matrix(seed=0).loc["t", "s"] == pytest.approx(0.3)
    assert scores.matrix(fold=0).loc["t", "s"] == pytest.approx((0.2 + 0.9) / 2)
    assert scores.matrix(seed=0, fold=1).loc["t", "s"] == pytest.approx(0.4)


def test_holes_failures_and_not_applicable_are_told_apart():
    scores = Scores(
        long(
            ("t", "works", 0, 0, "ok", 0.5),
            ("t", "fails", 0, 0, "timeout", np.nan),
            ("t", "cannot", 0, 0, "not_applicable", np.nan),
            ("u", "works", 0, 0, "ok", 1.5),
            ("u", "fails", 0, 0, "not_converged", 0.1),
        )
    )
    matrix = scores.matrix()
    assert matrix.loc["t", "fails"] == matrix.loc["u", "fails"] == 1
    assert matrix["cannot"].isna().all()
    assert scores.matrix(tied_last=True).loc["u", "fails"] == 1.5, "failing is tied with the worst that worked"
    assert scores.attempted().loc["t"].to_dict() == {"works": True, "fails": True, "cannot": False}
    assert scores.failed().loc["t"].to_dict() == {"works": False, "fails": True, "cannot": False}
    assert scores.coverage().to_dict() == {"works": 1.0, "fails": 1.0, "cannot": 0.0}
    assert scores.best().to_dict() == {"t": 0.5, "u": 1.5}


def test_failure_loss_can_be_chosen():
    cells = long(("t", "a", 0, 0, "failed", np.nan), ("t", "b", 0, 0, "ok", 0.5))
    assert Scores(cells, failure_loss=10.0).matrix().loc["t", "a"] == 10


def test_regret_by_hand():
    cells = long(
        ("t", "a", 0, 0, "ok", 0.4), ("t", "b", 0, 0, "ok", 0.7), ("t", "c", 0, 0, "failed", np.nan),
        ("noise", "a", 0, 0, "ok", 0.99), ("noise", "b", 0, 0, "ok", 1.0), ("noise", "c", 0, 0, "ok", 1.3),
    )  # fmt: skip
    scores = Scores(cells)
    np.testing.assert_allclose(scores.regret().loc["t"], [0, 0.5, 1])
    np.testing.assert_allclose(scores.regret().loc["noise"], [0, 0.5, 1], atol=1e-12)  # over 0.02, not 0.01; cut at 1
    np.testing.assert_allclose(scores.regret(normalized=False).loc["t"], [0, 0.3, 0.6])


def test_where_nothing_worked_nobody_has_regret():
    scores = Scores(long(("t", "a", 0, 0, "failed", np.nan), ("t", "b", 0, 0, "failed", np.nan)))
    assert scores.regret().to_numpy().tolist() == [[0, 0]]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.01, 3.0), min_size=2, max_size=6), st.data())
def test_a_strategy_that_always_fails_changes_nothing_for_the_others(losses, data):
    rows = [("t", f"s{i}", 0, 0, "ok", loss) for i, loss in enumerate(losses)]
    before = Scores(long(*rows)).regret()
    after = Scores(long(*rows, ("t", "fails", 0, 0, "failed", np.nan))).regret()
    pd.testing.assert_frame_equal(before, after[before.columns], check_names=False)
    assert after.loc["t", "fails"] >= before.loc["t"].max()
    hole = Scores(long(*rows), strategies=pd.DataFrame(index=[*before.columns, "never"])).regret()
    pd.testing.assert_frame_equal(before, hole[before.columns], check_names=False)
    assert hole["never"].isna().all()


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(24)))
def test_order_of_rows_does_not_change_a_bit(order):
    scores, _ = make_scores(3, 4, n_folds=1, n_seeds=2, failures=0.2)
    shuffled = Scores(scores.to_pandas().iloc[order], scores.tasks, scores.strategies)
    pd.testing.assert_frame_equal(scores.to_pandas(), shuffled.to_pandas())
    assert (scores.regret().to_numpy() == shuffled.regret().to_numpy()).all()


def test_taking_a_task_away_restores_every_figure():
    scores, _ = make_scores(8, 5, holes=0.2, failures=0.1)
    without = scores.without_tasks(["task003"])
    cells = scores.to_pandas()
    fresh = Scores(cells[cells["task"] != "task003"], scores.tasks.drop("task003"), scores.strategies)
    pd.testing.assert_frame_equal(without.to_pandas(), fresh.to_pandas())
    pd.testing.assert_frame_equal(without.regret(), fresh.regret())
    pd.testing.assert_frame_equal(without.regret(), scores.regret().drop("task003"))


def test_parts_keep_order_and_refuse_strangers():
    scores, _ = make_scores(6, 4)
    part = scores.only_tasks(["task004", "task001"])
    assert part.tasks.index.to_list() == part.matrix().index.to_list() == ["task001", "task004"]
    assert scores.only_strategies(["strategy002"]).matrix().columns.to_list() == ["strategy002"]
    assert scores.seed(1).seeds == [1]
    assert scores.seeds == [0, 1]
    with pytest.raises(ValueError, match=r"unknown task.*nobody"):
        scores.only_tasks(["task001", "nobody"])
    with pytest.raises(ValueError, match="seed=7"):
        scores.seed(7)
    with pytest.raises(ValueError, match="metric='auc'"):
        scores.matrix("auc")


def test_of_kind_keeps_its_own_strategies():
    cells = long(
        ("c", "logit", 0, 0, "ok", 0.5),
        ("r", "ridge", 0, 0, "ok", 0.5),
        ("r", "logit", 0, 0, "not_applicable", np.nan),
    )
    tasks = pd.DataFrame({"kind": ["classification", "regression"]}, index=["c", "r"])
    undeclared = Scores(cells, tasks)
    assert undeclared.kinds == ["classification", "regression"]
    assert undeclared.of_kind("regression").strategies.index.to_list() == ["ridge"]
    strategies = pd.DataFrame({"kind": ["classification", "regression", "regression"]}, index=["logit", "ridge", "new"])
    declared = Scores(cells, tasks, strategies)
    assert declared.of_kind("regression").strategies.index.to_list() == ["ridge", "new"]
    with pytest.raises(ValueError, match="kind='survival'"):
        declared.of_kind("survival")


def test_metrics_re_rank_with_failures_last():
    cells = long(("t", "a", 0, 0, "ok", 0.5), ("t", "b", 0, 0, "ok", 0.6), ("t", "c", 0, 0, "failed", np.nan))
    cells = cells.assign(accuracy_score=[0.7, 0.9, np.nan], log_loss=[0.4, 0.3, np.nan], seconds=[1.0, 2.0, 9.0])
    scores = Scores(cells)
    assert scores.matrix("accuracy_score").loc["t"].to_list() == [0.7, 0.9, 0.7]
    assert scores.matrix("log_loss").loc["t"].to_list() == [0.4, 0.3, 0.4]
    assert scores.matrix("seconds").loc["t"].to_list() == [1, 2, 9]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (pd.DataFrame({"task": ["t"], "loss": [1.0]}), "lack the columns.*strategy"),
        (long(("t", "a", 0, 0, "ok", np.nan)), "task='t'.*no.*|no finite loss.*strategy='a'"),
        (long(("t", "a", 0, 0, "ok", np.inf)), "no finite loss"),
        (long(("t", "a", 0, 0, "exploded", 1.0)), "exploded"),
        (long(("t", "a", 0, np.nan, "ok", 1.0)), "missing values.*fold"),
        (long((None, "a", 0, 0, "ok", 1.0)), "missing values.*task"),
        (long(("t", "a", 0, 0, "ok", 1.0), ("t", "a", 0, 0, "ok", 2.0)), "there twice.*seed or fold"),
    ],
)
def test_bad_tables_are_refused_by_name(cells, message):
    with pytest.raises(ValueError, match=message):
        Scores(cells)


def test_cells_of_what_is_not_listed_are_refused():
    cells = long(("t", "a", 0, 0, "ok", 1.0))
    with pytest.raises(ValueError, match=r"task that is not listed.*'t'"):
        Scores(cells, tasks=pd.DataFrame(index=["u"]))
    with pytest.raises(ValueError, match="'a' is listed twice"):
        Scores(cells, strategies=pd.DataFrame(index=["a", "a"]))


def test_from_frame_takes_foreign_names_and_polars():
    frame = {
        "data": ["d1", "d1", "d2"],
        "model": ["a", "b", "a"],
        "err": [0.1, 0.2, None],
        "t": [1.0, 2.0, 3.0],
        "loss": [9, 9, 9],
    }
    names = {"task": "data", "strategy": "model", "loss": "err", "seconds": "t"}
    for make in (pd.DataFrame, pl.DataFrame):
        with pytest.raises(ValueError, match="no finite loss"):
            Scores.from_frame(make(frame), **names)
        hole = Scores.from_frame(make(frame), **names, missing="hole")
        assert hole.matrix().loc["d1"].to_list() == [0.1, 0.2]
        assert hole.attempted().to_numpy().sum() == 2
        failed = Scores.from_frame(make(frame), **names, missing="failed")
        assert failed.matrix().loc["d2", "a"] == 1
    with pytest.raises(ValueError, match=r"no such columns.*nope"):
        Scores.from_frame(pd.DataFrame(frame), task="nope")


def test_kind_and_family_come_from_the_frame_and_are_one_per_task():
    frame = pd.DataFrame(
        {"task": ["t", "t"], "strategy": ["a", "b"], "loss": [0.1, 0.2], "kind": "regression", "who": "x"}
    )
    scores = Scores.from_frame(frame, family="who")
    assert scores.tasks.loc["t", ["kind", "family"]].to_list() == ["regression", "x"]
    with pytest.raises(ValueError, match="task 't' has several"):
        Scores.from_frame(frame.assign(who=["x", "y"]), family="who")


def test_round_trips():
    scores, _ = make_scores(5, 4, holes=0.3, failures=0.2)
    for table in (scores.to_pandas(), scores.to_polars()):
        again = Scores.from_frame(table, tasks=scores.tasks, strategies=scores.strategies)
        pd.testing.assert_frame_equal(again.to_pandas(), scores.to_pandas())
    assert isinstance(scores.to_polars(), pl.DataFrame)
    wide = scores.matrix(tied_last=True)
    pd.testing.assert_frame_equal(Scores.from_matrix(wide).matrix(), wide)


def test_a_figure_handed_out_is_the_callers_own():
    scores, _ = make_scores(4, 3)
    regret, best = scores.regret(), scores.best()
    regret.iloc[:, :] = 7.0
    best.iloc[:] = 7.0
    assert scores.regret().to_numpy().max() <= 1
    assert scores.best().max() < 7


def test_normalized_regret_is_cut():
    np.testing.assert_allclose(normalized_regret([0.5, 0.9, 5.0, np.nan], 0.5), [0, 0.8, 1, np.nan])
    np.testing.assert_allclose(normalized_regret([1.0, 1.01, 1.1], 1.0), [0, 0.5, 1])


def test_empty_table_says_so():
    empty = Scores(pd.DataFrame({"task": [], "strategy": [], "loss": []}))
    assert repr(empty) == "Scores: 0 tasks x 0 strategies, 0 seeds, 100.0% holes, 0 failures"
