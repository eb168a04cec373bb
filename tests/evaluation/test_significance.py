"""Rank tests against SciPy, scikit-posthocs and baycomp, and against figures that their authors published."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metafit.evaluation import compare, evaluate
from metafit.evaluation.significance import holm
from metafit.learners import Portfolio
from metafit.testing import make_scores


def table(seed=0, n=15, k=4, digits=1):
    values = np.random.default_rng(seed).normal(size=(n, k)) + np.linspace(0, 1, k)
    return pd.DataFrame(values.round(digits), columns=[f"c{j}" for j in range(k)])


def test_skillings_mack_gives_the_published_figure():
    # assembly times of nine workers by four methods: Skillings and Mack (1981), the example of section 4
    hole = np.nan
    times = [
        [3.2, 4.1, 3.8, 4.2],
        [3.1, 3.9, 3.4, 4.0],
        [4.3, 3.5, 4.6, 4.8],
        [3.5, 3.6, 3.9, 4.0],
        [3.6, 4.2, 3.7, 3.9],
        [4.5, 4.7, 3.7, hole],
        [hole, 4.2, 3.4, hole],
        [4.3, 4.6, 4.4, 4.9],
        [3.5, hole, 3.7, 3.9],
    ]
    comparison = compare(pd.DataFrame(times, columns=list("ABCD")))
    assert comparison.test == "skillings_mack"
    assert comparison.statistic == pytest.approx(15.49, abs=0.01)


def test_critical_difference_is_that_of_demsar():
    # four contestants on 14 data sets: Demsar (2006), section 3.2.4
    assert compare(table(n=14), posthoc="nemenyi").critical_difference == pytest.approx(1.25, abs=0.005)


def test_ranks_and_tests_are_those_that_demsar_published():
    # areas under the curve of four variants of C4.5 on 14 data sets: Demsar (2006), table 6 and section 3.2.4; on
    # "voting" his ranks of the last two differ beyond the digits that are printed
    areas = [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
    comparison = compare(-pd.DataFrame(areas, columns=["C4.5", "+m", "+cf", "+m+cf"]), posthoc="nemenyi", alpha=0.1)
    published = {"C4.5": 3.143, "+m": 2.000, "+cf": 2.893, "+m+cf": 1.964}
    np.testing.assert_allclose(comparison.mean_ranks[list(published)], list(published.values()), atol=5e-4)
    # his statistic is without the correction for ties: a pair three times (2^3 - 2), all four once (4^3 - 4)
    ties = (3 * 6 + 60) / (14 * 4 * (4**2 - 1))
    assert comparison.statistic * (1 - ties) == pytest.approx(9.28, abs=0.01)
    assert comparison.critical_difference == pytest.approx(1.12, abs=0.005)
    worse = comparison.p_values.loc["C4.5"] < 0.1
    assert list(worse[worse].index) == ["+m", "+m+cf"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(3, 6), digits=st.integers(0, 3))
def test_without_holes_it_is_friedmans_test(seed, k, digits):
    values = table(seed, 12, k, digits)
    comparison = compare(values, posthoc="nemenyi")
    expected = stats.friedmanchisquare(*values.to_numpy().T)
    assert comparison.test == "friedman"
    assert comparison.statistic == pytest.approx(expected.statistic)
    assert comparison.p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_agree_with_scikit_posthocs(seed):
    posthocs = pytest.importorskip("scikit_posthocs")
    values = table(seed, digits=4)
    ours = compare(values, posthoc="nemenyi").p_values
    np.testing.assert_allclose(ours, posthocs.posthoc_nemenyi_friedman(values.to_numpy()), atol=1e-6)
    long = values.melt()
    theirs = posthocs.posthoc_wilcoxon(long, "value", "variable", p_adjust="holm")
    np.testing.assert_allclose(compare(values).p_values, theirs, atol=1e-9)


def test_holm_ignores_what_was_not_tested():
    np.testing.assert_allclose(holm(np.array([np.nan, 0.02, 0.02])), [np.nan, 0.04, 0.04])


def test_bayesian_test_is_that_of_baycomp():
    baycomp = pytest.importorskip("baycomp")
    values = table(3, n=30, digits=4)
    shares = compare(values).bayesian("c0", rope=0.1, random_state=5).loc["c3"]
    theirs = baycomp.SignedRankTest(-values["c3"].to_numpy(), -values["c0"].to_numpy(), 0.1, random_state=5).probs()
    np.testing.assert_allclose(shares, theirs)
    assert shares.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="reference='c9'"):
        compare(values).bayesian("c9")


def test_holes_move_the_ranks_little_and_fill_nothing():
    values = table(1, n=400, digits=6)
    whole = compare(values)
    holed = values.mask(np.random.default_rng(0).random(values.shape) < 0.3)
    found = compare(holed)
    assert list(found.mean_ranks.index) == list(whole.mean_ranks.index)
    np.testing.assert_allclose(found.mean_ranks, whole.mean_ranks, atol=0.25)
    pair = holed[["c0", "c1"]].dropna()
    # one pair needs no adjusting
    raw = compare(holed[["c0", "c1"]]).p_values.loc["c0", "c1"]
    assert raw == pytest.approx(stats.wilcoxon(pair["c0"] - pair["c1"]).pvalue)


def test_groups_are_runs_of_neighbours_that_do_not_differ():
    values = table(2, n=60, digits=6)
    comparison = compare(values)
    for group in comparison.groups():
        inside = comparison.p_values.loc[group, group].to_numpy()
        assert (inside > comparison.alpha).all()
    joined = {name for group in comparison.groups() for name in group}
    names = list(comparison.mean_ranks.index)
    for left, right in itertools.pairwise(names):
        if comparison.p_values.loc[left, right] > comparison.alpha:
            assert {left, right} <= joined


def test_contestants_that_are_the_same_do_not_differ():
    values = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0]})
    comparison = compare(values)
    assert comparison.p_value == 1
    assert comparison.groups() == [["a", "b"]]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="two contestants and two blocks"):
        compare(table(n=1))
    with pytest.raises(ValueError, match="posthoc='wilcoxon_holm'"):
        compare(table(n=9).mask(np.eye(9, 4) > 0), posthoc="nemenyi")
    with pytest.raises(ValueError, match="posthoc must be"):
        compare(table(), posthoc="tukey")
    with pytest.raises(ValueError, match="alpha must lie"):
        compare(table(), alpha=1)
    with pytest.raises(ValueError, match="infinity"):
        compare(table().replace(table().iloc[0, 0], np.inf))
    with pytest.raises(ValueError, match=r"no cell of \['e'\]"):
        compare(table().assign(e=np.nan))


def test_an_evaluation_is_compared_by_families():
    scores, descriptions = make_scores(30, 6, n_families=10)
    evaluation = evaluate({"portfolio": Portfolio(3)}, scores, descriptions, budgets=(1, 2))
    blocks = evaluation.blocks(budget=2)
    assert blocks.shape == (10, 4)
    rows = evaluation.per_task.query("budget == 2 and learner == 'portfolio'")
    expected = rows.groupby("family")["normalized_regret"].mean()
    pd.testing.assert_series_equal(blocks["portfolio"], expected, check_names=False)
    assert set(evaluation.compare().mean_ranks.index) == set(blocks)
    with pytest.raises(ValueError, match="budget=3"):
        evaluation.blocks(budget=3)


@pytest.mark.parametrize("seed", range(4))
def test_ranks_and_differences_are_those_of_autorank(seed):
    autorank = pytest.importorskip("autorank")
    values = table(seed, n=20, k=5, digits=3)
    theirs = autorank.autorank(values, alpha=0.05, order="ascending", force_mode="nonparametric")
    assert theirs.omnibus == "friedman"
    ours = compare(values, posthoc="nemenyi")
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.critical_difference == pytest.approx(theirs.cd, rel=2e-3)  # they look the quantile up in a table
    ranks = theirs.rankdf["meanrank"]
    np.testing.assert_allclose(ours.mean_ranks[ranks.index], ranks)
