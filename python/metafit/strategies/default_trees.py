"""The default tree ensembles: scikit-learn's, small enough to be cross-validated beside the linear strategies."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from metafit.strategies.strategy import Strategy

__all__ = ["default_trees"]

_FAMILIES: dict[str, tuple[Any, Any, Any]] = {
    "classification": (HistGradientBoostingClassifier, ExtraTreesClassifier, RandomForestClassifier),
    "regression": (HistGradientBoostingRegressor, ExtraTreesRegressor, RandomForestRegressor),
}


def default_trees(kind: str) -> list[Strategy]:
    """Return tree ensembles for a kind of task, those that give most for their time first.

    Small leaves and few rounds: on tables of some thousand rows scikit-learn's own defaults (the last one) overfit.
    """
    Boosting, ExtraTrees, RandomForest = _FAMILIES[kind]
    trees: dict[str, Any] = {"random_state": 0, "n_jobs": 1}
    models = [
        Boosting(max_iter=60, max_leaf_nodes=8, random_state=0),
        Boosting(max_iter=100, max_leaf_nodes=4, random_state=0),
        RandomForest(50, min_samples_leaf=5, max_features=0.33, **trees),
        ExtraTrees(50, min_samples_leaf=3, max_features=None, **trees),
        Boosting(learning_rate=0.05, max_iter=100, max_leaf_nodes=15, min_samples_leaf=40, random_state=0),
        Boosting(random_state=0),
    ]
    return [Strategy.from_estimator(model) for model in models]
