"""What the console shows, read from the tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlops.monitoring.alerts import AlertStore
from mlops.monitoring.alerts.alert import aware
from mlops.monitoring.alerts.tables import ALERTS, CHANGES, WINDOWS

_MOST = 500


def performance(store: AlertStore, model: str, limit: int) -> list[dict[str, Any]]:
    """Quality of the newest windows whose labels have come, oldest first: ``version``, ``start``, ``end``,
    ``metric``, ``value``, ``rows``, ``labelled``, ``kind``."""
    table = WINDOWS
    mine = (table.c.model == model) & (table.c.kind == "labels") & table.c.quality.is_not(None)
    query = sa.select(table).where(mine).order_by(table.c.id.desc()).limit(limit)
    with store.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        {
            "version": row["version"],
            "start": aware(row["start"]),
            "end": aware(row["end"]),
            "metric": row["metric"],
            "value": row["quality"],
            "rows": row["rows"],
            "labelled": row["labelled"],
            "kind": "realised",
        }
        for row in reversed(rows)
    ]


def timeline(store: AlertStore, model: str) -> list[dict[str, Any]]:
    """What happened to a model, oldest first: ``at``, ``kind`` (``version`` when another one answers, or
    that of an alert), ``state``, ``severity``, ``words``, ``alert`` (its number, 0: none)."""
    changes = (
        sa.select(CHANGES, ALERTS.c.kind, ALERTS.c.feature)
        .join(ALERTS, ALERTS.c.id == CHANGES.c.alert)
        .where(ALERTS.c.model == model)
        .order_by(CHANGES.c.id.desc())
        .limit(_MOST)
    )
    first = sa.func.min(WINDOWS.c.recorded)
    versions = (
        sa.select(WINDOWS.c.version, first.label("at"))
        .where((WINDOWS.c.model == model) & WINDOWS.c.recorded.is_not(None))
        .group_by(WINDOWS.c.version)
    )
    with store.reading() as connection:
        changed = connection.execute(changes).mappings().all()
        served = connection.execute(versions).mappings().all()
    events = [
        {
            "at": aware(row["at"]),
            "kind": row["kind"],
            "state": row["state"],
            "severity": row["severity"],
            "words": row["words"],
            "alert": row["alert"],
        }
        for row in changed
    ]
    events += [
        {
            "at": aware(row["at"]),
            "kind": "version",
            "state": "answers",
            "severity": "",
            "words": f"version {row['version']} answers",
            "alert": 0,
        }
        for row in served
    ]
    return sorted(events, key=lambda each: str(each["at"]))
