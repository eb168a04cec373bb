"""metafit: learn how to fit.

metafit solves

    argmin_{b,w}  sum_i v_i L(y_i, b + o_i + phi(x_{i,S})'w) / sum_i v_i  +  alpha * Omega(w)

for very many feature subsets, models, strengths, folds and tasks at once, remembers what worked on which task, and
learns from it what to do on the next one.

The five steps and their rooms: choose data sets (`metafit.tasks`), choose features and models
(`metafit.strategies`), run them (`Study`), learn the strategy (`metafit.learners`), judge it (`evaluate`).
`fit_tasks`, `MetaClassifier` and `MetaRegressor` do all of it in one call.
"""

from metafit import exceptions, learners
from metafit.descriptions import describe
from metafit.engine import Solution, TaskSolutions, solve, solve_tasks, stream_tasks
from metafit.estimators import MetaClassifier, MetaRegressor
from metafit.evaluation import Evaluation, evaluate
from metafit.fit_tasks import TaskFits, fit_tasks
from metafit.knowledge import Knowledge
from metafit.scores import Scores
from metafit.strategies import (
    Strategy,
    alphas,
    default_strategies,
    features,
    grid,
    losses,
    penalties,
)
from metafit.study import Study
from metafit.tasks import Encoder, Task, TaskSuite, load_suite

__version__ = "0.1.0"

__all__ = [
    "Encoder",
    "Evaluation",
    "Knowledge",
    "MetaClassifier",
    "MetaRegressor",
    "Scores",
    "Solution",
    "Strategy",
    "Study",
    "Task",
    "TaskFits",
    "TaskSolutions",
    "TaskSuite",
    "alphas",
    "default_strategies",
    "describe",
    "evaluate",
    "exceptions",
    "features",
    "fit_tasks",
    "grid",
    "learners",
    "load_suite",
    "losses",
    "penalties",
    "solve",
    "solve_tasks",
    "stream_tasks",
]
