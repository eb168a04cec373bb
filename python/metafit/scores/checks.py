"""What a table of scores must hold, checked once at the door: the rest of the package trusts it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

FAILURES = ("failed", "timeout", "not_converged")
STATUSES = ("ok", *FAILURES, "not_applicable")
KEY = ["task", "strategy", "seed", "fold"]
_COLUMNS = [*KEY, "status", "loss", "seconds"]


def with_defaults(cells: pd.DataFrame) -> pd.DataFrame:
    """Complete the columns of a long table, set their types and check their values."""
    absent = [name for name in ("task", "strategy", "loss") if name not in cells]
    if absent:
        raise ValueError(f"cells lack the columns {absent}; they have {list(cells.columns)}")
    defaults: dict[str, str | float] = {"seed": 0, "fold": 0, "status": "ok", "seconds": np.nan}
    for name, value in defaults.items():
        cells = cells if name in cells else cells.assign(**{name: value})
    missing = [name for name in (*KEY, "status") if cells[name].isna().any()]
    if missing:
        raise ValueError(f"cells have missing values in {missing}: each row is one fit that was attempted")
    # categories stay: a table that was checked before need not become text again
    texts = [name for name in ("task", "strategy", "status") if not isinstance(cells[name].dtype, pd.CategoricalDtype)]
    cells = cells.astype(dict.fromkeys(texts, "str") | {"seed": "int64", "fold": "int64"})
    cells = cells.astype({"loss": "float64", "seconds": "float64"})
    _check_values(cells)
    return cells[[*_COLUMNS, *(name for name in cells.columns if name not in _COLUMNS)]]


def canonical(cells: pd.DataFrame, tasks: pd.Index[str], strategies: pd.Index[str]) -> pd.DataFrame:
    """Code tasks and strategies by their listed order, sort by the key, refuse strays and duplicates."""
    cells = cells.assign(
        task=_coded(cells["task"], tasks),
        strategy=_coded(cells["strategy"], strategies),
        status=pd.Categorical(cells["status"], list(STATUSES)),
    )
    cells = _sorted_by_key(cells).reset_index(drop=True)
    twice = cells.duplicated(KEY)
    if twice.any():
        first = _first(cells, twice)
        raise ValueError(f"{int(twice.sum())} cells are there twice, first {first}: repeats need seed or fold")
    return cells


def described(frame: pd.DataFrame | None, labels: pd.Series[str], noun: str) -> pd.DataFrame:
    """Complete what is known about tasks or strategies; unlisted, they are those of the cells."""
    frame = pd.DataFrame(index=pd.Index(labels.unique())) if frame is None else frame
    frame = text_index(frame, noun)
    if noun == "strategy":
        undeclared = pd.Series(np.nan, index=frame.index, dtype="str")
        return frame.assign(name=frame.get("name", frame.index), kind=frame.get("kind", undeclared))
    return frame.assign(kind=frame.get("kind", "unknown"), family=frame.get("family", frame.index))


def text_index(frame: pd.DataFrame, noun: str) -> pd.DataFrame:
    """Label the rows by text, each once."""
    index = pd.Index(frame.index.map(str), name=noun, dtype="str")
    if index.has_duplicates:
        raise ValueError(f"the {noun} {index[index.duplicated()][0]!r} is listed twice")
    return frame.set_axis(index, axis=0)


def union(ours: pd.DataFrame | None, theirs: pd.DataFrame | None, noun: str) -> pd.DataFrame | None:
    """Give the rows of both, those of `ours` first; what both say of a row must agree."""
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    both = ours.index.intersection(theirs.index)
    for column in ours.columns.intersection(theirs.columns):
        a, b = ours.loc[both, column], theirs.loc[both, column]
        differ = both[((a != b) & a.notna() & b.notna()).to_numpy()]
        if len(differ):
            raise ValueError(f"{noun}: the tables differ in {column!r} of {differ[0]!r}")
    return ours.combine_first(theirs).reindex(
        index=ours.index.append(theirs.index.difference(ours.index, sort=False)),
        columns=ours.columns.append(theirs.columns.difference(ours.columns, sort=False)),
    )


def known(names: Iterable[str], index: pd.Index[str], noun: str) -> list[str]:
    """Give the names as a list, refusing those that are not in the index."""
    wanted = [names] if isinstance(names, str) else [str(name) for name in names]
    unknown = [name for name in dict.fromkeys(wanted) if name not in index]
    if unknown:
        raise ValueError(f"unknown {noun}: {unknown[:5]}; these scores hold {list(index[:5])} ...")
    return wanted


def check_in(cells: pd.DataFrame, metric: str, seed: int | None, fold: int | None) -> None:
    """Refuse a metric, a seed or a fold that the table does not hold."""
    metrics = [name for name in cells.columns if name not in (*KEY, "status")]
    if metric not in metrics:
        raise ValueError(f"metric={metric!r}: these scores hold {metrics}")
    for name, value in (("seed", seed), ("fold", fold)):
        if value is not None and not (cells[name] == value).any():
            raise ValueError(f"{name}={value!r}: these scores hold {np.unique(cells[name]).tolist()}")


def renamed(cells: pd.DataFrame, names: dict[str, str | None]) -> pd.DataFrame:
    """Give a foreign table our column names; `names` maps ours to theirs, None where unsaid."""
    given = {ours: theirs for ours, theirs in names.items() if theirs is not None}
    absent = {ours: theirs for ours, theirs in given.items() if theirs not in cells}
    if absent:
        raise ValueError(f"no such columns: {absent}; the frame has {list(cells.columns)}")
    # a column that happens to bear one of our names gives way to the one that the caller named
    hidden = [ours for ours, theirs in given.items() if ours != theirs and ours in cells]
    cells = cells.drop(columns=[name for name in hidden if name not in given.values()])
    return cells.rename(columns={theirs: ours for ours, theirs in given.items()})


def settle_missing(cells: pd.DataFrame, missing: str) -> pd.DataFrame:
    """Make missing losses holes or failures as told; "error" leaves them for the check of the values."""
    if missing not in ("error", "hole", "failed"):
        raise ValueError(f"missing={missing!r}: choose 'error', 'hole' or 'failed'")
    if missing == "error":
        return cells
    status = pd.Series("ok", index=cells.index, dtype="str") if "status" not in cells else cells["status"]
    empty = cells["loss"].isna() & (status == "ok")
    return cells[~empty] if missing == "hole" else cells.assign(status=status.mask(empty, "failed"))


def one_per_task(cells: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Collect columns that describe the task, refusing a task that has two values of one."""
    distinct = cells[["task", *columns]].drop_duplicates()
    if distinct["task"].duplicated().any():
        task = distinct["task"][distinct["task"].duplicated()].iloc[0]
        raise ValueError(f"{' and '.join(columns)} must be one per task; task {task!r} has several")
    return distinct.set_index("task")


