"""The prediction log: nothing that was answered is lost, and nothing is written twice.

A request's rows are appended to a local segment before its answer leaves; a thread moves closed segments
into Delta tables. Each segment is one Delta commit that carries the segment's number as an application
transaction, so a segment that was committed by a process killed before it could delete the file is
recognised, not repeated.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from blueprints.environment import Environment
from mlops.data.tables import location, options

Kind = Literal["predictions", "labels"]
log = logging.getLogger(__name__)

_ROTATE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Backlog:
    """Rows acknowledged and not yet in the table, and why when that is a fault."""

    rows: int
    fault: str


class Segment:
    """One append-only file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.bytes = path, 0, 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, lines: Sequence[str]) -> None:
        """Append in one write: the operating system has it when this returns, whatever becomes of us."""
        data = ("\n".join(lines) + "\n").encode()
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            # A full disk may have taken half a line: the next append must not continue it.
            os.ftruncate(self._descriptor, self.bytes)
            raise
        self.rows += len(lines)
        self.bytes += len(data)

    def close(self) -> None:
        os.close(self._descriptor)


class PredictionLog:
    """Write-ahead segments in ``folder``, Delta tables on the storage of ``environment``.

    Args:
        folder: Private to this process.
        environment: Where the tables are.
        interval: Seconds between two commits.
    """

    def __init__(self, folder: Path, environment: Environment, interval: float = 2.0) -> None:
        self._folder, self._environment, self._interval = folder, environment, interval
        self._lock = threading.Lock()
        self._open: dict[tuple[Kind, str], Segment] = {}
        self._waiting: dict[Path, int] = {}
        self._number = 0
        self._stop = threading.Event()
        self._fault = ""
        self._flushing = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        # One writer a life: the numbers of a life only rise, whatever the clock did between two lives.
        self._writer = uuid.uuid4().hex
        for path in sorted(folder.glob("*/*/*.jsonl")):
            self._waiting[path] = sum(1 for _ in path.open("rb"))
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to move segments into the tables, those of an earlier life first."""
        self._thread.start()

    def append(self, kind: Kind, model: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record rows; they survive the death of this process when this returns.

        Raises:
            OSError: The disk is full or gone; the caller must not acknowledge.
        """
        lines = [json.dumps(row, separators=(",", ":"), default=str) for row in rows]
        with self._lock:
            segment = self._open.get((kind, model))
            if segment is None or segment.bytes > _ROTATE_BYTES:
                self._close(kind, model)
                segment = Segment(self._new_path(kind, model))
                self._open[kind, model] = segment
            segment.append(lines)

    def _new_path(self, kind: Kind, model: str) -> Path:
        # Microseconds order the segments of several lives; a clock set back cannot lower the number in one.
        self._number = max(self._number + 1, int(time.time() * 1e6))
        folder = self._folder / kind / model
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self._number}-{self._writer}.jsonl"

    def _close(self, kind: Kind, model: str) -> None:
        segment = self._open.pop((kind, model), None)
        if segment is not None:
            segment.close()
            self._waiting[segment.path] = segment.rows

    def backlog(self, model: str) -> Backlog:
        """What of a model's predictions is not in the table yet."""
        with self._lock:
            open_rows = sum(s.rows for (k, m), s in self._open.items() if m == model and k == "predictions")
            waiting = sum(
                rows
                for path, rows in self._waiting.items()
                if path.parent.name == model and path.parent.parent.name == "predictions"
            )
            return Backlog(open_rows + waiting, self._fault)

    def _work(self) -> None:
        pause = self._interval
        while not self._stop.wait(pause):
            try:
                self.flush()
                pause = self._interval
            except Exception as error:
                # The storage may be down for hours; the segments wait on the local disk meanwhile.
                self._fault = f"the storage does not take the log: {str(error).splitlines()[0][:200]}"
                log.warning("%s", self._fault)
                pause = min(60.0, pause * 2)

    def flush(self) -> None:
        """Move everything recorded so far into the tables."""
        # Two flushes at once would both find a segment uncommitted.
        with self._flushing:
            with self._lock:
                for kind, model in list(self._open):
                    self._close(kind, model)
                paths = sorted(self._waiting, key=_number)
            for path in paths:
                self._commit(path)
                with self._lock:
                    self._waiting.pop(path, None)
            self._fault = ""

    def _commit(self, path: Path) -> None:
        import deltalake

        kind, model = path.parent.parent.name, path.parent.name
        rows = list(_rows(path))
        uri = location(self._environment, kind, model)
        storage = options(self._environment.storage)
        number, writer = _number(path), path.stem.partition("-")[2]
        if rows and not self._committed(uri, storage, writer, number):
            deltalake.write_deltalake(
                uri,
                table(kind, rows),
                mode="append",
                storage_options=storage,
                commit_properties=deltalake.CommitProperties(
                    app_transactions=[deltalake.Transaction(writer, number)]
                ),
            )
        path.unlink()

    def _committed(self, uri: str, storage: dict[str, str], writer: str, number: int) -> bool:
        import deltalake

        if not deltalake.DeltaTable.is_deltatable(uri, storage_options=storage):
            return False
        last = deltalake.DeltaTable(uri, storage_options=storage).transaction_version(writer)
        return last is not None and last >= number

    def close(self) -> None:
        """Stop and move what is left; what cannot be moved now waits in its segment for the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        if self._thread.is_alive():
            log.warning("the storage does not answer; segments kept for the next start")
            return
        try:
            self.flush()
        except Exception as error:
            log.warning("segments kept for the next start: %s", str(error).splitlines()[0][:200])


def _number(path: Path) -> int:
    return int(path.stem.partition("-")[0])


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    """The whole lines of a segment; half a line at the end was never acknowledged."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def table(kind: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as an Arrow table with the log's fixed schema.

    Features and outputs are JSON text: a model's next version may have other columns, and one table must
    hold both without a rewrite.
    """
    import pyarrow as pa

    stamp = pa.timestamp("us", tz="UTC")
    fields: list[tuple[str, Any]] = [("id", pa.string()), ("time", stamp)]
    if kind == "predictions":
        fields += [
            ("event_time", stamp),
            ("model", pa.string()),
            ("version", pa.string()),
            ("arm", pa.string()),
            ("features", pa.string()),
            ("prediction", pa.string()),
            ("score", pa.float64()),
            ("latency_ms", pa.float64()),
        ]
    else:
        fields += [("label", pa.float64())]
    columns = []
    for name, type_ in fields:
        values = [row.get(name) for row in rows]
        if type_ == stamp:
            # Microseconds since the epoch, which is how they travel in the segment.
            columns.append(pa.array(values, pa.int64()).cast(stamp))
        else:
            columns.append(pa.array(values, type_))
    return pa.table(columns, schema=pa.schema(fields))


def model_name_fault(name: str) -> str:
    """Why a model's name cannot be a folder of the log; empty when it can."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,120}", name):
        return ""
    return "use letters, digits, dots, hyphens, underscores and spaces, 120 at most"
