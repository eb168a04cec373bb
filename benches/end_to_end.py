"""The front door beside what people use, on real tables, each with everything learned from the other families.

Outer 5 folds (groups stay together); describing, inner 5 folds and fitting see outer training rows only, and the
knowledge is without the family of the table. The inner folds are the same for all who search. Seconds are those of the
processor, landmarkers counted, and the fit of the learner as well, once a table, on the first fold; `later_seconds` are
those of the other folds.

fast: `profile="fast"` beside LogisticRegressionCV, or RidgeCV and ElasticNetCV, and default HistGradientBoosting.
full: `profile="full"` beside HistGradientBoosting tuned over 16 configurations, RandomForest, FLAML's zero-shot
LightGBM where `flaml` is installed, and random searches among our strategies: with as many tries, and with as many as
take as long (16 x the seconds of metafit / those of the first search, fold by fold). All three that search so predict
by the same greedy mean of what they tried.

    python benches/end_to_end.py --share 0.2           # a fifth of the tables, at most 2,000 rows each
    python benches/end_to_end.py --profile full
    python benches/end_to_end.py --report              # only what was measured before

What was measured stays in runs/end_to_end_PROFILE.csv: a run that was stopped goes on. Log loss, Brier score, AUC and
root mean squared error by table; mean ranks over families with Friedman's test, and pairs by Wilcoxon and Holm.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# seconds of the processor count every thread, also those that wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNetCV, LogisticRegressionCV, RidgeCV
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import metafit as mf
from metafit.evaluation import compare
from metafit.tasks.task import Task

FOLDS, BUDGET = 5, 16
COLUMNS = ["task", "family", "kind", "fold", "method", "seconds", "rmse", "log_loss", "brier", "auc"]
GRID = {
    "learning_rate": [0.02, 0.05, 0.1, 0.2],
    "max_leaf_nodes": [7, 15, 31, 63],
    "min_samples_leaf": [5, 10, 20, 50],
    "l2_regularization": [0.0, 0.1, 1.0, 10.0],
    "max_iter": [50, 100, 200],
}
#: A model from training rows: what it is told is their task, its inner folds, and the seconds that each method before
#: took on this fold.
Maker = Callable[[Task, list[Any], "pd.Series[float]"], Any]
SEARCH, SAME_TIME = "random search", "random search, same time"


def meta(profile: str, known: Any) -> Maker:
    def make(train: Task, inner: list[Any], seconds: pd.Series[float]) -> Any:
        return searching(train, inner, profile, known, BUDGET)

    return make


def random_search(profile: str, known: Any) -> Maker:
    """Try as many strategies in an order drawn at random."""

    def make(train: Task, inner: list[Any], seconds: pd.Series[float]) -> Any:
        return searching(train, inner, profile, known, BUDGET, random_order(train))

    return make


def random_search_as_long(profile: str, known: Any) -> Maker:
    """Try so many strategies in that order that it takes as long as metafit did."""

    def make(train: Task, inner: list[Any], seconds: pd.Series[float]) -> Any:
        budget = max(round(BUDGET * seconds["metafit"] / seconds[SEARCH]), 1)
        return searching(train, inner, profile, known, budget, random_order(train))

    return make


def random_order(train: Task) -> Any:
    """Give an order of its own to each table and fold: one for all of them would be one draw of luck."""
    return mf.learners.Random(random_state=zlib.crc32(train.y.tobytes()))


def searching(train: Task, inner: list[Any], profile: str, known: Any, budget: int, learner: Any = None) -> Any:
    kind = mf.MetaRegressor if train.classes is None else mf.MetaClassifier
    ensemble = 10 if profile == "full" else None
    return kind(known, learner, profile=profile, budget=budget, cv=inner, n_jobs=1, ensemble=ensemble)


def boosting(train: Task, inner: list[Any], seconds: Any = None) -> Any:
    kind = HistGradientBoostingRegressor if train.classes is None else HistGradientBoostingClassifier
    return kind(categorical_features="from_dtype", random_state=0)


def tuned(train: Task, inner: list[Any], seconds: Any = None) -> Any:
    scoring = "neg_mean_squared_error" if train.classes is None else "neg_log_loss"
    return RandomizedSearchCV(boosting(train, inner), GRID, n_iter=16, scoring=scoring, cv=inner, random_state=0)


def forest(train: Task, inner: list[Any], seconds: Any = None) -> Any:
    kind = RandomForestRegressor if train.classes is None else RandomForestClassifier
    return make_pipeline(SimpleImputer(keep_empty_features=True), kind(random_state=0))


def linear(train: Task, inner: list[Any], seconds: Any = None) -> Any:
    if train.classes is None:
        return _scaled(RidgeCV(np.logspace(-3, 5, 17)))
    return _scaled(
        LogisticRegressionCV(Cs=10, cv=inner, scoring="neg_log_loss", max_iter=2000, use_legacy_attributes=False)
    )


def elastic_net(train: Task, inner: list[Any], seconds: Any = None) -> Any:
    return None if train.classes is not None else _scaled(ElasticNetCV(l1_ratio=[0.1, 0.5, 0.9], cv=inner))


def zero_shot(train: Task, inner: list[Any], seconds: Any = None) -> Any:
    from flaml import default

    kind = default.LGBMRegressor if train.classes is None else default.LGBMClassifier
    return kind(n_jobs=1, verbose=-1, random_state=0)


def _scaled(model: Any) -> Any:
    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), model)


#: Those that take the table as it is; the others get numbers, categories one-hot.
RAW = ("metafit", SEARCH, SAME_TIME, "boosting", "tuned boosting", "flaml")


def makers(profile: str, known: Any) -> dict[str, Maker]:
    if profile == "fast":
        return {"metafit": meta(profile, known), "linear": linear, "elastic net": elastic_net, "boosting": boosting}
    searches = {
        "metafit": meta(profile, known),
        SEARCH: random_search(profile, known),
        SAME_TIME: random_search_as_long(profile, known),
    }
    others: dict[str, Maker] = {"tuned boosting": tuned, "forest": forest}
    return searches | others | ({"flaml": zero_shot} if find_spec("flaml") else {})


def table_of(task: Task, name: str) -> Any:
    if name not in RAW:
        return task.matrix
    frame = pd.DataFrame(task.X)
    other = frame.columns[[not pd.api.types.is_numeric_dtype(frame[column]) for column in frame]]
    return frame.astype(dict.fromkeys(other, "category"))


def folds_of(task: Task, random_state: int) -> list[Any]:
    """Give 5 folds, or one a group where there are fewer groups."""
    n_units = task.n_rows if task.groups is None else len(np.unique(task.groups))
    return task.splits(min(FOLDS, n_units), random_state=random_state)


def run(task: Task, name: str, maker: Maker, before: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Give a row a fold."""
    table = table_of(task, name)
    for fold, (train, test) in enumerate(folds_of(task, 0)):
        known = task.take(train)
        seconds = before[before["fold"] == fold].set_index("method")["seconds"]
        model = maker(known, folds_of(known, 1), seconds)
        if model is None:
            return
        X, X_new = (table.iloc[rows] if name in RAW else table[rows] for rows in (train, test))
        start = time.process_time()
        model.fit(X, known.y)
        made = model.predict(X_new) if task.classes is None else model.predict_proba(X_new)
        seconds = time.process_time() - start
        about = {"task": task.name, "family": task.family, "kind": task.kind, "fold": fold, "method": name}
        yield about | {"seconds": seconds} | scored(task, model, task.y[test], made)


