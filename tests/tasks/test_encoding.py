import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import OneHotEncoder

from metafit.tasks.encoding import MAX_LEVELS, Encoder

NAN = np.nan


def encode(frame):
    encoder = Encoder().fit(frame)
    return encoder, encoder.transform(frame)


def mixed():
    return {
        "age": [31, 25, 47, 52],
        "income": [1.5, None, -2.0, 0.0],
        "member": [True, False, True, True],
        "sex": ["m", "f", None, "m"],
        "town": ["b", "a", "c", "b"],
    }


MIXED = np.array(
    [
        [31, 1.5, 1, 1, 0, 1, 0],
        [25, NAN, 0, 0, 1, 0, 0],
        [47, -2.0, 1, NAN, 0, 0, 1],
        [52, 0.0, 1, 1, 0, 1, 0],
    ]
)


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_libraries_encode_alike(library):
    encoder, matrix = encode(library(mixed()))
    np.testing.assert_array_equal(matrix, MIXED)
    assert encoder.columns == ["age", "income", "member", "sex=m", "town=a", "town=b", "town=c"]
    assert encoder.blocks.tolist() == [0, 1, 2, 3, 4, 4, 4]
    assert encoder.block_names == ["age", "income", "member", "sex", "town"]
    assert encoder.categorical.tolist() == [False, False, False, True, True]
    assert matrix.flags.f_contiguous
    assert matrix.dtype == np.float64


def test_fit_in_one_library_predict_in_another():
    encoder = Encoder().fit(pd.DataFrame(mixed()))
    np.testing.assert_array_equal(encoder.transform(pl.DataFrame(mixed())), MIXED)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([1, None, 3], dtype="Int64"), [1, NAN, 3]),
        (pd.Series([True, None, False], dtype="boolean"), [1, NAN, 0]),
        (pd.Series([True, None, False], dtype=object), [1, NAN, 0]),
        (pd.Series([1, 2.5, None], dtype=object), [1, 2.5, NAN]),
        (pd.Series([None, None, None], dtype=object), [NAN, NAN, NAN]),
        (pd.Series([1, 2, 3], dtype="uint8"), [1, 2, 3]),
        (pd.Series([1.5, pd.NA, 2], dtype="Float64"), [1.5, NAN, 2]),
        (pl.Series([1.5, None, NAN]), [1.5, NAN, NAN]),
        (pl.Series([True, None, False]), [1, NAN, 0]),
        (pl.Series([None, None, None], dtype=pl.String), [NAN, NAN, NAN]),
    ],
)
def test_numbers_of_every_dtype(column, expected):
    frame = pd.DataFrame({"c": column}) if isinstance(column, pd.Series) else pl.DataFrame({"c": column})
    encoder, matrix = encode(frame)
    np.testing.assert_array_equal(matrix, np.array([expected]).T)
    assert encoder.columns == ["c"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["x", "y", "z", None], dtype="category"),
        pd.Series(["x", "y", "z", None], dtype="string"),
        pd.Series(["x", "y", "z", np.nan], dtype=object),
        pl.Series(["x", "y", "z", None], dtype=pl.Categorical),
        pl.Series(["x", "y", "z", None], dtype=pl.Enum(["z", "y", "x", "w"])),
    ],
)
def test_categories_of_every_dtype(column):
    frame = pd.DataFrame({"c": column}) if isinstance(column, pd.Series) else pl.DataFrame({"c": column})
    encoder, matrix = encode(frame)
    assert encoder.columns == ["c=x", "c=y", "c=z"]
    np.testing.assert_array_equal(matrix, np.vstack([np.eye(3), [NAN] * 3]))


def test_agrees_with_scikit_learn_on_many_categories():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.choice(list("pqrst"), 200), "b": rng.choice(list("no"), 200)})
    _, matrix = encode(frame)
    np.testing.assert_array_equal(matrix, OneHotEncoder(drop="if_binary", sparse_output=False).fit_transform(frame))


def test_rare_levels_share_one_column():
    # Level k appears k times; 60 levels leave 10 rare ones, the least frequent.
    names = [f"level{k:02d}" for k in range(1, 61) for _ in range(k)]
    encoder, matrix = encode(pd.DataFrame({"c": names}))
    assert len(encoder.columns) == MAX_LEVELS + 1
    assert encoder.columns[-1] == "c=other"
    assert matrix[:, -1].sum() == sum(range(1, 11))
    np.testing.assert_array_equal(matrix.sum(axis=1), 1.0)


def test_a_level_called_other_keeps_its_name():
    names = ["other"] * 5 + [f"level{k:02d}" for k in range(60)]
    encoder = Encoder().fit(pd.DataFrame({"c": names}))
    assert "c=other" in encoder.columns
    assert "c=(other)" in encoder.columns
    assert len(set(encoder.columns)) == len(encoder.columns)


