import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

from metafit.tasks import LazyTask, Task, TaskSuite, load_suite

CALLS: list[str] = []


def make(name="a", n=6, kind="regression"):
    CALLS.append(name)
    y = np.arange(n) + 0.5 if kind == "regression" else np.arange(n) % 2
    return Task(np.arange(2.0 * n).reshape(n, 2), y, name=name, kind=kind)


class Load:
    def __init__(self, name, **options):
        self.name, self.options = name, options

    def __call__(self):
        return make(self.name, **self.options)


@pytest.fixture
def lazy():
    CALLS.clear()
    return TaskSuite(
        [
            LazyTask("a", Load("a"), "regression", "f"),
            LazyTask("b", Load("b", kind="classification"), "classification", "f"),
            LazyTask("c", Load("c", n=9), "regression", "g"),
        ]
    )


@pytest.fixture(scope="module")
def schools():
    rng = np.random.default_rng(0)
    n = 90
    return pd.DataFrame(
        {
            "school": rng.integers(1, 7, n),
            "year": rng.choice([2020, 2021], n),
            "pupil": np.arange(n) // 2,
            "weight": rng.uniform(1, 2, n),
            "ses": rng.normal(size=n),
            "sector": rng.choice(["public", "private", "church"], n),
            "score": rng.normal(size=n).round(3),
        }
    )


def test_nothing_is_loaded_until_it_is_asked_for(lazy):
    assert lazy.names == ["a", "b", "c"]
    assert lazy.kinds == ["regression", "classification", "regression"]
    assert lazy.families == ["f", "f", "g"]
    assert (len(lazy), len(lazy.kind("regression")), lazy[1:].names) == (3, 2, ["b", "c"])
    assert repr(lazy) == "TaskSuite(3 tasks, 1 classification, 2 regression)"
    assert CALLS == []
    assert next(iter(lazy)).name == "a"
    assert CALLS == ["a"]


def test_a_task_in_hand_is_not_loaded_again(lazy):
    task = lazy["c"]
    assert lazy[2] is task
    assert lazy[-1] is task
    assert task in lazy
    assert CALLS == ["c"]


def test_the_suites_name_and_family_hold(lazy):
    suite = TaskSuite([LazyTask("renamed", Load("a"), family="g")])
    assert (suite[0].name, suite[0].family) == ("renamed", "g")


def test_unknown_kinds_are_found_once():
    CALLS.clear()
    suite = TaskSuite([LazyTask("a", Load("a"))])
    assert repr(suite) == "TaskSuite(1 tasks)"
    assert CALLS == []
    assert suite.kinds == suite.kinds == ["regression"]
    assert CALLS == ["a"]


def test_selection(lazy):
    assert lazy[["c", "a"]].names == ["c", "a"]
    assert lazy[[2]].names == ["c"]
    assert "b" in lazy
    assert "z" not in lazy
    assert lazy.filter(lambda task: task.n_rows > 6).names == ["c"]
    with pytest.raises(KeyError, match="no task is called 'z'; the suite has a, b, c"):
        lazy["z"]
    with pytest.raises(IndexError):
        lazy[3]
    with pytest.raises(ValueError, match=r"unique names; \['a'\]"):
        lazy[["a", "a"]]
    with pytest.raises(TypeError, match="Task and LazyTask"):
        TaskSuite([np.ones(3)])


def test_limit_caps_rows_when_loaded(lazy):
    capped = lazy.limit(7)
    assert [task.n_rows for task in capped] == [6, 6, 7]
    assert [task.n_rows for task in capped.limit(100)] == [6, 6, 7]
    assert [task.n_rows for task in capped.limit(4)] == [4, 4, 4]
    np.testing.assert_array_equal(capped[2].y, lazy[2].limit(7).y)
    assert not np.array_equal(lazy.limit(7, random_state=1)[2].y, capped[2].y)


def test_pickle(lazy):
    held = lazy[0]
    copy = pickle.loads(pickle.dumps(lazy.limit(5)))
    assert copy.names == lazy.names
    assert copy[0].n_rows == 5
    assert held.n_rows == 6


def test_fingerprint_sees_everything(lazy):
    task = make()
    fingerprint = TaskSuite([task]).fingerprint
    assert TaskSuite([make()]).fingerprint == fingerprint
    others = [
        [task.rename("b")],
        [task.rename("a", family="z")],
        [task.take(range(5))],
        [Task(task.X, task.y, name="a", groups=[0, 0, 1, 1, 2, 2])],
        [Task(task.X, task.y, name="a", sample_weight=[1, 1, 1, 1, 1, 2])],
        [Task(task.X, task.y, name="a", offset=[1, 1, 1, 1, 1, 2])],
        [task, make("b")],
    ]
    found = {TaskSuite(tasks).fingerprint for tasks in others}
    assert len(found) == len(others)
    assert fingerprint not in found


@pytest.mark.parametrize("library", [pd.DataFrame, pl.from_pandas])
def test_from_frame_cuts_by_a_column(schools, library):
    suite = TaskSuite.from_frame(
        library(schools), "score", by="school", drop=["year"], groups="pupil", sample_weight="weight"
    )
    assert suite.names == [f"school={k}" for k in range(1, 7)]
    assert set(suite.families) == {"score by school"}
    for k, task in enumerate(suite, start=1):
        part = schools[schools["school"] == k]
        assert task.y.tolist() == part["score"].tolist()
        assert task.sample_weight.tolist() == part["weight"].tolist()
        np.testing.assert_array_equal(task.matrix[:, 0], part["ses"])
        assert task.columns == ["ses", "sector=church", "sector=private", "sector=public"]
        assert len(np.unique(task.groups)) == part["pupil"].nunique()