def _check_values(cells: pd.DataFrame) -> None:
    unknown = [status for status in cells["status"].unique() if status not in STATUSES]
    if unknown:
        raise ValueError(f"status holds {unknown}; known are {list(STATUSES)}")
    bad = (cells["status"] == "ok") & ~np.isfinite(cells["loss"])
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} cells are 'ok' but have no finite loss, first {_first(cells, bad)}: "
            "drop the row (a hole: never attempted) or give it the status of a failure"
        )


def _coded(labels: pd.Series[str], listed: pd.Index[str]) -> pd.Categorical[str]:
    coded = labels.astype("category").cat
    codes = listed.get_indexer(coded.categories.map(str))[coded.codes]
    if (codes < 0).any():
        stray = labels[codes < 0]
        raise ValueError(f"{len(stray)} cells are of a {labels.name} that is not listed, first {stray.iloc[0]!r}")
    return pd.Categorical.from_codes(codes, listed)


def _sorted_by_key(cells: pd.DataFrame) -> pd.DataFrame:
    # so that equal tables have equal sums to the last bit, whatever order they came in
    codes = [cells[name].cat.codes.to_numpy() for name in ("strategy", "task")]
    order = np.lexsort([cells["fold"].to_numpy(), cells["seed"].to_numpy(), *codes])
    return cells if (np.diff(order) == 1).all() else cells.iloc[order]


def _first(cells: pd.DataFrame, where: pd.Series[bool]) -> str:
    row = cells[where].head(1).to_dict("records")[0]
    return ", ".join(f"{name}={row[name]!r}" for name in KEY)
