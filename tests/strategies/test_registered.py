"""Losses and penalties are made from the registries of the core: what holds for one holds for all, and for the next."""

import inspect
import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import metafit as mf
from metafit.strategies import Strategy, losses, penalties
from metafit.strategies.parts import from_plain, to_plain
from metafit.strategies.penalties import label_groups
from metafit.strategies.registered import Parameter, Registered, make_class, penalty_shape

MODULES = {"loss": losses, "penalty": penalties}
CLASSES = [(argument, made) for argument, module in MODULES.items() for made in module.REGISTRY.values()]
PARAMETERS = [(made, parameter) for _, made in CLASSES for parameter in made.takes]
WITH_GROUPS = [made for made in penalties.REGISTRY.values() if made.has_groups]
WITH_METRIC = [made for made in penalties.REGISTRY.values() if made.has_metric]


def inside(parameter):
    high = parameter.high if math.isfinite(parameter.high) else parameter.low + 2.0
    return (parameter.low + high) / 2


def example(made):
    return made(**{parameter.name: inside(parameter) for parameter in made.takes})


@pytest.mark.parametrize(("argument", "made"), CLASSES)
def test_every_member_is_a_frozen_value(argument, made):
    module, part = MODULES[argument], example(made)
    assert getattr(module, made.__name__) is made
    assert getattr(getattr(mf, module.__name__.rsplit(".", 1)[1]), made.__name__) is made
    assert made.__name__ in module.__all__
    assert pickle.loads(pickle.dumps(part)) == part
    assert eval(repr(part), vars(module)) == part
    assert hash(part) == hash(example(made))
    assert from_plain(json.loads(json.dumps(to_plain(part))), module.REGISTRY, argument) == part
    assert part.parameters == tuple(inside(parameter) for parameter in made.takes)
    with pytest.raises(FrozenInstanceError):
        part.name = "other"


@pytest.mark.parametrize(("argument", "made"), CLASSES)
def test_every_member_is_documented(argument, made):
    text = made.__doc__
    assert text.splitlines()[0].endswith(".")
    arguments = list(inspect.signature(made).parameters)
    for name in arguments:
        assert name in text
    for section in (["Parameters", "Raises"] if arguments else []) + ["Notes"]:
        assert f"\n{section}\n{'-' * len(section)}\n" in text


@pytest.mark.parametrize(("made", "parameter"), PARAMETERS)
def test_every_parameter_keeps_to_its_range(made, parameter):
    for good in [inside(parameter)] + ([] if parameter.is_open else [parameter.low]):
        assert getattr(made(**{parameter.name: good}), parameter.name) == good
    beyond = [parameter.low - 1, math.nan, math.inf] + ([parameter.low] if parameter.is_open else [])
    beyond += [parameter.high + 1] if math.isfinite(parameter.high) else []
    for bad in beyond:
        with pytest.raises(ValueError, match=f"{parameter.name} must be finite"):
            made(**{parameter.name: bad})
    with pytest.raises(TypeError, match=f"{parameter.name} must be a number"):
        made(**{parameter.name: "large"})


def test_parameters_are_checked_against_the_ranges_of_the_core():
    """Parameters of any range, some of which no member of today has."""
    spec = {"name": "n", "class": "N", "summary": "S.", "notes": "", "flag": 3}
    told = [("a", None, 0.0, math.inf, True, "First."), ("b", 2.0, 1.0, 3.0, False, "Second.")]
    made = make_class(spec | {"parameters": told}, Registered, __name__)
    assert made(1).parameters == (1.0, 2.0)
    assert made.flag == 3
    assert "a : float\n    First.\nb : float, default=2\n    Second." in made.__doc__
    with pytest.raises(ValueError, match="a must be finite, > 0, got 0"):
        made(0)
    with pytest.raises(ValueError, match="b must be finite, >= 1 and <= 3, got 4"):
        made(1, 4)
    with pytest.raises(TypeError):
        made()
    with pytest.raises(ValueError, match="c must be finite, > 1 and < 2"):
        Parameter("c", None, 1.0, 2.0, True, "").check(2)


