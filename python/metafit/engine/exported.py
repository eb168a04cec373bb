"""A fitted strategy as a plain pipeline of scikit-learn, which serves where metafit is not installed.

A category's columns and the means that stand for a missing one are folded into the coefficients: of a raw column with
levels l, columns c(l), means m and coefficients w, level l adds c(l)'w and an unknown one m'w. A one-hot column for
each level with coefficient c(l)'w - m'w, and m'w in the intercept, say the same.

In front of a transform the encoded columns themselves are needed: the one-hot columns times c(l) - m, plus m. The
transform got them less their mean, which is m, and scaled.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import linear_model
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from metafit.engine.rows import Preparation
from metafit.strategies.losses import Loss
from metafit.strategies.transforms import Clipped, OnContinuous
from metafit.tasks.encoding import Category, Encoder

__all__ = ["estimator_pipeline", "linear_pipeline", "transformed_pipeline"]

Floats = NDArray[np.float64]

#: Estimators that predict from eta as the losses do.
_IDENTITY, _LOG = ("squared", "huber", "quantile"), ("poisson", "gamma", "tweedie")


def linear_pipeline(
    encoder: Encoder, coef: Floats, intercept: Floats, means: Floats, loss: Loss, classes: NDArray[Any] | None
) -> Pipeline:
    """Return a fitted pipeline that predicts what a linear fit on encoded columns predicts.

    Parameters
    ----------
    encoder : Encoder
    coef : array, shape (n_outputs, n_columns)
        Of the encoded columns.
    intercept : array, shape (n_outputs,)
    means : array, shape (n_columns,)
        What stands for a missing value of each.
    loss : Loss
    classes : array or None
        Labels of a classification.

    Raises
    ------
    TypeError
        If scikit-learn has no estimator that predicts like the loss.
    """
    columns, weights, shift = _on_raw_columns(encoder, coef, means)
    return Pipeline([("columns", columns), ("model", _estimator(loss, classes, weights, intercept + shift))])


def transformed_pipeline(
    encoder: Encoder,
    preparation: Preparation,
    means: Floats,
    coef: Floats,
    intercept: Floats,
    loss: Loss,
    classes: NDArray[Any] | None,
) -> Pipeline:
    """Return a fitted pipeline that predicts what a linear fit on transformed columns predicts.

    Parameters
    ----------
    encoder : Encoder
    preparation : Preparation
        The transform, and what is in front of it.
    means : array, shape (n_columns,)
        What stands for a missing value of each encoded column.
    coef : array, shape (n_targets, n_outputs)
        Of the outputs of the transform.
    intercept : array, shape (n_targets,)
    loss : Loss
    classes : array or None
        Labels of a classification.

    Raises
    ------
    TypeError
        If scikit-learn has no estimator that predicts like the loss.
    """
    columns, weights, shift = _on_raw_columns(encoder, np.eye(len(means))[preparation.columns], means)
    scaler = StandardScaler().fit(np.zeros((1, len(shift))))
    scaler.mean_, scaler.scale_ = preparation.means - shift, preparation.scales
    scaler.var_ = scaler.scale_**2
    steps = [
        ("columns", columns),
        ("encoded", FunctionTransformer(np.dot, kw_args={"b": weights.T})),
        ("scaler", scaler),
        ("transform", _plain(preparation.transformer)),
        ("model", _estimator(loss, classes, coef, intercept)),
    ]
    return Pipeline(steps)


def _on_raw_columns(encoder: Encoder, coef: Floats, means: Floats) -> tuple[ColumnTransformer, Floats, Floats]:
    """Fold categories: return fitted columns, coefficients of what they make, and what is to be added."""
    blocks = [encoder.blocks == position for position in range(len(encoder.parts))]
    parts = list(zip(encoder.parts, blocks, strict=True))
    numbers = [(part.name, coef[:, at], means[at]) for part, at in parts if not isinstance(part, Category)]
    folded = [_folded(part, coef[:, at], means[at]) for part, at in parts if isinstance(part, Category)]
    columns = _columns([name for name, _, _ in numbers], folded)
    columns.fit(_sample(encoder, {name: values[0] for name, _, values in numbers}, folded))
    weights = np.hstack([*(w for _, w, _ in numbers), *(part.coef for part in folded)])
    return columns, weights, sum((part.unknown for part in folded), np.zeros(len(coef)))


def _plain(transformer: Any) -> Any:
    """Write a fitted transformer without those of this package."""
    if isinstance(transformer, Clipped):
        limits = {"a_min": -transformer.limit, "a_max": transformer.limit}
        clip = FunctionTransformer(np.clip, kw_args=limits)
        return Pipeline([("clip", clip), ("transform", _plain(transformer.transformer_))])
    if isinstance(transformer, OnContinuous):
        return _plain_on_continuous(transformer)
    if isinstance(transformer, Pipeline):
        return Pipeline([(name, _plain(step)) for name, step in transformer.steps])
    if isinstance(transformer, FeatureUnion):
        parts = [(name, _plain(part)) for name, part in transformer.transformer_list]
        return FeatureUnion(parts, transformer_weights=transformer.transformer_weights)
    return transformer


def _plain_on_continuous(transformer: OnContinuous) -> Any:
    if transformer.transformer_ is None:
        return FunctionTransformer()
    of_them = Pipeline([("columns", _only(transformer.continuous_)), ("transform", _plain(transformer.transformer_))])
    return FeatureUnion([("continuous", of_them), ("others", _only(~transformer.continuous_))])


def _only(columns: NDArray[np.bool_]) -> FunctionTransformer:
    return FunctionTransformer(np.take, kw_args={"indices": np.flatnonzero(columns), "axis": 1})


@dataclass(frozen=True)
class _Folded:
    """A category with what its levels add to eta, beyond what an unknown one adds."""

    name: str
    spellings: list[str]
    coef: Floats
    unknown: Floats


def _folded(part: Category, coef: Floats, means: Floats) -> _Folded:
    levels = [*part.levels, *sorted(part.rare)]
    # a whole number of a column that also has holes reads as 3.0
    pairs = [(level, level) for level in levels] + [(f"{level}.0", level) for level in levels if _is_whole(level)]
    unknown = coef @ means
    of_levels = coef @ part.indicators([level for _, level in pairs]).T - unknown[:, None]
    return _Folded(part.name, [text for text, _ in pairs], of_levels, unknown)


def _is_whole(level: str) -> bool:
    return level.removeprefix("-").isdigit()


def _columns(numbers: list[str], categories: list[_Folded]) -> ColumnTransformer:
    steps: list[Any] = [("numbers", SimpleImputer(keep_empty_features=True), numbers)] if numbers else []
    if categories:
        as_text = FunctionTransformer(np.asarray, kw_args={"dtype": str})
        levels = [part.spellings for part in categories]
        one_hot = OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=False)
        steps.append(("categories", make_pipeline(as_text, one_hot), [part.name for part in categories]))
    return ColumnTransformer(steps)


def _sample(encoder: Encoder, numbers: dict[str, float], categories: list[_Folded]) -> pd.DataFrame:
    """Make a row such as the pipeline will see: it is fitted on that, so that its means are those given."""
    values: dict[str, Any] = numbers | {part.name: part.spellings[0] for part in categories}
    return pd.DataFrame({name: [values[name]] for name in encoder.block_names})


def _estimator(loss: Loss, classes: NDArray[Any] | None, coef: Floats, intercept: Floats) -> BaseEstimator:
    """Return an estimator with these coefficients, fitted on nothing so that it has all else it needs."""
    inputs = np.zeros((2 if classes is None else len(classes), coef.shape[1]))
    if classes is not None and loss.name == "logistic":
        model = linear_model.LogisticRegression().fit(inputs, classes)
    elif classes is None and loss.name in _IDENTITY:
        model = linear_model.LinearRegression().fit(inputs, [0.0, 1.0])
    elif classes is None and loss.name in _LOG:
        model = linear_model.TweedieRegressor(power=1.0, link="log").fit(inputs, [1.0, 1.0])
    else:
        raise TypeError(f"scikit-learn has no linear estimator that predicts like the {loss.name} loss")
    model.coef_ = coef[0] if classes is None else coef
    model.intercept_ = float(intercept[0]) if classes is None else intercept
    return model


def estimator_pipeline(
    encoder: Encoder, estimator: BaseEstimator, means: Floats | None, classes: NDArray[Any] | None
) -> Pipeline:
    """Return a fitted pipeline of an estimator of scikit-learn and the imputation in front of it.

    Raises
    ------
    TypeError
        If the table has categories.
    """
    if encoder.categorical.any():
        names = [name for name, is_one in zip(encoder.block_names, encoder.categorical, strict=True) if is_one]
        raise TypeError(f"the estimator got categories as metafit encodes them: {names}")
    steps: list[Any] = [("model", _labelled(estimator, classes))]
    if means is not None:
        steps.insert(0, ("imputer", SimpleImputer(keep_empty_features=True).fit(means[None])))
    return Pipeline(steps)


def _labelled(estimator: BaseEstimator, classes: NDArray[Any] | None) -> BaseEstimator:
    """Return a copy that answers with labels; it was fitted on their numbers."""
    if classes is None:
        return estimator
    labelled = copy.deepcopy(estimator)
    labelled.classes_ = classes[labelled.classes_]
    return labelled
