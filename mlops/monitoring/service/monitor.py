"""The monitor: reads what is new in the log, compares window by window, tells the book of alerts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from blueprints.environment import Environment, StorageRef
from blueprints.errors import Problem
from blueprints.spec import MonitoringSpec
from mlops.data.tables import dataset, location, options
from mlops.monitoring.alerts import Alerts, Window
from mlops.monitoring.answers import Picture, Point, State
from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.concept.watch import ConceptWatch
from mlops.monitoring.service import analysis, blocks, series
from mlops.monitoring.service.blocks import Block
from mlops.monitoring.service.cursor import Cursor
from mlops.monitoring.service.labels import newest
from mlops.monitoring.service.reference import ARTIFACT, Reference
from mlops.monitoring.service.windows import Windows
from mlops.tracking.client import TrackingClient

log = logging.getLogger(__name__)
_LABELLED = 0.5
"""Share of a window's rows whose labels must be known before its quality is judged."""
_LATER = 3
"""Later windows whose labels have come, after which a window is not waited for any more."""
_CLOCKS = timedelta(hours=1)
"""Clocks of two machines may be apart by so much."""
_LEAST_ROWS = 100
"""Rows of a block that is closed because of its age: fewer say nothing."""
_MOST_WINDOWS = 20
"""Windows read at once, so that a long backlog does not take the memory of all of it."""


