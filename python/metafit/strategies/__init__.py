"""Strategies: which features, which transform, which loss, which penalty, how strong."""

from metafit.strategies import alphas, features, losses, penalties, transforms
from metafit.strategies.grids import default_strategies, grid
from metafit.strategies.strategy import Strategy

__all__ = [
    "Strategy",
    "alphas",
    "default_strategies",
    "features",
    "grid",
    "losses",
    "penalties",
    "transforms",
]
