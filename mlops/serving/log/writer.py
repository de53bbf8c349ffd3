"""The writer: nothing that was answered is lost, and nothing is committed twice.

A request's rows are appended to a local segment before its answer leaves; a thread moves closed segments into
Delta tables. A commit carries the number of its last segment as an application transaction, so that segments
which were committed by a process killed before it could delete them are recognised, not repeated. A request
that its sender repeats is recorded again, under the same ids: readers drop what they have seen
(:func:`mlops.serving.log.reader.read_predictions`).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from blueprints.environment import Environment
from mlops.data.tables import location, options
from mlops.serving.log import tables
from mlops.serving.log.lines import Encoder, Plan, text
from mlops.serving.log.policy import UNSAID, Policy
from mlops.serving.log.segments import ROTATE_BYTES, Segment, Waiting, found, parcels
from mlops.serving.log.upkeep import Upkeep
from mlops.serving.rows import Batch, Call, Outputs

log = logging.getLogger(__name__)
_LONGEST_PAUSE = 60.0
_SHADOW = "shadow"


@dataclass(frozen=True)
class Backlog:
    """Rows acknowledged and not yet in the table, and why when that is a fault."""

    rows: int
    fault: str


def row_ids(request: str, rows: int) -> list[str]:
    """Ids of the rows of a request whose caller gave none: a repeated request has the same again."""
    return [request] if rows == 1 else [f"{request}-{row}" for row in range(rows)]


class PredictionLog:
    """Write-ahead segments in ``folder``, Delta tables on the storage of ``environment``.

    The methods that record do no more than format and write; they may be called from any thread, and are made
    for the event loop. Rows of the arm ``shadow`` go to a table of their own.

    Args:
        folder: Private to this process.
        environment: Where the tables are.
        policy: What may be recorded.
        interval: Seconds between two commits.
        leader: Merge small files of the tables now and then: one replica does it for all.
    """

    def __init__(
        self,
        folder: Path,
        environment: Environment,
        policy: Policy | None = None,
        interval: float = 2.0,
        leader: bool = False,
    ) -> None:
        self._folder, self._environment, self._interval = folder, environment, interval
        self._policy = policy or Policy()
        self._encoder = Encoder(self._policy)
        # Held for a write and for taking a segment away from the writers, never while the storage is asked.
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Segment] = {}
        self._stop = threading.Event()
        self._flushing = threading.Lock()
        self._fault = ""
        folder.mkdir(parents=True, exist_ok=True)
        self._waiting = found(folder)
        self._rows_waiting: Counter[tuple[str, str]] = Counter()
        for each in self._waiting:
            self._rows_waiting[each.kind, each.model] += each.rows
        self._deltas: dict[tuple[str, str], Any] = {}
        self._upkeep = Upkeep(environment) if leader else None
        # One writer a life: the numbers of a life only rise, whatever the clock did between two lives.
        self._writer, self._number = uuid.uuid4().hex, 0
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to move segments into the tables, those of an earlier life first."""
        self._thread.start()

    def append(
        self,
        model: str,
        version: str,
        arm: str,
        call: Call,
        batch: Batch,
        outputs: Outputs,
        latency_seconds: float,
    ) -> None:
        """Record an answer; it survives the death of this process when this returns.

        Raises:
            OSError: The disk is full or gone; the caller must not acknowledge.
        """
        self.append_all([(model, version, arm, call, batch, outputs, latency_seconds)])

    def append_all(self, answers: Sequence[tuple[str, str, str, Call, Batch, Outputs, float]]) -> None:
        """Record several answers, as :meth:`append` does one, with one write a table; nothing is written
        before all are formatted.

        Raises:
            OSError: As there, for all of them.
        """
        if not self._policy.enabled:
            return
        now = time.time_ns() // 1000
        tables: dict[tuple[str, str], list[tuple[list[bytes], Plan | None]]] = {}
        for model, version, arm, call, batch, outputs, seconds in answers:
            made = self._encoder.answered(version, arm, call, batch, outputs, seconds, now)
            if made[0]:
                kind = _SHADOW if arm == _SHADOW else "predictions"
                tables.setdefault((kind, model), []).append(made)
        for table, parts in tables.items():
            self._write(*table, parts)

    def fail(
        self,
        model: str,
        version: str,
        arm: str,
        call: Call,
        reason: str,
        sentence: str,
        latency_seconds: float,
        batch: Batch | None = None,
    ) -> None:
        """Record a request that was not answered; ``reason`` is a class of
        :attr:`mlops.serving.evidence.Evidence.errors`, ``sentence`` what its caller was told. The rows of
        ``batch`` are recorded only where the policy allows it.

        Raises:
            OSError: The disk is full or gone.
        """
        if not self._policy.enabled:
            return
        # A model may quote its input: where a column is redacted, no words are safe.
        words = UNSAID if self._policy.hashed else sentence
        now = time.time_ns() // 1000
        line = self._encoder.failed(version, arm, call, reason, words, batch, latency_seconds, now)
        self._write("failures", model, [([line], None)])

    def label(
        self,
        model: str,
        ids: Sequence[str],
        values: Sequence[float],
        times: Sequence[int | None] | None = None,
        name: str = "label",
    ) -> None:
        """Record what turned out to be true, by prediction id. Rows that were not sampled are taken, too.

        Args:
            values: The truth, or with a ``name`` of its own the value of a business metric.
            times: When each was known (µs since the epoch); None: now.

        Raises:
            OSError: The disk is full or gone; the caller must not acknowledge.
            ValueError: The lengths differ.
        """
        now = time.time_ns() // 1000
        lines = [
            b'{"id":%b,"time":%d,%b}'
            % (
                text(each),
                now if moment is None else moment,
                b'"label":%b' % _number(value)
                if name == "label"
                else b'"name":%b,"value":%b' % (text(name), _number(value)),
            )
            for each, value, moment in zip(ids, values, times or [None] * len(ids), strict=True)
        ]
        if lines:
            self._write("labels" if name == "label" else "outcomes", model, [(lines, None)])

    def _write(self, kind: str, model: str, parts: Sequence[tuple[list[bytes], Plan | None]]) -> None:
        """Lines, with the definitions that this segment lacks before them."""
        with self._lock:
            segment = self._open.get((kind, model))
            if segment is None or segment.bytes > ROTATE_BYTES:
                self._close(kind, model)
                segment = self._open[kind, model] = Segment(self._new_path(kind, model))
            found: list[bytes] = []
            rows, defined = 0, set[int]()
            for lines, plan in parts:
                if plan is not None and plan.shape not in segment.shapes and plan.shape not in defined:
                    defined.add(plan.shape)
                    found.append(plan.definition)
                found += lines
                rows += len(lines)
            found.append(b"")
            segment.append(b"\n".join(found), rows)
            # Only now: what could not be written defines nothing.
            segment.shapes |= defined

    def _new_path(self, kind: str, model: str) -> Path:
        # Microseconds order the segments of several lives; a clock set back cannot lower the number in one.
        self._number = max(self._number + 1, time.time_ns() // 1000)
        return self._folder / kind / model / f"{self._number}-{self._writer}.jsonl"

    def _close(self, kind: str, model: str) -> None:
        segment = self._open.pop((kind, model), None)
        if segment is None:
            return
        segment.close()
        if not segment.rows:
            segment.path.unlink()
            return
        number = int(segment.path.stem.partition("-")[0])
        self._waiting.append(
            Waiting(number, self._writer, kind, model, segment.path, segment.rows, segment.bytes)
        )
        self._rows_waiting[kind, model] += segment.rows

    def backlog(self, model: str) -> Backlog:
        """What of a model's predictions is not in the table yet."""
        with self._lock:
            segment = self._open.get(("predictions", model))
            rows = self._rows_waiting["predictions", model] + (segment.rows if segment else 0)
            return Backlog(rows, self._fault)

    def lag(self, model: str) -> int:
        """Rows of a model answered and not yet in the table."""
        return self.backlog(model).rows

    def _work(self) -> None:
        pause = self._interval
        while not self._stop.wait(pause):
            try:
                self.flush()
                pause = self._interval
                if self._upkeep is not None:
                    self._upkeep.look([f"{kind}/{model}" for kind, model in self._deltas])
            except Exception as error:
                # The storage may be down for hours; the segments wait on the local disk meanwhile.
                self._fault = f"the storage does not take the log: {_words(error)}"
                log.warning("%s", self._fault)
                pause = min(_LONGEST_PAUSE, max(pause, 0.5) * 2)

    def flush(self) -> None:
        """Move everything recorded so far into the tables.

        Raises:
            Exception: What the storage says; nothing is lost, the segments wait.
        """
        # Two flushes at once would both find a segment uncommitted.
        with self._flushing:
            # What waits goes first: while the storage is away, the open segments grow instead of multiplying.
            self._commit_waiting()
            with self._lock:
                for kind, model in list(self._open):
                    self._close(kind, model)
            self._commit_waiting()
            self._fault = ""

    def _commit_waiting(self) -> None:
        with self._lock:
            waiting = sorted(self._waiting)
        failure: Exception | None = None
        for (kind, model), mine in groupby(
            sorted(waiting, key=lambda each: (each.kind, each.model)), lambda each: (each.kind, each.model)
        ):
            try:
                for parcel in parcels(mine):
                    self._commit(kind, model, parcel)
            except Exception as error:
                # One table that cannot be written must not hold up the others.
                self._mark_doubtful(kind, model)
                failure = error
        if failure is not None:
            raise failure

    def _mark_doubtful(self, kind: str, model: str) -> None:
        """A commit that failed may have happened: ask before the next attempt."""
        with self._lock:
            self._waiting = [
                replace(each, recovered=True) if (each.kind, each.model) == (kind, model) else each
                for each in self._waiting
            ]
        self._deltas.pop((kind, model), None)

    def _commit(self, kind: str, model: str, parcel: list[Waiting]) -> None:
        uri = location(self._environment, kind, model)
        last = self._committed(uri, parcel[0].writer) if parcel[0].recovered else -1
        new = [each for each in parcel if each.number > last]
        rows = tables.read(kind, model, [each.path for each in new]) if new else ()
        if len(rows):
            self._append(uri, rows, parcel[-1])
        for each in parcel:
            each.path.unlink()
            with self._lock:
                self._waiting.remove(each)
                self._rows_waiting[kind, model] -= each.rows

    def _append(self, uri: str, rows: Any, last: Waiting) -> None:
        import deltalake

        delta = self._delta(uri, last.kind, last.model)
        deltalake.write_deltalake(
            delta,
            rows,
            mode="append",
            # A table of an earlier release has fewer columns.
            schema_mode="merge",
            writer_properties=_properties(),
            commit_properties=deltalake.CommitProperties(
                app_transactions=[deltalake.Transaction(last.writer, last.number)]
            ),
        )

    def _delta(self, uri: str, kind: str, model: str) -> Any:
        """The open table, made when there is none. Kept, so that a commit reads only what is new in it."""
        import deltalake

        delta = self._deltas.get((kind, model))
        if delta is None or _removed(uri):
            storage = options(self._environment.storage)
            if deltalake.DeltaTable.is_deltatable(uri, storage_options=storage):
                delta = deltalake.DeltaTable(uri, storage_options=storage)
            else:
                delta = deltalake.DeltaTable.create(
                    uri,
                    tables.schema(kind),
                    mode="ignore",
                    # The ends of every text column would double each entry of the table's log.
                    configuration={"delta.dataSkippingStatsColumns": "time"},
                    storage_options=storage,
                )
            self._deltas[kind, model] = delta
        return delta

    def _committed(self, uri: str, writer: str) -> int:
        """The highest number of a writer's segments that is in the table; -1: none."""
        import deltalake

        storage = options(self._environment.storage)
        if not deltalake.DeltaTable.is_deltatable(uri, storage_options=storage):
            return -1
        last = deltalake.DeltaTable(uri, storage_options=storage).transaction_version(writer)
        return -1 if last is None else int(last)

    def close(self) -> None:
        """Stop and move what is left; what cannot be moved now waits in its segment for the next start."""
        self._stop.set()
        if self._upkeep is not None:
            self._upkeep.end()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        if self._thread.is_alive():
            log.warning("the storage does not answer; segments kept for the next start")
            return
        try:
            self.flush()
        except Exception as error:
            log.warning("segments kept for the next start: %s", _words(error))


def _removed(uri: str) -> bool:
    """Whether somebody removed the folder of a table by hand, as one does on a laptop: the next commit would
    leave a table that has no beginning."""
    if not uri.startswith("file://"):
        return False
    return not Path(unquote(urlsplit(uri).path), "_delta_log").exists()


@cache
def _properties() -> Any:
    """Texts that are all different gain nothing from a dictionary."""
    import deltalake

    plain = deltalake.ColumnProperties(dictionary_enabled=False)
    return deltalake.WriterProperties(
        compression="ZSTD",
        compression_level=1,
        column_properties=dict.fromkeys(("id", "request", "features", "score", "latency_ms"), plain),
    )


def _number(value: float) -> bytes:
    return b"null" if value != value or value in (float("inf"), -float("inf")) else b"%r" % float(value)


def _words(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
