"""Evidence of all replicas added up, since the step of a rollout began."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from mlops.serving.control.peers import Report
from mlops.serving.control.ports import Held
from mlops.serving.evidence import Evidence
from mlops.serving.fleet import Key
from mlops.serving.traffic import Lane


class Collector:
    """Adds up what replicas report, over their restarts, and remembers where a step began.

    A replica that dies takes with it what it counted since its last report. The replica that leads starts
    from nothing: a step then gathers its samples anew, which can only make it wait.
    """

    def __init__(self) -> None:
        self._last: dict[str, Report] = {}
        self._total: dict[Lane, Evidence] = {}
        self._begun: dict[str, tuple[str, dict[Lane, Evidence]]] = {}
        self._held: dict[Key, Held] = {}
        # A person's rollback reads it on a thread of its own.
        self._lock = threading.Lock()

    def saw(self, report: Report) -> None:
        """Take the newest report of a replica."""
        with self._lock:
            self._saw(report)

    def _saw(self, report: Report) -> None:
        before = self._last.get(report.replica)
        self._last[report.replica] = report
        for key, held in report.memory.items():
            if key[0] in self._begun:
                self._held[key] = self._held.get(key, Held()).read(held)
        if before is None:
            return
        known = before.lanes if before.boot == report.boot else {}
        for lane, now in report.lanes.items():
            fresh = now.merged(known.get(lane, Evidence()), -1)
            self._total[lane] = self._total.get(lane, Evidence()).merged(fresh)

    def since(self, model: str, mark: str) -> Mapping[Lane, Evidence]:
        """What the arms of a model did since ``mark`` (a step of a rollout) was first asked for."""
        with self._lock:
            total = {lane: each for lane, each in self._total.items() if lane.model == model}
            begun = self._begun.get(model)
            if begun is None or begun[0] != mark:
                self._begun[model] = (mark, total)
                self._held = {key: held for key, held in self._held.items() if key[0] != model}
                return {}
        return {lane: each.merged(begun[1].get(lane, Evidence()), -1) for lane, each in total.items()}

    def memory(self, model: str) -> Mapping[str, Held]:
        """By version, since :meth:`since` was first asked for the present step."""
        with self._lock:
            return {key[1]: held for key, held in self._held.items() if key[0] == model}

    def forget(self, model: str) -> None:
        """The rollout of a model is over."""
        with self._lock:
            self._begun.pop(model, None)
            self._held = {key: held for key, held in self._held.items() if key[0] != model}
