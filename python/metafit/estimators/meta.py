"""`MetaClassifier` and `MetaRegressor`: rank strategies, cross-validate the better ones, refit the best."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from metafit.estimators.base import MetaEstimator
from metafit.estimators.calibration import METHODS, Calibration, Method
from metafit.estimators.ensembles import held_out_of
from metafit.estimators.held_out import Scorer
from metafit.estimators.intervals import LeftOut
from metafit.estimators.trials import Trials
from metafit.learners import Learner
from metafit.tasks.task import Kind, Task

__all__ = ["MetaClassifier", "MetaRegressor"]

Floats = NDArray[np.float64]


class MetaClassifier(ClassifierMixin, MetaEstimator):  # type: ignore[misc]
    """A classifier that ranks strategies, cross-validates the better ones and fits the best on all rows.

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
        "fast" leaves out estimators of scikit-learn: of the default strategies, the tree ensembles. It also gives
        strategies up sooner (one standard error, "full" three, of the difference on the first fold), expects more of
        another round (0.005 and 0.001 of the loss without skill) and, without `time_limit`, ends with the first round
        in which nothing was better than before.
    budget : int, default=16
        How many strategies are tried, at most. They are tried in rounds: a learner that heeds what was observed ranks
        the others again after each, and ends the search when they promise too little. A strategy that is clearly worse
        than the best on the first fold is not tried on the others, nor on that fold if it is much worse on a sample of
        a large table.
    time_limit : float, optional
        Seconds for the cross-validation. The clock is read after the first strategy and then after every few:
        what has begun is finished. Strategies come by expected gain per second, as far as either is known.
    cv : int, splitter or iterable of (train, test), default=5
        As in scikit-learn; an int keeps `groups` together.
    scoring : str or callable, optional
        As in scikit-learn; None means "neg_log_loss". By "neg_brier_score", "accuracy" and
        "roc_auc" strategies are ranked, too, if the knowledge has them; by others they are only compared here.
    ensemble : int, optional
        Predict by a weighted mean of the strategies that were tried: so many are drawn, with replacement, each that
        whose mean with those before has the lowest log loss on the rows held out. None means the best one alone.
    calibrate : {"temperature", "sigmoid", "isotonic"}, optional
        Correct the probabilities by what was predicted of the rows held out, as scikit-learn's
        `CalibratedClassifierCV` has it. The models are fitted on all rows all the same.
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
    weights_ : array, shape (n_tried,)
        Weight of each strategy tried in what is predicted; 1 for the chosen one without `ensemble`.
    members_ : dict of int to FittedStrategy
        Those with weight, and the chosen one, by their position in `cv_results_`.
    ranking_ : Ranking
        All strategies in the order in which to try them before anything was observed, with reasons.
    cv_results_ : dict of arrays
        As of `GridSearchCV`, an entry a strategy tried, in the order of trying: ``strategy``, ``name``, ``round``,
        ``status`` ("ok", "outclassed", "failed", "not_converged"), ``reason`` why it was not finished,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``, ``split0_test_score``, ...,
        ``mean_fit_time``. Higher is better; NaN for a fit that failed, did not converge or was not made.
    stopped_ : str
        Why no more strategies were tried.
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
        calibrate: Method | None = None,
        n_jobs: int | None = None,
        random_state: int | None = None,
    ) -> None:
        super().__init__(knowledge, learner, profile, budget, time_limit, cv, scoring, ensemble, n_jobs, random_state)
        self.calibrate = calibrate

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.calibrate not in (None, *METHODS):
            raise ValueError(
                f"calibrate must be one of {', '.join(map(repr, METHODS))} or None, got {self.calibrate!r}"
            )

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
        output = self._output(X)
        return output if self._calibration is None else self._calibration.of(output)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the label of each row: the most probable one.

        Parameters
        ----------
        X : frame or array of shape (n_rows, n_features)
            Columns as in `fit`. An unseen category counts like a missing one.

        Returns
        -------
        array, shape (n_rows,)
        """
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def to_sklearn(self) -> Pipeline:
        """Return the chosen fit as a plain pipeline of scikit-learn: see `MetaRegressor.to_sklearn`.

        Raises
        ------
        TypeError
            Also if the probabilities are calibrated.
        """
        check_is_fitted(self)
        if self._calibration is not None:
            raise TypeError("calibrated probabilities cannot be written as a plain pipeline: use calibrate=None")
        return super().to_sklearn()

    def _use_held_out(self, task: Task, trials: Trials) -> None:
        self._calibration: Calibration | None = None
        members = [int(place) for place in np.flatnonzero(self.weights_)]
        if self.calibrate is None or not set(members) <= set(trials.finished):
            return
        rows, made = held_out_of(trials, members)
        mean = np.tensordot(self.weights_[members], np.array(made), axes=1)
        weights = None if task.sample_weight is None else task.sample_weight[rows]
        self._calibration = Calibration(self.calibrate).fit(mean, task.y[rows], weights)

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


class MetaRegressor(RegressorMixin, MetaEstimator):  # type: ignore[misc]
    """A regressor that ranks strategies, cross-validates the better ones and fits the best on all rows.

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
        "fast" leaves out estimators of scikit-learn: of the default strategies, the tree ensembles. It also gives
        strategies up sooner (one standard error, "full" three, of the difference on the first fold), expects more of
        another round (0.005 and 0.001 of the loss without skill) and, without `time_limit`, ends with the first round
        in which nothing was better than before.
    budget : int, default=16
        How many strategies are tried, at most. They are tried in rounds: a learner that heeds what was observed ranks
        the others again after each, and ends the search when they promise too little. A strategy that is clearly worse
        than the best on the first fold is not tried on the others, nor on that fold if it is much worse on a sample of
        a large table.
    time_limit : float, optional
        Seconds for the cross-validation. The clock is read after the first strategy and then after every few:
        what has begun is finished. Strategies come by expected gain per second, as far as either is known.
    cv : int, splitter or iterable of (train, test), default=5
        As in scikit-learn; an int keeps `groups` together.
    scoring : str or callable, optional
        As in scikit-learn; None means "neg_mean_squared_error". By "r2" strategies are ranked, too,
        if the knowledge has it; by others they are only compared here.
    ensemble : int, optional
        Predict by a weighted mean of the strategies that were tried: so many are drawn, with replacement, each that
        whose mean with those before has the lowest squared error on the rows held out. None means the best one alone.
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
    weights_ : array, shape (n_tried,)
        Weight of each strategy tried in what is predicted; 1 for the chosen one without `ensemble`.
    members_ : dict of int to FittedStrategy
        Those with weight, and the chosen one, by their position in `cv_results_`.
    ranking_ : Ranking
        All strategies in the order in which to try them before anything was observed, with reasons.
    cv_results_ : dict of arrays
        As of `GridSearchCV`, an entry a strategy tried, in the order of trying: ``strategy``, ``name``, ``round``,
        ``status`` ("ok", "outclassed", "failed", "not_converged"), ``reason`` why it was not finished,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``, ``split0_test_score``, ...,
        ``mean_fit_time``. Higher is better; NaN for a fit that failed, did not converge or was not made.
    stopped_ : str
        Why no more strategies were tried.
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
    'squared l2 per_row(100) OnContinuous(SplineTransformer(include_bias=False, knots=quantile, n_knots=4))'
    >>> round(model.best_score_)
    -2963
    """

    _kind: Kind = "regression"

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Floats:
        """Give intervals that hold the target with a given probability: CV+, from the fits of the folds.

        Parameters
        ----------
        X : frame or array of shape (n_rows, n_features)
        coverage : float, default=0.9
            Above 0, below 1.

        Returns
        -------
        array, shape (n_rows, 2)
            Lower and upper ends; infinite where there are too few rows for such a coverage.

        Raises
        ------
        ValueError
            If the coverage is not between 0 and 1, or no strategy worked on every fold.

        Notes
        -----
        Barber, Candes, Ramdas and Tibshirani (2021), Predictive inference with the jackknife+, Annals of Statistics
        49. It holds for a strategy that is given; choosing it by the same folds makes intervals a little too narrow
        where many are tried on few rows. Rows count alike, whatever their `sample_weight`. With ``groups`` errors are
        those on new groups.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(2000, 2))
        >>> y = X[:, 0] + rng.normal(size=2000)
        >>> low, high = MetaRegressor(None, budget=1).fit(X[:1000], y[:1000]).predict_interval(X[1000:]).T
        >>> round(float(np.mean((low <= y[1000:]) & (y[1000:] <= high))), 2)
        0.9
        """
        check_is_fitted(self)
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be above 0 and below 1, got {coverage!r}")
        return self._left_out.interval(self._check_table(X, reset=False), coverage)

    def _use_held_out(self, task: Task, trials: Trials) -> None:
        self._left_out = LeftOut.of(task, trials, self.weights_)
