"""Findings, windows and books for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from blueprints.alerting import AlertsSpec, RouteSpec
from mlops.monitoring.alerts import Alerts, AlertStore, Window
from mlops.monitoring.alerts.notice import Notice
from mlops.monitoring.alerts.outbox import Outbox
from mlops.monitoring.finding import Finding


def finding(column: str, family: str = "drift", found: bool = True, **more: Any) -> Finding:
    """A finding whose figures do not matter."""
    effect, floor = more.pop("effect", 0.4), more.pop("floor", 0.1)
    severity = more.pop("severity", "ticket") if found else "none"
    values = {
        "test": "ks",
        "statistic": effect,
        "effect": effect,
        "floor": floor,
        "sentence": f"{column} moved",
    }
    values |= {"p_value": 0.001, "p_adjusted": 0.01, **more}
    return Finding(column, family, found=found, severity=severity, **values)  # type: ignore[arg-type]


class Bench:
    """A book over a SQLite file, with a clock that a test turns."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.now = datetime(2026, 1, 5, tzinfo=UTC)
        self.url = f"sqlite:///{folder / 'alerts.db'}"
        self.store = AlertStore(self.url)
        routes = spec.pop("routes", (RouteSpec(name="all", kind="desktop"),))
        self.alerts = Alerts(self.store, AlertsSpec(routes=routes, **spec), "prod", lambda: self.now)
        self.outbox = Outbox(self.store)

    def later(self, **span: float) -> None:
        """Turn the clock."""
        self.now += timedelta(**span)

    def window(self, *findings: Finding, model: str = "m", version: str = "1", **more: Any) -> None:
        """One more window, a minute later."""
        self.later(minutes=1)
        window = Window(model, version, self.now - timedelta(minutes=1), self.now, 1000, **more)
        self.alerts.record(findings, window, {})

    def states(self) -> dict[str, str]:
        """State of each column's alert."""
        return {alert.feature: alert.state for alert in self.store.alerts()}

    def sent(self) -> list[Notice]:
        """Take what is due, as a route that never fails."""
        taken = []
        while due := self.outbox.due(self.now):
            for each in due:
                self.outbox.sent(each, self.now)
                taken.append(each.notice)
        return taken

    def said(self) -> list[tuple[str, tuple[str, ...]]]:
        """The same as (status, columns)."""
        return [(notice.status, tuple(e.feature for e in notice.entries)) for notice in self.sent()]
