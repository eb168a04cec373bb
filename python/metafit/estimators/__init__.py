"""The front door for scikit-learn users: estimators that choose how to fit before they fit."""

from metafit.estimators.meta import MetaClassifier, MetaRegressor

__all__ = ["MetaClassifier", "MetaRegressor"]
