"""Knowledge as a folder of Parquet files, with a note that says in which format."""

from __future__ import annotations

import json
from pathlib import Path

from metafit.scores import Scores
from metafit.study.settings import versions

__all__ = ["FORMAT", "SHIPPED", "is_saved", "read", "write"]

#: Version of the files; another one is refused.
FORMAT = 1
#: What ships with the package: our own measurements, by ``make knowledge``.
SHIPPED = Path(__file__).with_name("default")
_NOTE = "knowledge.json"


def is_saved(folder: Path) -> bool:
    """Say whether a folder holds knowledge."""
    return (folder / _NOTE).is_file()


def write(folder: Path, scores: Scores) -> None:
    """Write the tables, then the note."""
    scores.to_parquet(folder)
    note = {"format": FORMAT, "versions": versions()}
    (folder / _NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def read(folder: Path) -> Scores:
    """Read what `write` wrote.

    Raises
    ------
    ValueError
        If the files are of another format version.
    """
    found = json.loads((folder / _NOTE).read_text(encoding="utf-8")).get("format")
    if found != FORMAT:
        raise ValueError(f"{folder} holds knowledge of format version {found}; this metafit reads version {FORMAT}")
    return Scores.from_parquet(folder)
