"""A strategy fitted on all rows of a task, ready to predict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from metafit.engine import outside
from metafit.engine.batches import Job, Options, Solved, solve_jobs
from metafit.engine.exported import estimator_pipeline, linear_pipeline, transformed_pipeline
from metafit.engine.native import predictions
from metafit.engine.predicting import probabilities
from metafit.engine.rows import Floats, FoldRows, Preparation, fill, one_blas_thread
from metafit.engine.running import FoldRun, outcome, why_not
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task

__all__ = ["FittedStrategy", "fold_model", "refit"]


def refit(
    task: Task,
    strategy: Strategy,
    *,
    tol: float = 1e-8,
    max_iter: int = 1000,
    n_threads: int | None = None,
) -> FittedStrategy:
    """Fit a strategy on all rows of a task.

    Parameters
    ----------
    task : Task
        One table.
    strategy : Strategy
        Of the task's kind.
    tol, max_iter : float, int
        When the engine's solvers stop.
    n_threads : int, optional
        Threads of the engine; None means all cores.

    Returns
    -------
    FittedStrategy
        Its `status` says whether the fit converged.

    Raises
    ------
    ValueError
        If the strategy cannot serve the task, or if the fit failed.

    Examples
    --------
    >>> frame = pd.DataFrame({"dose": [0.0, 1.0, 2.0, 3.0]})
    >>> fitted = refit(Task(frame, [1.0, 3.0, 5.0, 7.0]), Strategy(loss="squared", alpha=0.0))
    >>> fitted.coef_table()["coef"].round(6).to_dict()
    {'(intercept)': 1.0, 'dose': 2.0}
    >>> fitted.predict(pd.DataFrame({"dose": [10.0]})).round(6)
    array([21.])
    """
    rows = FoldRows(task, np.arange(task.n_rows), np.arange(0))
    refusal = why_not(task, strategy) or rows.problem
    if refusal:
        raise ValueError(f"{strategy.name} cannot be fitted on task {task.name!r}: {refusal}")
    with one_blas_thread():
        if strategy.estimator is not None:
            return _from_estimator(task, strategy, outside.fit_estimator(strategy, rows))
        (solved,) = solve_jobs(task, [Job(strategy, rows)], Options(tol, max_iter, n_threads))
    return _from_engine(task, strategy, rows, solved)


@dataclass(frozen=True, eq=False)
class FittedStrategy:
    """A strategy fitted on all rows of a task.

    Attributes
    ----------
    strategy : Strategy
        What was fitted.
    status, reason : str
        As in `FoldResult`.
    alpha, gap, n_iter, seconds : float
        The strength used, the certificate, the cost; NaN where an estimator of scikit-learn has none.
    features : list of str
        Raw columns chosen by the feature rule.
    columns : list of str
        All encoded columns of the task, in the order of `coef`.
    coef : ndarray of shape (n_columns,) or (n_outputs,), or None
        In original units of the encoded columns, 0 where not chosen; after a transform one for each of its
        outputs; None for estimators. More than two classes have a row each.
    intercept : float, or ndarray of shape (n_classes,) for more than two classes
        NaN for estimators.
    classes : ndarray or None
        Labels of a classification.
    """

    strategy: Strategy
    status: str
    reason: str
    alpha: float
    gap: float
    n_iter: float
    seconds: float
    features: list[str]
    columns: list[str]
    coef: Floats | None
    intercept: float | Floats
    classes: NDArray[Any] | None
    encoder: Any
    _feature_of: list[str]
    _means: Floats | None = None
    _preparation: Preparation | None = None
    _estimator: outside.FittedEstimator | None = None

    def predict(self, X: Any, *, offset: NDArray[Any] | None = None) -> NDArray[Any]:
        """Predict means or quantiles, as the loss has it, or class labels.

        Parameters
        ----------
        X : frame or array of shape (n_rows, n_features)
            Raw columns as the task was given; or numbers in the task's encoded columns, NaN where missing.
        offset : array of shape (n_rows,), optional
            Known part of eta.

        Returns
        -------
        ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            If columns are missing.
        """
        if self.classes is None:
            output = self._output(X, offset)
            return output if self._estimator is not None else predictions(self.strategy.equation_loss, output)
        labels: NDArray[Any] = self.classes[self.predict_proba(X, offset=offset).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any, *, offset: NDArray[Any] | None = None) -> Floats:
        """Predict the probability of each class, in the order of `classes`.

        Parameters
        ----------
        X, offset :
            See `predict`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)

        Raises
        ------
        TypeError
            If the strategy is a regression.
        """
        if self.classes is None:
            raise TypeError(f"{self.strategy.name} is a regression and has no probabilities")
        output = self._output(X, offset)
        return output if self._estimator is not None else probabilities(output, len(self.classes))

    def coef_table(self) -> pd.DataFrame:
        """Return the coefficients in original units, one row for each encoded column.

        Returns
        -------
        DataFrame
            Index: encoded column; columns ``feature`` (the raw column) and ``coef``, or for more than two classes
            a column with the label of each class. The first row is the intercept.

        Raises
        ------
        TypeError
            If the fit is not linear in the encoded columns.
        """
        if self.coef is None or self._preparation is not None:
            raise TypeError(f"{self.strategy.name} is not linear in the columns of the table")
        index = pd.Index(["(intercept)", *self.columns], name="column")
        table = pd.DataFrame({"feature": ["", *self._feature_of]}, index=index)
        names = self.classes if self.coef.ndim == 2 and self.classes is not None else ["coef"]
        for name, b, w in zip(names, np.atleast_1d(self.intercept), np.atleast_2d(self.coef), strict=True):
            table[name] = [b, *w]
        return table

    def to_sklearn(self) -> Pipeline:
        """Return a plain pipeline of scikit-learn that predicts the same, and can be stored and served without metafit.

        It takes frames with the raw columns by name; of a table that was given as an array they are x0, x1, ...
        An estimator takes what it was fitted on. Offsets are left behind.

        Returns
        -------
        sklearn.pipeline.Pipeline
            Fitted.

        Raises
        ------
        TypeError
            If it is an estimator and the table has categories, or scikit-learn has none that predicts like the loss.

        Examples
        --------
        >>> frame = pd.DataFrame({"dose": [0.0, 1.0, None, 3.0], "sex": ["f", "m", "f", "m"]})
        >>> fitted = refit(Task(frame, [1.0, 4.0, 3.0, 8.0]), Strategy(loss="squared", alpha=0.1))
        >>> new = pd.DataFrame({"dose": [2.0, None], "sex": [None, "f"]})
        >>> np.allclose(fitted.to_sklearn().predict(new), fitted.predict(new))
        True
        """
        if self._estimator is not None:
            return estimator_pipeline(self.encoder, self._estimator.estimator, self._estimator.means, self.classes)
        assert self.coef is not None
        assert self._means is not None
        model = np.atleast_2d(self.coef), np.atleast_1d(self.intercept)
        loss, classes = self.strategy.equation_loss, self.classes
        if self._preparation is None:
            return linear_pipeline(self.encoder, *model, self._means, loss, classes)
        return transformed_pipeline(self.encoder, self._preparation, self._means, *model, loss, classes)

    def encode(self, X: Any) -> Floats:
        """Return X as the task's encoded columns, NaN where missing."""
        is_number = isinstance(X, np.ndarray) and X.dtype.kind in "biuf"
        if is_number and X.shape[1:] == (len(self.columns),):
            return np.asarray(X, dtype=np.float64)
        return np.asarray(self.encoder.transform(X))

    def _output(self, X: Any, offset: NDArray[Any] | None) -> Floats:
        """Return eta, or what an estimator returns in its place."""
        matrix = self.encode(X)
        known = 0.0 if offset is None else np.asarray(offset, dtype=np.float64)
        if self._estimator is not None:
            return self._estimator.predict(matrix) + known
        assert self.coef is not None
        assert self._means is not None
        inputs = fill(matrix, self._means) if self._preparation is None else self._preparation.apply(matrix)
        eta = inputs @ self.coef.T + self.intercept
        return np.asarray(eta + (known if eta.ndim == 1 else np.reshape(known, (-1, 1))))


