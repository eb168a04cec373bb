"""What `metafit.fit_tasks` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from metafit.fit_tasks.grouped import Floats, Grouped, as_table, column, group_codes
from metafit.fit_tasks.modes import INDEPENDENT, MEANS, MODES, POOLED, SHRUNKEN, Candidate
from metafit.fit_tasks.stage import Design

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Fits", "TaskFits"]

_METRIC = {"squared": "mean_squared_error", "logistic": "log_loss"}
_ORDER = [INDEPENDENT, POOLED, SHRUNKEN, MEANS]


@dataclass(frozen=True, eq=False)
class Fits:
    """One mode's fits of all groups.

    Attributes
    ----------
    candidate : Candidate
    coef : array, shape (n_groups, 1 + n_columns)
        In the units of the fits, NaN where a fit did not converge.
    """

    candidate: Candidate
    coef: Floats


@dataclass(frozen=True, eq=False, repr=False)
class TaskFits:
    """One linear model for each group, made by `metafit.fit_tasks`.

    Attributes
    ----------
    mode : {"independent", "pooled", "shrunken"}
        How the groups are fitted.
    groups : Index
        Labels of the groups.
    by, target : str
        Columns of the frame.
    columns : list of str
        Encoded features.
    classes : array, shape (2,), or None
        Labels of a classification; probabilities are of the second.
    metric : {"mean_squared_error", "log_loss"}
        Held-out loss by which the modes are compared.
    """

    mode: str
    groups: pd.Index[Any]
    by: str
    target: str
    columns: list[str]
    classes: NDArray[Any] | None
    metric: str
    _n_rows: NDArray[np.int64]
    _weights: Floats
    _losses: dict[str, Floats]
    _fits: dict[str, Fits]
    _design: Design
    _encoder: Any
    _offset: str | None

    @classmethod
    def _of(
        cls,
        data: Grouped,
        design: Design,
        fits: dict[str, Fits],
        mode: str,
        losses: dict[str, Floats],
        weights: Floats,
    ) -> Self:
        return cls(
            mode=mode,
            groups=data.groups,
            by=data.by,
            target=data.target,
            columns=list(data.task.columns),
            classes=data.task.classes,
            metric=_METRIC[data.loss],
            _n_rows=np.bincount(data.codes, minlength=len(data.groups)),
            _weights=weights,
            _losses=losses,
            _fits=fits,
            _design=design,
            _encoder=data.task.encoder,
            _offset=data.offset_name,
        )

    def __repr__(self) -> str:
        errors = self.summary()[self.metric]
        others = ", ".join(f"{mode} {error:.4g}" for mode, error in errors.items() if mode != self.mode)
        size = f"{len(self.groups):,} groups, {self._n_rows.sum():,} rows"
        return f"TaskFits({size}; {self.mode}: held-out {self.metric} {errors[self.mode]:.4g}; {others})"

    def summary(self) -> pd.DataFrame:
        """Compare the modes on held-out rows of all groups.

        Returns
        -------
        DataFrame
            A row a mode; *group means* predicts the mean of the group's training rows (the frequency of the
            second class, leaning by one row on that of all groups) and is never chosen. Columns:

            - ``strength_level``, ``strength_slopes``: weight of the penalty, in rows. Shrunken fits are
              pulled to the pooled fit, the slopes of the others to 0, at which infinity holds them.
            - the `metric`: mean over all held-out rows, each scored by fits that had not seen it, at the
              strengths that did best on the other folds.
            - ``std_error``: of that mean, from group to group.
            - ``difference``, ``std_difference``: to the mode in use, and the standard error of that.
            - ``chosen``: whether the mode is in use.
        """
        rows = [self._summary_row(mode) for mode in _ORDER]
        return pd.DataFrame(rows, index=pd.Index(_ORDER, name="mode"))

    def _summary_row(self, mode: str) -> dict[str, Any]:
        candidate, losses = self._fits[mode].candidate, self._losses[mode]
        mean, error = self._mean(losses)
        difference, spread = self._mean(losses - self._losses[self.mode])
        return {
            "strength_level": candidate.level,
            "strength_slopes": candidate.slopes,
            self.metric: mean,
            "std_error": error,
            "difference": difference,
            "std_difference": spread,
            "chosen": mode == self.mode,
        }

    def _mean(self, losses: Floats) -> tuple[float, float]:
        """Return a weighted mean over rows, and its standard error with groups as the independent units."""
        total, n_groups = self._weights.sum(), len(losses)
        mean = float(losses.sum() / total)
        if n_groups < 2:
            return mean, math.nan
        spread = np.sum((losses - mean * self._weights) ** 2) * n_groups / (n_groups - 1)
        return mean, float(np.sqrt(spread) / total)

    def tasks(self) -> pd.DataFrame:
        """Return a row a group: ``n_rows``, and its mean held-out loss in each mode."""
        weights = np.where(self._weights > 0, self._weights, np.nan)
        columns = {"n_rows": self._n_rows} | {mode: self._losses[mode] / weights for mode in _ORDER}
        return pd.DataFrame(columns, index=self.groups)

    def coef_table(self, mode: str | None = None) -> pd.DataFrame:
        """Return intercepts and coefficients in original units.

        Parameters
        ----------
        mode : {"independent", "pooled", "shrunken"}, optional
            By default the mode in use.

        Returns
        -------
        DataFrame
            First the pooled fit, which unseen groups get, then a row a group; columns ``(intercept)`` and the
            encoded features.
        """
        coef = np.vstack([self._pooled, self._coef(mode)])
        index = pd.Index(["(pooled)", *self.groups], name=self.by, dtype=object)
        return pd.DataFrame(self._design.raw(coef), index=index, columns=["(intercept)", *self.columns])

    def decision_function(self, frame: Any, mode: str | None = None) -> Floats:
        """Return the linear predictions of a frame's rows; see `predict`."""
        table = as_table(frame)
        group = self._group_of(table)
        inputs = self._design.apply(self._encoder.transform(table))
        eta = np.sum(inputs * np.vstack([self._coef(mode), self._pooled])[group], axis=1)
        if self._offset is not None:
            eta += column(table, self._offset, "offset").to_numpy()
        return np.asarray(eta)

    def predict(self, frame: Any, mode: str | None = None) -> NDArray[Any]:
        """Predict values, or labels of a classification.

        Parameters
        ----------
        frame : pandas or polars DataFrame
            With the features, the column `by` and, if the fit had one, the offset. A missing or unseen group
            gets the pooled fit; a missing value or unseen category takes the mean over all rows of the fit.
        mode : {"independent", "pooled", "shrunken"}, optional
            By default the mode in use.

        Returns
        -------
        array, shape (n_rows,)

        Raises
        ------
        ValueError
            If a column is not there, or holds infinity, or text instead of numbers.
        """
        eta = self.decision_function(frame, mode)
        return eta if self.classes is None else np.asarray(self.classes[(eta > 0).astype(np.int64)])

    def predict_proba(self, frame: Any, mode: str | None = None) -> Floats:
        """Predict the probabilities of the two classes, shape (n_rows, 2); see `predict`.

        Raises
        ------
        AttributeError
            If the fit is a regression.
        """
        if self.classes is None:
            raise AttributeError("predict_proba exists for classifications only")
        eta = self.decision_function(frame, mode)
        # each tail from its own side, so that small probabilities keep their digits
        return np.column_stack([expit(-eta), expit(eta)])

    def plot(self, feature: str | None = None) -> Figure:
        """Draw the held-out loss of the modes, and each group's fit in the three modes.

        Parameters
        ----------
        feature : str, optional
            Encoded column whose coefficients are drawn; by default the level, that is, the prediction at the
            mean of all features.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If there is no such column.
        """
        from metafit.fit_tasks.plot import draw

        return draw(self, feature)

    @property
    def _pooled(self) -> Floats:
        return np.asarray(self._fits[POOLED].coef[0])

    def _coef(self, mode: str | None) -> Floats:
        """Return a mode's fits; where a group's did not converge, the pooled one."""
        mode = self.mode if mode is None else mode
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
        coef = self._fits[mode].coef
        return np.where(np.isnan(coef).any(axis=1, keepdims=True), self._pooled, coef)

    def _group_of(self, table: Any) -> NDArray[np.int64]:
        """Return each row's group; the one after the last stands for all that are not known."""
        if self.by not in table.columns:
            raise ValueError(f"frame lacks the column {self.by!r} that says which group a row belongs to")
        codes = group_codes(table[self.by], self.groups)
        return np.where(codes < 0, len(self.groups), codes)
