"""A small table for the tests of the engine; their oracle is found on the path."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", name="X")
def matrix():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5)) * [1, 10, 0.1, 1, 3] + [0, 5, 0, -2, 0]


@pytest.fixture(scope="session")
def signal(X):
    rng = np.random.default_rng(1)
    return X @ [1, 0.2, -4, 0, 0.3] + rng.normal(size=60)


@pytest.fixture(scope="session")
def targets(signal):
    return {"squared": signal, "logistic": np.where(signal > np.median(signal), "yes", "no")}