def _from_engine(task: Task, strategy: Strategy, rows: FoldRows, solved: Solved) -> FittedStrategy:
    result = solved.result
    status, reason = ("failed", solved.reason) if result is None else outcome(result)
    if result is None or status == "failed":
        raise ValueError(f"{strategy.name} failed on task {task.name!r}: {reason}")
    return FittedStrategy(
        strategy=strategy,
        status=status,
        reason=reason,
        alpha=float(result.alphas[0]),
        gap=float(result.gap[0]),
        n_iter=float(result.n_iter[0]),
        seconds=solved.seconds,
        coef=result.coef[0],
        intercept=result.intercept[0] if result.intercept.ndim == 2 else float(result.intercept[0]),
        _means=rows.means,
        _preparation=solved.preparation,
        **_columns(task, rows.choose(strategy.features)),
    )


def fold_model(run: FoldRun) -> FittedStrategy:
    """Return what was fitted on the training rows of a fold, ready to predict.

    Raises
    ------
    ValueError
        If the run failed.

    Examples
    --------
    >>> from metafit.engine.batches import Options
    >>> from metafit.engine.running import fold_rows, run_folds
    >>> task = Task(np.arange(6.0)[:, None], 2 * np.arange(6.0))
    >>> fold = fold_rows(task, 0, (np.arange(4), np.arange(4, 6)))
    >>> [run] = run_folds(task, [Strategy(loss="squared", alpha=0.0)], [fold], Options())
    >>> fold_model(run).predict(task.matrix[4:]).round(6)
    array([ 8., 10.])
    """
    task = run.rows.task
    if isinstance(run.fit, outside.FittedEstimator):
        return _from_estimator(task, run.strategy, run.fit)
    if run.fit is None:
        raise ValueError(f"{run.strategy.name} failed on task {task.name!r}: {run.result.reason}")
    return _from_engine(task, run.strategy, run.rows, run.fit)


def _from_estimator(task: Task, strategy: Strategy, fitted: outside.FittedEstimator) -> FittedStrategy:
    return FittedStrategy(
        strategy=strategy,
        status="not_converged" if fitted.complaint else "ok",
        reason=fitted.complaint,
        alpha=math.nan,
        gap=math.nan,
        n_iter=math.nan,
        seconds=fitted.seconds,
        coef=None,
        intercept=math.nan,
        _estimator=fitted,
        **_columns(task, np.arange(len(task.block_names))),
    )


def _columns(task: Task, chosen: NDArray[np.intp]) -> dict[str, Any]:
    return {
        "features": [task.block_names[block] for block in chosen],
        "columns": list(task.columns),
        "classes": task.classes,
        "encoder": task.encoder,
        "_feature_of": [task.block_names[block] for block in task.blocks],
    }
