"""Versions on the gateway's own disk, verified at each load, so that it serves and starts without MLflow.

An entry is a folder ``<model>/<version>``: ``model/`` as it was logged, ``onnx/`` when the version has a
conversion, and last ``manifest.json`` with the SHA-256 of every file. A folder without a manifest is half an
entry; one whose files differ from it is damaged. Either is fetched again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from blueprints.environment import TrackingRef
from blueprints.errors import Problem
from mlops.serving.runtime.download import Download
from mlops.tracking.entities import ModelVersion

log = logging.getLogger(__name__)
#: Tag of a version: digest of its model folder (:func:`digest_of`).
DIGEST_TAG = "modelyard.digest"
#: Tag of a version: SHA-256 of its ONNX file; the file is the run's artifact :func:`onnx_artifact`.
ONNX_TAG = "modelyard.onnx"
#: Tag of a version: the report of its conversion as JSON, also of one that was not possible.
PARITY_TAG = "modelyard.onnx.parity"
MODEL, ONNX, REPORT, MANIFEST = "model", "onnx/model.onnx", "onnx/report.json", "manifest.json"
_GIB = 1024**3


def onnx_artifact(digest: str) -> str:
    """Where in the artifacts of its run a converted file is; by content, so that runs with several models
    hold several."""
    return f"modelyard/onnx/{digest[:16]}.onnx"


def sha256(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path with ``/``."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): sha256(each) for each in files}


def digest_of(files: Mapping[str, str]) -> str:
    """One digest of a folder: SHA-256 of ``path NUL sha256 LF`` of its files in order of path.

    ``registered_model_meta`` is left out: MLflow writes it into some downloads and not into others.
    """
    whole = hashlib.sha256()
    for path in sorted(files):
        if path != "registered_model_meta":
            whole.update(f"{path}\0{files[path]}\n".encode())
    return whole.hexdigest()


@dataclass(frozen=True)
class Entry:
    """A version in the cache.

    Attributes:
        folder: Its own folder.
        digest: Of its model folder.
        tags: Of the version, when it was last fetched.
        files: SHA-256 by path below ``folder``.
        size: Bytes.
    """

    model: str
    version: str
    run_id: str
    folder: Path
    digest: str
    tags: Mapping[str, str]
    files: Mapping[str, str]
    size: int

    @property
    def path(self) -> Path:
        """The logged model."""
        return self.folder / MODEL

    @property
    def onnx(self) -> Path | None:
        """Its conversion to ONNX, when it has one."""
        return self.folder / ONNX if ONNX in self.files else None

    @property
    def report(self) -> dict[str, Any]:
        """The conversion's report; empty without one."""
        if REPORT not in self.files:
            return {}
        found: dict[str, Any] = json.loads((self.folder / REPORT).read_text("utf-8"))
        return found


