"""The notifier: a thread that sends what is due, again and again until it is taken."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from mlops.monitoring.alerts.book import Alerts
from mlops.monitoring.alerts.outbox import Outbox
from mlops.monitoring.alerts.routes import Refused, Route, made
from mlops.monitoring.alerts.routes.alertmanager import REFRESH, Alertmanager

log = logging.getLogger(__name__)
#: Seconds between two looks at the outbox, and between two looks at what time alone brings.
_LOOK, _TICK = 1.0, 15.0


class Notifier:
    """Sends the notices of one book.

    Args:
        alerts: The book; its spec names the routes.
        clock: The time; UTC.
    """

    def __init__(self, alerts: Alerts, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._alerts, self._clock = alerts, clock
        self._outbox = Outbox(alerts.store)
        self._routes: Mapping[str, Route] = {spec.name: made(spec) for spec in alerts.spec.routes}
        self._levels = {spec.name: spec.levels for spec in alerts.spec.routes}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.fault = ""

    def start(self) -> None:
        """Send in a thread of its own until :meth:`stop`."""
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the notice being sent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def faults(self) -> dict[str, str]:
        """Routes on which notices wait after a refusal, and why; and what keeps the notifier itself."""
        found = {
            f"route {each.route}": f"{each.waiting} notices wait: {each.error}"
            for each in self._outbox.backlog()
            if each.error
        }
        return found | ({"notifier": self.fault} if self.fault else {})

    def _run(self) -> None:
        ticked = refreshed = -_TICK - REFRESH
        while not self._stop.is_set():
            try:
                if time.monotonic() - ticked >= _TICK:
                    self._alerts.tick()
                    ticked = time.monotonic()
                self.deliver()
                if time.monotonic() - refreshed >= REFRESH:
                    self.refresh()
                    refreshed = time.monotonic()
                self.fault = ""
            except Exception as error:
                # A database that restarts: the outbox keeps what is due.
                self.fault = f"{type(error).__name__}"
                log.warning("notices wait: %s", self.fault)
            self._stop.wait(_LOOK)

    def deliver(self) -> int:
        """Send everything that is due; how many were taken."""
        taken = 0
        while not self._stop.is_set() and (batch := self._outbox.due(self._clock())):
            for due in batch:
                if self._stop.is_set():
                    break
                why = self._try(due.notice.route, lambda route, due=due: route.send(due.notice))  # type: ignore[misc]
                if why:
                    log.warning("route %s: %s", due.notice.route, why)
                    self._outbox.failed(due, why, self._clock())
                else:
                    self._outbox.sent(due, self._clock())
                    taken += 1
        return taken

    def _try(self, name: str, act: Callable[[Route], None]) -> str:
        route = self._routes.get(name)
        if route is None:
            # Taken out of the spec meanwhile: nobody waits for it.
            return ""
        try:
            act(route)
        except Refused as refusal:
            return str(refusal)
        except Exception as error:
            # Words of a library may hold what was sent.
            return type(error).__name__
        return ""

    def refresh(self) -> None:
        """Tell every Alertmanager what fires now, for it forgets."""
        known = [
            a
            for a in self._alerts.store.alerts()
            if a.state in ("firing", "acknowledged") and a.announced and not a.inhibited_by
        ]
        for name, route in self._routes.items():
            if isinstance(route, Alertmanager):
                heard = [a for a in known if a.severity in self._levels[name]]
                try:
                    route.refresh(heard, self._alerts.environment)
                except Refused as refusal:
                    log.warning("route %s: %s", name, refusal)