@pytest.mark.parametrize("made", losses.REGISTRY.values())
def test_what_a_loss_says_of_itself(made):
    loss = example(made)
    assert loss.kind in ("regression", "classification")
    assert loss.score in loss.scores
    assert Strategy(loss=loss).kind == loss.kind
    assert not (loss.has_probabilities and loss.kind == "regression")


@pytest.mark.parametrize("made", penalties.REGISTRY.values())
def test_what_a_penalty_says_of_itself(made):
    penalty = example(made)
    assert 0 <= penalty.l1_share <= 1
    assert (penalty.l1_share, penalty.is_convex) == penalty_shape(penalty.name, penalty.parameters)
    assert replace(penalty, factors=[1.0, 2.0]).without_columns() == penalty


@pytest.mark.parametrize("made", penalties.REGISTRY.values())
def test_every_penalty_takes_factors_a_centre_and_bounds(made):
    given = {
        "factors": np.array([0, 1, np.inf]),
        "center": [1, 2, 3],
        "lower": [-np.inf, 2, 0],
        "upper": [1, 2, np.inf],
    }
    penalty = replace(example(made), **given)
    given["factors"][0] = 7
    assert (penalty.factors, penalty.center) == ((0.0, 1.0, math.inf), (1.0, 2.0, 3.0))
    assert (penalty.lower, penalty.upper) == ((-math.inf, 2.0, 0.0), (1.0, 2.0, math.inf))
    assert penalty.is_per_column
    assert not example(made).is_per_column
    assert penalty.widths == dict.fromkeys(given, 3)
    assert from_plain(json.loads(json.dumps(to_plain(penalty))), penalties.REGISTRY, "penalty") == penalty
    assert eval(repr(penalty), vars(penalties) | {"inf": math.inf}) == penalty
    of_classes = replace(example(made), center=np.ones((4, 3)), lower=[0, 0, 0])
    assert (of_classes.class_rows, of_classes.widths) == ({"center": 4}, {"center": 3, "lower": 3})
    assert pickle.loads(pickle.dumps(of_classes)) == of_classes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower": [0, 1]}, r"\[1, inf\] do not hold the center 0 of column 1"),
        ({"upper": [0, 1, 1], "center": [0, 2, 0]}, r"\[-inf, 1\] do not hold the center 2 of column 1"),
        ({"center": [[0, 0], [0, 3]], "upper": [1, 1]}, r"center 3 of column 1"),
        ({"lower": [1], "upper": [-1]}, "do not hold the center"),
        ({"lower": [np.nan]}, "lower must be numbers, or minus infinity, got nan at position 0"),
        ({"lower": [np.inf]}, "lower must be .* got inf"),
        ({"upper": [0, -np.inf]}, "upper must be .* got -inf at position 1"),
        ({"lower": [0], "center": [0, 0]}, "center and lower must be equally long, got 2 and 1"),
        ({"lower": np.zeros((2, 3)), "center": np.zeros((3, 3))}, "center and lower must be as many rows"),
        ({"center": np.zeros((2, 2, 2))}, "center must be one- or two-dimensional"),
        ({"metric": [1, -1]}, "metric must be >= 0 where it is a diagonal, got -1.0 at position 1"),
        ({"metric": [[1, 2], [0, 1]]}, "metric must be symmetric, but entries differ by 2"),
        ({"metric": [[1, 2], [2, 1]]}, "metric must be positive semidefinite, it has an eigenvalue of -1"),
        ({"metric": [[1, 2, 3], [2, 1, 3]]}, r"square matrix, got shape \(2, 3\)"),
        ({"metric": [np.nan]}, "metric must be finite"),
        ({"metric": np.eye(2), "factors": [1]}, "factors and metric must be equally long, got 1 and 2"),
    ],
)
def test_what_is_said_of_columns_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        penalties.L2(**options)


