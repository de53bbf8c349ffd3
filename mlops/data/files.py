"""Small files in the buckets of an environment, whatever its storage is."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from blueprints.environment import StorageRef


class Files:
    """Files below one folder of a bucket. A file is replaced as a whole: no reader sees half of one.

    Args:
        bucket: ``data``, ``artifacts`` or ``backups``.
        parts: The folder.
    """

    def __init__(self, storage: StorageRef, bucket: str, *parts: str) -> None:
        self._storage = storage
        uri = urlsplit(storage.buckets[bucket])
        root = unquote(uri.path) if storage.kind == "folder" else f"{uri.netloc}{uri.path}"
        self._root = "/".join([root.rstrip("/"), *parts])
        self._system: Any = None

    def _files(self) -> Any:
        """The file system; made on first use, for it loads pyarrow and may ask the network."""
        if self._system is None:
            self._system = file_system(self._storage)
        return self._system

    def read(self, name: str) -> bytes | None:
        """What is in a file; None: there is none.

        Raises:
            OSError: The storage does not answer.
        """
        try:
            with self._files().open_input_stream(f"{self._root}/{name}") as stream:
                data: bytes = stream.read()
                return data
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file.

        Raises:
            OSError: The storage does not take it.
        """
        if self._storage.kind == "folder":
            path = Path(self._root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, data)
            return
        with self._files().open_output_stream(f"{self._root}/{name}") as stream:
            stream.write(data)

    def delete(self, name: str) -> bool:
        """Remove a file; whether it was there.

        Raises:
            OSError: The storage does not answer.
        """
        if self.read(name) is None:
            return False
        self._files().delete_file(f"{self._root}/{name}")
        return True

    def names(self) -> dict[str, tuple[int, int]]:
        """Files directly in the folder: name -> (time of the last change in ns, bytes).

        Raises:
            OSError: The storage does not answer.
        """
        from pyarrow import fs

        found = self._files().get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        return {
            each.base_name: (each.mtime_ns or 0, each.size or 0)
            for each in found
            if each.type == fs.FileType.File and not each.base_name.startswith(".")
        }


def file_system(storage: StorageRef) -> Any:
    """The storage as a file system of Arrow: paths in a folder are absolute, others ``bucket/key``."""
    from pyarrow import fs

    if storage.kind == "folder":
        return fs.LocalFileSystem()
    scheme, _, endpoint = storage.endpoint_url.rpartition("://")
    options: dict[str, Any] = {"region": storage.region, "connect_timeout": 5, "request_timeout": 10}
    if endpoint:
        options |= {"scheme": scheme or "https", "endpoint_override": endpoint}
    if storage.access_key:
        secret = storage.secret_key.get_secret_value()
        options |= {"access_key": storage.access_key, "secret_key": secret}
    return fs.S3FileSystem(**options)


def replace(path: Path, data: bytes) -> None:
    """Write a private file as a whole.

    Raises:
        OSError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
