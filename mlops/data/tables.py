"""Delta tables on the storage of an environment, whatever that storage is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from blueprints.environment import Environment, StorageRef
from mlops.data.files import file_system


def options(storage: StorageRef) -> dict[str, str]:
    """Storage options of the ``deltalake`` package."""
    if storage.kind == "folder":
        return {}
    return {
        "AWS_ENDPOINT_URL": storage.endpoint_url,
        "AWS_REGION": storage.region,
        "AWS_ACCESS_KEY_ID": storage.access_key,
        "AWS_SECRET_ACCESS_KEY": storage.secret_key.get_secret_value(),
        "AWS_ALLOW_HTTP": "true" if storage.endpoint_url.startswith("http://") else "false",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        # Two writers that commit at once: the store refuses the second (If-None-Match), which then rebases.
        "aws_conditional_put": "etag",
        # Whoever asks has a way of its own to wait; by default a storage that hangs is asked for 3 minutes.
        "max_retries": "5",
        "retry_timeout": "20s",
    }


def location(environment: Environment, *parts: str) -> str:
    """URI of a table below the data bucket: ``location(environment, "predictions", "delay")``."""
    root = environment.storage.buckets["data"].rstrip("/")
    uri = "/".join([root, *parts])
    if uri.startswith("file://"):
        Path(unquote(urlsplit(uri).path)).mkdir(parents=True, exist_ok=True)
    return uri


def folder(storage: StorageRef, uri: str) -> Any:
    """A table's folder as a file system of Arrow.

    Arrow's own, not that of ``deltalake``, whose files are Python objects: a process that ends while one of
    Arrow's threads lets go of such a file aborts (seen in 1 of 15 ends right after a read).
    """
    from pyarrow import fs

    parts = urlsplit(uri)
    path = unquote(parts.path) if storage.kind == "folder" else f"{parts.netloc}{parts.path}"
    return fs.SubTreeFileSystem(path, file_system(storage))


def dataset(storage: StorageRef, uri: str, wanted: Callable[[str, datetime], bool] | None = None) -> Any:
    """A Delta table as a dataset of Arrow; None: there is no such table.

    Args:
        wanted: Only the files for which it is true, given their path and when they were written, by the clock
            of the writer. A merge of small files writes the same rows again.
    """
    import deltalake
    import pyarrow as pa
    import pyarrow.dataset as ds

    known = options(storage)
    if not deltalake.DeltaTable.is_deltatable(uri, storage_options=known):
        return None
    table = deltalake.DeltaTable(uri, storage_options=known)
    whole = table.to_pyarrow_dataset(filesystem=folder(storage, uri))
    if wanted is None:
        return whole
    added = pa.table(table.get_add_actions(flatten=True))
    stamps = added.column("modification_time").cast(pa.int64()).to_pylist()
    paths = dict(zip(added.column("path").to_pylist(), stamps, strict=True))
    parts = [
        part
        for part in whole.get_fragments()
        if wanted(part.path, datetime.fromtimestamp(paths[part.path] / 1e3, UTC))
    ]
    return ds.FileSystemDataset(parts, whole.schema, whole.format, whole.filesystem)
