"""Business figures and resources, watched beside the models: neither waits for the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from blueprints.environment import Environment
from blueprints.measures import VOLUME
from blueprints.spec import MonitoringSpec
from mlops.monitoring.alerts import Alerts
from mlops.monitoring.service import resources
from mlops.monitoring.service.kpis import Kpis

log = logging.getLogger(__name__)


class Figures:
    """Looks again and again, on a thread of its own."""

    def __init__(self, environment: Environment, spec: MonitoringSpec, book: Alerts) -> None:
        self._spec = spec
        self._resources = resources.Resources(environment, spec.resources, book)
        self._kpis = Kpis(environment, spec.kpis, book, volume=spec.volume)
        self._stop = threading.Event()
        self.faults: Mapping[str, str] = {}

    def run(self) -> None:
        """Until :meth:`stop`; a fault is shown and retried, never the end."""
        while True:
            faults: dict[str, str] = {}
            try:
                self._resources.look()
                faults = self._kpis.look(time.monotonic() + self._spec.look_seconds)
            except Exception as error:
                words = (str(error).splitlines() or [repr(error)])[0][:300]
                faults["figures"] = words
                if self.faults.get("figures") != words:
                    log.warning("figures: %s", words)
            self.faults = faults
            if self._stop.wait(self._spec.interval_seconds):
                return

    def stop(self) -> None:
        """End after the present look."""
        self._stop.set()

    def unit(self, kind: str, name: str) -> str:
        """Of a business figure or a resource."""
        if kind == "resource":
            return resources.unit(name)
        if name == VOLUME:
            return "an hour"
        return next((each.unit for each in self._spec.kpis if each.name == name), "")
