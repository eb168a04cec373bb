"""`metafit.solve`: its arguments, the axes of its answer, and that whatever is shared changes nothing."""

import numpy as np
import pandas as pd
import pytest
from engine_oracle import same_bits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    train_test_split,
)

from metafit.engine import solve
from metafit.exceptions import ConvergenceWarning, RankWarning
from metafit.strategies import losses, penalties

LOSSES = ["squared", "logistic"]
PENALTIES = ["l2", "l1", penalties.ElasticNet(0.4)]
SUBSETS = [[0, 1, 2], [1, 4], []]
ALPHAS = [0.3, 0.03, 0.003]


# ---------------------------------------------------------------------------------------------------------- axes


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("subsets", [None, SUBSETS, SUBSETS[:1]], ids=["all", "three subsets", "one subset"])
@pytest.mark.parametrize("alphas", [0.1, ALPHAS, [0.1], None], ids=["number", "three", "one", "grid"])
@pytest.mark.parametrize("folds", [None, 3])
def test_an_axis_exists_iff_its_argument_was_a_sequence(X, targets, loss, subsets, alphas, folds):
    solution = solve(X, targets[loss], loss=loss, subsets=subsets, alphas=alphas, n_alphas=4, folds=folds)
    sizes = {"fold": 3, "feature": 5}
    sizes |= {} if subsets is None else {"subset": len(subsets)}
    sizes |= {} if np.ndim(alphas) == 0 and alphas is not None else {"alpha": 4 if alphas is None else len(alphas)}
    fits = tuple(axis for axis in ("subset", "alpha") if axis in sizes)
    fields = ("intercept", "objective", "gap", "kkt", "n_iter", "seconds", "status", "reason")
    expected = dict.fromkeys(fields, fits) | {"coef": (*fits, "feature")}
    if folds:
        expected |= {f"fold_{field}": (*fits, "fold") for field in fields}
        expected |= {"fold_coef": (*fits, "fold", "feature"), "scores": (*fits, "fold")}
    assert solution.dims == expected
    for field, axes in expected.items():
        for array in solution.scores.values() if field == "scores" else [getattr(solution, field)]:
            assert np.shape(array) == tuple(sizes[axis] for axis in axes), field
    assert np.shape(solution.alphas) == ((sizes["alpha"],) if "alpha" in sizes else ())
    assert bool(solution.scores) == bool(folds)
    assert (solution.fold_coef is None) == (folds is None)
    assert len(repr(solution)) < 200


@pytest.mark.parametrize("loss", LOSSES)
def test_the_names_of_the_scores(X, targets, loss):
    scores = solve(X, targets[loss], loss=loss, alphas=0.1, folds=3).scores
    expected = {
        "squared": {"mean_squared_error", "r2"},
        "logistic": {"log_loss", "brier_score_loss", "accuracy", "roc_auc"},
    }
    assert scores.keys() == expected[loss]


def test_order_and_repetition_of_alphas_do_not_matter(X, signal):
    down, mixed = solve(X, signal, alphas=ALPHAS), solve(X, signal, alphas=[0.03, 0.003, 0.3, 0.03])
    np.testing.assert_allclose(mixed.coef[[2, 0, 1]], down.coef, rtol=1e-9)
    np.testing.assert_allclose(mixed.coef[3], mixed.coef[0], rtol=1e-9)
    np.testing.assert_array_equal(mixed.alphas, [0.03, 0.003, 0.3, 0.03])


# ------------------------------------------------------------------------------------------------------- subsets


