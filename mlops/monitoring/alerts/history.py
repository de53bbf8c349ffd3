"""The past as it was analysed, to run a policy over: windows with their findings, and what people said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops.monitoring.alerts.alert import Window, aware
from mlops.monitoring.alerts.store import AlertStore
from mlops.monitoring.finding import Finding

#: Windows of one page.
PAGE = 200
_FIGURES = ("column", "family", "test", "statistic", "effect", "floor", "p_value", "p_adjusted")
_REST = ("found", "severity", "sentence", "segment", "importance")


@dataclass(frozen=True)
class Past:
    """One window of the past: when it was recorded, what it was, what was found."""

    id: int
    recorded: datetime
    window: Window
    findings: tuple[Finding, ...]


def page(store: AlertStore, after: int, since: datetime) -> list[dict[str, Any]]:
    """Windows recorded since then, numbered above ``after``, oldest first, as plain data."""
    import sqlalchemy as sa

    from mlops.monitoring.alerts.tables import FINDINGS, WINDOWS

    query = sa.select(WINDOWS).where((WINDOWS.c.id > after) & (WINDOWS.c.recorded >= since))
    with store.reading() as connection:
        windows = connection.execute(query.order_by(WINDOWS.c.id).limit(PAGE)).mappings().all()
        columns = [FINDINGS.c[name] for name in ("window", *_FIGURES, *_REST)]
        chosen = sa.select(*columns).where(FINDINGS.c.window.in_([w["id"] for w in windows]))
        findings = connection.execute(chosen.order_by(FINDINGS.c.id)).mappings().all()
    of: dict[int, list[dict[str, Any]]] = {}
    for row in findings:
        of.setdefault(row["window"], []).append({k: v for k, v in row.items() if k != "window"})
    return [_plain(window, of.get(window["id"], [])) for window in windows]


def _plain(row: Mapping[Any, Any], findings: list[dict[str, Any]]) -> dict[str, Any]:
    times = {name: _iso(row[name]) for name in ("start", "end", "recorded")}
    rest = {name: row[name] for name in ("id", "model", "version", "rows", "kind")}
    return {**rest, **times, "drifted": json.loads(row["drifted"]), "findings": findings}


def past(row: Mapping[str, Any]) -> Past:
    """Back from plain data.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    start, end, recorded = (row[n] and datetime.fromisoformat(row[n]) for n in ("start", "end", "recorded"))
    if recorded is None:
        raise ValueError("a window without the time it was recorded")
    window = Window(
        row["model"], row["version"], start, end, row["rows"], tuple(row["drifted"]), kind=row["kind"]
    )
    return Past(row["id"], recorded, window, tuple(Finding(**finding) for finding in row["findings"]))


def _iso(moment: datetime | None) -> str | None:
    known = aware(moment)
    return known.isoformat() if known else None


def spans(store: AlertStore, since: datetime) -> list[tuple[datetime, datetime]]:
    """For each model, from the first to the last window recorded since then."""
    import sqlalchemy as sa

    from mlops.monitoring.alerts.tables import WINDOWS

    at = WINDOWS.c.recorded
    query = sa.select(sa.func.min(at), sa.func.max(at)).where(at >= since).group_by(WINDOWS.c.model)
    with store.reading() as connection:
        rows = connection.execute(query).all()
    return [(first, last) for low, high in rows if (first := aware(low)) and (last := aware(high))]