def test_unseen_and_missing_levels_blank_their_block_only():
    encoder = Encoder().fit(pd.DataFrame({"c": list("abc"), "two": list("xyx"), "n": [1, 2, 3]}))
    matrix = encoder.transform(pd.DataFrame({"n": [4, 5], "two": ["z", "y"], "c": ["b", None], "extra": [0, 0]}))
    np.testing.assert_array_equal(matrix, [[0, 1, 0, NAN, 4], [NAN, NAN, NAN, 1, 5]])


def test_whole_numbers_match_as_categories_whatever_their_dtype():
    encoder = Encoder().fit(pd.DataFrame({"c": pd.Series([1, 2, 3], dtype="category")}))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"c": [3.0, 1.0]})), [[0, 0, 1], [1, 0, 0]])


def test_constant_columns_are_kept():
    encoder, matrix = encode(pd.DataFrame({"c": ["same", "same"], "n": [2, 2]}))
    assert encoder.columns == ["c=same", "n"]
    np.testing.assert_array_equal(matrix, [[1, 2], [1, 2]])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.date_range("2024-01-01", periods=2)),
        pd.Series(pd.to_timedelta([1, 2], unit="D")),
        pd.Series([datetime.date(2024, 1, 1), None], dtype=object),
        pd.Series([[1, 2], [3]], dtype=object),
        pd.Series([{"a": 1}, {"a": 2}], dtype=object),
        pd.Series([1j, 2j]),
        pl.Series([datetime.date(2024, 1, 1)] * 2),
        pl.Series([datetime.datetime(2024, 1, 1)] * 2),
        pl.Series([datetime.timedelta(1)] * 2),
        pl.Series([datetime.time(1)] * 2),
        pl.Series([[1], [2]]),
        pl.Series([{"a": 1}] * 2),
        pl.Series([b"raw"] * 2),
    ],
)
def test_what_is_no_number_or_category_is_refused_by_name(column):
    library = pd.DataFrame if isinstance(column, pd.Series) else pl.DataFrame
    with pytest.raises(ValueError, match=r"column 'when' holds .* values; a task takes numbers"):
        Encoder().fit(library({"ok": [1, 2], "when": column}))


def test_infinities_are_refused_by_name():
    with pytest.raises(ValueError, match="column 'n' holds infinite values"):
        encode(pd.DataFrame({"m": [1.0, 2.0], "n": [np.inf, 1.0]}))


def test_text_where_numbers_were_is_refused_by_name():
    encoder = Encoder().fit(pd.DataFrame({"n": [1, 2]}))
    with pytest.raises(ValueError, match="column 'n' holds text"):
        encoder.transform(pd.DataFrame({"n": ["one", "two"]}))


def test_lost_columns_are_named():
    encoder = Encoder().fit(pd.DataFrame({"a": [1, 2], "b": [1, 2]}))
    with pytest.raises(ValueError, match=r"X lacks the columns \['a'\]"):
        encoder.transform(pd.DataFrame({"b": [1, 2]}))


def test_arrays_go_by_position():
    encoder = Encoder().fit(np.array([[1, "a"], [2, "b"]], dtype=object))
    assert encoder.columns == ["x0", "x1=b"]
    np.testing.assert_array_equal(encoder.transform(np.array([[3, "b"]], dtype=object)), [[3, 1]])
    with pytest.raises(ValueError, match="X has 3 features, but the encoding was fixed on 2"):
        encoder.transform(np.ones((1, 3)))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(3), "1-D"),
        (np.ones((3, 0)), "at least one row and one column"),
        (pd.DataFrame({"a": []}), "at least one row and one column"),
        (np.ones((2, 2), dtype=complex), "Complex data not supported"),
        (pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]), r"repeats the column names \['a'\]"),
        (pl.LazyFrame({"a": [1]}), "collect"),
    ],
)
def test_what_is_no_table_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        Encoder().fit(X)


def test_sparse_matrices_are_refused():
    from scipy.sparse import csr_array

    with pytest.raises(ValueError, match="toarray"):
        Encoder().fit(csr_array(np.eye(2)))


@settings(deadline=None)
@given(arrays(np.float64, (7, 3), elements=st.floats(allow_infinity=False)))
def test_numbers_pass_unchanged(X):
    _, matrix = encode(X)
    np.testing.assert_array_equal(matrix, X)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=2, max_size=30), st.randoms())
def test_rows_encode_independently(labels, random):
    if not any(labels):
        return
    frame = pd.DataFrame({"c": pd.Series(labels, dtype=object)})
    encoder, matrix = encode(frame)
    rows = random.sample(range(len(labels)), k=len(labels) // 2 + 1)
    np.testing.assert_array_equal(encoder.transform(frame.iloc[rows]), matrix[rows])
