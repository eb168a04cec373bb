"""Immutable parts: what is there is whole, what is missing runs again.

A part is written under a temporary name in its own folder, flushed to the disk, and only then given its name,
by a hard link that fails when the name is taken. Three things follow.

- A reader never sees half a part, whenever the writer was killed.
- A part never changes once it has its name, so any number of writers and readers need no lock.
- Two writers of the same part both succeed; the first one's stays.

Temporary files that a killed writer left behind do not match ``*.parquet`` and so are no parts;
`clean` removes them when they are old enough to belong to nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: Seconds after which a temporary file belongs to no living writer: writing a part takes milliseconds.
STALE_AFTER = 3600.0

_NOTE = b"metafit"


def digest(*values: object) -> str:
    """Return 16 hex digits that name ``values``; equal for values with equal JSON.

    Examples
    --------
    >>> digest("iris", [1, 2]) == digest("iris", [1, 2])
    True
    >>> digest("iris", [1, 2]) == digest("iris", [2, 1])
    False
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def slug(name: str) -> str:
    """Return ``name`` as the readable head of a file name; a digest must follow, since slugs may collide.

    Examples
    --------
    >>> slug("carData/Salaries: 2008")
    'carData-Salaries-2008'
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60] or "task"


def write_once(path: Path, payload: bytes) -> bool:
    """Give ``path`` its content for good, unless it has some already.

    Parameters
    ----------
    path : Path
        The name of the part. Its folder is created when missing.
    payload : bytes
        The whole content.

    Returns
    -------
    bool
        True when this call wrote the part, False when it was there before.
    """
    with _temporary(path, payload) as temporary:
        return _link(temporary, path)


def write_over(path: Path, payload: bytes) -> None:
    """Give ``path`` its content in one step, whatever it had before; for notes that later runs withdraw."""
    with _temporary(path, payload) as temporary:
        os.replace(temporary, path)


@contextlib.contextmanager
def _temporary(path: Path, payload: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _link(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        # no hard links here: a rename is as whole, but writers that meet replace a part by its equal
        if path.exists():
            return False
        os.replace(temporary, path)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable; a file's own sync does not cover its directory entry."""
    if os.name == "nt":  # directories cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clean(folder: Path, older_than: float = STALE_AFTER) -> int:
    """Remove temporary files left by killed writers; return how many there were."""
    stale = [p for p in folder.glob("**/.*.tmp") if _age(p) > older_than]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # its writer has just finished with it
        return 0.0


def parquet(table: pa.Table, note: dict[str, Any]) -> bytes:
    """Return ``table`` as the bytes of a Parquet file whose schema carries ``note``."""
    table = table.replace_schema_metadata({_NOTE: json.dumps(note, sort_keys=True).encode()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def names(folder: Path) -> list[Path]:
    """Return the parts in ``folder``, sorted by name; none when the folder does not exist."""
    return sorted(p for p in folder.glob("*.parquet") if not p.name.startswith("."))


def read(folder: Path) -> pa.Table | None:
    """Return all parts of ``folder`` as one table, their columns united; None when there is none."""
    tables = [table for path in names(folder) if (table := _read(path)) is not None]
    return pa.concat_tables(tables, promote_options="permissive") if tables else None


def _read(path: Path) -> pa.Table | None:
    try:
        with pq.ParquetFile(path) as file:  # a third of the time of pq.read_table on small files
            return file.read(use_threads=False).replace_schema_metadata(None)
    except FileNotFoundError:  # a note that another writer has withdrawn since the folder was listed
        return None
    except pa.ArrowInvalid as error:
        raise _damaged(path) from error


def read_note(path: Path) -> dict[str, Any]:
    """Return the note of one part, read from its footer alone.

    Raises
    ------
    ValueError
        When the file is no part of a study, or was damaged after it was written.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
        note: dict[str, Any] = json.loads(metadata[_NOTE])
    except (pa.ArrowInvalid, KeyError) as error:
        raise _damaged(path) from error
    return note


def n_rows(path: Path) -> int:
    """Return the number of rows of one part; 0 when it is not there."""
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is not a whole part of a study: delete that file and run the study again")
