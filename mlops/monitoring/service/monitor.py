"""The monitor: reads what is new in the log, compares window by window, tells the book of alerts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np

from blueprints.environment import Environment, StorageRef
from blueprints.errors import Problem
from blueprints.spec import MonitoringSpec
from mlops.data.tables import folder, location, options
from mlops.monitoring.alerts import Alerts, Window
from mlops.monitoring.answers import Picture, Point, State
from mlops.monitoring.finding import Finding
from mlops.monitoring.performance import fairness
from mlops.monitoring.performance.attribution import explained, grouped, losses
from mlops.monitoring.performance.concept.watch import ConceptWatch
from mlops.monitoring.performance.knowable import knowledge
from mlops.monitoring.profile import Profile
from mlops.monitoring.quality import check
from mlops.monitoring.service import blocks, segments, series
from mlops.monitoring.service.blocks import Block
from mlops.monitoring.service.cursor import Cursor
from mlops.monitoring.service.labels import in_order, judged, newest
from mlops.monitoring.service.reference import ARTIFACT, PREDICTION, Reference
from mlops.monitoring.service.rows import columns
from mlops.monitoring.tests import Rules, compare
from mlops.tracking.client import TrackingClient

Span = tuple[datetime | None, datetime | None]
log = logging.getLogger(__name__)
_LABELLED = 0.5
"""Share of a window's rows whose labels must be known before its quality is judged."""
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
        self._stop = threading.Event()
        self._told: dict[str, str] = {}
        self.states: Mapping[str, State] = {}
        self.faults: Mapping[str, str] = {}
        self.looked: datetime | None = None

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
            except Exception as error:
                faults["alerts"] = _words(error)
                log.warning("alerts: %s", faults["alerts"])
            self.faults, self.looked = faults, datetime.now(UTC)
            if self._stop.wait(self._spec.interval_seconds):
                return

    def stop(self) -> None:
        """End after the current window."""
        self._stop.set()

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
        before = self.states.get(model, State(model))
        self.states = {**self.states, model: State(**{**vars(before), "fault": words})}

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
            places = {f"log:{model}": cursor.to_text()}
            self._compare(model, found.slice(index * size, size), places, cursor.rows)
        self._judge_labels(model)
        return windows == _MOST_WINDOWS

    def _cursor(self, name: str, uri: str, storage: StorageRef) -> Cursor:
        return Cursor.from_text(self._book.store.place(name)).extended(uri, storage)

    def _compare(self, model: str, rows: Any, places: dict[str, str], behind: int) -> None:
        """A block of rows: profiled, added to the window, compared, kept, in one transaction."""
        version = _version(rows)
        reference = self._reference(model, version)
        start, end = _span(rows)
        findings: list[Finding] = []
        made: list[Block] = []
        invalid: dict[str, int] = {}
        seen: list[Point] = []
        words = ""
        if reference is not None:
            read = columns(rows, reference.profile)
            profile = Profile.of(read.table, like=reference.profile)
            made = [Block(model, version, start, end, profile)]
            window = self._with_earlier(model, version, "", profile)
            findings += self._compared(reference, window)
            apart = segments.of_window(read.table, reference.segments)
            parts = segments.profiles(apart, reference.segments)
            made += [Block(model, version, start, end, part, name) for name, part in parts.items()]
            sums = {name: self._with_earlier(model, version, name, part) for name, part in parts.items()}
            findings += segments.compared(reference.segments, sums, self._rules())
            if reference.rates:
                known = segments.places(read.table, [name for name in reference.rates if name])
                scores = read.table[PREDICTION].to_numpy()
                findings += fairness.compared(
                    reference.rates, fairness.by_group(scores, None, known), labelled=False
                )
            broken = check(reference.profile, profile, read, rows)
            findings += broken.findings
            invalid = dict(broken.invalid)
            seen = self._estimated(reference, {"": read.table, **apart}, version, (start, end))
            moved = any(each.found for each in findings if each.family in ("drift", "missing"))
            words = knowledge(len(rows), 0, inputs_moved=moved, estimated=bool(seen)).sentence
        record = Window(model, version, start, end, len(rows), invalid=invalid)

        def keep(connection: Any) -> None:
            blocks.write(connection, made)
            series.write(connection, model, seen)

        self._book.record(findings, record, places, keep)
        self.states = {
            **self.states,
            model: State(
                model,
                version,
                "",
                reference is not None,
                behind,
                words,
                tuple(reference.segments) if reference else (),
            ),
        }

    @staticmethod
    def _estimated(reference: Reference, parts: Mapping[str, Any], version: str, span: Span) -> list[Point]:
        """How good the outputs of all rows and of each segment are to be expected, labels or not."""
        if reference.estimator is None:
            return []
        made: list[Point] = []
        for segment, rows in parts.items():
            found = reference.estimator.estimates(rows.column(PREDICTION).to_numpy())
            # What the reference had was of all rows.
            expected = {} if segment else reference.expected
            points = series.points("estimated", found, expected, version, span, len(rows))
            made += [replace(each, segment=segment) for each in points]
        return made

    def _with_earlier(self, model: str, version: str, segment: str, block: Profile) -> Profile:
        """The window that ends with a new block."""
        more = self._spec.window_blocks - 1
        earlier = blocks.newest(self._book.store, model, version, segment, more) if more else []
        same = [each.profile for each in earlier if each.profile.columns.keys() == block.columns.keys()]
        return reduce(add, [*same, block])

    def _rules(self) -> Rules:
        return Rules(alpha=self._spec.false_alarm_rate, predictions=frozenset({PREDICTION}), extra=False)

    def _compared(self, reference: Reference, window: Profile) -> list[Finding]:
        # What the log redacts is no column of the window, and nothing can be said of it.
        seen = {name: each for name, each in reference.profile.columns.items() if name in window.columns}
        found = compare(Profile(reference.profile.rows, seen), window, self._rules()).findings
        return [replace(each, importance=reference.importance.get(each.column)) for each in found]

    def pictures(self, model: str, column: str, number: int) -> tuple[Picture, ...]:
        """The newest blocks of a model against the reference of the version that last answered, as shares of
        the same bins or categories; one picture a column, or of one column."""
        state = self.states.get(model)
        reference = self._reference(model, state.version) if state and state.version else None
        kept = blocks.newest(self._book.store, model, state.version, limit=number) if state else []
        if reference is None or not kept:
            return ()
        findings = self._compared(reference, blocks.summed(kept))
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

        storage, known_as = self._environment.storage, options(self._environment.storage)
        uris = [location(self._environment, kind, model) for kind in ("predictions", "labels")]
        if not all(deltalake.DeltaTable.is_deltatable(uri, storage_options=known_as) for uri in uris):
            return
        table = deltalake.DeltaTable(uris[1], storage_options=known_as)
        known = str(table.version())
        if self._book.store.place(f"labels:{model}") == known:
            return
        data = table.to_pyarrow_dataset(filesystem=folder(storage, uris[1]))
        labels = newest(data.to_table(columns=["id", "time", "label"]))
        cursor = self._cursor(f"quality:{model}", uris[0], storage)
        size = self._spec.window_rows
        windows = min(cursor.rows // size, _MOST_WINDOWS)
        found: Any = cursor.read(uris[0], storage, windows * size) if windows else None
        for index in range(windows):
            rows = found.slice(index * size, size)
            joined = rows.select(["id", "score"]).join(labels, "id", join_type="inner")
            if len(joined) < _LABELLED * size:
                # Labels come late: wait for them, in order.
                with self._book.store.transaction() as connection:
                    self._book.store.put_places(connection, {f"labels:{model}": known})
                return
            cursor = cursor.advanced(size)
            self._judge(model, rows, joined, {f"quality:{model}": cursor.to_text()})

    def _judge(self, model: str, rows: Any, joined: Any, places: dict[str, str]) -> None:
        """One window whose labels have come."""
        version, span = _version(rows), _span(rows)
        reference = self._reference(model, version)
        joined, at = in_order(rows, joined)
        finding = judged(reference, joined)
        window = Window(
            model, version, *span, len(rows), kind="labels", labelled=len(joined),
            metric=finding.test if finding else "", quality=finding.statistic if finding else None,
        )  # fmt: skip
        seen: list[Point] = []
        findings: list[Finding] = []
        if reference is not None:
            scores, labels = (joined.column(name).to_numpy().astype(float) for name in ("score", "label"))
            apart = segments.places(columns(rows, reference.profile).table.take(at), reference.segments)
            for segment, mine in {"": np.arange(len(joined)), **apart}.items():
                found = series.measured(reference, scores[mine], labels[mine])
                expected = {} if segment else reference.expected
                made = series.points("realised", found, expected, version, span, len(rows), len(mine))
                seen += [replace(each, segment=segment) for each in made]
            lost = losses(scores, labels, reference.task)
            why = explained(reference.groups, grouped(lost, apart)) if lost is not None else ""
            if finding is not None and finding.found and why:
                finding = replace(finding, sentence=f"{finding.sentence}; {why}")
            findings += [finding] if finding else []
            if reference.rates:
                known = {name: mine for name, mine in apart.items() if name in reference.rates}
                findings += fairness.compared(
                    reference.rates, fairness.by_group(scores, labels, known), labelled=True
                )
            watch = self._watch(model, version)
            concept = watch.update(scores, labels, reference.task)
            findings += [concept] if concept else []
            places = {**places, f"concept:{model}": watch.to_text()}
        keep = partial(series.write, model=model, made=seen)
        self._book.record(findings, window, places, keep)

    def _watch(self, model: str, version: str) -> ConceptWatch:
        """Where the watch of the concept stands; another version begins anew."""
        text = self._book.store.place(f"concept:{model}")
        known = ConceptWatch.from_text(text) if text else None
        return known if known and known.version == version else ConceptWatch(version)


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
