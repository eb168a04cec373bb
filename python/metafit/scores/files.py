"""A table of scores as a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

#: Where the cells' file says what a failure counts.
_FAILURE_LOSS = b"metafit.failure_loss"


def write_folder(folder: Path, frames: Mapping[str, pd.DataFrame | None], failure_loss: float) -> None:
    """Write a file for each frame that there is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        path.unlink(missing_ok=True)
        if frame is not None:
            table = pa.Table.from_pandas(frame.rename(columns=str))
            about = {**(table.schema.metadata or {}), _FAILURE_LOSS: repr(failure_loss).encode()}
            floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
            others = [name for name in table.column_names if name not in floats]
            pq.write_table(
                table.replace_schema_metadata(about),
                path,
                compression="zstd",
                use_dictionary=others,
                use_byte_stream_split=floats,
            )


def read_folder(folder: Path) -> dict[str, Any]:
    """Give the arguments of `Scores`."""
    if not (folder / "cells.parquet").is_file():
        raise FileNotFoundError(f"{folder} holds no scores: cells.parquet is missing")
    tables = {path.stem: pq.read_table(path) for path in sorted(folder.glob("*.parquet"))}
    failure_loss = float(tables["cells"].schema.metadata[_FAILURE_LOSS])
    return {name: table.to_pandas() for name, table in tables.items()} | {"failure_loss": failure_loss}
