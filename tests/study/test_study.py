"""A study holds what its strategies scored, and does nothing twice."""

import gc
import multiprocessing
import weakref
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from metafit.descriptions import describe
from metafit.engine.running import run_strategies
from metafit.strategies import Strategy
from metafit.strategies.alphas import OfMax, PerRow
from metafit.strategies.features import TopK
from metafit.study import Study, shard
from metafit.study import study as study_module
from metafit.tasks import LazyTask, Task, TaskSuite, load_suite

SQUARED = [
    Strategy(loss="squared"),
    Strategy(loss="squared", penalty="l1", alpha=OfMax(0.1)),
    Strategy(loss="squared", features=TopK(2), alpha=PerRow(10)),
]
LOGISTIC = [Strategy(loss="logistic"), Strategy.from_estimator(DecisionTreeClassifier(max_depth=2))]
SMALL = {"folds": 3, "repeats": 2, "progress": False}
KEY = ["task", "strategy", "seed", "fold"]


def made(name, kind="regression", n=40, seed=0, **options):
    rng = np.random.default_rng([seed, *name.encode()])
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "c": rng.choice(["x", "y"], n)})
    y = X["a"] + rng.normal(size=n)
    return Task(X, y if kind == "regression" else y > 0, name=name, kind=kind, **options)


def suite_of(*names, **options):
    return TaskSuite([made(name, **options) for name in names])


def table(study):
    """All cells but what depends on the clock."""
    return study.scores().to_pandas().drop(columns="seconds")


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def shards_run(monkeypatch):
    """Names of the tasks, and numbers of strategies, of each shard that runs in this process."""
    seen = []
    original = study_module.run_shard

    def counting(one, n_threads=None):
        seen.append((one.name, len(one.strategies)))
        return original(one, n_threads)

    monkeypatch.setattr(study_module, "run_shard", counting)
    return seen


# ------------------------------------------------------------------------------------------ what it holds


def test_cells_are_those_of_the_engine(tmp_path):
    task = made("one", groups=np.arange(40) // 2)
    scores = Study(tmp_path).run([task], SQUARED, folds=4, repeats=2, random_state=7).scores()
    assert scores.seeds == [7, 8]
    assert len(scores.cells) == 3 * 4 * 2
    for seed in (7, 8):
        for result in run_strategies(task, SQUARED, task.splits(4, random_state=seed)):
            cell = scores.cells.query(
                "strategy == @result.strategy_id and seed == @seed and fold == @result.fold"
            ).iloc[0]
            assert cell["loss"] == result.loss
            assert cell["status"] == result.status == "ok"
            for name in ("gap", "n_iter", "alpha", "n_features", "n_columns_used"):
                assert cell[name] == getattr(result, name)
            assert {name: cell[name] for name in result.metrics} == result.metrics


def test_tasks_strategies_and_descriptions_come_back(tmp_path):
    suite = TaskSuite([made("r", family="f"), made("c", "classification")])
    study = Study(tmp_path).run(suite, [*LOGISTIC, *SQUARED], **SMALL)
    scores = study.scores()
    assert study.strategies == [*LOGISTIC, *SQUARED]
    assert list(scores.strategies.index) == [s.id for s in study.strategies]
    assert list(scores.strategies["kind"]) == ["classification"] * 2 + ["regression"] * 3
    assert list(scores.tasks.index) == ["c", "r"]
    assert scores.tasks.loc["r", ["kind", "family", "n_rows", "n_features", "n_columns"]].tolist() == [
        "regression",
        "f",
        40,
        3,
        3,
    ]
    assert scores.tasks.loc["c", "n_classes"] == 2
    assert scores.tasks.loc["r", "fingerprint"] == suite["r"].fingerprint
    pd.testing.assert_frame_equal(study.descriptions(), describe(suite).loc[["c", "r"]], check_names=False)


def test_strategies_of_the_other_kind_are_holes(tmp_path):
    suite = TaskSuite([made("r"), made("c", "classification")])
    scores = Study(tmp_path).run(suite, [*SQUARED, *LOGISTIC], **SMALL).scores()
    attempted = scores.attempted()
    assert attempted.loc["r"].tolist() == [True] * 3 + [False] * 2
    assert attempted.loc["c"].tolist() == [False] * 3 + [True] * 2


def test_a_study_reads_well_before_and_after(tmp_path):
    study = Study(tmp_path / "new")
    assert repr(study).endswith("new': not run yet)")
    with pytest.raises(ValueError, match=r"there is no study in .*new"):
        study.scores()
    with pytest.raises(ValueError, match="there is no study in"):
        study.descriptions()
    study.run(suite_of("one"), SQUARED[:1], **SMALL)
    assert repr(study).endswith("new': 1 task, 1 strategy, 6 cells)")
    assert repr(Study(str(study.path))) == repr(study)


def test_bad_arguments_name_themselves(tmp_path):
    study = Study(tmp_path / "new")
    with pytest.raises(ValueError, match="strategies must hold at least one"):
        study.run(suite_of("one"), [])
    with pytest.raises(TypeError, match="strategies must hold Strategy objects, got str"):
        study.run(suite_of("one"), ["ridge"])
    with pytest.raises(ValueError, match="folds must be an int of at least 2"):
        study.run(suite_of("one"), SQUARED, folds=1)
    assert not study.path.exists()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="path must be a folder"):
        Study(tmp_path / "file")


