"""All problems that were solved at 50 digits, and NIST's certified regressions."""

import json
from pathlib import Path

import numpy as np
import pytest
from equation_oracle import Problem
from test_grid import figures

REFERENCE = Path(__file__).parents[1] / "reference"
CERTIFIED = json.loads((REFERENCE / "certified_problems.json").read_text())["problems"]
NIST = json.loads((REFERENCE / "nist_strd_linear.json").read_text())["sets"]
#: digits of agreement, the least over coefficients
DIGITS = {
    "Norris": 12,
    "Pontius": 11,
    "NoInt1": 14,
    "NoInt2": 14,
    "Longley": 10,
    "Wampler1": 8.5,
    "Wampler2": 8.5,
    "Wampler3": 8.5,
    "Wampler4": 7.5,
    "Wampler5": 6,
    "Filip": 7,
}


def numbers(values):
    return np.array(values, dtype=float)


def penalty_of(truth):
    """Name, parameters and strength of a sum of the three kinds of terms."""
    l1, l2, norm = (float(truth[name]) for name in ("l1", "l2", "group_lambda"))
    if norm:
        labels = np.zeros(len(truth["coef"]), int)
        for label, members in enumerate(truth["groups"]):
            labels[members] = label
        assert l2 == 0
        return {
            "penalty": "sparse_group_lasso",
            "penalty_parameters": {"l1_ratio": l1 / (l1 + norm)},
            "alpha": l1 + norm,
            "groups": labels,
        }
    if l1 and l2:
        return {"penalty": "elastic_net", "penalty_parameters": {"l1_ratio": l1 / (l1 + l2)}, "alpha": l1 + l2}
    return {"penalty": "l1" if l1 else "l2", "alpha": l1 + l2}


def from_file(truth):
    return Problem(
        X=numbers(truth["X"]),
        y=numbers(truth["y"]),
        loss={"multinomial": "softmax"}.get(truth["loss"], truth["loss"]),
        weights=numbers(truth["sample_weight"]),
        fit_intercept=truth["fit_intercept"],
        **penalty_of(truth),
    )


def coef_of(truth):
    """(K, p); the file has a column for each class."""
    coef = numbers(truth["coef"])
    return coef.T if coef.ndim == 2 else coef[None]


def test_all_are_there():
    assert len(CERTIFIED) == 33
    assert {truth["loss"] for truth in CERTIFIED.values()} == {"squared", "logistic", "poisson", "gamma", "multinomial"}
    assert len(NIST) == 11


@pytest.mark.parametrize("name", CERTIFIED)
@pytest.mark.parametrize(("tol", "allowed"), [(0, 1e-9), (1e-8, 1e-4)])
def test_coefficients(name, tol, allowed):
    truth = CERTIFIED[name]
    fit, coef = from_file(truth).fit(tol=tol), coef_of(truth)
    assert fit.status == "converged"
    assert abs(fit.coef - coef).max() <= allowed * abs(coef).max()
    np.testing.assert_array_equal(fit.coef != 0, coef != 0)


@pytest.mark.parametrize("name", CERTIFIED)
def test_intercept_and_objective(name):
    truth = CERTIFIED[name]
    problem = from_file(truth)
    fit = problem.fit(tol=0)
    # an intercept answers to the coefficients, by the columns' means
    reach = abs(coef_of(truth)).max() * max(1.0, abs(problem.X.mean(0)).max())
    assert fit.intercept == pytest.approx(np.ravel(numbers(truth["intercept"])), rel=1e-9, abs=1e-9 * reach)
    assert fit.objective == pytest.approx(float(truth["objective"]), rel=1e-11)


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_oracle_agrees_with_the_file(name):
    truth = CERTIFIED[name]
    problem, at = from_file(truth), (coef_of(truth), numbers(truth["intercept"]))
    assert float(problem.objective(*at)) == pytest.approx(float(truth["objective"]), rel=1e-12)
    assert problem.violation(*at) <= 1e-12 * problem.steepest()
    assert problem.gap(*at) <= 1e-12 * problem.scale(problem.objective(*at))


@pytest.mark.parametrize("name", CERTIFIED)
@pytest.mark.parametrize("tol", [0, 1e-8, 1e-3])
def test_certificates(name, tol):
    found = figures(from_file(CERTIFIED[name]).fit(tol=tol))
    assert found.gap <= 1e-10
    assert found.objective <= 1e-10
    assert found.relative <= max(tol, 1e-10)


@pytest.mark.parametrize("name", [name for name, truth in CERTIFIED.items() if truth["groups"]])
def test_groups_leave_together(name):
    """A group of the file that is 0 is 0 here, and no other."""
    truth = CERTIFIED[name]
    fit, coef = from_file(truth).fit(tol=0), coef_of(truth)[0]
    for members in truth["groups"]:
        assert fit.coef[0, members].any() == coef[members].any()


# ------------------------------------------------------------------------------------------------------------ NIST


def nist_problem(data):
    x, y = numbers(data["X"]), numbers(data["y"])
    X = x if data["degree"] == 1 else np.hstack([x**k for k in range(1, data["degree"] + 1)])
    return Problem(X=X, y=y, alpha=0.0, fit_intercept=data["intercept"])


@pytest.mark.parametrize("name", DIGITS)
def test_nist(name):
    data = NIST[name]
    fit = nist_problem(data).fit(tol=0)
    truth = numbers(data["exact_beta_25"])
    coef = np.r_[fit.intercept, fit.coef[0]] if data["intercept"] else fit.coef[0]
    digits = -np.log10(np.maximum(abs(coef - truth) / abs(truth), 1e-16)).min()
    assert digits >= DIGITS[name]
    assert fit.status == "converged"
