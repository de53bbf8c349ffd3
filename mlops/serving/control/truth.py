"""What became of predictions during a rollout: labels and business metrics, read from the log's tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from blueprints.environment import Environment
from blueprints.errors import ExitCode, Problem
from mlops.data.tables import dataset, location
from mlops.serving.log.reader import read_predictions
from mlops.serving.rollout.analysis import Outcomes
from mlops.serving.rollout.state import Rollout
from mlops.serving.rollout.weights import SHADOW

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
        self._names: dict[str, _Names] = {}

    def _once(self, key: tuple[str, str], read: Callable[[], T], otherwise: T) -> T:
        now = time.monotonic()
        if key in self._known and now - self._known[key][0] < KEPT_SECONDS:
            kept: T = self._known[key][1]
            return kept
        try:
            found = read()
        except Exception as error:
            # The storage may be away: gates that need it stay inconclusive, which holds the rollout.
            # Not asked again at once either: each attempt may take seconds, and other rollouts wait.
            log.warning("%s of %s cannot be read: %s", *key[::-1], (str(error).splitlines() or [""])[0])
            found = otherwise
        self._known[key] = (time.monotonic(), found)
        return found

    def metrics(self, model: str) -> Collection[str]:
        """``performance`` where labels have ever come, ``business:NAME`` where a metric has.

        Raises:
            Problem: The storage does not answer, so that nobody knows.
        """
        found = self._once((model, "metrics"), lambda: self._metrics(model), None)
        if found is None:
            raise Problem(
                "the storage does not answer, so nobody knows what can be measured",
                where=model,
                todo="modelyard status; gates on errors, latency, contract or drift need no storage",
                code=ExitCode.RETRY,
            )
        return found

    def _metrics(self, model: str) -> frozenset[str] | None:
        found = {"performance"} if self._dataset("labels", model) is not None else set()
        names = self._names.setdefault(model, _Names())
        outcomes = self._dataset("outcomes", model, names.new)
        if outcomes is not None:
            names.found.update(outcomes.to_table(columns=["name"]).column("name").unique().to_pylist())
            names.files.update(part.path for part in outcomes.get_fragments())
        return frozenset(found | {f"business:{name}" for name in names.found})

    def observed(self, model: str, rollout: Rollout, arms: Mapping[str, str]) -> Found:
        """By version, from the rows that its arm answered since the step began."""
        key = (model, f"truth since {rollout.since:.0f}")
        return self._once(key, lambda: self._observed(model, rollout, arms), {})

    def _observed(self, model: str, rollout: Rollout, arms: Mapping[str, str]) -> Found:
        since = datetime.fromtimestamp(rollout.since, UTC)
        columns = ["version", "arm", "score"]
        found = {}
        for arm, version in arms.items():
            kind = "shadow" if arm == SHADOW else "predictions"
            rows = read_predictions(self._environment, model, since, columns=columns, kind=kind)
            mine = [row for row in rows.to_pylist() if row["version"] == version and row["arm"] == arm]
            metrics = {
                name: _outcomes([row[name] for row in mine if row[name] is not None])
                for name in rows.schema.names
                if name not in ("id", "time", "label", *columns)
            }
            found[version] = (_losses(mine), metrics)
        return found

    def _dataset(self, kind: str, model: str, wanted: Callable[[str, datetime], bool] | None = None) -> Any:
        return dataset(self._environment.storage, location(self._environment, kind, model), wanted)


@dataclass
class _Names:
    """Names of business metrics, and the files that they were read from."""

    found: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    def new(self, path: str, written: datetime) -> bool:
        """Whether a file was not read yet."""
        return path not in self.files


def _losses(rows: Sequence[Mapping[str, Any]]) -> Outcomes:
    """Squared error a row: for probabilities the Brier score (Brier, Monthly Weather Review 78, 1950)."""
    known = [row for row in rows if row["label"] is not None and row["score"] is not None]
    return _outcomes([(row["score"] - row["label"]) ** 2 for row in known])


def _outcomes(values: list[float]) -> Outcomes:
    if not values:
        return Outcomes(0, 0.0, 0.0)
    array = np.asarray(values, float)
    return Outcomes(len(array), float(array.mean()), float(array.var()))
