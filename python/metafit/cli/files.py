"""From files and names on the command line to tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from metafit.tasks import LazyTask, Task, TaskSuite, load_suite

SUITES = ("real", "toy")


def read_suite(data: Sequence[str], target: str | None = None, by: str | None = None, **columns: Any) -> TaskSuite:
    """Return a suite that comes with the package, or a task for each file, or for each value of `by` in one.

    Parameters
    ----------
    data : sequence of str
        Paths of tables, or the name of one suite.
    target : str, optional
        Column to predict; needed for files.
    by : str, optional
        Column that splits a single file into tasks.
    **columns
        `kind`, `drop` and `groups` of `TaskSuite.from_frame`.

    Raises
    ------
    ValueError
        If the arguments contradict each other.
    """
    if len(data) == 1 and data[0] in SUITES:
        if target is not None or by is not None:
            raise ValueError(f"the suite {data[0]!r} has its own targets: --target and --by are for files")
        return load_suite(data[0], max_classes=2)  # type: ignore[arg-type]
    if target is None:
        raise ValueError("--target is missing: the column to predict")
    files = [Path(file) for file in data]
    if by is not None:
        if len(files) > 1:
            raise ValueError(f"--by splits one file into tasks, got {len(files)} files")
        return TaskSuite.from_frame(read_frame(files[0]), target, by=by, name=files[0].stem, **columns)
    return TaskSuite(
        LazyTask(name, partial(read_task, file, name, target, **columns), kind=columns.get("kind"))
        for file, name in zip(files, _names(files), strict=True)
    )


def read_task(file: Path, name: str, target: str, **columns: Any) -> Task:
    """Return the table of one file as a task; rows without a target are left out."""
    return TaskSuite.from_frame(read_frame(file), target, name=name, **columns)[0]


def read_frame(file: Path) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file.

    Raises
    ------
    ValueError
        If the name ends in none of these.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if file.suffix == ".parquet":
        return pd.read_parquet(file)
    separators = {".csv": ",", ".tsv": "\t"}
    for suffix in file.suffixes[-2:]:  # .csv, or .csv.gz
        if suffix in separators:
            return pd.read_csv(file, sep=separators[suffix])
    raise ValueError(f"{file} must be a .csv, .tsv or .parquet file")


def write_new_table(path: Path) -> Path:
    """Write a table that the real suite does not hold: diabetes, from scikit-learn (target ``progression``)."""
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True, scaled=False).frame
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.rename(columns={"target": "progression"}).to_csv(path, index=False)
    return path


def _names(files: list[Path]) -> list[str]:
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else [str(file) for file in files]
