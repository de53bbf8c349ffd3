"""Profiles of Parquet files, folders of them and Delta tables, a batch at a time: memory does not grow with
the rows, and only the columns that are asked for are decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.profile import Profile

#: Rows that are decoded at a time; with fifty columns of eight bytes each this is 26 MB.
BATCH = 1 << 16


def profile_of(
    source: str | Path, *, columns: Sequence[str] | None = None, like: Profile | None = None, threads: int = 1
) -> Profile:
    """Profile what ``source`` holds.

    Args:
        source: A Parquet file, a folder of them, or a Delta table (a folder with ``_delta_log``).
        columns: Only these.
        like: Count as this one does; without it as the first batch does.
        threads: Batches that are counted at the same time; the result is the same.

    Raises:
        UsageProblem: There is nothing of this name, or no Parquet in it, or a file lacks a column.
    """
    total: Profile | None = None
    for batch in _profiles(files(Path(source)), columns, like, threads):
        total = batch if total is None else total + batch
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


def _profiles(
    paths: Iterable[Path], columns: Sequence[str] | None, like: Profile | None, threads: int
) -> Iterator[Profile]:
    batches = (batch for path in paths for batch in _batches(path, columns))
    if like is None:
        first = next(batches, None)
        if first is None:
            return
        like = Profile.of(first)
        yield like
    if threads <= 1:
        for batch in batches:
            yield Profile.of(batch, like)
        return
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(batches, threads)):
            yield from pool.map(lambda batch: Profile.of(batch, like), some)


def _batches(path: Path, columns: Sequence[str] | None) -> Iterator[Any]:
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    if absent := sorted(set(columns or ()) - set(schema.names)):
        raise UsageProblem(
            f"no column {', '.join(absent)}", where=str(path), expected=", ".join(schema.names)
        )
    words = [
        name for name in columns or schema.names if str(schema.field(name).type) in ("string", "large_string")
    ]
    with pq.ParquetFile(path, read_dictionary=words, pre_buffer=False) as file:
        yield from file.iter_batches(BATCH, columns=list(columns) if columns else None, use_threads=False)
