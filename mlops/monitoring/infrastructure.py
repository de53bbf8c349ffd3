"""Infrastructure drift as alerts: what a scheduled check reports becomes observations of the alert store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from blueprints.errors import UsageProblem
from mlops.monitoring.alerts import Alert, Observation
from mlops.monitoring.distribution import Distribution

KIND = "infrastructure"
#: More than any environment has resources.
_MOST, _LONGEST = 1000, 500


@dataclass(frozen=True)
class Reported:
    """One resource that is not as recorded: its name, ``page`` or ``ticket``, and one sentence."""

    resource: str
    severity: str
    summary: str


def reported(body: Any) -> tuple[Reported, ...]:
    """The report in a request: ``{"kind": "infrastructure", "drifts": [{resource, severity, summary}]}``.

    Raises:
        UsageProblem: It is no such document; names the entry.
    """
    drifts = body.get("drifts") if isinstance(body, dict) else None
    if not isinstance(drifts, list) or body.get("kind") != KIND or len(drifts) > _MOST:
        raise UsageProblem(
            f"expected kind {KIND!r} and drifts, a list of at most {_MOST}", where="observations"
        )
    return tuple(_one(entry, number) for number, entry in enumerate(drifts))


def _one(entry: Any, number: int) -> Reported:
    names = ("resource", "severity", "summary")
    fits = (
        isinstance(entry, dict)
        and set(entry) == set(names)
        and all(isinstance(entry[name], str) and 0 < len(entry[name]) <= _LONGEST for name in names)
        and entry["severity"] in ("page", "ticket")
    )
    if not fits:
        raise UsageProblem(
            f"expected {', '.join(names)} as text of at most {_LONGEST} characters, severity page or ticket",
            where=f"drifts.{number}",
        )
    return Reported(**entry)


def observations(reports: Sequence[Reported], open_alerts: Iterable[Alert]) -> list[Observation]:
    """What the report says of every resource: those in it are bad; any other that still fires is well again,
    for a report is the whole truth."""
    now = {each.resource: each for each in reports}
    found = [_observation(each.resource, each.severity, each.summary, True) for each in now.values()]
    for alert in open_alerts:
        if alert.kind == KIND and alert.state != "resolved" and alert.feature not in now:
            found.append(_observation(alert.feature, alert.severity, alert.summary, False))
    return found


def _observation(resource: str, severity: str, summary: str, bad: bool) -> Observation:
    nothing = Distribution((), ())
    return Observation(
        kind=KIND,
        severity=severity,
        model="",
        version="",
        feature=resource,
        statistic="differs",
        value=float(bad),
        threshold=1.0,
        p_value=0.0,
        bad=bad,
        summary=summary,
        window_start=None,
        window_end=None,
        window_rows=0,
        reference=nothing,
        current=nothing,
    )
