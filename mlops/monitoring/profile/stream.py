"""Profiles of Parquet files, folders of them and Delta tables, a batch of a column at a time: memory does
not grow with the rows, and only the columns that are asked for are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.columns import Column
from mlops.monitoring.profile.profile import Profile

#: Rows of a column that are decoded at a time.
BATCH = 1 << 16
#: Bytes of a column that are read at a time.
_BUFFER = 1 << 18


def profile_of(
    source: str | Path, *, columns: Sequence[str] | None = None, like: Profile | None = None, threads: int = 1
) -> Profile:
    """Profile what ``source`` holds.

    Args:
        source: A Parquet file, a folder of them, or a Delta table (a folder with ``_delta_log``).
        columns: Only these.
        like: Count as this one does; without it as the first batch does.
        threads: Columns that are counted at the same time; the result is the same.

    Raises:
        UsageProblem: There is nothing of this name, or no Parquet in it, or a file lacks a column.
    """
    total: Profile | None = None
    for path in files(Path(source)):
        part = _file(path, columns, like or total, threads)
        if part is not None:
            total = part if total is None else total + part
    if total is None:
        raise UsageProblem("no rows to profile", where=str(source), expected="at least one row")
    return total


def files(source: Path) -> list[Path]:
    """The Parquet files of ``source``, in a fixed order; of a Delta table, those of its latest version."""
    if (source / "_delta_log").is_dir():
        from urllib.parse import unquote, urlparse

        from deltalake import DeltaTable

        return sorted(Path(unquote(urlparse(uri).path)) for uri in DeltaTable(str(source)).file_uris())
    if source.is_dir():
        found = sorted(path for path in source.rglob("*.parquet") if not path.name.startswith((".", "_")))
    else:
        found = [source] if source.is_file() else []
    if not found:
        raise UsageProblem(
            "no Parquet here", where=str(source), expected="a .parquet file, a folder of them, a Delta table"
        )
    return found


def _file(path: Path, columns: Sequence[str] | None, like: Profile | None, threads: int) -> Profile | None:
    """The profile of one file, a column after the other: decoded together, fifty take 200 MB; alone, 10."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    names = metadata.schema.to_arrow_schema().names
    if absent := sorted(set(columns or ()) - set(names)):
        raise UsageProblem(f"no column {', '.join(absent)}", where=str(path), expected=", ".join(names))
    if not metadata.num_rows:
        return None
    made = partial(_of_column, path, metadata, like)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(made, columns or names))
    else:
        parts = [made(name) for name in columns or names]
    found: dict[str, Column] = {}
    notes: dict[str, str] = {}
    for part in parts:
        found |= part.columns
        notes |= part.notes
    return Profile(metadata.num_rows, found, notes)


def _of_column(path: Path, metadata: Any, like: Profile | None, name: str) -> Profile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = str(metadata.schema.to_arrow_schema().field(name).type)
    words = [name] if kind in ("string", "large_string") else []
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=words, buffer_size=_BUFFER) as file:
        total: Profile | None = None
        # One iterator over all row groups keeps what it read of each until its end.
        for group in range(metadata.num_row_groups):
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=[name], use_threads=False):
                part = Profile.of(batch, like or total)
                total = part if total is None else total + part
    # The allocator keeps what the next column may not need.
    pa.default_memory_pool().release_unused()
    return total or Profile(0, {})