def test_subsets_by_number_name_and_mask_are_one(X, signal):
    frame = pd.DataFrame(X, columns=list("abcde"))
    by_number = solve(frame, signal, alphas=ALPHAS, subsets=[[1, 3], [4]])
    for subsets in (
        [["b", "d"], ["e"]],
        [[3, 1], (4,)],
        [np.array([False, True, False, True, False]), [-1]],
        np.array([[0, 1, 0, 1, 0], [0, 0, 0, 0, 1]], dtype=bool),
        [["d", "b"], pd.Index(["e"])],
        [np.array([1, 3], dtype=np.uint8), np.array([4])],
    ):
        same_bits(solve(frame, signal, alphas=ALPHAS, subsets=subsets), by_number)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_subset_is_a_fit_on_its_columns_and_0_elsewhere(X, targets, loss):
    solution = solve(X, targets[loss], loss=loss, penalty="l1", alphas=ALPHAS, subsets=SUBSETS, tol=1e-12)
    for subset, coef, intercept in zip(SUBSETS, solution.coef, solution.intercept, strict=True):
        alone = solve(X[:, subset], targets[loss], loss=loss, penalty="l1", alphas=ALPHAS, tol=1e-12)
        np.testing.assert_allclose(coef[:, subset], alone.coef, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(intercept, alone.intercept, rtol=1e-8, atol=1e-9)
        assert not np.delete(coef, subset, axis=1).any()


def test_a_fit_does_not_see_its_neighbours(X, targets):
    """A subset gives the same bits alone, in company, and in another order."""
    for loss in LOSSES:
        request = {"loss": loss, "penalty": "l1", "alphas": ALPHAS, "folds": 3}
        three = solve(X, targets[loss], subsets=SUBSETS, **request)
        alone = solve(X, targets[loss], subsets=SUBSETS[1:2], **request)
        turned = solve(X, targets[loss], subsets=SUBSETS[::-1], **request)
        np.testing.assert_array_equal(three.fold_coef[1], alone.fold_coef[0])
        np.testing.assert_array_equal(three.coef[1], alone.coef[0])
        np.testing.assert_array_equal(three.fold_coef, turned.fold_coef[::-1])


# --------------------------------------------------------------------------------------------------------- folds


def folds_of(X, y, groups):
    stratified = StratifiedKFold(3) if y.dtype.kind == "U" else KFold(3)
    rows = np.arange(60)
    return {
        "int": (3, None, list(stratified.split(X, y))),
        "splitter": (
            KFold(4, shuffle=True, random_state=0),
            None,
            list(KFold(4, shuffle=True, random_state=0).split(X)),
        ),
        "groups": (GroupKFold(3), groups, list(GroupKFold(3).split(X, y, groups))),
        "repeated": (
            RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
            None,
            list(RepeatedKFold(n_splits=3, n_repeats=2, random_state=0).split(X)),
        ),
        "shuffle": (ShuffleSplit(3, random_state=0), None, list(ShuffleSplit(3, random_state=0).split(X))),
        "pairs": (
            [(rows[10:], rows[:10]), (rows[:50], rows[50:])],
            None,
            [(rows[10:], rows[:10]), (rows[:50], rows[50:])],
        ),
        "masks": ([(rows >= 10, rows < 10)], None, [(rows[10:], rows[:10])]),
        "growing windows": (
            [(rows[:k], rows[k : k + 10]) for k in (20, 30, 40)],
            None,
            [(rows[:k], rows[k : k + 10]) for k in (20, 30, 40)],
        ),
        "lists": ([(list(range(10, 60)), list(range(10)))], None, [(rows[10:], rows[:10])]),
    }


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", list(folds_of(np.empty((60, 1)), np.arange(60) % 2, np.arange(60) // 6)))
def test_folds_are_those_of_scikit_learn_and_each_is_a_fit_on_its_training_rows(X, targets, loss, kind):
    y, groups = targets[loss], np.arange(60) // 6
    rng = np.random.default_rng(2)
    weight, offset = rng.uniform(0.5, 2, 60), rng.normal(size=60) / 5
    folds, used_groups, pairs = folds_of(X, y, groups)[kind]
    request = {
        "loss": loss,
        "penalty": penalties.ElasticNet(0.5),
        "alphas": ALPHAS,
        "standardize": True,
        "tol": 1e-12,
    }
    solution = solve(X, y, folds=folds, groups=used_groups, sample_weight=weight, offset=offset, **request)
    assert solution.fold_coef.shape == (3, len(pairs), 5)
    for k, (train, _) in enumerate(pairs):
        cold = solve(X[train], y[train], sample_weight=weight[train], offset=offset[train], **request)
        scale = np.abs(cold.coef).max()
        np.testing.assert_allclose(solution.fold_coef[:, k], cold.coef, rtol=0, atol=1e-8 * scale)
        np.testing.assert_allclose(solution.fold_intercept[:, k], cold.intercept, rtol=0, atol=1e-7 * scale)
        np.testing.assert_allclose(solution.fold_objective[:, k], cold.objective, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_scores_are_those_of_scikit_learn(X, targets, loss):
    from sklearn import metrics

    y = targets[loss]
    rng = np.random.default_rng(3)
    weight, offset = rng.uniform(0, 2, 60), rng.normal(size=60) / 5
    solution = solve(X, y, loss=loss, alphas=ALPHAS, folds=KFold(4), sample_weight=weight, offset=offset)
    for k, (_, test) in enumerate(KFold(4).split(X)):
        eta = solution.fold_coef[:, k] @ X[test].T + solution.fold_intercept[:, k, None] + offset[test]
        for a in range(3):
            if loss == "squared":
                expected = {
                    "mean_squared_error": metrics.mean_squared_error(y[test], eta[a], sample_weight=weight[test]),
                    "r2": metrics.r2_score(y[test], eta[a], sample_weight=weight[test]),
                }
            else:
                p, yes = 1 / (1 + np.exp(-eta[a])), y[test] == "yes"
                expected = {
                    "log_loss": metrics.log_loss(yes, p, sample_weight=weight[test]),
                    "brier_score_loss": metrics.brier_score_loss(yes, p, sample_weight=weight[test]),
                    "accuracy": metrics.accuracy_score(yes, p > 0.5, sample_weight=weight[test]),
                    "roc_auc": metrics.roc_auc_score(yes, p, sample_weight=weight[test]),
                }
            for name, value in expected.items():
                assert solution.scores[name][a, k] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_scores_that_are_undefined_are_nan(X, targets):
    rows = np.arange(60)
    one_class = rows[targets["logistic"] == "yes"][:5]
    folds = [(np.setdiff1d(rows, one_class), one_class)]
    solution = solve(X, targets["logistic"], loss="logistic", alphas=0.1, folds=folds)
    assert np.isnan(solution.scores["roc_auc"]).all()
    assert np.isfinite(solution.scores["log_loss"]).all()
    assert np.isnan(solve(X, targets["squared"], alphas=0.1, folds=[(rows[1:], rows[:1])]).scores["r2"]).all()


@pytest.mark.parametrize("folds", [5, 60, [(np.arange(59), np.arange(59, 60)), (np.arange(1, 60), np.arange(1))]])
def test_merged_moments_give_what_cold_fits_give_far_from_the_origin(signal, folds):
    """A column whose mean is 1e6 times its spread keeps its digits through the merging of folds."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 3)) + [1e6, -1e6, 0]
    pairs = list(KFold(folds).split(X)) if isinstance(folds, int) else folds
    solution = solve(X, signal, alphas=[0.1, 1e-3], folds=folds)
    for k, (train, _) in enumerate(pairs):
        cold = solve(X[train], signal[train], alphas=[0.1, 1e-3])
        np.testing.assert_allclose(solution.fold_coef[:, k], cold.coef, rtol=0, atol=1e-8 * np.abs(cold.coef).max())


# ---------------------------------------------------------------------------------------------------------- keep


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_keep(X, targets, loss, penalty):
    request = {
        "loss": loss,
        "penalty": penalty,
        "subsets": SUBSETS,
        "alphas": None,
        "n_alphas": 7,
        "folds": 4,
    }
    full, scored, best = (solve(X, targets[loss], keep=keep, **request) for keep in ("coef", "scores", "best"))
    for name in full.scores:
        np.testing.assert_array_equal(scored.scores[name], full.scores[name])
        np.testing.assert_array_equal(best.scores[name], full.scores[name])
    mean = full.scores["mean_squared_error" if loss == "squared" else "log_loss"].mean(axis=-1)
    at = np.unravel_index(np.argmin(mean), mean.shape)
    assert full.best == scored.best == best.best == {"subset": at[0], "alpha": at[1]}
    np.testing.assert_array_equal(best.coef, full.coef[at])
    assert best.intercept == full.intercept[at]
    assert best.coef.shape == (5,)
    assert best.dims["coef"] == ("feature",)
    np.testing.assert_array_equal(best.predict(X), full.predict(X)[at])
    assert scored.coef is None
    assert scored.intercept is None
    assert scored.fold_coef is None
    np.testing.assert_array_equal(scored.gap, full.gap)
    with pytest.raises(ValueError, match="keep='scores'"):
        scored.predict(X)


def test_keep_best_on_a_warm_path_that_needs_more_than_one_step(X, targets):
    """The fit kept comes from the same path as in coef mode: its bits depend on where the path came from."""
    request = {"loss": "logistic", "penalty": "l1", "n_alphas": 40, "folds": 3, "tol": 1e-3}
    full = solve(X, targets["logistic"], keep="coef", **request)
    best = solve(X, targets["logistic"], keep="best", **request)
    np.testing.assert_array_equal(best.coef, full.coef[full.best["alpha"]])


# --------------------------------------------------------------------------------------------------- path, grids


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_warm_path_equals_cold_fits(X, targets, loss, penalty):
    path = solve(X, targets[loss], loss=loss, penalty=penalty, n_alphas=25, tol=1e-12)
    for k in range(0, 25, 4):
        cold = solve(X, targets[loss], loss=loss, penalty=penalty, alphas=path.alphas[k], tol=1e-12)
        scale = np.abs(path.coef).max()
        np.testing.assert_allclose(path.coef[k], cold.coef, rtol=0, atol=1e-8 * scale)
        np.testing.assert_array_equal(path.coef[k] != 0, cold.coef != 0)
        assert path.objective[k] == pytest.approx(cold.objective, rel=1e-11)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("penalty", "ratio"), [("l1", 1), (penalties.ElasticNet(0.3), 0.3), ("l2", 1e-3)])
def test_one_grid_from_all_rows_and_all_subsets(X, targets, loss, penalty, ratio):
    solution = solve(X, targets[loss], loss=loss, penalty=penalty, subsets=[[0], [1, 2], [3]], n_alphas=9, folds=3)
    y = targets[loss] if loss == "squared" else (targets[loss] == "yes") * 1.0
    slopes = np.abs((X - X.mean(0)).T @ (y - y.mean())) / 60
    assert solution.alphas[0] == pytest.approx(slopes[:4].max() / ratio, rel=1e-9)
    np.testing.assert_allclose(np.diff(np.log(solution.alphas)), np.log(solution.alphas[1] / solution.alphas[0]))
    assert solution.alphas[-1] / solution.alphas[0] == pytest.approx(1e-4 if ratio > 1e-3 else 1e-7, rel=1e-9)


def test_the_grid_starts_where_everything_is_at_the_centre(X, signal):
    center = [0.5, 0, 0, 1, 0]
    solution = solve(X, signal, penalty=penalties.L1(center=center), n_alphas=5)
    np.testing.assert_allclose(solution.coef[0], center, atol=1e-12)
    assert (solution.coef[1] != center).any()


def test_the_grid_is_shorter_where_columns_are_many():
    rng = np.random.default_rng(9)
    alphas = solve(rng.normal(size=(8, 9)), rng.normal(size=8), penalty="l1", n_alphas=3).alphas
    assert alphas[-1] / alphas[0] == pytest.approx(1e-2)


def test_one_alpha_is_alpha_max(X, signal):
    assert solve(X, signal, penalty="l1", n_alphas=1).alphas.shape == (1,)
    np.testing.assert_array_equal(solve(X, signal, penalty="l1", n_alphas=1).coef, np.zeros((1, 5)))


# --------------------------------------------------------------------------------------------- options, warnings


def test_names_and_objects_are_one(X, targets):
    for loss in (losses.Logistic(), "logistic"):
        for penalty in (penalties.L1(), "l1", penalties.ElasticNet(1.0)):
            solution = solve(X, targets["logistic"], loss=loss, penalty=penalty, alphas=0.05)
            same_bits(solution, solve(X, targets["logistic"], loss="logistic", penalty="l1", alphas=0.05))


def test_unfinished_fits_are_counted_in_a_warning(X, targets):
    with pytest.warns(ConvergenceWarning, match=r"of 8 fits \d did not reach the tolerance"):
        solution = solve(X, targets["logistic"], loss="logistic", alphas=[0.01, 1e-4], folds=3, max_iter=1)
    assert "max_iter" in solution.status
    assert (solution.gap[solution.status == "max_iter"] > 0).all()


def test_a_training_fold_with_a_single_class_fails_alone_and_says_why(X, signal):
    y = np.arange(60) >= 30
    folds = [(np.arange(30), np.arange(30, 60)), (np.arange(15, 45), np.arange(15))]
    with pytest.warns(ConvergenceWarning, match="single class"):
        solution = solve(X, y, loss="logistic", alphas=[0.1, 0.01], folds=folds)
    assert (solution.fold_status == [["failed", "converged"]] * 2).all()
    assert (solution.fold_reason[:, 0] == "the training rows hold a single class").all()
    assert np.isnan(solution.scores["log_loss"][:, 0]).all()
    assert np.isnan(solution.fold_coef[:, 0]).all()
    assert np.isfinite(solution.scores["log_loss"][:, 1]).all()


def test_dependent_unpenalised_columns_warn_and_give_the_least_norm(X, signal):
    twice = np.column_stack([X, 2 * X[:, 0]])
    with pytest.warns(RankWarning, match="1 of 1 fits"):
        solution = solve(twice, signal, alphas=0.0)
    centred = twice - twice.mean(0)
    expected = np.linalg.pinv(centred) @ (signal - signal.mean())
    assert solution.status == "rank_deficient"
    np.testing.assert_allclose(solution.coef, expected, atol=1e-9)
    assert solution.gap <= 1e-10 * solution.objective


def test_the_least_norm_is_the_limit_of_the_ridge_about_the_centre():
    rng = np.random.default_rng(10)
    X, y, center = (
        rng.normal(size=(6, 9)) * 10.0 ** rng.uniform(-1, 1, 9),
        rng.normal(size=6),
        rng.normal(size=9),
    )
    with pytest.warns(RankWarning):
        limit = solve(X, y, alphas=0.0, penalty=penalties.L2(center=center))
    near = solve(X, y, alphas=1e-9, penalty=penalties.L2(center=center), tol=0)
    np.testing.assert_allclose(limit.coef, near.coef, atol=1e-5)


def test_fits_report_steps_and_seconds(X, targets):
    solution = solve(X, targets["logistic"], loss="logistic", penalty="l1", n_alphas=10, folds=3)
    assert (solution.n_iter >= 0).all()
    assert solution.n_iter.max() < 25
    assert (solution.seconds >= 0).all()
    assert solution.seconds.sum() < 5


def test_progress_is_told_and_its_errors_stop_the_run():
    rng = np.random.default_rng(11)
    X = rng.normal(size=(4000, 60))
    y = X[:, 0] + rng.normal(size=4000) > 0
    seen = []
    subsets = [np.flatnonzero(rng.random(60) < 0.6) for _ in range(60)]
    solve(
        X,
        y,
        loss="logistic",
        subsets=subsets,
        n_alphas=8,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen
    assert all(0 <= done <= total for done, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        solve(X, y, loss="logistic", subsets=subsets, n_alphas=8, progress=stop)


# ------------------------------------------------------------------------------------------------- seed example


def test_the_seed_example_equals_logistic_regression():
    rng = np.random.default_rng(42)
    X, y = rng.normal(size=(100, 10)), rng.integers(0, 2, 100)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    solution = solve(X_train, y_train, loss="logistic", alphas=[1 / 80], subsets=[list(range(10))], tol=0)
    plain = LogisticRegression().fit(X_train, y_train)
    tight = LogisticRegression(tol=1e-13, solver="newton-cholesky").fit(X_train, y_train)
    accuracy = (solution.predict(X_test)[0, 0] == y_test).mean()
    assert accuracy == plain.score(X_test, y_test)
    np.testing.assert_allclose(solution.coef[0, 0], tight.coef_[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(solution.intercept[0, 0], tight.intercept_[0], rtol=0, atol=1e-6)
