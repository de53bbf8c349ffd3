"""The monitor: reads what is new in the prediction log, compares window by window, keeps alerts."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from blueprints.environment import Environment, StorageRef
from blueprints.errors import Problem
from blueprints.spec import MonitoringSpec
from mlops.data.tables import folder, location, options
from mlops.monitoring.alerts import AlertStore, Observation
from mlops.monitoring.cursor import Cursor
from mlops.monitoring.distribution import Distribution
from mlops.monitoring.drift import Finding, compare
from mlops.monitoring.reference import ARTIFACT, PREDICTION, Reference, measure
from mlops.serving.log.policy import unseen
from mlops.tracking.client import TrackingClient

log = logging.getLogger(__name__)
#: A drop of quality pages when it is larger than this share of the reference value, and significant.
MIN_DROP = 0.03
_Z = 2.576  # two-sided 99 %
_LABELLED = 0.5
"""Share of a window's rows whose labels must be known before its quality is judged."""
_MOST_WINDOWS = 20
"""Windows compared in one look, so that a long backlog does not keep the place from being saved."""


class Monitor:
    """Watches every model in the prediction log of one environment.

    Args:
        environment: Storage, tracking.
        spec: Window size, interval, false alarm rate.
        store: Where alerts are kept.
    """

    def __init__(self, environment: Environment, spec: MonitoringSpec, store: AlertStore) -> None:
        self._environment, self._spec, self._store = environment, spec, store
        self._tracking = TrackingClient(environment.tracking)
        self._references: dict[str, Reference | None] = {}
        self._stop = threading.Event()
        self.faults: Mapping[str, str] = {}
        self.looked: datetime | None = None

    def run(self) -> None:
        """Look again and again until :meth:`stop`; a fault is shown and retried, never the end."""
        while True:
            faults: dict[str, str] = {}
            try:
                for model in self._models():
                    try:
                        while not self._stop.is_set() and self.look(model):
                            pass
                    except Exception as error:
                        faults[model] = _words(error)
                        log.warning("%s: %s", model, faults[model])
            except Exception as error:
                faults["registry"] = _words(error)
                log.warning("registry: %s", faults["registry"])
            self.faults, self.looked = faults, datetime.now(UTC)
            if self._stop.wait(self._spec.interval_seconds):
                return

    def stop(self) -> None:
        """End after the current window."""
        self._stop.set()

    def _models(self) -> list[str]:
        return [model.name for model in self._tracking.models()]

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
            self._compare(model, found.slice(index * size, size), {f"log:{model}": cursor.to_text()})
        self._judge_quality(model)
        return windows == _MOST_WINDOWS

    def _cursor(self, name: str, uri: str, storage: StorageRef) -> Cursor:
        return Cursor.from_text(self._store.place(name)).extended(uri, storage)

    def _compare(self, model: str, rows: Any, places: dict[str, str]) -> None:
        versions = rows.column("version").to_pylist()
        version = max(set(versions), key=versions.count)
        reference = self._reference(model, version)
        observations: list[Observation] = []
        features = [json.loads(text) for text in rows.column("features").to_pylist()]
        start, end = _span(rows)
        if reference is not None:
            columns = {
                name: [row.get(name) for row in features] for name in reference.features if name != PREDICTION
            }
            columns[PREDICTION] = rows.column("score").to_pylist()
            # What the log redacts is not missing: it cannot be watched.
            seen = {name: each for name, each in reference.features.items() if not unseen(columns[name])}
            watched = replace(reference, features=seen)
            found = compare(watched, columns, self._spec.false_alarm_rate)
            observations = [_observation(each, model, version, start, end, len(rows)) for each in found]
        window = {
            "model": model,
            "version": version,
            "start": start,
            "end": end,
            "rows": len(rows),
            "drifted": json.dumps([each.feature for each in observations if each.bad]),
            "metric": "",
            "quality": None,
            "labelled": 0,
        }
        self._store.record(observations, window, places)

    def _reference(self, model: str, version: str) -> Reference | None:
        key = f"{model}/{version}"
        if key not in self._references:
            run = self._tracking.version(model, version).run_id
            try:
                self._references[key] = Reference.from_json(self._tracking.artifact(run, ARTIFACT))
            except Problem as problem:
                # Down, refused or forbidden says nothing of the reference: shown as a fault and asked again.
                if problem.where == self._tracking.url:
                    raise
                log.info("%s has no reference: %s", key, problem.what)
                self._references[key] = None
        return self._references[key]

    def _judge_quality(self, model: str) -> None:
        """Quality of the newest window whose labels have come, against the reference's."""
        import deltalake
        import pyarrow.compute as pc

        storage, known_as = self._environment.storage, options(self._environment.storage)
        uris = [location(self._environment, kind, model) for kind in ("predictions", "labels")]
        if not all(deltalake.DeltaTable.is_deltatable(uri, storage_options=known_as) for uri in uris):
            return
        labels_table = deltalake.DeltaTable(uris[1], storage_options=known_as)
        known = str(labels_table.version())
        if self._store.place(f"labels:{model}") == known:
            return
        data = labels_table.to_pyarrow_dataset(filesystem=folder(storage, uris[1]))
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
                self._store.record([], None, {f"labels:{model}": known})
                return
            cursor = cursor.advanced(size)
            versions = rows.column("version").to_pylist()
            version = max(set(versions), key=versions.count)
            joined = joined.filter(pc.is_valid(joined["score"]))
            observation = self._quality(model, version, joined, rows)
            places = {f"quality:{model}": cursor.to_text()}
            self._store.record([observation] if observation else [], None, places)

    def _quality(self, model: str, version: str, joined: Any, rows: Any) -> Observation | None:
        reference = self._reference(model, version)
        if reference is None or reference.quality is None:
            return None
        scores, labels = (joined.column(name).to_numpy() for name in ("score", "label"))
        now = measure(np.asarray(scores, float), np.asarray(labels, float), reference.task)
        if now is None:
            return None
        before = reference.quality
        # Lower is worse for AUC, higher is worse for RMSE.
        worse = before.value - now.value if before.metric == "auc" else now.value - before.value
        error = float(np.hypot(before.error, now.error))
        relative = worse / before.value if before.value else 0.0
        bad = worse > _Z * error and relative > MIN_DROP
        start, end = _span(rows)
        return Observation(
            "performance",
            "page",
            model,
            version,
            before.metric,
            before.metric,
            now.value,
            before.value,
            _normal_tail(worse / error if error else 0.0),
            bad,
            f"{before.metric} is {now.value:.3f}, was {before.value:.3f} on the reference"
            f" ({len(joined)} labels)",
            start,
            end,
            len(rows),
            Distribution((before.metric,), (before.value,)),
            Distribution((before.metric,), (now.value,)),
        )