class Cache:
    """The versions on disk. Safe to use from several threads of one process; one process per folder.

    Args:
        folder: Where they are; made when missing.
        tracking: Where they come from.
        most_bytes: What it may hold; versions that are pinned are kept beyond.
    """

    def __init__(self, folder: Path, tracking: TrackingRef, most_bytes: int = 20 * _GIB) -> None:
        self._folder, self._most = folder, most_bytes
        self._download = Download(tracking)
        self._pinned: frozenset[tuple[str, str]] = frozenset()
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*/.*"):
            # What an earlier process was fetching when it ended.
            shutil.rmtree(left, ignore_errors=True)

    def pin(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Name all the (model, version) that must stay; replaces what was named before."""
        self._pinned = frozenset(wanted)

    def cached(self) -> tuple[Entry, ...]:
        """Every complete entry, unverified, by name and version."""
        files = sorted(self._folder.glob(f"*/*/{MANIFEST}"))
        found = (self._read(file.parent) for file in files if not file.parent.name.startswith("."))
        return tuple(entry for entry in found if entry is not None)

    def get(self, model: str, version: str) -> Entry | None:
        """The verified entry; None when it is not there, half or damaged."""
        folder = self._place(model, version)
        entry = self._read(folder)
        if entry is None:
            if folder.exists():
                log.warning("%s version %s: half an entry in the cache", model, version)
            return None
        if fault := _fault(entry):
            log.warning("%s version %s: damaged in the cache: %s", model, version, fault)
            return None
        return entry

    def ensure(self, version: ModelVersion) -> Entry:
        """The verified entry of a version, fetched when it is not there, half or damaged.

        Raises:
            Problem: It cannot be fetched, or is not what the version's tag ``modelyard.digest`` says.
        """
        key = (version.name, version.version)
        with self._lock_of(key):
            entry = self.get(*key)
            if entry is None or _another(entry, version):
                entry = self._fetch(version)
                self._evict(key)
            elif version.tags.get(ONNX_TAG, "") not in ("", entry.tags.get(ONNX_TAG, "")):
                with contextlib.suppress(Problem):  # what is there still serves, without the conversion
                    entry = self._add_onnx(entry, version)
            os.utime(entry.folder / MANIFEST)
            return entry

    def keep(self, entry: Entry, onnx: bytes | None, report: Mapping[str, Any]) -> Entry:
        """The entry with a conversion made here (None: it was not possible, and ``report`` says why)."""
        with self._lock_of((entry.model, entry.version)):
            (entry.folder / ONNX).parent.mkdir(exist_ok=True)
            files = {path: each for path, each in entry.files.items() if path not in (ONNX, REPORT)}
            if onnx is not None:
                _write(entry.folder / ONNX, onnx)
                files[ONNX] = hashlib.sha256(onnx).hexdigest()
            _write(entry.folder / REPORT, json.dumps(dict(report)).encode())
            files[REPORT] = sha256(entry.folder / REPORT)
            return self._seal(entry.folder, entry.model, entry.version, entry.run_id, entry.tags, files)

    def _lock_of(self, key: tuple[str, str]) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def _place(self, model: str, version: str) -> Path:
        return self._folder / _name(model) / _name(version)

    def _fetch(self, version: ModelVersion) -> Entry:
        folder = self._place(version.name, version.version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.parent / f".{folder.name}.{os.getpid()}.{time.monotonic_ns()}"
        where = f"{version.name} version {version.version}"
        try:
            self._download.model(version, fresh / MODEL)
            files = hashes(fresh / MODEL)
            digest, said = digest_of(files), version.tags.get(DIGEST_TAG, digest_of(files))
            if digest != said:
                raise Problem(
                    "its files are not those that were registered: their digest differs",
                    where=where,
                    expected=f"{said[:16]}… (tag {DIGEST_TAG}), got {digest[:16]}…",
                    todo="find out who changed the artifacts; register the model again",
                )
            files = {f"{MODEL}/{path}": each for path, each in files.items()}
            with contextlib.suppress(Problem):  # its native flavour serves meanwhile
                files |= self._onnx(version, fresh)
            self._seal(fresh, version.name, version.version, version.run_id, version.tags, files)
            if folder.exists():
                shutil.rmtree(folder)
            fresh.rename(folder)
        except OSError as error:
            raise Problem(f"cannot be kept on disk: {error.strerror}", where=where) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        entry = self._read(folder)
        assert entry is not None
        return entry

    def _add_onnx(self, entry: Entry, version: ModelVersion) -> Entry:
        files = {**entry.files, **self._onnx(version, entry.folder)}
        return self._seal(entry.folder, entry.model, entry.version, entry.run_id, version.tags, files)

    def _onnx(self, version: ModelVersion, folder: Path) -> dict[str, str]:
        """The version's conversion into an entry's folder; its files' hashes."""
        wanted = version.tags.get(ONNX_TAG, "")
        if not wanted:
            return {}
        content = self._download.artifact(version.run_id, onnx_artifact(wanted))
        if hashlib.sha256(content).hexdigest() != wanted:
            log.warning(
                "%s version %s: the ONNX file is not what its tag says", version.name, version.version
            )
            raise Problem("the ONNX file is not what its tag says", where=version.name)
        (folder / ONNX).parent.mkdir(exist_ok=True)
        _write(folder / ONNX, content)
        _write(folder / REPORT, version.tags.get(PARITY_TAG, "{}").encode())
        return {ONNX: wanted, REPORT: sha256(folder / REPORT)}

    def _seal(
        self,
        folder: Path,
        model: str,
        version: str,
        run_id: str,
        tags: Mapping[str, str],
        files: Mapping[str, str],
    ) -> Entry:
        prefix = f"{MODEL}/"
        digest = digest_of({p.removeprefix(prefix): h for p, h in files.items() if p.startswith(prefix)})
        size = sum((folder / path).stat().st_size for path in files)
        data = {
            "model": model,
            "version": version,
            "run_id": run_id,
            "digest": digest,
            "tags": dict(tags),
            "files": dict(files),
            "size": size,
        }
        _write(folder / MANIFEST, json.dumps(data).encode())
        entry = self._read(folder)
        assert entry is not None
        return entry

    def _read(self, folder: Path) -> Entry | None:
        try:
            data = json.loads((folder / MANIFEST).read_text("utf-8"))
            return Entry(folder=folder, **data)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _evict(self, but: tuple[str, str]) -> None:
        """Delete the longest unused entries until the rest fits."""
        entries = [(each.folder.joinpath(MANIFEST).stat().st_mtime, each) for each in self.cached()]
        held = sum(each.size for _, each in entries)
        for _, entry in sorted(entries, key=lambda pair: pair[0]):
            if held <= self._most:
                return
            if (entry.model, entry.version) in self._pinned or (entry.model, entry.version) == but:
                continue
            # The manifest first: an interrupted deletion leaves half an entry, never a damaged one.
            (entry.folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(entry.folder, ignore_errors=True)
            held -= entry.size
            log.info("%s version %s left the cache, which is full", entry.model, entry.version)


def _another(entry: Entry, version: ModelVersion) -> bool:
    """Whether name and number have been given anew: the registered model was deleted and made again."""
    run = version.run_id and version.run_id != entry.run_id
    return bool(run) or version.tags.get(DIGEST_TAG, entry.digest) != entry.digest


def _name(text: str) -> str:
    """Any text as the name of a folder; one that begins with a dot is hidden or leads elsewhere."""
    quoted = quote(text, safe=" ")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def _fault(entry: Entry) -> str:
    """Which file is not as the manifest says; empty: all are, and no other is there."""
    for path, wanted in entry.files.items():
        file = entry.folder / path
        if not file.is_file():
            return f"{path} is missing"
        if sha256(file) != wanted:
            return f"{path} is changed"
    there = {each.relative_to(entry.folder).as_posix() for each in entry.path.rglob("*") if each.is_file()}
    more = sorted(there - set(entry.files) - {f"{MODEL}/registered_model_meta"})
    return f"{more[0]} is not of it" if more else ""


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, also when the machine stops in the middle."""
    part = file.with_name(f".{file.name}.part")
    with part.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)
