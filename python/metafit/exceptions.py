"""Warnings of metafit. Errors are Python's own, with the argument and the column in the message."""

from __future__ import annotations

import sklearn.exceptions

__all__ = ["ConvergenceWarning", "DriftWarning", "RankWarning"]


class ConvergenceWarning(sklearn.exceptions.ConvergenceWarning):  # type: ignore[misc]
    """Some fits of a call ended with a larger gap than asked for; the message counts them."""


class DriftWarning(UserWarning):
    """A table is unlike all that is known: what was learned from these may not hold for it."""


class RankWarning(UserWarning):
    """Unpenalised columns depend on each other: the fit is one of several equally good ones."""
