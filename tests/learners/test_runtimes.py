"""Seconds that are expected of strategies: powers of sizes, holes, machines, and what now and then takes for ever."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from metafit.learners import Runtimes
from metafit.scores import Scores


def timed(seconds):
    """Scores whose seconds are those of a wide table; NaN is a hole."""
    long = seconds.rename_axis("task").reset_index().melt("task", None, "strategy", "seconds").dropna()
    strategies = pd.DataFrame(index=seconds.columns)
    return Scores.from_frame(long.assign(loss=0.5), strategies=strategies, tasks=pd.DataFrame(index=seconds.index))


@pytest.fixture
def sizes():
    rng = np.random.default_rng(0)
    columns = {"log_rows": rng.uniform(1, 5, 40), "log_columns": rng.uniform(0, 3, 40)}
    return pd.DataFrame(columns, index=[f"t{k}" for k in range(40)])


@pytest.fixture
def powers(sizes):
    n, p = 10.0 ** sizes["log_rows"], 10.0 ** sizes["log_columns"]
    return pd.DataFrame({"gram": 1e-8 * n * p**2, "rows": 1e-6 * n * p, "never": np.nan}, index=sizes.index)


def test_products_of_powers_are_found_also_beyond_the_training_tasks(sizes, powers):
    model = Runtimes().fit(timed(powers), sizes)
    found = model.expect(pd.DataFrame({"log_rows": [6.0], "log_columns": [3.5]}))
    np.testing.assert_allclose(found[0, :2], [1e-8 * 1e6 * 10**7, 1e-6 * 1e6 * 10**3.5], rtol=0.05)
    assert np.isnan(found[0, 2])


def test_holes_are_left_out(sizes, powers):
    rng = np.random.default_rng(1)
    noisy = powers * np.exp(rng.normal(0, 0.3, powers.shape))
    holes = noisy.where(rng.random(noisy.shape) > 0.3)
    alone = Runtimes().fit(timed(holes[["rows"]].dropna()), sizes)
    together = Runtimes().fit(timed(holes), sizes)
    np.testing.assert_allclose(together.expect(sizes)[:, 1], alone.expect(sizes)[:, 0], rtol=0.05)


def test_the_fastest_comes_first_and_what_was_never_timed_last(sizes, powers):
    model = Runtimes().fit(timed(powers), sizes)
    assert model.rank({"log_rows": 3, "log_columns": 0.5}).strategies == ("gram", "rows", "never")
    ranking = model.rank({"log_rows": 3, "log_columns": 3}, candidates=["never", "gram", "rows"])
    assert ranking.strategies == ("rows", "gram", "never")
    assert ranking.expected_loss[0] < ranking.expected_loss[1]


def test_seconds_seen_on_the_task_shift_the_others(sizes, powers):
    model = Runtimes().fit(timed(powers), sizes)
    here = {"log_rows": 3.0, "log_columns": 1.0}
    plain = model.rank(here).to_frame()["expected_loss"]
    slow = model.rank(here, observed={"gram": 100 * plain["gram"]}).to_frame()["expected_loss"]
    assert slow["gram"] == pytest.approx(100 * plain["gram"])
    assert slow["rows"] == pytest.approx(10 * plain["rows"])  # one seen, and one as expected
    np.testing.assert_array_equal(
        model.rank(here, observed={"gram": np.nan}).expected_loss, model.rank(here).expected_loss
    )


def test_a_strategy_that_now_and_then_takes_for_ever_is_expected_to():
    rng = np.random.default_rng(0)
    sizes = pd.DataFrame({"log_rows": rng.uniform(1, 4, 600)}, index=[f"t{k}" for k in range(600)])
    typical = np.where(rng.random(600) < 0.1, 1000.0, 0.5)
    model = Runtimes().fit(timed(pd.DataFrame({"risky": typical, "steady": 2.0}, index=sizes.index)), sizes)
    expected = model.expect(sizes)
    assert np.median(expected[:, 0]) > 10
    np.testing.assert_allclose(expected[:, 0].mean(), typical.mean(), rtol=0.25)
    assert model.rank({"log_rows": 2.0})[0] == "steady"


def test_without_descriptions_it_is_the_mean():
    seconds = pd.DataFrame({"a": [1.0, 1.0], "b": [4.0, 4.0]}, index=["t", "u"])
    np.testing.assert_allclose(Runtimes().fit(timed(seconds)).expect(pd.DataFrame(index=[0])), [[1.0, 4.0]])


def test_scores_without_seconds_are_refused():
    with pytest.raises(ValueError, match="scores hold no seconds to learn from"):
        Runtimes().fit(Scores.from_matrix(pd.DataFrame({"a": [0.1]}, index=["t"])))


@pytest.fixture
def traps():
    """A strategy that is twice as fast on most tasks, and for ever under way on those of a corner."""
    rng = np.random.default_rng(0)
    about = pd.DataFrame(rng.uniform(0, 1, (900, 3)), columns=["a", "b", "c"], index=[f"t{k}" for k in range(900)])
    size = np.exp(rng.normal(0, 2, 900))
    corner = (about["a"] > 0.8) & (about["b"] > 0.6)
    return about, pd.DataFrame({"risky": size * np.where(corner, 50.0, 0.5), "steady": size}, index=about.index)


def test_fastest_loses_little_on_tasks_that_it_has_not_seen(traps):
    about, seconds = traps
    model = Runtimes().fit(timed(seconds[:600]), about[:600])
    there = seconds[600:]
    chosen = model.fastest(about[600:])
    taken = sum(there.loc[task, name] for task, name in chosen.items())
    assert taken < 1.1 * there.min(axis=1).sum()
    assert taken < 0.8 * there.sum().min()


def test_fastest_is_what_a_forest_weighted_by_lost_seconds_says(traps):
    about, seconds = traps
    lost = (seconds["risky"] - seconds["steady"])[:600].sort_index()
    rows = about.loc[lost.index].to_numpy()
    forest = ExtraTreesRegressor(100, max_features="sqrt", min_samples_leaf=3, random_state=0)
    share = forest.fit(rows, lost > 0, sample_weight=lost.abs()).predict(about[600:].to_numpy())
    chosen = Runtimes().fit(timed(seconds[:600]), about[:600]).fastest(about[600:])
    assert (np.where(share > 0.5, "steady", "risky") == chosen).mean() > 0.98


def test_fastest_of_some_of_the_strategies(sizes, powers):
    model = Runtimes().fit(timed(powers), sizes)
    far = pd.DataFrame({"log_rows": [3.0, 3.0], "log_columns": [0.3, 2.9]}, index=["narrow", "wide"])
    assert model.fastest(far).to_list() == ["gram", "rows"]
    assert model.fastest(far, ["never", "gram"]).to_dict() == {"narrow": "gram", "wide": "gram"}
    with pytest.raises(ValueError, match=r"none of \['never'\] was timed"):
        model.fastest(far, ["never"])


def test_fastest_without_descriptions_is_the_one_that_loses_less_in_all():
    seconds = pd.DataFrame({"a": [1.0, 1.0, 9.0], "b": [2.0, 2.0, 2.0]}, index=list("tuv"))
    assert Runtimes().fit(timed(seconds)).fastest(pd.DataFrame(index=["new"])).to_dict() == {"new": "b"}
