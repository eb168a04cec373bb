"""Tables that come from files and go to them."""

from __future__ import annotations

import pandas as pd
import pytest

from metafit.scores import Scores
from metafit.testing import make_scores

DESCRIPTION = """
performance_measures: [runtime]
performance_type: [runtime]
maximize: [false]
algorithm_cutoff_time: 100
default_steps: [cheap, dear]
feature_steps:
  cheap: {provides: [size]}
  dear: {provides: [depth, width]}
  unused: {provides: [luck]}
"""
RUNS = """@RELATION runs
@ATTRIBUTE instance_id STRING
@ATTRIBUTE repetition NUMERIC
@ATTRIBUTE algorithm STRING
@ATTRIBUTE runtime NUMERIC
@ATTRIBUTE runstatus {ok, timeout, memout, not_applicable, crash, other}
@DATA
'one, two',1,fast,20,ok
'one, two',1,slow,101,ok
hard,1,fast,100,timeout
hard,1,slow,7,memout
odd,1,fast,?,crash
odd,1,slow,1,not_applicable
"""
VALUES = """@RELATION values
@ATTRIBUTE instance_id STRING
@ATTRIBUTE repetition NUMERIC
@ATTRIBUTE size NUMERIC
@ATTRIBUTE depth NUMERIC
@ATTRIBUTE width NUMERIC
@ATTRIBUTE luck NUMERIC
@DATA
'one, two',1,3,4,5,6
hard,1,30,40,?,6
odd,1,300,400,500,6
"""
STATUS = """@RELATION status
@ATTRIBUTE instance_id STRING
@ATTRIBUTE repetition NUMERIC
@ATTRIBUTE cheap {ok,timeout,memout,presolved,crash,other,unknown}
@ATTRIBUTE dear {ok,timeout,memout,presolved,crash,other,unknown}
@DATA
'one, two',1,ok,ok
hard,1,ok,ok
odd,1,ok,timeout
"""
COSTS = """@RELATION costs
@ATTRIBUTE instance_id STRING
@ATTRIBUTE repetition NUMERIC
@ATTRIBUTE cheap NUMERIC
@ATTRIBUTE dear NUMERIC
@ATTRIBUTE unused NUMERIC
@DATA
'one, two',1,0.5,2,99
hard,1,0.25,?,99
"""
CV = """@RELATION cv
@ATTRIBUTE instance_id STRING
@ATTRIBUTE repetition NUMERIC
@ATTRIBUTE fold NUMERIC
@DATA
'one, two',1,1
hard,1,2
odd,1,1
"""
FILES = {
    "description.txt": DESCRIPTION,
    "algorithm_runs.arff": RUNS,
    "feature_values.arff": VALUES,
    "feature_runstatus.arff": STATUS,
    "feature_costs.arff": COSTS,
    "cv.arff": CV,
}


