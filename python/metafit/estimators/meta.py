"""`MetaClassifier` and `MetaRegressor`: rank strategies, cross-validate the first few, refit the best."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import joblib
import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from metafit.engine.fitted import FittedStrategy, refit
from metafit.estimators.knowledge import advise
from metafit.estimators.selection import Scorer, Trials, cross_validate, splits_of
from metafit.exceptions import ConvergenceWarning
from metafit.learners import Learner
from metafit.strategies.strategy import Strategy
from metafit.tasks.frames import refuse_masked, refuse_repeated_names
from metafit.tasks.task import Kind, Task

__all__ = ["MetaClassifier", "MetaRegressor"]


class _MetaEstimator(BaseEstimator):  # type: ignore[misc]
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
        advice = advise(task, self.knowledge, self.learner, self.profile)
        trials = self._try(task, advice.strategies[: self.budget])
        self.ranking_ = advice.ranking
        self.cv_results_ = trials.results()
        self._refit(task, trials)
        return self

    def _check_parameters(self) -> None:
        if not isinstance(self.budget, int | np.integer) or self.budget < 1:
            raise ValueError(f"budget must be an int of at least 1, got {self.budget!r}")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ValueError(f"time_limit must be above 0 or None, got {self.time_limit!r}")

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

    def _try(self, task: Task, strategies: list[Strategy]) -> Trials:
        return cross_validate(
            task,
            strategies,
            splits_of(task, self.cv, self.random_state),
            scoring=self.scoring,
            time_limit=self.time_limit,
            n_threads=self._n_threads,
        )

    @property
    def _n_threads(self) -> int | None:
        return None if self.n_jobs is None else int(joblib.effective_n_jobs(self.n_jobs))

    def _refit(self, task: Task, trials: Trials) -> None:
        best = int(trials.order[0])
        if np.isnan(trials.means[best]):
            message = f"no strategy worked on every fold ({trials.status[best]}): the first one is fitted"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        self.best_index_ = best
        self.best_score_ = float(trials.means[best])
        self.strategy_ = trials.strategies[best]
        self.fitted_: FittedStrategy = refit(task, self.strategy_, n_threads=self._n_threads)
        if self.fitted_.status != "ok":
            message = f"{self.strategy_.name} did not converge on all rows: {self.fitted_.reason}"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)

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
        check_is_fitted(self)
        return self.fitted_.predict(self._check_table(X, reset=False))

    def to_sklearn(self) -> Pipeline:
        """Return the chosen fit as a plain pipeline of scikit-learn, which serves where metafit is not installed.

        Returns
        -------
        sklearn.pipeline.Pipeline
            Fitted; it takes X as `fit` did.

        Raises
        ------
        TypeError
            If the fit cannot be written so: see `FittedStrategy.to_sklearn`.
        """
        check_is_fitted(self)
        pipeline = self.fitted_.to_sklearn()
        if hasattr(self, "feature_names_in_") or "columns" not in pipeline.named_steps:
            return pipeline
        as_frame = FunctionTransformer(pd.DataFrame, kw_args={"columns": self.fitted_.encoder.block_names})
        return Pipeline([("frame", as_frame), *pipeline.steps])


class MetaClassifier(ClassifierMixin, _MetaEstimator):  # type: ignore[misc]
    """A classifier that ranks strategies, cross-validates the first few and fits the best on all rows.

    Parameters
    ----------
    knowledge : "default", Knowledge, Study, the path of one of them, Scores, or None
        What is known of other tables. "default" is what ships with the package: the default strategies on real
        tables; None the fixed order of nothing known, the plain default first, then one strategy of each sort in
        turn. A task of the knowledge that is this very table is dropped, with a warning, and so are its twins;
        a `DriftWarning` says that the table is unlike all described ones (see `metafit.knowledge.Likeness`).
    learner : learner, optional
        Unfitted; it learns from the knowledge to rank strategies. By default `metafit.learners.default()`.
    profile : {"fast", "full"}, default="fast"
        "fast" leaves out estimators of scikit-learn: of the default strategies, the tree ensembles.
    budget : int, default=16
        How many strategies are cross-validated.
    time_limit : float, optional
        Seconds for the cross-validation. The clock is read after the first strategy and then after every few:
        what has begun is finished.
    cv : int, splitter or iterable of (train, test), default=5
        As in scikit-learn; an int keeps `groups` together.
    scoring : str or callable, optional
        As in scikit-learn; None means "neg_log_loss". What the engine does not compute (it computes
        "neg_log_loss", "neg_brier_score", "accuracy" and "roc_auc") costs every fold a second fit.
    n_jobs : int, optional
        Threads of the engine. None and -1 mean one a core; the results do not depend on it.
    random_state : int, optional
        Shuffles the folds of an integer `cv`; None leaves them unshuffled, as scikit-learn does.

    Attributes
    ----------
    strategy_ : Strategy
        The one that was chosen.
    fitted_ : FittedStrategy
        That strategy fitted on all rows; `fitted_.coef_table()` where it is linear.
    ranking_ : Ranking
        All strategies in the order in which to try them, with reasons.
    cv_results_ : dict of arrays
        As of `GridSearchCV`, an entry a strategy tried: ``strategy``, ``name``, ``status``,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``, ``split0_test_score``, ...,
        ``mean_fit_time``. Higher is better; NaN for a fit that failed or did not converge.
    best_index_, best_score_ : int, float
        Its position there, and its mean score.
    classes_ : array, shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : array of str
        If X was a frame with text as names.

    Examples
    --------
    >>> import pandas as pd
    >>> from metafit.estimators import MetaClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age": rng.uniform(20, 60, 200), "town": rng.choice(["Bath", "York"], 200)})
    >>> risk = X["age"] + 10 * (X["town"] == "York") + rng.normal(0, 5, 200)
    >>> y = np.where(risk > 45, "yes", "no")
    >>> X.loc[::9, "age"] = None
    >>> model = MetaClassifier(knowledge=None, budget=4).fit(X, y)
    >>> model.strategy_.name
    'logistic l2 cv'
    >>> model.predict(pd.DataFrame({"age": [25, 50, None], "town": ["Bath", "York", "Leeds"]}))
    array(['no', 'yes', 'yes'], dtype='<U3')
    """

    _kind: Kind = "classification"

    def _task(self, X: Any, y: NDArray[Any], sample_weight: Any, groups: Any) -> Task:
        check_classification_targets(y)
        task = super()._task(X, y, sample_weight, groups)
        weights = np.ones(task.n_rows) if task.sample_weight is None else task.sample_weight
        present = np.unique(task.y[weights > 0])
        assert task.classes is not None
        if len(present) < max(2, len(task.classes)):
            shown = ", ".join(map(str, task.classes[present]))
            raise ValueError(f"y must hold at least two classes, each of positive weight, got only {shown}")
        self.classes_ = task.classes
        return task

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probability of each class.

        Parameters
        ----------
        X : frame or array of shape (n_rows, n_features)

        Returns
        -------
        array, shape (n_rows, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.fitted_.predict_proba(self._check_table(X, reset=False))

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the log odds of the second class, or the log probabilities of more than two classes.

        Parameters
        ----------
        X : frame or array of shape (n_rows, n_features)

        Returns
        -------
        array, shape (n_rows,) or (n_rows, n_classes)
        """
        # the smallest positive number stands for what is too small to write: every value stays finite
        logs = np.log(np.maximum(self.predict_proba(X), np.finfo(np.float64).smallest_subnormal))
        return np.asarray(logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs)


