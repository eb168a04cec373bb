"""What `metafit.solve` takes in and gives out: frames and arrays of any kind, predictions."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engine_oracle import same_bits

from metafit.engine import solve
from metafit.strategies import penalties

LOSSES = ["squared", "logistic"]
PENALTIES = ["l2", "l1", penalties.ElasticNet(0.4)]
SUBSETS = [[0, 1, 2], [1, 4], []]
ALPHAS = [0.3, 0.03, 0.003]


# -------------------------------------------------------------------------------------------------------- frames


def layouts(X):
    wide = np.zeros((120, 10))
    wide[::2, ::2] = X
    readonly = X.copy()
    readonly.flags.writeable = False
    padded = np.asfortranarray(np.vstack([X, X]))
    return {
        "C": np.ascontiguousarray(X),
        "Fortran": np.asfortranarray(X),
        "strided": wide[::2, ::2],
        "negative strides": np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
        "read-only": readonly,
        "big-endian": X.astype(">f8"),
        "rows of a Fortran array": padded[:60],
        "transposed": np.ascontiguousarray(X.T).T,
        "lists": X.tolist(),
        "object": X.astype(object),
        "longdouble": X.astype(np.longdouble),
        "matrix of a memory map": np.frombuffer(X.tobytes()).reshape(X.shape),
        "pandas": pd.DataFrame(X),
        "pandas of blocks": pd.DataFrame({str(j): X[:, j] for j in range(5)}),
        "polars": pl.DataFrame({str(j): X[:, j] for j in range(5)}),
        "polars of chunks": pl.concat([pl.DataFrame(X[:20]), pl.DataFrame(X[20:])], rechunk=False),
        "pyarrow": pl.DataFrame(X).to_arrow(),
        "pandas with an odd index": pd.DataFrame(X, index=np.arange(60)[::-1]),
        "pandas nullable": pd.DataFrame(X).convert_dtypes(),
    }


@pytest.mark.parametrize("layout", list(layouts(np.zeros((60, 5)))))
@pytest.mark.parametrize("loss", LOSSES)
def test_every_memory_layout_gives_the_same_bits(X, targets, layout, loss):
    request = {"loss": loss, "penalty": "l1", "alphas": ALPHAS, "folds": 3, "standardize": True}
    same_bits(solve(layouts(X)[layout], targets[loss], **request), solve(X, targets[loss], **request))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", ">i4", "uint64", "float32", "float16", "bool", ">f4"])
def test_every_dtype_gives_the_same_bits(signal, dtype):
    values = np.random.default_rng(5).integers(0, 2 if dtype == "bool" else 9, size=(60, 4)).astype(dtype)
    for X in (values, np.asfortranarray(values), values[:, ::-1][:, ::-1]):
        same_bits(
            solve(X, signal, alphas=ALPHAS, folds=3),
            solve(values.astype(float), signal, alphas=ALPHAS, folds=3),
        )


def test_frames_of_mixed_dtypes(signal):
    rng = np.random.default_rng(6)
    columns = {"a": rng.integers(0, 5, 60), "b": rng.random(60).astype("f4"), "c": rng.random(60) > 0.5}
    matrix = np.column_stack([v.astype(float) for v in columns.values()])
    expected = solve(matrix, signal, alphas=ALPHAS)
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns), pl.DataFrame(columns).to_arrow()):
        solution = solve(frame, signal, alphas=ALPHAS)
        np.testing.assert_array_equal(solution.coef, expected.coef)
        assert solution.feature_names == ["a", "b", "c"]


def test_targets_weights_and_offsets_of_any_kind(X, signal):
    weight, offset = np.arange(60) % 3, np.linspace(0, 1, 60).astype("f4")
    expected = solve(X, signal, sample_weight=weight, offset=offset, alphas=ALPHAS, folds=3)
    for kind in (
        list,
        pd.Series,
        pl.Series,
        lambda v: pd.Series(v, index=np.arange(60)[::-1]),
        lambda v: v[::-1][::-1],
    ):
        solution = solve(X, kind(signal), sample_weight=kind(weight), offset=kind(offset), alphas=ALPHAS, folds=3)
        same_bits(solution, expected)
    same_bits(solve(X, signal[:, None], sample_weight=weight, offset=offset, alphas=ALPHAS, folds=3), expected)


@pytest.mark.parametrize("labels", [["no", "yes"], [0, 1], [-1, 1], [False, True], [2.0, 5.5], ["b", "a"]], ids=str)
def test_labels_of_any_kind(X, signal, labels):
    first, second = sorted(labels)
    y = np.array([first, second])[(signal > 0).astype(int)]
    solution = solve(X, y, loss="logistic", alphas=0.1, folds=3)
    np.testing.assert_array_equal(solution.classes, [first, second])
    np.testing.assert_array_equal(solution.coef, solve(X, signal > 0, loss="logistic", alphas=0.1).coef)
    assert set(solution.predict(X)) <= {first, second}
    assert (solution.predict(X) == y).mean() > 0.7
    for kind in (
        pd.Series,
        pl.Series,
        list,
        lambda v: pd.Series(v).astype("category"),
        lambda v: v.astype(object),
    ):
        np.testing.assert_array_equal(
            solve(X, kind(y), loss="logistic", alphas=0.1, folds=3).fold_coef, solution.fold_coef
        )


def test_the_input_is_left_as_it_was(X, targets):
    before = X.copy()
    solve(X, targets["squared"], alphas=ALPHAS, standardize=True, folds=3)
    np.testing.assert_array_equal(X, before)


# ------------------------------------------------------------------------------------------------------- predict


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("subsets", [None, SUBSETS])
@pytest.mark.parametrize("alphas", [0.1, ALPHAS])
def test_predictions(X, targets, loss, subsets, alphas):
    offset = np.linspace(-1, 1, 60)
    solution = solve(X, targets[loss], loss=loss, subsets=subsets, alphas=alphas, offset=offset)
    new = np.random.default_rng(7).normal(size=(9, 5)) * 3
    for shift in (None, np.linspace(0, 2, 9)):
        eta = np.einsum("...j,ij->...i", solution.coef, new) + np.asarray(solution.intercept)[..., None]
        eta = eta if shift is None else eta + shift
        np.testing.assert_allclose(solution.decision_function(new, shift), eta, rtol=1e-12, atol=1e-12)
        if loss == "squared":
            np.testing.assert_array_equal(solution.predict(new, shift), solution.decision_function(new, shift))
            continue
        proba = solution.predict_proba(new, shift)
        np.testing.assert_allclose(proba[..., 1], 1 / (1 + np.exp(-eta)), rtol=1e-12)
        np.testing.assert_allclose(proba.sum(axis=-1), 1, rtol=1e-15)
        np.testing.assert_array_equal(solution.predict(new, shift), np.where(eta > 0, "yes", "no"))


def test_small_probabilities_keep_their_digits(X, targets):
    solution = solve(X, targets["logistic"], loss="logistic", alphas=0.1)
    far = np.zeros((2, 5))
    proba = solution.predict_proba(far, offset=[800.0, -800.0])
    assert (proba[[0, 1], [1, 0]] == 1).all()
    assert np.isfinite(proba).all()
    assert solution.predict_proba(far[:1], offset=[-100.0])[0, 1] == pytest.approx(np.exp(solution.intercept - 100))


def test_predict_fills_missing_cells_with_the_training_mean(signal):
    rng = np.random.default_rng(8)
    X = rng.normal(size=(60, 3)) + 5
    X[rng.random((60, 3)) < 0.2] = np.nan
    weight = rng.integers(1, 4, 60)
    solution = solve(X, signal, alphas=0.1, missing="mean", sample_weight=weight)
    means = [np.average(column[~np.isnan(column)], weights=weight[~np.isnan(column)]) for column in X.T]
    np.testing.assert_allclose(solution.predict(X), solution.predict(np.where(np.isnan(X), means, X)), rtol=1e-12)


def test_predict_refuses_what_does_not_fit(X, targets):
    solution = solve(X, targets["squared"], alphas=0.1)
    with pytest.raises(ValueError, match="5 columns of the fit, got 4"):
        solution.predict(X[:, :4])
    with pytest.raises(ValueError, match=r"NaN in column 'x1'"):
        solution.predict(np.where([False, True, False, False, False], np.nan, X))
    with pytest.raises(ValueError, match=r"offset must have shape \(60,\)"):
        solution.predict(X, offset=[1.0])
    with pytest.raises(AttributeError, match="classification"):
        solution.predict_proba(X)


def test_predict_matches_the_columns_of_a_frame_by_name(X, targets):
    frame = pd.DataFrame(X, columns=list("abcde"))
    solution = solve(frame, targets["squared"], alphas=0.1)
    swapped = frame[list("edcba")]
    np.testing.assert_allclose(solution.predict(swapped), solution.predict(frame), rtol=1e-12)
    np.testing.assert_allclose(solution.predict(X), solution.predict(frame), rtol=1e-12)
    with pytest.raises(ValueError, match="'a'"):
        solution.predict(frame.rename(columns={"a": "z"}))