def test_from_frame_by_two_columns(schools):
    suite = TaskSuite.from_frame(schools, "score", by=["school", "year"])
    counts = schools.groupby(["school", "year"]).size()
    assert suite.names == [f"school={k},year={y}" for k, y in counts.index]
    assert [task.n_rows for task in suite] == counts.tolist()
    assert suite[0].block_names == ["pupil", "weight", "ses", "sector"]


def test_from_frame_shares_classes_and_levels():
    frame = pd.DataFrame({"g": list("aabb"), "c": list("xyzz"), "y": ["no", "no", "no", "yes"]})
    one, two = TaskSuite.from_frame(frame, "y", by="g")
    assert one.classes.tolist() == two.classes.tolist() == ["no", "yes"]
    assert one.columns == two.columns == ["c=x", "c=y", "c=z"]
    assert one.y.tolist() == [0, 0]


def test_from_frame_whole():
    frame = pd.DataFrame({"x": [1, 2, 3], "y": [1.5, None, 2.5]})
    (task,) = TaskSuite.from_frame(frame, "y", name="all")
    assert (task.name, task.n_rows, task.columns) == ("all", 2, ["x"])


def test_from_frame_names_what_is_wrong(schools):
    for options, message in (
        ({"target": "mark"}, "no column 'mark'"),
        ({"target": "score", "by": "class"}, r"no columns \['class'\]"),
        ({"target": "score", "groups": "class"}, r"no columns \['class'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            TaskSuite.from_frame(schools, **options)
    with pytest.raises(ValueError, match="column 'school' splits the tasks but has 1 missing"):
        TaskSuite.from_frame(schools.assign(school=[None, *schools["school"][1:]]), "score", by="school")


def test_from_parquet(schools, tmp_path):
    for k, part in schools.groupby("school"):
        part.to_parquet(tmp_path / f"school{k}.parquet")
    suite = TaskSuite.from_parquet(tmp_path / "*.parquet", target="score", drop=["school"], groups="pupil")
    assert suite.names == suite.families == [f"school{k}" for k in range(1, 7)]
    assert suite["school3"].y.tolist() == schools.loc[schools["school"] == 3, "score"].tolist()
    assert "pupil" not in suite[0].columns
    assert "school" not in suite[0].columns
    assert suite.kinds == ["regression"] * 6
    assert len(pickle.loads(pickle.dumps(suite))) == 6
    with pytest.raises(FileNotFoundError, match="no Parquet file matches"):
        TaskSuite.from_parquet(tmp_path / "*.none", target="score")


def test_from_parquet_reads_no_file_before_time(schools, tmp_path):
    (tmp_path / "broken.parquet").write_text("not parquet")
    suite = TaskSuite.from_parquet(str(tmp_path / "*.parquet"), target="score")
    assert "broken" in repr(suite.names)
    assert repr(suite) == "TaskSuite(1 tasks)"


def test_files_of_one_name_are_told_apart_by_folder(schools, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        schools.to_parquet(tmp_path / folder / "t.parquet")
    names = TaskSuite.from_parquet(tmp_path / "*" / "t.parquet", target="score").names
    assert len(set(names)) == 2
    assert all(name.endswith("t") for name in names)


def test_random_samples():
    toy = load_suite("toy")
    sample = toy.sample(4, random_state=3)
    assert len(sample) == 4
    assert sample.names == [n for n in toy.names if n in sample.names]
    assert toy.sample(4, random_state=3).names == sample.names
    assert len({tuple(toy.sample(4, random_state=seed).names) for seed in range(8)}) > 1
    with pytest.raises(ValueError, match="k=12"):
        toy.sample(12)
    with pytest.raises(ValueError, match="how='best'"):
        toy.sample(3, how="best")


def test_diverse_samples_spread_out():
    toy = load_suite("toy")
    from metafit.descriptions import standardize

    points = standardize(toy.descriptions)
    for seed in range(3):
        chosen = toy.sample(4, how="diverse", random_state=seed).names
        assert len(set(chosen)) == 4
        for i in range(1, 4):
            gaps = [
                min(np.linalg.norm(points.loc[name] - points.loc[other]) for other in chosen[:i]) for name in toy.names
            ]
            assert toy.names[int(np.argmax(gaps))] == chosen[i]


def test_nearest_finds_a_look_alike():
    toy = load_suite("toy")
    cancer = toy["breast_cancer"]
    look_alike = cancer.take(np.arange(0, 569, 2)).rename("half of it")
    nearest = toy.nearest(look_alike, 3)
    assert nearest.names[0] == "breast_cancer"
    assert set(nearest.kinds) == {"classification"}
    assert "breast_cancer" not in toy.nearest(cancer, 5).names
    assert toy.nearest(toy["linnerud_waist"], 1).names[0].startswith("linnerud")
    with pytest.raises(ValueError, match="k=9"):
        toy.nearest(cancer, 9)
