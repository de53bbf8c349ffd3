"""Notices: what goes on a route when alerts of one model change. Made here, sent elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from blueprints.alerting import AlertsSpec
from mlops.monitoring.alerts.alert import LEVELS, Alert


@dataclass(frozen=True)
class Entry:
    """One alert in a notice. ``status`` is firing, again (still firing), acknowledged or resolved."""

    id: int
    status: str
    severity: str
    kind: str
    feature: str
    segment: str
    value: float
    threshold: float
    summary: str
    since: str


@dataclass(frozen=True)
class Notice:
    """What one model's alerts have to say at one moment, on one route.

    Attributes:
        key: Idempotency key: a receiver that has seen it may drop the notice.
        route: Name of the route.
        environment, model, version: The group.
        status: firing, again, acknowledged or resolved: the most urgent of the entries.
        severity: page, ticket or digest: the loudest of the entries.
        title: One line.
        entries: The alerts.
        evidence: Sentences of alerts that those of this notice explain.
        at: When it was made, ISO 8601, UTC.
    """

    key: str
    route: str
    environment: str
    model: str
    version: str
    status: str
    severity: str
    title: str
    entries: tuple[Entry, ...]
    evidence: tuple[str, ...]
    at: str

    @property
    def thread(self) -> str:
        """Notices of one thread arrive in order."""
        return f"{self.route}/{self.model}/{self.version}"

    @property
    def text(self) -> str:
        """Its lines below the title."""
        lines = [f"{_MARKS.get(e.status, '')}{e.summary}{_where(e)}" for e in self.entries]
        if self.evidence:
            lines += ["", "Seen with it:", *(f"- {sentence}" for sentence in self.evidence)]
        return "\n".join(lines)

    def to_json(self) -> str:
        """As text for the outbox."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Notice:
        """Back from text."""
        values = json.loads(text)
        values["entries"] = tuple(Entry(**entry) for entry in values["entries"])
        values["evidence"] = tuple(values["evidence"])
        return cls(**values)


_MARKS = {"again": "still: ", "acknowledged": "acknowledged: ", "resolved": "over: "}
_URGENCY = ("firing", "again", "acknowledged", "resolved")
#: Lines of one notice; a thousand columns that drift at once are one fact.
_MOST = 50


def _where(entry: Entry) -> str:
    return f" [{entry.segment}]" if entry.segment else ""


def owed(alert: Alert, spec: AlertsSpec, now: datetime) -> str:
    """What is to be announced of an alert now; empty: nothing. Each change once, and a firing one again
    after its repeat interval; what a notice never named is not declared over."""
    state, _, severity = alert.announced.partition("/")
    if alert.state == "firing" and not alert.inhibited_by:
        if state != "firing" or _louder(alert.severity, severity):
            return "firing"
        since = now - (alert.announced_at or now)
        return "again" if since >= _repeat(alert.severity, spec) else ""
    if alert.state == "acknowledged" and state == "firing":
        return "acknowledged"
    if alert.state == "resolved" and state in ("firing", "acknowledged"):
        return "resolved"
    return ""


def _repeat(severity: str, spec: AlertsSpec) -> timedelta:
    return timedelta(hours=spec.repeat_hours * (1 if severity == "page" else 6))


def _louder(now: str, before: str) -> bool:
    return LEVELS.index(now) < LEVELS.index(before) if before in LEVELS else True


def notices(
    due: Sequence[tuple[Alert, str]],
    covered: Iterable[Alert],
    environment: str,
    spec: AlertsSpec,
    now: datetime,
) -> list[Notice]:
    """One notice for each route and (model, version).

    Args:
        due: Alerts, and what is to be announced of each.
        covered: Open alerts that others explain: evidence in the notices of those.
    """
    groups: dict[tuple[str, str], list[tuple[Alert, str]]] = {}
    for alert, status in due:
        groups.setdefault((alert.model, alert.version), []).append((alert, status))
    silent = list(covered)
    made = []
    for (model, version), changes in groups.items():
        evidence = tuple(a.summary for a in silent if (a.model, a.version) == (model, version))[:_MOST]
        for route in spec.routes:
            heard = [(a, status) for a, status in changes if a.severity in route.levels]
            if heard:
                made.append(_notice(route.name, environment, model, version, heard, evidence, now))
    return made


def _notice(
    route: str,
    environment: str,
    model: str,
    version: str,
    changes: Sequence[tuple[Alert, str]],
    evidence: tuple[str, ...],
    now: datetime,
) -> Notice:
    changes = sorted(changes, key=lambda c: (_URGENCY.index(c[1]), LEVELS.index(c[0].severity), c[0].id))
    # The count of announcements makes the key differ from that of the same words said before.
    said = [f"{a.id}:{status}:{a.announcements}" for a, status in changes]
    key = hashlib.sha256("\n".join([environment, route, *said]).encode()).hexdigest()[:32]
    status = changes[0][1]
    severity = min((a.severity for a, _ in changes), key=LEVELS.index)
    return Notice(
        key,
        route,
        environment,
        model,
        version,
        status,
        severity,
        _title(environment, changes, status),
        tuple(_entry(a, s) for a, s in changes[:_MOST]),
        evidence,
        now.isoformat(),
    )


def _title(environment: str, changes: Sequence[tuple[Alert, str]], status: str) -> str:
    first = changes[0][0]
    names = list(dict.fromkeys(a.feature for a, s in changes if s == status and a.kind == first.kind))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    word = {"again": "still firing"}.get(status, status)
    about = first.kind.replace("_", " ")
    subject = f"{first.subject}: {about}" if first.model else about
    return f"{environment}: {subject} {word}: {shown}"


def _entry(alert: Alert, status: str) -> Entry:
    return Entry(
        alert.id,
        status,
        alert.severity,
        alert.kind,
        alert.feature,
        alert.segment,
        alert.value,
        alert.threshold,
        alert.summary,
        (alert.fired_at or alert.first_seen).isoformat(),
    )
