"""`metafit.fit_tasks`: many related small tables at once."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from metafit.exceptions import ConvergenceWarning
from metafit.fit_tasks.choosing import HeldOut, folds_of, score
from metafit.fit_tasks.grouped import Grouped, read_frame
from metafit.fit_tasks.modes import INDEPENDENT, MEANS, MODES, POOLED, SHRUNKEN, Candidate, paths_for
from metafit.fit_tasks.result import Fits, TaskFits
from metafit.fit_tasks.stage import Stage
from metafit.study.progress import Progress

__all__ = ["fit_tasks"]

#: Half decades, from next to nothing to what only groups of very many rows resist.
_STRENGTHS = tuple(np.geomspace(0.1, 1000.0, 9).tolist())


def fit_tasks(
    frame: Any,
    target: str,
    by: str,
    *,
    kind: Literal["classification", "regression"] | None = None,
    shrinkage: Literal["auto", "independent", "pooled", "shrunken"] | float = "auto",
    alphas: Sequence[float] | None = None,
    folds: int = 5,
    repeats: int = 1,
    random_state: int = 0,
    sample_weight: str | None = None,
    offset: str | None = None,
    exclude: str | Iterable[str] = (),
    progress: bool = True,
    n_threads: int | None = None,
) -> TaskFits:
    """Fit one linear model for each group of a frame, as far apart as held-out rows support.

    Three modes compete: *independent* (a ridge fit of each group alone), *pooled* (one ridge fit of all rows)
    and *shrunken* (each group's level and slopes pulled towards the pooled fit, a small group's more than a
    large one's). The mode and the strengths, shared by all groups, are those with the least loss on held-out
    rows of all groups; then everything is fitted again on all rows.

    Parameters
    ----------
    frame : pandas or polars DataFrame
        Numbers, booleans and categories; features may have missing cells.
    target : str
        Column to predict: numbers, or two classes.
    by : str
        Column that says which group a row belongs to. It is never a feature.
    kind : {"classification", "regression"}, optional
        By default read from the target, as by `metafit.Task`.
    shrinkage : {"auto", "independent", "pooled", "shrunken"} or float, default="auto"
        A mode is used whatever held-out rows say (`TaskFits.summary` says it all the same); a number >= 0
        means shrunken with the pooled fit weighing so many rows, in the level and in the slopes.
    alphas : sequence of float, optional
        Strengths to choose from, in rows: the penalty weighs as much as c rows, alpha = c / (sum of the
        weights of the rows fitted), as in `metafit.alphas.PerRow`. By default nine from 0.1 to 1000. Shrunken
        fits hold the slopes 0.1, 1, 10 or infinitely many times as hard as the level.
    folds : int, default=5
        At least 3. Every group's rows are split, two classes in proportion.
    repeats : int, default=1
        How often, with other folds.
    random_state : int, default=0
        Seed of the folds.
    sample_weight, offset : str, optional
        Columns of row weights (>= 0) and of offsets; no features.
    exclude : str or sequence of str, optional
        Columns to leave aside: identifiers, what is known only after the target.
    progress : bool, default=True
        Show a progress bar if it takes over two seconds.
    n_threads : int, optional
        None means one a core. The result does not depend on it.

    Returns
    -------
    TaskFits

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used; the message names it, and the column.
    KeyboardInterrupt
        After Ctrl-C.

    Warns
    -----
    ConvergenceWarning
        If a mode could not be compared or a group could not be fitted, because fits did not converge.

    Notes
    -----
    See `metafit.fit_tasks` (the module) for the equation. Penalties act on columns in units of their standard
    deviation: over all training rows where all are pooled, over the group's where it stands alone. A missing
    value takes the mean over all training rows. For each fold, means, pooled fit and its strength come from
    that fold's training rows; the error in the summary scores a fold with the strengths that did best on the
    other folds. A group of a single class has no independent fit: there it stands at its mean (see
    `TaskFits.summary`).

    Examples
    --------
    Forty schools of eight pupils each, which differ in their level and a little in what an hour is worth:

    >>> import numpy as np
    >>> import pandas as pd
    >>> import metafit as mf
    >>> rng = np.random.default_rng(0)
    >>> school, hours = np.repeat(np.arange(40), 8), rng.uniform(0, 10, size=320)
    >>> level, worth = 50 + rng.normal(0, 4, 40), 2 + rng.normal(0, 0.3, 40)
    >>> score = level[school] + worth[school] * hours + rng.normal(0, 6, 320)
    >>> frame = pd.DataFrame({"school": school, "hours": hours, "score": score})
    >>> fits = mf.fit_tasks(frame, target="score", by="school")
    >>> fits
    TaskFits(40 groups, 320 rows; shrunken: held-out mean_squared_error 40.79;
             independent 48.21, pooled 49.28, group means 73.19)
    >>> summary = fits.summary()
    >>> summary[["mean_squared_error", "difference", "std_difference"]].round(2)
                 mean_squared_error  difference  std_difference
    mode
    independent               48.21        7.43            1.91
    pooled                    49.28        8.50            3.20
    shrunken                  40.79        0.00            0.00
    group means               73.19       32.40            5.51
    >>> fits.coef_table().head(3).round(2)
              (intercept)  hours
    school
    (pooled)        50.39   1.87
    0               48.15   1.64
    1               53.06   2.32

    School 0 gets its own fit, a school that nobody has seen the pooled one:

    >>> fits.predict(pd.DataFrame({"school": [0, 99], "hours": [5.0, 5.0]})).round(1)
    array([56.4, 59.8])
    """
    strengths, chosen = _checked_strengths(alphas), _checked_shrinkage(shrinkage)
    folds, repeats = _integer("folds", folds, 3), _integer("repeats", repeats, 1)
    random_state = _integer("random_state", random_state, 0)
    data = read_frame(frame, target, by, kind=kind, sample_weight=sample_weight, offset=offset, exclude=exclude)
    _check_size(data, folds)
    paths = paths_for(data.loss, strengths, chosen)
    partitions = [folds_of(data, folds, random_state + repeat) for repeat in range(repeats)]
    bar = Progress(f"fit_tasks by {by}", n_steps=folds * repeats, step="folds", shown=progress)
    with bar:
        held_out = score(data, partitions, paths, strengths, n_threads=n_threads, progress=bar)
    everything = [(fold.train, fold.test & (data.weights > 0)) for part in partitions for fold in part]
    stage = Stage(data, data.weights > 0, everything, strengths, n_threads)
    errors = {mode: held_out.by_group(mode) for mode in (*MODES, MEANS)}
    fits = _refit(stage, held_out)
    mode = _mode(chosen, {mode: float(errors[mode].sum()) for mode in MODES})
    _warn(fits, errors, mode)
    return TaskFits._of(data, stage.design, fits, mode, errors, held_out.weights.sum(axis=0))


def _checked_strengths(alphas: Sequence[float] | None) -> tuple[float, ...]:
    values = np.asarray(_STRENGTHS if alphas is None else alphas, dtype=np.float64)
    if values.ndim != 1 or not values.size or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"alphas must be a sequence of finite numbers above 0, got {alphas!r}")
    return tuple(np.unique(values).tolist())


def _checked_shrinkage(shrinkage: Any) -> str | float:
    modes = ("auto", INDEPENDENT, POOLED, SHRUNKEN)
    if isinstance(shrinkage, str) and shrinkage in modes:
        return shrinkage
    number = isinstance(shrinkage, int | float | np.number) and not isinstance(shrinkage, bool)
    if not number or not shrinkage >= 0:
        raise ValueError(f"shrinkage must be one of {', '.join(map(repr, modes))} or a number >= 0, got {shrinkage!r}")
    return float(shrinkage)


def _integer(argument: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"{argument} must be an int of at least {least}, got {value!r}")
    return number


def _check_size(data: Grouped, folds: int) -> None:
    used = data.task.y[data.weights > 0]
    if data.task.classes is None:
        if len(used) < 2 * folds:
            raise ValueError(f"folds={folds} needs at least {2 * folds} rows, frame has {len(used)}")
        return
    for label, count in zip(data.task.classes, np.bincount(used, minlength=2), strict=True):
        if count < folds:
            raise ValueError(f"folds={folds} needs as many rows of {data.target}={label!s}, frame has {count}")


def _refit(stage: Stage, held_out: HeldOut) -> dict[str, Fits]:
    """Fit every mode on all rows, at its best strength."""
    best = {mode: held_out.candidates[held_out.best(mode)] for mode in (MEANS, INDEPENDENT, SHRUNKEN)}
    rows = stage.data.rows_of(stage.train)
    coef = stage.fit_groups(rows, [candidate.path for candidate in best.values()])
    fits = {mode: Fits(candidate, coef[:, i]) for i, (mode, candidate) in enumerate(best.items())}
    pooled = np.broadcast_to(stage.pooled, coef[:, 0].shape)
    return fits | {POOLED: Fits(Candidate(POOLED, 0.0, stage.pooled_strength), pooled)}


def _mode(shrinkage: str | float, losses: dict[str, float]) -> str:
    if shrinkage == "auto":
        return min(losses, key=lambda mode: np.inf if np.isnan(losses[mode]) else losses[mode])
    return shrinkage if isinstance(shrinkage, str) else SHRUNKEN


def _warn(fits: dict[str, Fits], errors: dict[str, Any], mode: str) -> None:
    lost = [name for name in MODES if np.isnan(errors[name]).any()]
    if lost:
        message = f"{' and '.join(lost)} could not be compared: fits did not converge at any strength"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    unfinished = fits[mode].coef[:, 0]
    if np.isnan(unfinished).any():
        count = f"{np.isnan(unfinished).sum()} of {len(unfinished)}"
        message = f"{count} groups have the pooled fit, because their {mode} fit did not converge"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