# ------------------------------------------------------------------------------------------ resume


def test_a_second_run_does_nothing(tmp_path, shards_run):
    study = Study(tmp_path).run(suite_of("one", "two"), SQUARED, **SMALL)
    before = snapshot(tmp_path)
    shards_run.clear()
    study.run(suite_of("one", "two"), reversed(SQUARED), **SMALL)
    assert shards_run == []
    assert snapshot(tmp_path) == before


def test_only_what_is_new_runs(tmp_path, shards_run):
    study = Study(tmp_path / "grown").run(suite_of("one", "two"), SQUARED[:1], **SMALL)
    shards_run.clear()
    study.run(suite_of("one", "two", "three"), SQUARED, **SMALL)
    assert sorted(shards_run) == [("one", 2), ("three", 3), ("two", 2)]
    whole = Study(tmp_path / "whole").run(suite_of("one", "two", "three"), SQUARED, **SMALL)
    pd.testing.assert_frame_equal(table(study), table(whole))
    assert study.strategies == SQUARED


def test_a_part_of_the_suite_may_go_on(tmp_path, shards_run):
    study = Study(tmp_path).run(suite_of("one", "two"), SQUARED, **SMALL)
    shards_run.clear()
    study.run(suite_of("two"), LOGISTIC, **SMALL)
    assert shards_run == []  # no task of that kind, and both tasks are known
    assert study.strategies == [*SQUARED, *LOGISTIC]


def test_what_is_missing_runs_again(tmp_path, shards_run):
    study = Study(tmp_path).run(suite_of("one", "two"), SQUARED, **SMALL)
    before = table(study)
    next((tmp_path / "scores").glob("one-*")).unlink()
    next((tmp_path / "descriptions").glob("two-*")).unlink()
    shards_run.clear()
    study.run(suite_of("one", "two"), SQUARED, **SMALL)
    assert sorted(shards_run) == [("one", 3), ("two", 0)]
    pd.testing.assert_frame_equal(table(study), before)
    assert list(study.descriptions().index) == ["one", "two"]


def test_leftovers_of_a_killed_writer_are_no_parts(tmp_path):
    study = Study(tmp_path).run(suite_of("one"), SQUARED, **SMALL)
    before = table(study)
    (tmp_path / "scores" / ".0123.tmp").write_bytes(b"PAR1 half a part")
    pd.testing.assert_frame_equal(table(study.run(suite_of("one"), SQUARED, **SMALL)), before)


@pytest.mark.parametrize("change", [{"folds": 4}, {"repeats": 3}, {"random_state": 1}])
def test_other_settings_are_refused_and_nothing_is_touched(tmp_path, change):
    study = Study(tmp_path).run(suite_of("one"), SQUARED, **SMALL)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=rf"{next(iter(change))}=\d \(the study has"):
        study.run(suite_of("one", "two"), SQUARED, **(SMALL | change))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "other",
    [
        lambda: made("one", seed=1),
        lambda: made("one").limit(30),
        lambda: made("one", groups=np.arange(40) // 2),
        lambda: made("one", sample_weight=np.arange(40) + 1.0),
        lambda: made("one", family="other"),
        lambda: made("one").take(np.arange(39, -1, -1)),
    ],
    ids=["values", "rows", "groups", "weights", "family", "order"],
)
def test_another_suite_under_the_same_name_is_refused_and_nothing_is_touched(tmp_path, other):
    study = Study(tmp_path).run(suite_of("one"), SQUARED, **SMALL)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="holds another task named 'one'"):
        study.run([made("two"), other()], [*SQUARED, *LOGISTIC], **SMALL)
    assert snapshot(tmp_path) == before