class MetaRegressor(RegressorMixin, _MetaEstimator):  # type: ignore[misc]
    """A regressor that ranks strategies, cross-validates the first few and fits the best on all rows.

    Parameters
    ----------
    knowledge : "default", Knowledge, Study, the path of one of them, Scores, or None
        What is known of other tables. "default" is what ships with the package: the default strategies on real
        tables; None the fixed order of nothing known, the plain default first, then one strategy of each sort in
        turn. A task of the knowledge that is this very table is dropped, with a warning, and so are its twins;
        a `DriftWarning` says that the table is unlike all described ones (see `metafit.knowledge.Likeness`).
    learner : learner, optional
        Unfitted; it learns from the knowledge to rank strategies. By default `metafit.learners.default()`.
    profile : {"fast", "full"}, default="fast"
        "fast" leaves out estimators of scikit-learn: of the default strategies, the tree ensembles.
    budget : int, default=16
        How many strategies are cross-validated.
    time_limit : float, optional
        Seconds for the cross-validation. The clock is read after the first strategy and then after every few:
        what has begun is finished.
    cv : int, splitter or iterable of (train, test), default=5
        As in scikit-learn; an int keeps `groups` together.
    scoring : str or callable, optional
        As in scikit-learn; None means "neg_mean_squared_error". What the engine does not compute (it computes
        "neg_mean_squared_error" and "r2") costs every fold a second fit.
    n_jobs : int, optional
        Threads of the engine. None and -1 mean one a core; the results do not depend on it.
    random_state : int, optional
        Shuffles the folds of an integer `cv`; None leaves them unshuffled, as scikit-learn does.

    Attributes
    ----------
    strategy_ : Strategy
        The one that was chosen.
    fitted_ : FittedStrategy
        That strategy fitted on all rows; `fitted_.coef_table()` where it is linear.
    ranking_ : Ranking
        All strategies in the order in which to try them, with reasons.
    cv_results_ : dict of arrays
        As of `GridSearchCV`, an entry a strategy tried: ``strategy``, ``name``, ``status``,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``, ``split0_test_score``, ...,
        ``mean_fit_time``. Higher is better; NaN for a fit that failed or did not converge.
    best_index_, best_score_ : int, float
        Its position there, and its mean score.
    n_features_in_ : int
    feature_names_in_ : array of str
        If X was a frame with text as names.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from metafit.estimators import MetaRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = MetaRegressor(budget=4).fit(X, y)
    >>> model.strategy_.name
    'squared l2 per_row(100) Clipped(Nystroem(coef0=1, degree=2, kernel=poly))'
    >>> round(model.best_score_)
    -2960
    """

    _kind: Kind = "regression"
