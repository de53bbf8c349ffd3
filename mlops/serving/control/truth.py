"""What became of predictions during a rollout: labels and business metrics, read from the log's tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from blueprints.environment import Environment
from mlops.data.tables import location, options
from mlops.serving.rollout.analysis import Outcomes
from mlops.serving.rollout.state import Rollout

log = logging.getLogger(__name__)
#: Seconds for which what was read is good enough: labels arrive in minutes, not in milliseconds.
KEPT_SECONDS = 10.0
Found = Mapping[str, tuple[Outcomes | None, Mapping[str, Outcomes]]]
T = TypeVar("T")


class LoggedTruth:
    """Implements ``Truth`` on the Delta tables of an environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._known: dict[tuple[str, str], tuple[float, Any]] = {}

    def _once(self, key: tuple[str, str], read: Callable[[], T], otherwise: T) -> T:
        now = time.monotonic()
        if key in self._known and now - self._known[key][0] < KEPT_SECONDS:
            kept: T = self._known[key][1]
            return kept
        try:
            found = read()
        except Exception as error:
            # The storage may be away: gates that need it stay inconclusive, which holds the rollout.
            log.warning("%s of %s cannot be read: %s", *key[::-1], (str(error).splitlines() or [""])[0])
            return otherwise
        self._known[key] = (now, found)
        return found

    def metrics(self, model: str) -> Collection[str]:
        """``performance`` where labels have ever come, ``business:NAME`` where a metric has."""
        return self._once((model, "metrics"), lambda: self._metrics(model), frozenset())

    def _metrics(self, model: str) -> frozenset[str]:
        found = {"performance"} if self._dataset("labels", model) is not None else set()
        outcomes = self._dataset("outcomes", model)
        if outcomes is not None:
            names = outcomes.to_table(columns=["name"]).column("name").unique().to_pylist()
            found |= {f"business:{name}" for name in names}
        return frozenset(found)

    def observed(self, model: str, rollout: Rollout, arms: Mapping[str, str]) -> Found:
        """By version, from the rows that its arm answered since the step began."""
        key = (model, f"truth since {rollout.since:.0f}")
        return self._once(key, lambda: self._observed(model, rollout, arms), {})

    def _observed(self, model: str, rollout: Rollout, arms: Mapping[str, str]) -> Found:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self._since("predictions", model, rollout.since, ["id", "version", "arm", "score"])
        shadow = self._since("shadow", model, rollout.since, ["id", "version", "arm", "score"])
        parts = [each for each in (rows, shadow) if each is not None]
        if not parts:
            return {}
        rows = pa.concat_tables(parts)
        labels = self._since("labels", model, rollout.since, ["id", "label"])
        outcomes = self._since("outcomes", model, rollout.since, ["id", "name", "value"])
        found = {}
        for arm, version in arms.items():
            mine = rows.filter(pc.and_(pc.equal(rows["version"], version), pc.equal(rows["arm"], arm)))
            score = _by_id(mine, "score")
            loss = _losses(score, _by_id(labels, "label")) if labels is not None else None
            metrics = {}
            if outcomes is not None:
                for name in outcomes["name"].unique().to_pylist():
                    values = _by_id(outcomes.filter(pc.equal(outcomes["name"], name)), "value")
                    metrics[str(name)] = _outcomes([values[each] for each in score if each in values])
            found[version] = (loss, metrics)
        return found

    def _dataset(self, kind: str, model: str) -> Any:
        import deltalake

        uri, storage = location(self._environment, kind, model), options(self._environment.storage)
        if not deltalake.DeltaTable.is_deltatable(uri, storage_options=storage):
            return None
        return deltalake.DeltaTable(uri, storage_options=storage).to_pyarrow_dataset()

    def _since(self, kind: str, model: str, since: float, columns: list[str]) -> Any:
        import pyarrow.dataset as ds

        dataset = self._dataset(kind, model)
        if dataset is None:
            return None
        # A label carries the moment it became known, which may be given by its sender: only rows that a
        # prediction of this step answers to are used, by id.
        moment = ds.field("time") >= datetime.fromtimestamp(since, UTC)
        return dataset.to_table(columns=columns, filter=moment if kind in ("predictions", "shadow") else None)


def _by_id(rows: Any, column: str) -> dict[str, float]:
    """Values by id, the last one where an id comes twice."""
    pairs = zip(rows["id"].to_pylist(), rows[column].to_pylist(), strict=True)
    return {identity: value for identity, value in pairs if value is not None}


def _losses(scores: Mapping[str, float], labels: Mapping[str, float]) -> Outcomes:
    """Squared error a row: for probabilities the Brier score (Brier, Monthly Weather Review 78, 1950)."""
    return _outcomes([(score - labels[each]) ** 2 for each, score in scores.items() if each in labels])


def _outcomes(values: list[float]) -> Outcomes:
    if not values:
        return Outcomes(0, 0.0, 0.0)
    array = np.asarray(values, float)
    return Outcomes(len(array), float(array.mean()), float(array.var()))
