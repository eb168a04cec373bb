import numpy as np
import pandas as pd
import pytest

from metafit.tasks import Task, TaskSuite, load_suite


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    n = 120
    return pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": rng.integers(0, 6, n),
            "c": rng.choice(["u", "v"], n),
            "d": rng.normal(size=n).round(1),
            "y": rng.normal(size=n).round(2),
        }
    )


def task(table, columns="abcd", target="y", name="one", rows=None):
    table = table if rows is None else table.iloc[rows]
    return Task(table[list(columns)], table[target], name=name)


def twins(*tasks):
    return TaskSuite(list(tasks)).twins()


def test_order_names_and_other_columns_do_not_hide_a_twin(table):
    shuffled = np.random.default_rng(2).permutation(len(table))
    renamed = table.rename(columns={"a": "z", "b": "t"}).assign(new=np.arange(len(table)) % 7)
    other = task(renamed, ["new", "t", "z"], name="two", rows=shuffled)
    assert twins(task(table), other) == [("one", "two")]
    assert TaskSuite([task(table), other]).drop_duplicates().names == ["one"]
    assert TaskSuite([other, task(table)]).drop_duplicates().names == ["two"]


def test_relabelled_classes_do_not_hide_a_twin(table):
    yes = np.where(table["y"] > 0.3, "yes", "no")
    coded = Task(table[["a", "b"]], (yes == "yes").astype(int), name="two")
    assert twins(Task(table[["a", "c"]], yes, name="one"), coded) == [("one", "two")]


def test_another_target_of_the_same_rows_is_no_twin(table):
    assert twins(task(table, "abc", "d"), task(table, "abc", "y", name="two")) == []


def test_equal_columns_in_other_rows_are_no_twin(table):
    # Each column holds the same values, as years do in two panels, but not in the same rows.
    mixed = table.assign(**{c: np.random.default_rng(i).permutation(table[c]) for i, c in enumerate("abcd")})
    assert twins(task(table), task(mixed, name="two")) == []


def test_one_column_of_chance_agreement_does_not_hide_a_twin(table):
    # c holds the same values in both, in other rows; the rest agrees.
    moved = table.assign(c=np.random.default_rng(0).permutation(table["c"]))
    assert twins(task(table), task(moved, name="two")) == [("one", "two")]


def test_nothing_shared_is_no_twin(table):
    assert twins(task(table, "ab"), task(table, "cd", name="two")) == []


def test_small_designs_are_no_evidence():
    design = pd.DataFrame({"dose": [0, 1] * 20, "sex": [0, 0, 1, 1] * 10, "y": [1.5, 2.5, 2.5, 4] * 10})
    one, two = task(design, ["dose"]), task(design, ["dose", "sex"], name="two")
    assert twins(one, two) == []
    assert twins(two.rename("three"), two) == [("three", "two")]


def test_a_cap_does_not_hide_a_twin(table):
    groups = np.random.default_rng(0).integers(0, 30, len(table))
    one = Task(table[["a", "b"]], table["y"], name="one", groups=groups)
    suite = TaskSuite([one, task(table, "abc", name="two")]).limit(50)
    assert not np.array_equal(suite[0].y, suite[1].y)
    assert suite.drop_duplicates().names == ["one"]
    assert suite.drop_duplicates()[0].n_rows <= 50


def test_toy_tables_are_all_different():
    toy = load_suite("toy")
    assert toy.drop_duplicates().names == toy.names


def test_the_dutch_pupils_are_the_only_twins_of_the_real_suite(real):
    assert real.twins() == [("MASS/nlschools", "mlmRev/bdf")]
    assert len(real.drop_duplicates()) == 173