@pytest.fixture
def scenario(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_runs_of_a_scenario_count_par10(scenario):
    scores = Scores.from_aslib(scenario)
    matrix = scores.matrix()
    assert matrix.loc["one, two"].tolist() == [0.02, 1.0]  # "ok" after the cutoff is not in time
    assert matrix.loc["hard"].tolist() == [1.0, 1.0]  # solved by nobody, and kept
    assert matrix.loc["odd", "fast"] == 1.0
    assert pd.isna(matrix.loc["odd", "slow"])  # not applicable is no failure
    status = scores.to_pandas().set_index(["task", "strategy"])["status"]
    assert status["one, two", "slow"] == status["hard", "fast"] == "timeout"
    assert status["hard", "slow"] == status["odd", "fast"] == "failed"
    assert scores.kinds == ["runtime"]
    assert (scores.tasks["cutoff"] == 100).all()


def test_features_of_failed_steps_are_missing_and_cost_what_the_default_steps_cost(scenario):
    scores = Scores.from_aslib(scenario)
    about = scores.descriptions
    assert about.columns.tolist() == ["size", "depth", "width"]
    assert about.loc["one, two"].tolist() == [3, 4, 5]
    assert about.loc["hard"].isna().tolist() == [False, False, True]
    assert about.loc["odd"].isna().tolist() == [False, True, True]
    assert scores.tasks["feature_seconds"].to_dict() == {"one, two": 2.5, "hard": 0.25, "odd": 0.0}


def test_a_scenario_without_costs_and_statuses(scenario):
    (scenario / "feature_costs.arff").unlink()
    (scenario / "feature_runstatus.arff").unlink()
    scores = Scores.from_aslib(scenario)
    assert (scores.tasks["feature_seconds"] == 0).all()
    assert scores.descriptions.loc["odd"].notna().all()


def test_official_folds(scenario):
    splits = Scores.from_aslib(scenario).splits
    assert splits["1"].to_dict() == {"one, two": 1, "hard": 2, "odd": 1}


def test_what_is_no_scenario_is_refused(scenario):
    (scenario / "description.txt").write_text(DESCRIPTION.replace("[runtime]", "[solution_quality]"))
    with pytest.raises(ValueError, match="solution_quality"):
        Scores.from_aslib(scenario)
    (scenario / "cv.arff").unlink()
    (scenario / "description.txt").write_text(DESCRIPTION)
    with pytest.raises(FileNotFoundError, match=r"lacks cv\.arff"):
        Scores.from_aslib(scenario)


def assert_same(a, b):
    pd.testing.assert_frame_equal(a.cells, b.cells)
    for name in ("tasks", "strategies"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    for name in ("splits", "descriptions"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            pd.testing.assert_frame_equal(ours, theirs, check_names=False)
    assert a.failure_loss == b.failure_loss


def test_parquet_keeps_everything(scenario, tmp_path):
    scores, _ = make_scores(8, 5, n_folds=2, holes=0.2, failures=0.2, random_state=1)
    for number, table in enumerate([scores, Scores.from_aslib(scenario), Scores(scores.to_pandas(), failure_loss=2.5)]):
        table.to_parquet(tmp_path / str(number))
        assert_same(Scores.from_parquet(tmp_path / str(number)), table)
    # what is written over another table leaves nothing of it
    scores.to_parquet(tmp_path / "1")
    assert_same(Scores.from_parquet(tmp_path / "1"), scores)
    with pytest.raises(FileNotFoundError, match=r"cells\.parquet"):
        Scores.from_parquet(tmp_path / "none")


def test_csv_is_a_long_table(tmp_path):
    frame = pd.DataFrame({"data": ["t", "t"], "model": ["a", "b"], "error": [0.25, 0.5]})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    scores = Scores.from_csv(tmp_path / "scores.csv", task="data", strategy="model", loss="error")
    assert scores.matrix().loc["t"].tolist() == [0.25, 0.5]


@pytest.mark.parametrize("random_state", range(3))
def test_what_is_taken_apart_joins_again(random_state):
    scores, _ = make_scores(9, 6, n_folds=2, holes=0.3, failures=0.1, random_state=random_state)
    tasks, strategies = list(scores.tasks.index), list(scores.strategies.index)
    assert_same(scores.only_tasks(tasks[:4]).join(scores.without_tasks(tasks[:4])), scores)
    assert_same(scores.only_strategies(strategies[:2]).join(scores.without_strategies(strategies[:2])), scores)


def test_tables_that_disagree_do_not_join(scenario):
    scores = Scores.from_aslib(scenario)
    with pytest.raises(ValueError, match="there twice"):
        scores.join(scores)
    with pytest.raises(ValueError, match="a failure counts"):
        scores.join(Scores(scores.to_pandas(), failure_loss=3.0))
    changed = scores.tasks.assign(cutoff=5.0)
    other = Scores(scores.to_pandas().assign(fold=7), changed)
    with pytest.raises(ValueError, match="'cutoff'"):
        scores.join(other)
