"""The life of one alert, from window to window; pure, so that a replay of the past runs the same."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from mlops.monitoring.alerts.alert import OPEN, Alert, Observation


@dataclass(frozen=True)
class Persistence:
    """How often it takes to fire and to end.

    Attributes:
        need, of: Bad windows, of the last so many, before it fires.
        clear_after: Good windows in a row before it resolves.
        keep: How long it goes on firing after its last bad window.
    """

    need: int = 1
    of: int = 1
    clear_after: int = 3
    keep: timedelta = timedelta()


def step(before: Alert | None, seen: Observation, held: Persistence, now: datetime) -> Alert | None:
    """The alert after one more window; None: there is none (any more)."""
    if not seen.bad:
        return _good(before, held, now)
    if before is None:
        history, alert = "1", _first(seen, now)
    else:
        history, alert = (before.history + "1")[-held.of :], _renewed(before, seen, now)
    alert = replace(alert, history=history, clear_windows=0)
    if alert.state == "pending" and history.count("1") >= held.need:
        alert = replace(alert, state="firing", fired_at=now)
    return alert


def _good(before: Alert | None, held: Persistence, now: datetime) -> Alert | None:
    if before is None:
        return None
    history, clear = (before.history + "0")[-held.of :], before.clear_windows + 1
    after = replace(before, history=history, clear_windows=clear)
    if before.state == "pending":
        return after if "1" in history else None
    if before.state in OPEN and clear >= held.clear_after and now - before.last_seen >= held.keep:
        return replace(after, state="resolved", resolved_at=now, inhibited_by="")
    return after


def _renewed(before: Alert, seen: Observation, now: datetime) -> Alert:
    return replace(before, last_seen=now, **_told(seen))


def _first(seen: Observation, now: datetime) -> Alert:
    return Alert(id=0, state="pending", first_seen=now, last_seen=now, **_told(seen))


def _told(seen: Observation) -> dict[str, Any]:
    """What an alert takes over from an observation: all of it but whether this window is bad."""
    return {each.name: getattr(seen, each.name) for each in fields(Observation) if each.name != "bad"}
