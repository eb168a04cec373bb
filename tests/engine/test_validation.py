"""Bad input: each line of the table is a request and the words that its error must hold."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.model_selection import GroupKFold, KFold

from metafit.engine import Cell, Split, Table, run_cells, solve
from metafit.strategies import penalties

X = np.arange(24.0).reshape(8, 3) ** 1.5
Y = np.array([1.0, 0.5, 2.0, 1.5, 3.0, 2.0, 4.0, 3.5])
LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])


def with_value(value, row=2, column=1):
    bad = X.copy()
    bad[row, column] = value
    return bad


def named(matrix):
    return pd.DataFrame(matrix, columns=["age", "height", "mass"])


def y_with(value, row=5):
    bad = Y.copy()
    bad[row] = value
    return bad


# (X, y, arguments, words of the message)
BAD = {
    # X
    "NaN in X": (with_value(np.nan), Y, {}, ["X", "NaN", "'x1'", "row 2", "missing='mean'"]),
    "NaN in a frame": (named(with_value(np.nan)), Y, {}, ["X", "NaN", "'height'", "row 2"]),
    "None in a polars frame": (pl.DataFrame({"a": [1.0, None, 2.0]}), Y[:3], {}, ["X", "NaN", "'a'", "row 1"]),
    "infinity in X": (with_value(np.inf), Y, {}, ["X", "infinity", "'x1'", "row 2"]),
    "infinity where NaN may stay": (with_value(-np.inf), Y, {"missing": "mean"}, ["X", "infinity", "'x1'"]),
    "infinity in a frame": (named(with_value(np.inf)), Y, {}, ["X", "infinity", "'height'"]),
    "X with one dimension": (X[:, 0], Y, {}, ["X", "two-dimensional", "(8,)"]),
    "X with three dimensions": (X[None], Y, {}, ["X", "two-dimensional", "(1, 8, 3)"]),
    "a number for X": (3.0, Y, {}, ["X", "two-dimensional"]),
    "X without rows": (X[:0], Y[:0], {}, ["X", "no rows"]),
    "complex X": (X + 1j, Y, {}, ["X", "complex"]),
    "NaN in sparse X": (scipy.sparse.csr_array(with_value(np.nan)), Y, {}, ["X", "NaN", "'x1'", "row 2", "sparse"]),
    "infinity in sparse X": (scipy.sparse.coo_array(with_value(np.inf)), Y, {}, ["X", "infinity", "'x1'", "row 2"]),
    "complex sparse X": (scipy.sparse.csc_array(X + 1j), Y, {}, ["X", "complex"]),
    "masked X": (np.ma.masked_less(X, 5), Y, {}, ["X", "masked"]),
    "strings in an array": (np.full((8, 3), "a"), Y, {}, ["X", "numbers"]),
    "strings in a frame": (named(X).assign(height=["tall", "low"] * 4), Y, {}, ["X", "'height'", "numbers"]),
    "categories in a frame": (named(X).assign(mass=pd.Categorical(["a", "b"] * 4)), Y, {}, ["X", "'mass'", "numbers"]),
    "dates in a frame": (named(X).assign(age=pd.date_range("2020", periods=8)), Y, {}, ["X", "'age'"]),
    "dates in an array": (np.full((8, 3), np.datetime64("2020-01-01")), Y, {}, ["X"]),
    "ragged lists": ([[1, 2], [3]], [1, 2], {}, ["X"]),
    # y
    "y too short": (X, Y[:5], {}, ["y", "(8,)", "(5,)"]),
    "y with two columns": (X, np.column_stack([Y, Y]), {}, ["y", "(8,)", "(8, 2)"]),
    "NaN in y": (X, y_with(np.nan), {}, ["y", "NaN", "row 5"]),
    "infinity in y": (X, y_with(np.inf), {}, ["y", "infinity", "row 5"]),
    "strings in y": (X, np.array(list("abcdefgh")), {}, ["y", "numbers"]),
    "None in y": (X, [None, *Y[1:]], {}, ["y"]),
    "one class": (X, np.ones(8), {"loss": "logistic"}, ["y", "two classes", "1"]),
    "NaN among labels": (X, np.where(np.arange(8) == 3, np.nan, LABELS), {"loss": "logistic"}, ["y", "NaN", "row 3"]),
    "None among labels": (X, ["a", "b", None, "a", "b", "a", "b", "a"], {"loss": "logistic"}, ["y", "missing"]),
    "complex y": (X, Y + 1j, {}, ["y", "complex"]),
    # rows
    "weights too short": (X, Y, {"sample_weight": [1, 2]}, ["sample_weight", "(8,)", "(2,)"]),
    "a negative weight": (X, Y, {"sample_weight": [1, 1, -1, 1, 1, 1, 1, 1]}, ["sample_weight", "negative", "row 2"]),
    "weights of 0": (X, Y, {"sample_weight": np.zeros(8)}, ["sample_weight", "0"]),
    "NaN in weights": (X, Y, {"sample_weight": y_with(np.nan)}, ["sample_weight", "NaN", "row 5"]),
    "strings as weights": (X, Y, {"sample_weight": list("abcdefgh")}, ["sample_weight", "numbers"]),
    "offset too long": (X, Y, {"offset": np.zeros(9)}, ["offset", "(8,)", "(9,)"]),
    "infinity in offset": (X, Y, {"offset": y_with(-np.inf)}, ["offset", "infinity", "row 5"]),
    "a single number as offset": (X, Y, {"offset": 1.0}, ["offset", "(8,)", "()"]),
    # alphas
    "a negative alpha": (X, Y, {"alphas": [0.1, -0.1]}, ["alphas", "at least 0", "-0.1"]),
    "NaN as alpha": (X, Y, {"alphas": np.nan}, ["alphas", "nan"]),
    "infinity as alpha": (X, Y, {"alphas": [np.inf]}, ["alphas", "inf"]),
    "no alphas": (X, Y, {"alphas": []}, ["alphas", "non-empty"]),
    "alphas in a table": (X, Y, {"alphas": [[0.1], [0.2]]}, ["alphas", "sequence"]),
    "words as alphas": (X, Y, {"alphas": "auto"}, ["alphas", "'auto'"]),
    "no grid": (X, Y, {"n_alphas": 0}, ["n_alphas", "0"]),
    "half a grid": (X, Y, {"n_alphas": 2.5}, ["n_alphas", "2.5"]),
    # subsets
    "no subsets": (X, Y, {"subsets": []}, ["subsets", "empty"]),
    "a subset that is not nested": (X, Y, {"subsets": [0, 1]}, ["subsets", "[[0, 1], [2]]"]),
    "one name as subsets": (X, Y, {"subsets": "age"}, ["subsets", "'age'"]),
    "a name as subset": (named(X), Y, {"subsets": ["age"]}, ["subsets", "'age'"]),
    "a column too many": (X, Y, {"subsets": [[0, 3]]}, ["subsets", "3", "0 to 2"]),
    "an unknown name": (named(X), Y, {"subsets": [["age", "shoe"]]}, ["subsets", "'shoe'"]),
    "a column twice": (X, Y, {"subsets": [[0, 0]]}, ["subsets", "twice"]),
    "a column twice, from behind": (X, Y, {"subsets": [[2, -1]]}, ["subsets", "twice"]),
    "a short mask": (X, Y, {"subsets": [[True, False]]}, ["subsets", "mask", "2", "3"]),
    "half a column": (X, Y, {"subsets": [[0.5]]}, ["subsets", "0.5"]),
    "a number as subsets": (X, Y, {"subsets": 2}, ["subsets", "2"]),
    # folds
    "one fold": (X, Y, {"folds": 1}, ["1"]),
    "more folds than rows": (X, Y, {"folds": 9}, ["9", "8"]),
    "words as folds": (X, Y, {"folds": "five"}, ["five"]),
    "a fold beyond the rows": (X, Y, {"folds": [([0, 1, 2], [8])]}, ["folds", "8", "0 to 7"]),
    "a fold before the rows": (X, Y, {"folds": [([0, 1, 2], [-9])]}, ["folds", "-9", "0 to 7"]),
    "a fold without held-out rows": (X, Y, {"folds": [([0, 1], [])]}, ["folds", "held-out"]),
    "a fold without training rows": (X, Y, {"folds": [([], [0])]}, ["folds", "training"]),
    "no folds": (X, Y, {"folds": []}, ["folds"]),
    "rows that are not whole": (X, Y, {"folds": [([0.5, 1.2], [3])]}, ["folds"]),
    "a short mask of rows": (X, Y, {"folds": [([True] * 3, [3])]}, ["folds", "mask"]),
    "groups without folds": (X, Y, {"groups": LABELS}, ["groups", "folds"]),
    "groups for a number of folds": (X, Y, {"folds": 2, "groups": LABELS}, ["groups", "GroupKFold(2)"]),
    "groups too short": (X, Y, {"folds": GroupKFold(2), "groups": [1, 2]}, ["groups"]),
    "groups missing": (X, Y, {"folds": GroupKFold(2)}, ["groups"]),
    "best without folds": (X, Y, {"keep": "best"}, ["keep='best'", "folds"]),
    # options
    "an unknown loss": (X, Y, {"loss": "huberish"}, ["loss", "'huberish'", "squared"]),
    "an unknown penalty": (X, Y, {"penalty": "l3"}, ["penalty", "'l3'", "l1"]),
    "an unknown way with gaps": (X, Y, {"missing": "median"}, ["missing", "'median'", "'mean'"]),
    "an unknown keep": (X, Y, {"keep": "all"}, ["keep", "'all'", "'best'"]),
    "an unknown solver": (X, Y, {"solver": "lbfgs"}, ["solver", "'lbfgs'"]),
    "a negative tolerance": (X, Y, {"tol": -1e-8}, ["tol", "-1e-08"]),
    "NaN as tolerance": (X, Y, {"tol": np.nan}, ["tol", "nan"]),
    "negative steps": (X, Y, {"max_iter": -1}, ["max_iter", "-1"]),
    "half steps": (X, Y, {"max_iter": 1.5}, ["max_iter", "1.5"]),
    "no threads": (X, Y, {"n_threads": 0}, ["n_threads", "0"]),
    "too few factors": (X, Y, {"penalty": penalties.L1(factors=[1, 2])}, ["factors", "2", "3"]),
    "too many centres": (X, Y, {"penalty": penalties.L2(center=[1, 2, 3, 4])}, ["center", "4", "3"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    matrix, y, arguments, words = BAD[case]
    arguments = {"alphas": 0.1} | arguments if "n_alphas" not in arguments else arguments
    with pytest.raises((ValueError, TypeError)) as caught:
        solve(matrix, y, **arguments)
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    assert len(message) < 400


BAD_PENALTIES = {
    "a negative factor": (lambda: penalties.L1(factors=[1, -1]), ["factors", "-1", "position 1"]),
    "NaN as factor": (lambda: penalties.L1(factors=[np.nan]), ["factors", "nan", "position 0"]),
    "an infinite centre": (lambda: penalties.L2(center=[0, np.inf]), ["center", "inf", "position 1"]),
    "factors and centre": (lambda: penalties.L2(center=[0, 1], factors=[1]), ["factors", "center", "1 and 2"]),
    "a matrix of factors": (lambda: penalties.L2(factors=[[1, 2]]), ["factors", "one-dimensional"]),
    "words as factors": (lambda: penalties.L2(factors=["a"]), ["factors", "'a'"]),
    "l1_ratio above 1": (lambda: penalties.ElasticNet(1.1), ["l1_ratio", "1.1"]),
    "l1_ratio below 0": (lambda: penalties.ElasticNet(-0.1), ["l1_ratio", "-0.1"]),
    "NaN as l1_ratio": (lambda: penalties.ElasticNet(np.nan), ["l1_ratio", "nan"]),
}


@pytest.mark.parametrize("case", BAD_PENALTIES)
def test_bad_penalties_are_named(case):
    make, words = BAD_PENALTIES[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


# ------------------------------------------------------------------------------------------- the border beneath

ALL, NONE = np.arange(8), np.arange(0)
BAD_CELLS = {
    "table: lengths": (lambda: Table(X, Y[:4]), ["y", "4", "8"]),
    "table: weights": (lambda: Table(X, Y, sample_weight=-Y), ["sample_weight", "negative", "row 0"]),
    "table: infinity": (lambda: Table(with_value(np.inf), Y), ["X", "row 2", "column 1"]),
    "table: NaN in y": (lambda: Table(X, y_with(np.nan)), ["y", "row 5"]),
    "NaN in X": (
        lambda: run_cells(Table(with_value(np.nan), Y), [Split(ALL, NONE)], [Cell(alphas=[1])]),
        ["X", "row 2"],
    ),
    "a row beyond": (lambda: run_cells(Table(X, Y), [Split(np.array([8]), NONE)], [Cell(alphas=[1])]), ["8"]),
    "a row before": (lambda: run_cells(Table(X, Y), [Split(np.array([-1]), NONE)], [Cell(alphas=[1])]), ["folds"]),
    "a split beyond": (lambda: run_cells(Table(X, Y), [Split(ALL, NONE)], [Cell(alphas=[1], split=1)]), ["split 1"]),
    "a table beyond": (lambda: run_cells(Table(X, Y), [Split(ALL, NONE, 1)], [Cell(alphas=[1])]), ["table 1"]),
    "a column beyond": (
        lambda: run_cells(Table(X, Y), [Split(ALL, NONE)], [Cell(alphas=[1], columns=np.array([3]))]),
        ["subsets", "3"],
    ),
    "a negative strength": (
        lambda: run_cells(Table(X, Y), [Split(ALL, NONE)], [Cell(alphas=[-1.0])]),
        ["alphas", "-1"],
    ),
    "an unknown loss": (
        lambda: run_cells(Table(X, Y), [Split(ALL, NONE)], [Cell(alphas=[1], loss="x")]),
        ["loss", "x"],
    ),
}


@pytest.mark.parametrize("case", BAD_CELLS)
def test_the_core_refuses_by_name(case):
    make, words = BAD_CELLS[case]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words follow)
        make()
    for word in words:
        assert word in str(caught.value)


def test_labels_other_than_0_and_1_fail_in_their_cell_alone():
    """A cell that cannot be fitted has a status and a reason; the others are solved."""
    cells = [Cell(alphas=[0.1], loss=loss) for loss in ("logistic", "squared")]
    failed, solved = run_cells(Table(X, Y), [Split(ALL, NONE)], cells)
    assert failed.status == ["failed"]
    assert "0 and 1" in failed.reason[0]
    assert solved.status == ["converged"]


def test_a_split_without_weight_fails_in_its_cell_alone():
    table = Table(X, Y, sample_weight=(np.arange(8) > 3) * 1.0)
    splits = [Split(np.arange(4), np.arange(4, 8)), Split(np.arange(4, 8), np.arange(4))]
    failed, solved = run_cells(table, splits, [Cell(alphas=[0.1], split=k) for k in (0, 1)])
    assert failed.status == ["failed"]
    assert "positive weight" in failed.reason[0]
    assert solved.status == ["converged"]
    assert np.isnan(solved.scores["mean_squared_error"]).all()


# ------------------------------------------------------------------------------------------ what must not complain


def test_good_input_makes_no_noise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for frame in (X, X.tolist(), named(X), pl.DataFrame(X), X.astype("f4"), X > 9):
            solve(frame, Y, alphas=0.1, folds=KFold(2))
        solve(X, Y, alphas=[0], folds=2, sample_weight=[0, 1, 1, 1, 1, 1, 1, 2], subsets=[[], [1]])
        solve(with_value(np.nan), Y, alphas=0.1, missing="mean", folds=((a, b) for a, b in KFold(2).split(X)))
        solve(X, LABELS, loss="logistic", alphas=np.float32(0.1), folds=np.int64(2))
        solve(1e200 * X / 1e199, Y, alphas=0.1)


def test_messages_are_sentences_about_this_input():
    with pytest.raises(ValueError, match=re.escape("X holds NaN in column 'x1', first at row 2")):
        solve(with_value(np.nan), Y, alphas=0.1)