def test_another_format_is_refused_and_nothing_is_touched(tmp_path):
    Study(tmp_path).run(suite_of("one"), SQUARED, **SMALL)
    head = tmp_path / "study.json"
    head.write_text(head.read_text().replace('"format": 1', '"format": 2'))
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="format version 2"):
        Study(tmp_path)
    assert snapshot(tmp_path) == before


def test_two_contents_cannot_slip_in_under_one_name(tmp_path):
    """Two writers that start together on different data: the second finds out when it writes."""
    one, other = (shard.Shard(tmp_path, suite_of("one", seed=s), tuple(SQUARED), SETTINGS) for s in (0, 1))
    assert shard.run_shard(one).parent.name == "scores"
    note = shard.run_shard(other)
    assert note.parent.name == "failed"
    assert "holds another task named 'one'" in Study(tmp_path).failures()["one"]


def test_writers_that_overlap_leave_each_cell_once(tmp_path):
    suite = suite_of("one")
    whole = Study(tmp_path / "whole").run(suite, SQUARED, **SMALL)
    study = Study(tmp_path / "shared").run(suite, SQUARED[:1], **SMALL)
    for strategies in (SQUARED[:2], SQUARED[1:]):
        shard.run_shard(shard.Shard(study.path, suite, tuple(strategies), SETTINGS))
    study.run(suite, SQUARED, **SMALL)
    assert len(list((study.path / "scores").iterdir())) == 3
    pd.testing.assert_frame_equal(table(study), table(whole))


SETTINGS = study_module.Settings.checked(3, 2, 0)


# ------------------------------------------------------------------------------------------ failures


def refuse(message="no such file"):
    raise OSError(message)


def test_a_task_that_cannot_be_loaded_fails_alone_and_is_tried_again(tmp_path):
    broken = LazyTask("broken", refuse, kind="regression", family="f")
    study = Study(tmp_path)
    with pytest.warns(RuntimeWarning, match=r"1 of 2 tasks failed .*broken: OSError: no such file"):
        study.run(TaskSuite([broken, made("good")]), [*SQUARED, *LOGISTIC], **SMALL)
    cells = study.scores().to_pandas().query("task == 'broken'")
    assert set(cells["strategy"]) == {s.id for s in SQUARED}
    assert len(cells) == 3 * 3 * 2
    assert (cells["status"] == "failed").all()
    assert cells["loss"].isna().all()
    assert (cells["reason"] == "OSError: no such file").all()
    assert study.scores().tasks.loc["broken", "family"] == "f"
    assert study.scores().matrix().loc["broken"].dropna().tolist() == [1.0] * 3

    mended = LazyTask("broken", partial(made, "broken"), kind="regression", family="f")
    study.run(TaskSuite([mended, made("good")]), [*SQUARED, *LOGISTIC], **SMALL)
    assert study.failures() == {}
    assert (study.scores().cells["status"] == "ok").all()


def test_a_task_of_unknown_kind_that_cannot_be_loaded_has_a_reason_but_no_cells(tmp_path):
    study = Study(tmp_path)
    with pytest.warns(RuntimeWarning, match="1 of 2 tasks failed"):
        study.run(TaskSuite([LazyTask("broken", refuse), made("good")]), SQUARED, **SMALL)
    assert list(study.scores().tasks.index) == ["good"]
    assert study.failures() == {"broken": "OSError: no such file"}


def test_a_task_that_cannot_be_encoded_or_split_fails_alone(tmp_path):
    dates = Task(pd.DataFrame({"day": pd.date_range("2020", periods=9)}), np.arange(9.0), name="dates")
    tiny = made("tiny").take([0, 1])
    study = Study(tmp_path)
    with pytest.warns(RuntimeWarning, match="2 of 3 tasks failed"):
        study.run([dates, tiny, made("good")], SQUARED, **SMALL)
    reasons = study.failures()
    assert "day" in reasons["dates"]
    assert "folds=3" in reasons["tiny"]
    status = study.scores().cells.groupby("task", observed=True)["status"].unique()
    assert {task: list(found) for task, found in status.items()} == {
        "dates": ["failed"],
        "tiny": ["failed"],
        "good": ["ok"],
    }