@pytest.mark.parametrize("made", penalties.REGISTRY.values())
def test_groups_and_metrics_are_for_those_that_have_them(made):
    if not made.has_groups:
        with pytest.raises(TypeError, match="groups"):
            made(groups=[0])
    if not made.has_metric:
        with pytest.raises(TypeError, match="metric"):
            made(metric=[1.0])


@pytest.mark.parametrize("made", WITH_METRIC)
def test_a_metric_is_kept_symmetric(made):
    matrix = np.array([[2.0, 1.0], [1.0 + 1e-14, 1.0]])
    stored = np.array(made(metric=matrix).metric)
    np.testing.assert_array_equal(stored, stored.T)
    assert made(metric=np.zeros((2, 2))).metric == ((0.0, 0.0), (0.0, 0.0))
    assert hash(made(metric=matrix)) == hash(made(metric=matrix))


@pytest.mark.parametrize("made", WITH_GROUPS)
@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([5, 5, 7, 5], "aaba"),
        (np.array([0.0, 0.0, 1.0, 0.0]), "aaba"),
        (["x", "x", "y", "x"], "aaba"),
        ([["p", "q", "s"], ["r"]], "aaba"),
        ([[0, 1, 3]], "aaba"),
        ([np.array([0, 1, -1])], "aaba"),
        ([["q"], ("s", 2)], "abcc"),
        ([[]], "abcd"),
    ],
)
def test_groups_in_every_form(made, groups, expected):
    penalty = made(groups)
    labels = label_groups(penalty, ["p", "q", "r", "s"]).groups
    first = [labels.index(label) for label in labels]
    assert first == [expected.index(letter) for letter in expected]
    assert from_plain(json.loads(json.dumps(to_plain(penalty))), penalties.REGISTRY, "penalty") == penalty
    assert hash(pickle.loads(pickle.dumps(penalty))) == hash(penalty)


@pytest.mark.parametrize("made", WITH_GROUPS)
def test_groups_of_a_strategy_are_raw_columns(made):
    names, blocks, block_names = ["age", "town=a", "town=b", "sex=m"], np.array([0, 1, 1, 2]), ["age", "town", "sex"]
    assert label_groups(made(), names, blocks, block_names).groups == (0, 1, 1, 2)
    assert label_groups(made([["town", "age"]]), names, blocks, block_names).groups[:3] == (0, 0, 0)
    assert len(set(label_groups(made([["town=a", "age"]]), names, blocks, block_names).groups)) == 3


@pytest.mark.parametrize("made", WITH_GROUPS)
@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ("ab", TypeError, "a label for each column, or lists of columns"),
        (3, TypeError, "a label for each column, or lists of columns"),
        ([[0], 1], TypeError, "labels only, or lists of columns only"),
        ([0.5, 1.0], TypeError, "whole numbers or text, got 0.5"),
        ([["z"]], ValueError, "names a column 'z' that is not there"),
        ([[4]], ValueError, "names column 4, there are columns 0 to 3"),
        ([["p", 1], ["q"]], ValueError, "holds column 'q' twice"),
        (None, ValueError, r"groups of penalties\.\w+ are missing: pass"),
    ],
)
def test_bad_groups_are_named(made, groups, error, message):
    with pytest.raises(error, match=message):
        label_groups(made(groups), ["p", "q", "r", "s"])


@pytest.mark.parametrize("made", WITH_GROUPS)
def test_groups_of_columns_do_not_go_with_a_transform(made):
    from sklearn.kernel_approximation import Nystroem

    for penalty in (made(), made([0, 0, 1])):
        with pytest.raises(ValueError, match="cannot follow a transform"):
            Strategy(loss="squared", transform=Nystroem(), penalty=penalty)
