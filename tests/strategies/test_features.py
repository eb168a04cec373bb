"""Feature rules: what they choose, and that nothing but the rows they are given matters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from metafit.strategies.features import All, Columns, TopK, block_scores


def table(seed, n=40, sizes=(1, 3, 2, 1)):
    """Random blocks, some missing values."""
    rng = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    matrix = rng.normal(size=(n, len(blocks)))
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix, rng.normal(size=n), blocks, [f"b{k}" for k in range(len(sizes))]


def adjusted_r2(B, y, weights):
    """Oracle: scikit-learn's least squares on mean-imputed columns."""
    means = np.array([np.average(b[~np.isnan(b)], weights=weights[~np.isnan(b)]) for b in B.T])
    B = np.where(np.isnan(B), means, B)
    r2 = LinearRegression().fit(B, y, weights).score(B, y, weights)
    n, rank = len(y), B.shape[1]
    return 1 - (1 - r2) * (n - 1) / (n - 1 - rank)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_adjusted_r2_of_each_block(seed, weighted):
    matrix, y, blocks, names = table(seed)
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(y)) if weighted else np.ones(len(y))
    expected = [adjusted_r2(matrix[:, blocks == k], y, weights) for k in range(len(names))]
    got = block_scores(matrix, y, blocks, len(names), weights if weighted else None)
    np.testing.assert_allclose(got, expected, atol=1e-10)


def test_indicator_columns_count_their_rank():
    codes = np.arange(30) % 3
    indicators = np.eye(3)[codes]
    y = np.random.default_rng(0).normal(size=30)
    full = block_scores(indicators, y, np.zeros(3, dtype=int), 1)
    reduced = block_scores(indicators[:, :2], y, np.zeros(2, dtype=int), 1)
    np.testing.assert_allclose(full, reduced, atol=1e-12)


def test_single_columns_are_ordered_by_absolute_correlation():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 6)) * 10.0 ** np.arange(-3, 3)
    y = X @ rng.normal(size=6) + rng.normal(size=50)
    order = np.argsort(-np.abs([np.corrcoef(x, y)[0, 1] for x in X.T]))
    for k in range(1, 7):
        chosen = TopK(k).choose(X, y, np.arange(6), list("abcdef"))
        assert chosen.tolist() == sorted(order[:k].tolist())


def test_a_category_of_many_levels_does_not_win_by_chance():
    rng = np.random.default_rng(3)
    noise = np.eye(30)[rng.integers(0, 30, size=60)]
    signal = rng.normal(size=60)
    y = signal + rng.normal(size=60)
    chosen = TopK(1).choose(np.column_stack([noise, signal]), y, np.r_[np.zeros(30, int), 1], ["noise", "signal"])
    assert chosen.tolist() == [1]


def test_ties_go_to_the_first_and_constants_come_last():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=20), rng.normal(size=20)
    X = np.column_stack([np.full(20, 1e6 + 0.1), x, -3 * x, np.full(20, np.nan)])
    assert TopK(1).choose(X, y, np.arange(4), list("abcd")).tolist() == [1]
    assert TopK(2).choose(X, y, np.arange(4), list("abcd")).tolist() == [1, 2]
    scores = block_scores(X, y, np.arange(4), 4)
    assert scores[0] == scores[3] == -np.inf


def test_zero_weight_rows_do_not_matter():
    matrix, y, blocks, names = table(5)
    weights = np.r_[np.ones(30), np.zeros(10)]
    with_zeros = block_scores(matrix, y, blocks, len(names), weights)
    without = block_scores(matrix[:30], y[:30], blocks, len(names), weights[:30])
    np.testing.assert_allclose(with_zeros, without, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), k=st.integers(1, 5))
def test_choice_is_free_of_units_and_row_order(seed, k):
    matrix, y, blocks, names = table(seed)
    chosen = TopK(k).choose(matrix, y, blocks, names)
    rows = np.random.default_rng(seed).permutation(len(y))
    moved = TopK(k).choose(matrix[rows] * 2.0 ** np.arange(-3, 4) + 5, 3 - 2 * y[rows], blocks, names)
    assert chosen.tolist() == moved.tolist()
    assert len(chosen) == min(k, len(names))
    assert np.all(np.diff(chosen) > 0)


def test_classes_are_targets_whatever_their_number():
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 3, size=90)
    X = np.column_stack([rng.normal(size=90), codes == 1, rng.normal(size=90)]).astype(float)
    assert TopK(1).choose(X, codes, np.arange(3), list("abc"), kind="classification").tolist() == [1]
    two = (codes == 1).astype(int)
    assert TopK(1).choose(X, two, np.arange(3), list("abc"), kind="classification").tolist() == [1]


def test_columns_by_name():
    matrix, y, blocks, names = table(0)
    assert Columns(["b2", "b0"]).choose(matrix, y, blocks, names).tolist() == [0, 2]
    assert Columns(["b2", "b0"]) == Columns(("b0", "b2"))
    with pytest.raises(ValueError, match=r"no columns \['nope'\]"):
        Columns(["b0", "nope"]).choose(matrix, y, blocks, names)
    with pytest.raises(ValueError, match="none twice"):
        Columns(["a", "a"])
    with pytest.raises(ValueError, match="at least one"):
        Columns([])
    with pytest.raises(TypeError, match="the string 'age'"):
        Columns("age")


def test_all_keeps_every_block():
    matrix, y, blocks, names = table(0)
    assert All().choose(matrix, y, blocks, names).tolist() == [0, 1, 2, 3]


def test_top_k_options():
    with pytest.raises(ValueError, match="k must be"):
        TopK(0)
    with pytest.raises(ValueError, match="by must be 'correlation'"):
        TopK(3, by="magic")