def test_a_failed_description_leaves_the_scores(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shard, "describe_task", refuse)
        with pytest.warns(RuntimeWarning, match="tasks failed"):
            study = Study(tmp_path).run(suite_of("one"), SQUARED, **SMALL)
        assert (study.scores().cells["status"] == "ok").all()
        assert len(study.descriptions()) == 0
    study.run(suite_of("one"), SQUARED, **SMALL)
    assert list(study.descriptions().index) == ["one"]


def test_ctrl_c_leaves_a_study_that_goes_on(tmp_path, monkeypatch, shards_run):
    suite = suite_of(*"abcd")
    calls = []

    def interrupted(*args, **options):
        calls.append(args)
        if len(calls) == 6:  # the second seed of the third task
            raise KeyboardInterrupt
        return run_strategies(*args, **options)

    study = Study(tmp_path / "interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(shard, "run_strategies", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study.run(suite, SQUARED, **SMALL)
    assert len(study.scores().tasks) == 2
    shards_run.clear()
    study.run(suite, SQUARED, **SMALL)
    assert len(shards_run) == 2
    pd.testing.assert_frame_equal(table(study), table(Study(tmp_path / "whole").run(suite, SQUARED, **SMALL)))


# ------------------------------------------------------------------------------ executors and memory


class Recorder(Executor):
    """Runs at once and keeps the arguments."""

    def __init__(self):
        self.threads, self.folders = [], []

    def submit(self, fn, *args):
        self.folders.append(args[0].folder)
        self.threads.append(args[1])
        future = Future()
        try:
            future.set_result(fn(*args))
        except BaseException as error:
            future.set_exception(error)
        return future


@pytest.mark.parametrize(("given", "used"), [(None, 1), (3, 3)])
def test_workers_of_an_executor_get_one_thread_unless_told(tmp_path, given, used):
    recorder = Recorder()
    Study(tmp_path).run(suite_of("one", "two"), SQUARED, executor=recorder, n_threads=given, **SMALL)
    assert recorder.threads == [used, used]


def test_workers_get_a_path_that_holds_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorder = Recorder()
    Study("runs/new").run(suite_of("one"), SQUARED, executor=recorder, **SMALL)
    assert recorder.folders == [tmp_path / "runs" / "new"]


def test_executors_give_the_same_table(tmp_path):
    suite = load_suite("toy", max_rows=60)[["diabetes", "linnerud_waist", "breast_cancer"]]
    strategies = [*SQUARED, *LOGISTIC]
    here = Study(tmp_path / "here").run(suite, strategies, **SMALL)
    with ThreadPoolExecutor(2) as pool:
        threads = Study(tmp_path / "threads").run(suite, strategies, executor=pool, **SMALL)
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned) as pool:
        processes = Study(tmp_path / "processes").run(suite, strategies, executor=pool, **SMALL)
    pd.testing.assert_frame_equal(table(threads), table(here))
    pd.testing.assert_frame_equal(table(processes), table(here))


def test_what_cannot_be_sent_to_a_worker_is_said(tmp_path):
    suite = TaskSuite([LazyTask("one", lambda: made("one"), kind="regression")])
    spawned = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=spawned) as pool,
        pytest.raises(Exception, match=r"(?i)pickle|local|lambda"),
    ):
        Study(tmp_path).run(suite, SQUARED, executor=pool, **SMALL)


def test_lazy_tasks_are_loaded_one_at_a_time(tmp_path):
    alive = weakref.WeakSet()
    most = []

    def load(name):
        gc.collect()
        task = made(name)
        alive.add(task)
        most.append(len(alive))
        return task

    suite = TaskSuite([LazyTask(name, partial(load, name), kind="regression") for name in "abcde"])
    study = Study(tmp_path).run(suite, SQUARED, **SMALL)
    assert len(most) == 5  # each once
    study.run(suite, SQUARED, **SMALL)
    assert max(most) == 1
