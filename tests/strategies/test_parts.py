"""Losses, penalties and alphas: validated, hashable, and the same after a trip through JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metafit.strategies import alphas, features, losses, penalties
from metafit.strategies.parts import from_plain, to_plain

REGISTRIES = {
    "loss": losses.REGISTRY,
    "penalty": penalties.REGISTRY,
    "alpha": alphas.REGISTRY,
    "features": features.REGISTRY,
}
REQUIRED = {"per_row": (2.0,), "of_max": (0.25,), "columns": (("a", "b"),), "top_k": (3,)}
MEMBERS = [(argument, name) for argument, registry in REGISTRIES.items() for name in registry]


@pytest.mark.parametrize(("argument", "name"), MEMBERS)
def test_every_registered_part_survives_json(argument, name):
    registry = REGISTRIES[argument]
    part = registry[name](*REQUIRED.get(name, ()))
    text = json.dumps(to_plain(part), allow_nan=False)
    again = from_plain(json.loads(text), registry, argument)
    assert again == part
    assert hash(again) == hash(part)
    assert part.name == name == name.lower()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"loss must be one of \[.*'logistic', .*'squared'.*\], got 'hinge'"):
        losses.resolve("hinge")
    with pytest.raises(ValueError, match="penalty must be one of"):
        penalties.resolve("l3")


def test_resolve_takes_names_and_objects():
    assert losses.resolve("logistic") == losses.Logistic()
    assert losses.resolve(losses.Squared()) == losses.Squared()
    assert penalties.resolve("elastic_net") == penalties.ElasticNet(0.5)
    with pytest.raises(TypeError, match="loss must be"):
        losses.resolve(3)
    with pytest.raises(TypeError, match="penalty must be"):
        penalties.resolve(losses.Squared())


def test_l1_ratio_of_the_penalties():
    assert [p.l1_ratio for p in (penalties.L2(), penalties.L1(), penalties.ElasticNet(0.3))] == [
        0.0,
        1.0,
        0.3,
    ]
    assert penalties.ElasticNet().l1_ratio == 0.5


@pytest.mark.parametrize("ratio", [-0.1, 1.1, math.nan, math.inf])
def test_l1_ratio_out_of_range(ratio):
    with pytest.raises(ValueError, match="l1_ratio must be finite, >= 0 and <= 1"):
        penalties.ElasticNet(ratio)


@pytest.mark.parametrize("penalty", [penalties.L2, penalties.L1, penalties.ElasticNet])
def test_arrays_become_tuples(penalty):
    given_factors = np.array([0, 1, np.inf])
    made = penalty(factors=given_factors, center=[1, 2, 3])
    given_factors[0] = 7
    assert made.factors == (0.0, 1.0, math.inf)
    assert made.center == (1.0, 2.0, 3.0)
    assert made.is_per_column
    assert not penalty().is_per_column
    assert hash(made) == hash(penalty(factors=(0.0, 1.0, math.inf), center=(1, 2, 3)))
    assert from_plain(json.loads(json.dumps(to_plain(made))), penalties.REGISTRY, "penalty") == made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": [1, -1]}, "factors must be >= 0 .* got -1.0 at position 1"),
        ({"factors": [math.nan]}, "factors must be >= 0 .* got nan at position 0"),
        ({"center": [0, math.inf]}, "center must be finite, got inf at position 1"),
        ({"center": [math.nan]}, "center must be finite"),
        ({"factors": [1], "center": [1, 2]}, "equally long, got 1 and 2"),
        ({"factors": [[1]]}, "one-dimensional"),
    ],
)
def test_bad_columns_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        penalties.L2(**options)


def test_factors_must_be_numbers_and_keywords():
    with pytest.raises(TypeError, match="factors must be a sequence of numbers"):
        penalties.L1(factors=["a"])
    with pytest.raises(TypeError):
        penalties.L2([1.0])


@pytest.mark.parametrize("part", [alphas.PerRow, alphas.OfMax, alphas.resolve])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_alphas_are_finite_and_not_negative(part, value):
    with pytest.raises(ValueError, match="must be finite, >= 0"):
        part(value)


def test_alpha_must_be_a_number():
    with pytest.raises(TypeError, match="alpha must be a number, got 'cv'"):
        alphas.resolve("cv")


@pytest.mark.parametrize("options", [{"n_alphas": 1}, {"folds": 1}, {"folds": 2.5}, {"smallest": 0}, {"smallest": 1}])
def test_cv_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        alphas.CV(**options)


@given(c=st.floats(0, 1e6), n=st.integers(1, 10_000))
def test_per_row_is_ridge_alpha_over_rows(c, n):
    assert alphas.PerRow(c).value(n) * n == pytest.approx(c)


@given(n=st.integers(2, 30), smallest=st.floats(1e-6, 0.9), l1_ratio=st.floats(0, 1))
def test_every_path_ends_at_the_same_weakest_l1_strength(n, smallest, l1_ratio):
    ratios = alphas.CV(n_alphas=n, smallest=smallest).ratios(l1_ratio)
    # alpha_max is c / max(l1_ratio, floor), so this is the last alpha in units of c, the lasso's alpha_max
    assert ratios[-1] / max(l1_ratio, alphas.L1_RATIO_FLOOR) == pytest.approx(smallest)
    assert ratios[0] == 1
    assert len(ratios) == n
    assert np.all(np.diff(ratios) < 0)
