"""Prometheus Alertmanager, API version 2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops.monitoring.alerts.alert import Alert
from mlops.monitoring.alerts.notice import Entry, Notice
from mlops.monitoring.alerts.routes.base import post

#: How long it keeps what is not refreshed: longer than a restart of the monitor takes.
KEPT = timedelta(minutes=15)
#: Seconds between two refreshes.
REFRESH = 60.0


class Alertmanager:
    """Posts alerts; groups, silences and routes of the Alertmanager apply on top."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/api/v2/alerts"

    def send(self, notice: Notice) -> None:
        """One alert an entry; acknowledged ones go on."""
        now = datetime.now(UTC)
        self._post([self._entry(notice, entry, now) for entry in notice.entries])

    def refresh(self, alerts: Iterable[Alert], environment: str) -> None:
        """Say again what fires: the Alertmanager resolves what it no longer hears of."""
        now = datetime.now(UTC)
        self._post(
            [
                _alert(
                    _labels(environment, a.model, a.version, a.kind, a.feature, a.segment, a.severity),
                    a.summary,
                    a.fired_at or a.first_seen,
                    now + KEPT,
                )
                for a in alerts
            ]
        )

    def _entry(self, notice: Notice, entry: Entry, now: datetime) -> dict[str, Any]:
        labels = _labels(
            notice.environment,
            notice.model,
            notice.version,
            entry.kind,
            entry.feature,
            entry.segment,
            entry.severity,
        )
        ends = now if entry.status == "resolved" else now + KEPT
        return _alert(labels, entry.summary, datetime.fromisoformat(entry.since), ends)

    def _post(self, alerts: Sequence[dict[str, Any]]) -> None:
        if alerts:
            post(self._url, json=list(alerts))


def _labels(
    environment: str, model: str, version: str, kind: str, feature: str, segment: str, severity: str
) -> dict[str, str]:
    labels = {
        "alertname": f"modelyard_{kind}",
        "environment": environment,
        "model": model,
        "version": version,
        "feature": feature,
        "segment": segment,
        "severity": severity,
    }
    return {name: value for name, value in labels.items() if value}


def _alert(labels: dict[str, str], summary: str, starts: datetime, ends: datetime) -> dict[str, Any]:
    return {
        "labels": labels,
        "annotations": {"summary": summary},
        "startsAt": min(starts, ends).isoformat(),
        "endsAt": ends.isoformat(),
    }