class Monitor:
    """Watches every model in the prediction log of one environment.

    Args:
        environment: Storage, tracking.
        spec: Window size, interval, false alarm rate, time for each model.
        book: Takes findings and keeps alerts.
    """

    def __init__(self, environment: Environment, spec: MonitoringSpec, book: Alerts) -> None:
        self._environment, self._spec, self._book = environment, spec, book
        self._tracking = TrackingClient(environment.tracking)
        self._references: dict[str, Reference | None] = {}
        span = timedelta(hours=spec.window_hours) if spec.window_hours else None
        self._windows = Windows(book.store, spec.window_blocks, span)
        self._stop = threading.Event()
        self._told: dict[str, str] = {}
        self.states: Mapping[str, State] = {}
        self.faults: Mapping[str, str] = {}
        self.looked: datetime | None = None
        self._forgot: datetime | None = None

    def run(self) -> None:
        """Look again and again until :meth:`stop`; a fault is shown and retried, never the end."""
        while True:
            faults: dict[str, str] = {}
            try:
                faults = self.look_at_all()
            except Exception as error:
                faults["registry"] = _words(error)
                log.warning("registry: %s", faults["registry"])
            try:
                self._book.tick()
                self._forget()
            except Exception as error:
                faults["alerts"] = _words(error)
                log.warning("alerts: %s", faults["alerts"])
            self.faults, self.looked = faults, datetime.now(UTC)
            if self._stop.wait(self._spec.interval_seconds):
                return

    def stop(self) -> None:
        """End after the current window."""
        self._stop.set()

    def _forget(self) -> None:
        """Once a day: what is older than anybody looks back on."""
        now = datetime.now(UTC)
        if self._forgot is not None and now - self._forgot < timedelta(days=1):
            return
        days = [self._spec.alerts.retention_days, *(each.history_days for each in self._spec.kpis)]
        before = now - timedelta(days=max(days))
        with self._book.store.transaction() as connection:
            blocks.forget(connection, before)
            series.forget(connection, before)
        self._forgot = now

    def look_at_all(self) -> dict[str, str]:
        """One look at every model, each with its own time: who has much to catch up on goes on at the next
        look, and who fails is a fault in words. Returns the faults."""
        faults: dict[str, str] = {}
        names = [model.name for model in self._tracking.models()]
        for model in names:
            if self._stop.is_set():
                break
            until = time.monotonic() + self._spec.look_seconds
            try:
                while self.look(model) and time.monotonic() < until and not self._stop.is_set():
                    pass
            except Exception as error:
                faults[model] = _words(error)
                log.warning("%s: %s", model, faults[model])
            self._tell(model, faults.get(model, ""))
        return faults

    def _tell(self, model: str, words: str) -> None:
        """A model that cannot be analysed is an alert of its own, once for each change."""
        if self._told.get(model, "") != words:
            try:
                self._book.fault(model, words)
            except Exception as error:
                log.warning("%s: %s", model, _words(error))
                return
            self._told[model] = words
        before = self.states.get(model) or self._remembered(model)
        self.states = {**self.states, model: State(**{**vars(before), "fault": words})}

    def _remembered(self, model: str) -> State:
        """The state of a model that this process has compared nothing of yet: as an earlier one left it."""
        windows = self._book.store.windows(model, limit=1)
        if not windows:
            return State(model)
        version = str(windows[-1]["version"])
        try:
            reference = self._reference(model, version)
        except Problem:
            return State(model, version)
        segments = tuple(reference.segments) if reference else ()
        return State(model, version, "", reference is not None, 0, "", segments)

    def look(self, model: str) -> bool:
        """Compare the next full windows of a model; whether there may be more."""
        import deltalake

        uri, storage = location(self._environment, "predictions", model), self._environment.storage
        if not deltalake.DeltaTable.is_deltatable(uri, storage_options=options(storage)):
            return False
        cursor = self._cursor(f"log:{model}", uri, storage)
        size = self._spec.window_rows
        windows = min(cursor.rows // size, _MOST_WINDOWS)
        found: Any = cursor.read(uri, storage, windows * size) if windows else None
        for index in range(windows):
            cursor = cursor.advanced(size)
            self._compare(model, found.slice(index * size, size), _read_to(model, cursor), cursor.rows)
        if not windows and self._waited(model, cursor.rows):
            rows = cursor.rows
            found, cursor = cursor.read(uri, storage, rows), cursor.advanced(rows)
            self._compare(model, found, _read_to(model, cursor), cursor.rows)
        self._judge_labels(model)
        return windows == _MOST_WINDOWS

    def _waited(self, model: str, rows: int) -> bool:
        """Whether rows that do not fill a block have waited for so long that they are one."""
        place, now = f"waiting:{model}", datetime.now(UTC)
        since = self._book.store.place(place)
        if not rows or not since:
            if rows:
                with self._book.store.transaction() as connection:
                    self._book.store.put_places(connection, {place: now.isoformat()})
            return False
        late = now - datetime.fromisoformat(since) >= timedelta(hours=self._spec.block_hours)
        return late and rows >= _LEAST_ROWS

    def _cursor(self, name: str, uri: str, storage: StorageRef) -> Cursor:
        return Cursor.from_text(self._book.store.place(name)).extended(uri, storage)

    def _compare(self, model: str, rows: Any, places: dict[str, str], behind: int) -> None:
        """A block of rows: profiled, added to the window, compared, kept, in one transaction."""
        version = _version(rows)
        reference = self._reference(model, version)
        start, end = _span(rows)
        seen = None
        if reference is not None:
            window = partial(self._windows.ending_with, model, version, end=end or datetime.now(UTC))
            seen = analysis.of_rows(
                reference, rows, version, (start, end), window, self._spec.false_alarm_rate
            )
        record = Window(model, version, start, end, len(rows), invalid=seen.invalid if seen else {})

        def keep(connection: Any) -> None:
            if seen is not None:
                made = (Block(model, version, start, end, p, name) for name, p in seen.profiles.items())
                blocks.write(connection, made)
                series.write(connection, model, seen.points)

        try:
            self._book.record(seen.findings if seen else [], record, places, keep)
        except Exception:
            self._windows.forget(model)
            raise
        self.states = {
            **self.states,
            model: State(
                model,
                version,
                "",
                reference is not None,
                behind,
                seen.words if seen else "",
                tuple(reference.segments) if reference else (),
            ),
        }

    def pictures(self, model: str, column: str, number: int) -> tuple[Picture, ...]:
        """The newest blocks of a model against the reference of the version that last answered, as shares of
        the same bins or categories; one picture a column, or of one column."""
        state = self.states.get(model)
        reference = self._reference(model, state.version) if state and state.version else None
        kept = blocks.newest(self._book.store, model, state.version, limit=number) if state else []
        if reference is None or not kept:
            return ()
        findings = analysis.drift(reference, blocks.summed(kept), self._spec.false_alarm_rate)
        return tuple(
            Picture(each.column, each.family, each.effect, each.reference, each.current)
            for each in findings
            if each.test in ("ks", "chi2") and column in ("", each.column)
        )

    def _reference(self, model: str, version: str) -> Reference | None:
        key = f"{model}/{version}"
        if key not in self._references:
            run = self._tracking.version(model, version).run_id
            try:
                data = self._tracking.artifact(run, ARTIFACT)
            except Problem as problem:
                # Down, refused or forbidden says nothing of the reference: shown as a fault and asked again.
                if problem.where == self._tracking.url:
                    raise
                log.info("%s has no reference: %s", key, problem.what)
                self._references[key] = None
            else:
                self._references[key] = Reference.from_json(data)
        return self._references[key]

    def _judge_labels(self, model: str) -> None:
        """Quality of the windows whose labels have come, in order, against the reference's."""
        import deltalake
        import pyarrow.compute as pc

        storage, known_as = self._environment.storage, options(self._environment.storage)
        uris = [location(self._environment, kind, model) for kind in ("predictions", "labels")]
        if not all(deltalake.DeltaTable.is_deltatable(uri, storage_options=known_as) for uri in uris):
            return
        known = str(deltalake.DeltaTable(uris[1], storage_options=known_as).version())
        if self._book.store.place(f"labels:{model}") == known:
            return
        cursor = self._cursor(f"quality:{model}", uris[0], storage)
        size = self._spec.window_rows
        windows = min(cursor.rows // size, _MOST_WINDOWS)
        if not windows:
            return
        found = cursor.read(uris[0], storage, windows * size)
        # No label is written before its prediction.
        since = pc.min(found.column("time")).as_py() - _CLOCKS
        data = dataset(storage, uris[1], lambda path, written: written >= since)
        labels = newest(data.to_table(columns=["id", "time", "label"]))
        parts = [found.slice(index * size, size) for index in range(windows)]
        joined = [rows.select(["id", "score"]).join(labels, "id", join_type="inner") for rows in parts]
        come = [len(each) >= _LABELLED * size for each in joined]
        for index in range(windows):
            if not come[index] and sum(come[index:]) < _LATER:
                # Labels come late: wait for them, in order.
                with self._book.store.transaction() as connection:
                    self._book.store.put_places(connection, {f"labels:{model}": known})
                return
            cursor = cursor.advanced(size)
            if come[index]:
                self._judge(model, parts[index], joined[index], {f"quality:{model}": cursor.to_text()})
            else:
                log.info("%s: labels came for later windows; one is left without", model)

    def _judge(self, model: str, rows: Any, joined: Any, places: dict[str, str]) -> None:
        """One window whose labels have come."""
        version, span = _version(rows), _span(rows)
        reference = self._reference(model, version)
        findings: list[Finding] = []
        points: list[Point] = []
        if reference is not None:
            watch = self._watch(model, version)
            findings, points = analysis.of_labels(
                reference, rows, joined, version, span, watch, self._spec.false_alarm_rate
            )
            places = {**places, f"concept:{model}": watch.to_text()}
        worse = next((each for each in findings if each.family == "performance"), None)
        window = Window(
            model, version, *span, len(rows), kind="labels", labelled=len(joined),
            metric=worse.test if worse else "", quality=worse.statistic if worse else None,
        )  # fmt: skip
        self._book.record(findings, window, places, partial(series.write, model=model, made=points))

    def _watch(self, model: str, version: str) -> ConceptWatch:
        """Where the watch of the concept stands; another version begins anew."""
        text = self._book.store.place(f"concept:{model}")
        known = ConceptWatch.from_text(text) if text else None
        return known if known and known.version == version else ConceptWatch(version)


def _read_to(model: str, cursor: Cursor) -> dict[str, str]:
    """Places after a block: how far the log is read, and that no row waits longer than from the next on."""
    return {f"log:{model}": cursor.to_text(), f"waiting:{model}": ""}


def _version(rows: Any) -> str:
    """The version that made most of the predictions."""
    versions = rows.column("version").to_pylist()
    return str(max(set(versions), key=versions.count))


def _span(rows: Any) -> tuple[datetime | None, datetime | None]:
    """First and last event of the rows; the time of the request where an event has none."""
    import pyarrow.compute as pc

    times = pc.coalesce(rows.column("event_time"), rows.column("time"))
    low, high = pc.min(times).as_py(), pc.max(times).as_py()
    return low, high


def _words(error: Exception) -> str:
    return error.what if isinstance(error, Problem) else (str(error).splitlines() or [repr(error)])[0][:300]