def newest(labels: Any) -> Any:
    """One label for each id: of several, that with the latest time.

    Args:
        labels: Arrow table with ``id``, ``time`` and ``label``; a client that repeats or corrects one adds
            a row.
    """
    # Only an aggregation without threads keeps to the order of the rows.
    last = labels.sort_by("time").group_by("id", use_threads=False).aggregate([("label", "last")])
    return last.rename_columns(["id", "label"])


def _normal_tail(z: float) -> float:
    from math import erfc, sqrt

    return 0.5 * erfc(z / sqrt(2))


def _observation(
    found: Finding, model: str, version: str, start: datetime | None, end: datetime | None, rows: int
) -> Observation:
    if found.kind == "missing":
        before, now = found.reference.shares[1], found.current.shares[1]
        summary = f"{found.feature} is missing in {now:.1%} of rows, was {before:.1%}"
    else:
        summary = f"{found.feature} differs from the reference by {found.effect:.2f} ({found.statistic})"
    return Observation(
        found.kind,
        "ticket",
        model,
        version,
        found.feature,
        found.statistic,
        found.effect,
        found.threshold,
        found.p_value,
        found.drifted,
        summary,
        start,
        end,
        rows,
        found.reference,
        found.current,
    )


def _span(rows: Any) -> tuple[datetime | None, datetime | None]:
    """First and last event of the rows; the time of the request where an event has none."""
    import pyarrow.compute as pc

    times = pc.coalesce(rows.column("event_time"), rows.column("time"))
    low, high = pc.min(times).as_py(), pc.max(times).as_py()
    return low, high


def _words(error: Exception) -> str:
    return error.what if isinstance(error, Problem) else str(error).splitlines()[0][:300]
