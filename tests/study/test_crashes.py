"""``kill -9`` and Ctrl-C at random moments, two writers at once: the table is the uninterrupted one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from metafit.study import Study

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked to be killed")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    root = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run([sys.executable, script, root], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout)


def table(study):
    return study.scores().to_pandas().drop(columns="seconds")


def test_the_table_equals_the_uninterrupted_one(killed):
    root, _ = killed
    whole = Study(root / "whole")
    assert len(table(whole)) == 24 * 3 * 3 * 2
    others = sorted(folder for folder in root.iterdir() if folder.name != "whole")
    assert {"killed0", "interrupted0", "twice"} <= {folder.name for folder in others}
    for study in map(Study, others):
        pd.testing.assert_frame_equal(table(study), table(whole), check_exact=True)
        pd.testing.assert_frame_equal(study.descriptions(), whole.descriptions(), check_exact=True)


def test_ten_kills_caught_it_at_work(killed):
    _, report = killed
    assert [end["code"] for end in report["killed"]] == [-signal.SIGKILL] * 10
    assert any(0 < end["parts"] < 24 for end in report["killed"])


def test_ctrl_c_is_heard(killed):
    _, report = killed
    assert [end["code"] for end in report["interrupted"]] == [130] * 3
    assert max(end["seconds"] for end in report["interrupted"]) < 2
