"""Another metric in the place of the loss."""

import numpy as np
import pandas as pd
import pytest

from metafit.learners import SingleBest
from metafit.scores import Scores, by_metric


@pytest.fixture
def scores():
    rows = [
        ("t", "a", 0.5, "ok", 0.80, 0.9),
        ("t", "b", 0.4, "ok", 0.75, 0.6),
        ("t", "c", None, "failed", None, None),
        ("u", "a", 0.6, "ok", 0.5, 0.7),
        ("u", "b", 0.3, "ok", 0.5, None),
    ]
    columns = ["task", "strategy", "loss", "status", "roc_auc_score", "accuracy_score"]
    return Scores(pd.DataFrame(rows, columns=columns))


def test_levels_without_skill_count_one(scores):
    found = by_metric(scores, "roc_auc_score").matrix()
    np.testing.assert_allclose(found.loc["t"], [0.4, 0.5, 1.0])
    np.testing.assert_allclose(found.loc["u", ["a", "b"]], [1.0, 1.0])


def test_elsewhere_the_worst_counts_one_and_what_was_not_computed_is_a_hole(scores):
    found = by_metric(scores, "accuracy_score").matrix()
    np.testing.assert_allclose(found.loc["t"], [0.25, 1.0, 1.0])
    assert found.loc["u", "a"] == 1.0
    assert np.isnan(found.loc["u", "b"])


def test_learners_follow_the_metric(scores):
    assert SingleBest().fit(scores).rank()[0] == "b"
    assert SingleBest().fit(by_metric(scores, "roc_auc_score")).rank()[0] == "a"


def test_unknown_metrics_are_refused(scores):
    with pytest.raises(ValueError, match="metric='beauty': scores hold"):
        by_metric(scores, "beauty")