def scored(task: Task, model: Any, y: Any, made: Any) -> dict[str, float]:
    if task.classes is None:
        return {"rmse": float(np.sqrt(metrics.mean_squared_error(y, made)))}
    labels = np.arange(len(task.classes))
    full = np.zeros((len(y), len(labels)))
    full[:, model.classes_] = made
    hit = y[:, None] == labels
    return {
        "log_loss": float(metrics.log_loss(y, np.clip(full, 1e-15, 1), labels=labels)),
        "brier": float(np.mean(np.sum((full - hit) ** 2, axis=1))),
        "auc": auc(hit, full),
    }


def auc(hit: Any, made: Any) -> float:
    there = hit.any(axis=0) & ~hit.all(axis=0)
    return float(metrics.roc_auc_score(hit[:, there], made[:, there])) if there.any() else np.nan


def measure(path: Path, arguments: argparse.Namespace) -> None:
    suite = mf.load_suite("real")
    picked = suite.sample(max(int(arguments.share * len(suite)), 1), random_state=arguments.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    for count, task in enumerate(picked, 1):
        small = task.limit(arguments.max_rows)
        for name, maker in makers(arguments.profile, without(small.family)).items():
            before = known_of(path, small)
            if name not in set(before["method"]) and (not arguments.only or name in arguments.only):
                save(path, small, name, maker, before)
        print(f"{count} of {len(picked)}: {small.name}", flush=True)


def known_of(path: Path, task: Task) -> pd.DataFrame:
    """Give what was measured of a task before."""
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    return rows[rows["task"] == task.name]


def save(path: Path, task: Task, name: str, maker: Maker, before: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = pd.DataFrame(run(task, name, maker, before))
    rows.reindex(columns=COLUMNS).to_csv(path, mode="a", header=not path.exists(), index=False)


def without(family: str) -> Any:
    """Give what ships, but for one family."""
    from metafit.knowledge import Knowledge

    known = Knowledge.load("default")
    return known.without(family) if family in set(known.scores.tasks["family"]) else known


def report(path: Path) -> None:
    rows = pd.read_csv(path)
    rows["later_seconds"] = rows["seconds"].where(rows["fold"] > 0)
    for kind, figures in {"classification": ["log_loss", "brier", "auc"], "regression": ["rmse"]}.items():
        part = rows[rows["kind"] == kind]
        if len(part):
            of_kind(kind, part, figures)


def of_kind(kind: str, rows: pd.DataFrame, figures: list[str]) -> None:
    by_task = rows.groupby(["family", "task", "method"])[[*figures, "seconds", "later_seconds"]].mean()
    print(f"\n{kind}: {rows['task'].nunique()} tables")
    for figure in [*figures, "seconds", "later_seconds"]:
        wide = by_task[figure].unstack("method").dropna()
        signed = -wide if figure == "auc" else wide
        # ranks of tables; a family is one block of the test, with the mean rank of its tables
        blocks = signed.rank(axis=1).groupby("family").mean()
        found = compare(blocks) if len(blocks) > 1 else None
        table = pd.DataFrame({"mean rank": blocks.mean(), f"median {figure}": wide.median(), "sum": wide.sum()})
        print(f"\n{figure}, {len(blocks)} families" + (f", p = {found.p_value:.2g}" if found else ""))
        print(table.sort_values("mean rank").round(4).to_string())
        if found is not None and figure in ("log_loss", "rmse"):
            print(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=["fast", "full"], default="fast")
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--max-rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="these methods only")
    parser.add_argument("--report", action="store_true", help="only what was measured before")
    arguments = parser.parse_args()
    path = Path(f"runs/end_to_end_{arguments.profile}.csv")
    if not arguments.report:
        measure(path, arguments)
    report(path)


if __name__ == "__main__":
    main()
