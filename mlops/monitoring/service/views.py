"""What the console shows, read from the tables."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa

from mlops.monitoring.alerts import AlertStore
from mlops.monitoring.alerts.alert import aware
from mlops.monitoring.alerts.tables import ALERTS, CHANGES, FINDINGS, WINDOWS
from mlops.monitoring.answers import Heat, Span

_MOST = 500
#: Just below what a finding shows at least: close to its floor, and not found.
_NEARLY = 0.99


def heat(store: AlertStore, model: str, limit: int, segment: str = "") -> Heat:
    """How far each column was from its reference in the newest windows."""
    newest = (
        sa.select(WINDOWS.c.id, WINDOWS.c.version, WINDOWS.c.start, WINDOWS.c.end, WINDOWS.c.rows)
        .where((WINDOWS.c.model == model) & (WINDOWS.c.kind == "rows"))
        .order_by(WINDOWS.c.id.desc())
        .limit(limit)
    )
    shown = [
        FINDINGS.c[name] for name in ("window", "column", "test", "effect", "floor", "found", "importance")
    ]
    with store.reading() as connection:
        windows = connection.execute(newest).all()[::-1]
        ids = [row.id for row in windows]
        mine = FINDINGS.c.window.in_(ids) & (FINDINGS.c.segment == segment)
        found = connection.execute(sa.select(*shown).where(mine)).all() if ids else []
    places = {number: place for place, number in enumerate(ids)}
    cells: dict[str, dict[int, tuple[float, str]]] = {}
    importance: dict[str, float] = {}
    for row in found:
        here = cells.setdefault(row.column, {})
        level = (_level(row.effect, row.floor, row.found), row.test if row.found else "")
        here[places[row.window]] = max(here.get(places[row.window], (0.0, "")), level)
        importance[row.column] = row.importance or 0.0

    def first(column: str) -> tuple[float, ...]:
        levels = [level for level, _ in cells[column].values()]
        return (-sum(level >= 1 for level in levels), -importance[column], -max(levels))

    columns = sorted(cells, key=lambda column: (*first(column), column))
    rows = [[cells[column].get(place) for place in range(len(ids))] for column in columns]
    return Heat(
        tuple(Span(row.version, aware(row.start), aware(row.end), row.rows) for row in windows),
        tuple(columns),
        tuple(tuple(cell[0] if cell else None for cell in row) for row in rows),
        tuple(tuple(cell[1] if cell else "" for cell in row) for row in rows),
    )


def _level(effect: float, floor: float, found: bool) -> float:
    share = effect / floor if floor > 0 and math.isfinite(effect) else 0.0
    return max(1.0, share) if found else min(_NEARLY, max(0.0, share))


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
            "feature": row["feature"],
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
            "feature": "",
        }
        for row in served
    ]
    return sorted(events, key=lambda each: str(each["at"]))
