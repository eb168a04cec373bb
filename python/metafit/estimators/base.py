"""What `MetaClassifier` and `MetaRegressor` share: search among strategies, refit the best or a mean of the better."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import joblib
import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Tags
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from metafit.engine.fitted import FittedStrategy, refit
from metafit.estimators.ensembles import greedy_weights, only_best
from metafit.estimators.folds import splits_of
from metafit.estimators.held_out import Scorer, Scoring, outputs
from metafit.estimators.knowledge import Advice, advise
from metafit.estimators.plans import Planner
from metafit.estimators.search import EFFORTS, Search
from metafit.estimators.trials import Trials
from metafit.exceptions import ConvergenceWarning
from metafit.learners import Learner
from metafit.scores.metrics import LOSSES
from metafit.tasks.frames import refuse_masked, refuse_repeated_names
from metafit.tasks.task import Kind, Task

__all__ = ["MetaEstimator"]

Floats = NDArray[np.float64]


class MetaEstimator(BaseEstimator):  # type: ignore[misc]
    """What both have in common; `_kind` tells them apart."""

    _kind: Kind

    def __init__(
        self,
        knowledge: Any = "default",
        learner: Learner | None = None,
        profile: Literal["fast", "full"] = "fast",
        budget: int = 16,
        time_limit: float | None = None,
        cv: Any = 5,
        scoring: str | Scorer | None = None,
        ensemble: int | None = None,
        n_jobs: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.knowledge = knowledge
        self.learner = learner
        self.profile = profile
        self.budget = budget
        self.time_limit = time_limit
        self.cv = cv
        self.scoring = scoring
        self.ensemble = ensemble
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Say that missing values are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Choose a strategy by cross-validation and fit it on all rows.

        Parameters
        ----------
        X : frame (pandas, polars, ...), or array of numbers, of shape (n_rows, n_features)
            A frame may hold numbers, booleans and categories; missing cells may stay.
        y : array-like, shape (n_rows,)
        sample_weight : array-like, shape (n_rows,), optional
            At least 0; they weigh the fits and the held-out scores.
        groups : array-like, shape (n_rows,), optional
            Rows of one group stay in one fold; passed to `cv`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used.
        """
        self._check_parameters()
        refuse_repeated_names(X)
        # scikit-learn's own checks go on with what is behind a mask
        for argument, values in (("X", X), ("y", y), ("sample_weight", sample_weight)):
            refuse_masked(values, argument)
        X, y = self._check_input(X, y)
        task = self._task(X, y, sample_weight, groups)
        scoring = Scoring(task, self.scoring)
        metric = None if scoring.metric in LOSSES else scoring.metric
        advice = advise(task, self.knowledge, self.learner, self.profile, metric)
        trials = self._search(task, scoring, advice)
        self.ranking_, self.cv_results_, self.stopped_ = advice.ranking, trials.results(), trials.reason
        self._refit(task, trials)
        self._use_held_out(task, trials)
        return self

    def _check_parameters(self) -> None:
        if not isinstance(self.budget, int | np.integer) or self.budget < 1:
            raise ValueError(f"budget must be an int of at least 1, got {self.budget!r}")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ValueError(f"time_limit must be above 0 or None, got {self.time_limit!r}")
        if self.ensemble is not None and (not isinstance(self.ensemble, int | np.integer) or self.ensemble < 1):
            raise ValueError(f"ensemble must be an int of at least 1 or None, got {self.ensemble!r}")

    def _check_input(self, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
        y = validate_data(self, "no_validation", y, y_numeric=self._kind == "regression")
        y = column_or_1d(y, warn=True)
        X = self._check_table(X, reset=True)
        check_consistent_length(X, y)
        return X, y

    def _check_table(self, X: Any, *, reset: bool) -> Any:
        """Check names and number of columns; values of a frame are the encoder's to check."""
        frame = nw.from_native(X, eager_only=True, pass_through=True)
        if isinstance(frame, nw.DataFrame):
            validate_data(self, X, skip_check_array=True, reset=reset)
            return X
        return validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")

    def _task(self, X: Any, y: NDArray[Any], sample_weight: Any, groups: Any) -> Task:
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
        task = Task(X, y, name="this table", kind=self._kind, sample_weight=sample_weight, groups=groups)
        if task.n_rows < 2:
            raise ValueError(f"X has n_samples = {task.n_rows}: cross-validation needs at least 2")
        return task

    def _search(self, task: Task, scoring: Scoring, advice: Advice) -> Trials:
        return Search(
            task,
            Planner(advice, scoring.metric),
            splits_of(task, self.cv, self.random_state),
            scoring,
            effort=EFFORTS[self.profile],
            budget=self.budget,
            time_limit=self.time_limit,
            random_state=self.random_state,
            n_threads=self._n_threads,
        ).run()

    @property
    def _n_threads(self) -> int | None:
        return None if self.n_jobs is None else int(joblib.effective_n_jobs(self.n_jobs))

    def _refit(self, task: Task, trials: Trials) -> None:
        best = int(trials.order[0])
        if np.isnan(trials.means[best]):
            message = f"no strategy worked on every fold ({trials.trials[best].status}): the first one is fitted"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        self.best_index_ = best
        self.best_score_ = float(trials.means[best])
        self.weights_ = greedy_weights(task, trials, self.ensemble) if self.ensemble else only_best(trials)
        self.members_ = {
            int(place): refit(task, trials.trials[place].strategy, n_threads=self._n_threads)
            for place in np.union1d(np.flatnonzero(self.weights_), [best])
        }
        self.fitted_: FittedStrategy = self.members_[best]
        self.strategy_ = self.fitted_.strategy
        for member in self.members_.values():
            if member.status != "ok":
                message = f"{member.strategy.name} did not converge on all rows: {member.reason}"
                warnings.warn(message, ConvergenceWarning, stacklevel=3)

    def _use_held_out(self, task: Task, trials: Trials) -> None:
        """Learn from what was predicted of rows held out."""

    def _output(self, X: Any) -> Floats:
        """Give predicted values or probabilities, weighted over the members."""
        check_is_fitted(self)
        X = self._check_table(X, reset=False)
        if self.weights_[self.best_index_] == 1.0:
            return outputs(self.fitted_, X)
        parts = [self.weights_[place] * outputs(model, X) for place, model in self.members_.items()]
        return np.asarray(np.sum(parts, axis=0))

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict values, or labels, of rows.

        Parameters
        ----------
        X : frame or array of shape (n_rows, n_features)
            Columns as in `fit`. An unseen category counts like a missing one.

        Returns
        -------
        array, shape (n_rows,)
        """
        return self._output(X)

    def to_sklearn(self) -> Pipeline:
        """Return the chosen fit as a plain pipeline of scikit-learn, which serves where metafit is not installed.

        Returns
        -------
        sklearn.pipeline.Pipeline
            Fitted; it takes X as `fit` did.

        Raises
        ------
        TypeError
            If the fit cannot be written so: see `FittedStrategy.to_sklearn`; or if it is a mean of several.
        """
        check_is_fitted(self)
        if self.weights_[self.best_index_] != 1.0:
            raise TypeError("a mean of several strategies cannot be written as a plain pipeline: use ensemble=None")
        pipeline = self.fitted_.to_sklearn()
        if hasattr(self, "feature_names_in_") or "columns" not in pipeline.named_steps:
            return pipeline
        as_frame = FunctionTransformer(pd.DataFrame, kw_args={"columns": self.fitted_.encoder.block_names})
        return Pipeline([("frame", as_frame), *pipeline.steps])
