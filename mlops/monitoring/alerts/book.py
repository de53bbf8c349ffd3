"""The book of alerts: findings go in, states change, notices become due, all in one transaction."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import copysign, isfinite, isnan
from sys import float_info
from typing import TYPE_CHECKING, Any

from blueprints.alerting import AlertsSpec
from blueprints.errors import UsageProblem
from mlops.monitoring.alerts import burn, silences
from mlops.monitoring.alerts.alert import OPEN, Alert, Observation, Window, aware
from mlops.monitoring.alerts.notice import Notice, notices, owed
from mlops.monitoring.alerts.policy import Policy, causes, covered_by
from mlops.monitoring.alerts.silences import Silences
from mlops.monitoring.alerts.store import AlertStore

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.monitoring.finding import Finding

#: A version that none of a model's last windows is of is gone, and what fired about it is over.
_GONE_AFTER = 10
#: Data is late when it is this many times later than it ever was lately.
_LATER = 3
_DIGEST = "alerts:digest"
Also = Callable[["sa.Connection"], None]


class Alerts:
    """Findings in, alerts and notices out.

    Args:
        store: Where everything is kept.
        spec: Policy, routes, intervals.
        environment: Its name, in notices.
        clock: The time; UTC.
    """

    def __init__(
        self,
        store: AlertStore,
        spec: AlertsSpec | None = None,
        environment: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store, self.spec, self.environment = store, spec or AlertsSpec(), environment
        self.policy = Policy.of(self.spec)
        self.silences = Silences(store)
        self._clock = clock

    def record(
        self,
        findings: Sequence[Finding],
        window: Window,
        places: Mapping[str, str],
        also: Also | None = None,
    ) -> None:
        """Keep a window: its findings, what they change, the notices that owes, and where reading goes on,
        in one transaction; a kill leaves all of it or nothing.

        Args:
            findings: Everything that was tested, found or not.
            window: What it was tested on.
            places: Where reading goes on, by name (:meth:`AlertStore.place`).
            also: Writes more in the same transaction: blocks of profiles.
        """
        now = self._clock()
        findings = [_finite(each) for each in findings]
        with self.store.transaction() as connection:
            self.store.add_window(connection, window, findings, now)
            if also is not None:
                also(connection)
            seen = self.policy.observations([*findings, *self._burning(connection, window)], window)
            seen += self._arrived(connection, window)
            self.store.advance(connection, seen, self.policy.persistence, now)
            self._retire(connection, window, now)
            self.store.put_places(connection, places)
            self._settle(connection, now)

    def observe(
        self,
        observations: Sequence[Observation],
        places: Mapping[str, str] | None = None,
        also: Also | None = None,
    ) -> None:
        """Take reports that are no windows: rollouts, infrastructure, sources, business figures. A rollout
        that went well opens a silence for what compares the new version with the past; it ends by itself.

        Args:
            also: Writes more in the same transaction, as in :meth:`record`.
        """
        now = self._clock()
        with self.store.transaction() as connection:
            if also is not None:
                also(connection)
            heard = [self.policy.of_report(each) for each in observations]
            self.store.advance(connection, heard, self.policy.persistence, now)
            for model in dict.fromkeys(o.model for o in observations if o.kind == "rollout" and not o.bad):
                self._after_deployment(connection, model, now)
            self.store.put_places(connection, places or {})
            self._settle(connection, now)

    def fault(self, model: str, words: str) -> None:
        """Say that a model cannot be analysed, and why; no words: it can (again)."""
        self.observe([_plain("pipeline", "page", model, "", "analysis", bool(words), words or "analysed")])

    def source(self, name: str, words: str) -> None:
        """Say that an upstream source is down, and why; no words: it is up (again).

        Raises:
            UsageProblem: The spec has no such source: nobody could say which models live on it.
        """
        known = [each.name for each in self.spec.sources]
        if name not in known:
            raise UsageProblem(
                f"no source {name[:100]}",
                where="monitoring.alerts.sources",
                expected=", ".join(known) or "a source and the models on it",
            )
        self.observe([_plain("source", "page", "", "", name, bool(words), words or f"{name} is up")])

    def end(self, kind: str, gone: Callable[[str], bool], why: str) -> None:
        """End the open alerts of a kind about features that nothing will be said of any more."""
        now = self._clock()
        with self.store.transaction() as connection:
            over = [a for a in self.store.open(connection) if a.kind == kind and a.state in OPEN]
            over = [each for each in over if gone(each.feature)]
            for alert in over:
                if alert.state == "pending":
                    self.store.drop(connection, alert)
                    continue
                done = replace(alert, state="resolved", resolved_at=now, inhibited_by="", summary=why)
                self.store.put(connection, done, alert, now)
            if over:
                self._settle(connection, now)

    def tick(self) -> None:
        """What time alone brings: silences that end, data that does not come, repeats, digests, retention."""
        now = self._clock()
        with self.store.transaction() as connection:
            late = [self.policy.of_report(each) for each in self._late(connection, now)]
            self.store.advance(connection, late, self.policy.persistence, now)
            self._settle(connection, now)
            self.store.forget(connection, now - timedelta(days=self.spec.retention_days))

    def acknowledge(self, number: int, who: str, why: str, useful: bool | None = None) -> Alert | None:
        """Mark an alert as seen, useful or not; the routes hear of it. None: there is no such alert."""
        now = self._clock()
        after = self.store.acknowledge(number, who, why, useful, now)
        with self.store.transaction() as connection:
            self._settle(connection, now)
        return after and self.store.alert(number)

    def silence(self, matchers: Mapping[str, str], hours: float, who: str, why: str) -> int:
        """Hold back alerts that fit every matcher for that long; the silence's number.

        Raises:
            UsageProblem: No such matcher.
        """
        now = self._clock()
        with self.store.transaction() as connection:
            until = now + timedelta(hours=hours)
            number = self.silences.open(connection, silences.checked(matchers), now, until, who, why)
            self._settle(connection, now)
        return number

    def unsilence(self, number: int) -> bool:
        """End a silence now; False: there is none that holds."""
        now = self._clock()
        with self.store.transaction() as connection:
            ended = self.silences.close(connection, number, now)
            self._settle(connection, now)
        return ended

    # -- inside a transaction -----------------------------------------------------------------------------

    def _settle(self, connection: sa.Connection, now: datetime) -> None:
        """Bring every open alert in line with silences and causes, and put what is owed into the outbox."""
        active = self.silences.active(connection, now)
        before = self.store.open(connection)
        after = [_silenced(alert, any(s.covers(alert, now) for s in active)) for alert in before]
        explaining = causes(after)
        after = [self._inhibited(alert, explaining) for alert in after]
        digest = self._digest_is_due(connection, now)
        due = [
            (alert, status)
            for alert in after
            if (alert.severity != "digest" or digest) and (status := owed(alert, self.spec, now))
        ]
        for notice in notices(due, [a for a in after if a.inhibited_by], self.environment, self.spec, now):
            self._post(connection, notice, now)
        said = {alert.id: alert for alert in (_announced(alert, status, now) for alert, status in due)}
        for old, alert in zip(before, after, strict=True):
            new = said.get(alert.id, alert)
            if new != old:
                self.store.put(connection, new, old, now)

    def _inhibited(self, alert: Alert, explaining: Sequence[Alert]) -> Alert:
        if alert.state == "resolved":
            return alert
        cause = covered_by(alert, explaining, self.spec)
        words = f"alert {cause.id}: {cause.summary}" if cause else ""
        return alert if words == alert.inhibited_by else replace(alert, inhibited_by=words)

    def _post(self, connection: sa.Connection, notice: Notice, now: datetime) -> None:
        from mlops.monitoring.alerts.tables import OUTBOX

        connection.execute(
            OUTBOX.insert().values(
                key=notice.key,
                route=notice.route,
                thread=notice.thread,
                body=notice.to_json(),
                created=now,
                due=now,
                attempts=0,
                error="",
            )
        )

    def _digest_is_due(self, connection: sa.Connection, now: datetime) -> bool:
        at = self.store.place_in(connection, _DIGEST)
        due = bool(at) and now >= datetime.fromisoformat(at)
        if due or not at:
            following = now + timedelta(hours=self.spec.digest_hours)
            self.store.put_places(connection, {_DIGEST: following.isoformat()})
        return due

    def _burning(self, connection: sa.Connection, window: Window) -> list[Finding]:
        import sqlalchemy as sa

        from mlops.monitoring.alerts.tables import EVENTS

        found = []
        for objective in window.good:
            end = window.end or self._clock()
            same = (EVENTS.c.model == window.model) & (EVENTS.c.version == window.version)
            recent = (EVENTS.c.objective == objective) & (EVENTS.c.end > end - burn.PACES[-1].long)
            query = sa.select(EVENTS.c.end, EVENTS.c.good, EVENTS.c.total).where(same & recent)
            rows = [(aware(row[0]) or end, row[1], row[2]) for row in connection.execute(query)]
            # Labels come late and out of order: the log's time is that of the newest event.
            newest = max(row[0] for row in rows)
            events = [burn.Events(*row) for row in rows]
            least = self.spec.burn_min_events
            found.append(burn.burning(events, objective, self.spec.objective, newest, least))
        return found

    def _arrived(self, connection: sa.Connection, window: Window) -> list[Observation]:
        """A window is the end of the wait for one."""
        feature = _FEEDS[window.kind]
        return [
            _plain("no_data", a.severity, a.model, a.version, feature, False, f"{feature} come again")
            for a in self.store.open(connection)
            if a.kind == "no_data" and a.model == window.model and a.feature == feature
        ]

    def _late(self, connection: sa.Connection, now: datetime) -> list[Observation]:
        import sqlalchemy as sa

        from mlops.monitoring.alerts.tables import WINDOWS

        last: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
        columns = (WINDOWS.c.model, WINDOWS.c.kind, WINDOWS.c.recorded, WINDOWS.c.version)
        rank = sa.func.row_number().over(
            partition_by=(WINDOWS.c.model, WINDOWS.c.kind), order_by=WINDOWS.c.id.desc()
        )
        newest = sa.select(*columns, rank.label("rank")).where(WINDOWS.c.recorded.is_not(None)).subquery()
        for model, kind, at, version, _ in connection.execute(
            sa.select(newest).where(newest.c.rank <= 50).order_by(newest.c.rank)
        ):
            last.setdefault((model, kind), []).append((aware(at) or now, version))
        return [
            _plain("no_data", "ticket", model, seen[0][1], _FEEDS[kind], True, words)
            for (model, kind), seen in last.items()
            if (words := _waited([at for at, _ in seen], now, self.spec.no_data_hours, model, _FEEDS[kind]))
        ]

    def _retire(self, connection: sa.Connection, window: Window, now: datetime) -> None:
        """End what fired about versions that are not served any more."""
        import sqlalchemy as sa

        from mlops.monitoring.alerts.tables import WINDOWS

        query = sa.select(WINDOWS.c.version).where(WINDOWS.c.model == window.model)
        last = [r[0] for r in connection.execute(query.order_by(WINDOWS.c.id.desc()).limit(_GONE_AFTER))]
        if len(last) < _GONE_AFTER:
            return
        for alert in self.store.open(connection):
            gone = alert.model == window.model and alert.version not in ("", *last)
            if gone and alert.state in OPEN and alert.kind != "rollout":
                if alert.state == "pending":
                    self.store.drop(connection, alert)
                    continue
                over = replace(alert, state="resolved", resolved_at=now, inhibited_by="")
                self.store.put(connection, over, alert, now)

    def _after_deployment(self, connection: sa.Connection, model: str, now: datetime) -> None:
        minutes = self.spec.deployment_silence_minutes
        if minutes and model:
            until = now + timedelta(minutes=minutes)
            words = f"a version of {model} was deployed"
            self.silences.open(connection, silences.after_deployment(model), now, until, "rollout", words)


#: What the windows of a kind are made of, in words.
_FEEDS = {"rows": "predictions", "labels": "labels"}


#: Figures of a finding.
_FIGURES = ("statistic", "effect", "floor", "p_value", "p_adjusted")


def _finite(finding: Finding) -> Finding:
    """Figures that a database and JSON can hold: what is no number is nothing, infinity the largest."""
    figures = {name: float(getattr(finding, name)) for name in _FIGURES}
    odd = {name: value for name, value in figures.items() if not isfinite(value)}
    held = {name: 0.0 if isnan(v) else copysign(float_info.max, v) for name, v in odd.items()}
    return replace(finding, **held) if held else finding  # type: ignore[arg-type]


def _silenced(alert: Alert, held: bool) -> Alert:
    if alert.state == "firing" and held:
        return replace(alert, state="silenced")
    if alert.state == "silenced" and not held:
        return replace(alert, state="firing")
    return alert


def _announced(alert: Alert, status: str, now: datetime) -> Alert:
    state = "firing" if status == "again" else status
    return replace(
        alert,
        announced=f"{state}/{alert.severity}",
        announced_at=now,
        announcements=alert.announcements + 1,
    )


def _waited(times: list[datetime], now: datetime, hours: float, model: str, feed: str) -> str:
    """Words when data is later than expected, newest time first; else none."""
    gaps = [later - earlier for later, earlier in itertools.pairwise(times)]
    patience = max([timedelta(hours=hours), *(_LATER * gap for gap in gaps)])
    waited = now - times[0]
    if waited <= patience:
        return ""
    return f"{model}: no new {feed} for {waited.total_seconds() / 3600:.1f} h"


def _plain(
    kind: str, severity: str, model: str, version: str, feature: str, bad: bool, words: str
) -> Observation:
    return Observation(
        kind, severity, model, version, feature, kind, float(bad), 1.0, 0.0, bad, words, None, None, 0
    )


def finding_rows(store: AlertStore, model: str, limit: int = 20) -> list[dict[str, Any]]:
    """The findings of the newest windows of a model, oldest window first."""
    import sqlalchemy as sa

    from mlops.monitoring.alerts.tables import FINDINGS, WINDOWS

    newest = (
        sa.select(WINDOWS.c.id).where(WINDOWS.c.model == model).order_by(WINDOWS.c.id.desc()).limit(limit)
    )
    query = (
        sa.select(FINDINGS, WINDOWS.c.version, WINDOWS.c.start, WINDOWS.c.end, WINDOWS.c.rows)
        .join(WINDOWS, WINDOWS.c.id == FINDINGS.c.window)
        .where(FINDINGS.c.window.in_(newest))
        .order_by(FINDINGS.c.window, FINDINGS.c.id)
    )
    with store.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    for row in rows:
        row["start"], row["end"] = aware(row["start"]), aware(row["end"])
        row["reference"], row["current"] = json.loads(row["reference"]), json.loads(row["current"])
    return rows
