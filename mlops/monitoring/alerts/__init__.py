"""What fires, who hears of it, and on which route; analysis hands over findings, policy decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.monitoring.alerts.alert import Alert, Observation, Window
from mlops.monitoring.alerts.store import AlertStore

if TYPE_CHECKING:
    from mlops.monitoring.alerts.book import Alerts
    from mlops.monitoring.alerts.notifier import Notifier

__all__ = ["Alert", "AlertStore", "Alerts", "Notifier", "Observation", "Window"]


def __getattr__(name: str) -> Any:
    # Clients want the types alone; policy and routes cost them nothing.
    if name == "Alerts":
        from mlops.monitoring.alerts.book import Alerts

        return Alerts
    if name == "Notifier":
        from mlops.monitoring.alerts.notifier import Notifier

        return Notifier
    raise AttributeError(name)
