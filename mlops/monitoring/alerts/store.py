"""Where alerts, findings, windows and the monitor's places are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlops.monitoring.alerts.alert import LEVELS, OPEN, Alert, Observation, Window, aware
from mlops.monitoring.alerts.lifecycle import Persistence, step
from mlops.monitoring.distribution import Distribution

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.monitoring.finding import Finding

#: Pictures are kept for findings that found something: a thousand quiet columns need none.
_NO_PICTURE = "[[], []]"


class AlertStore:
    """Alerts, findings, windows and the monitor's places, in PostgreSQL or SQLite.

    Args:
        url: SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        import sqlalchemy as sa

        from mlops.monitoring.alerts import tables

        self._sa, self._tables = sa, tables
        self._engine = tables.engine(url)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction, one writer at a time: whole, or (killed in between) not at all."""
        places = self._tables.PLACES
        with self._engine.begin() as connection:
            connection.execute(places.update().where(places.c.name == self._tables.LOCK).values(value="0"))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that only reads."""
        with self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # -- places -------------------------------------------------------------------------------------------

    def models(self) -> tuple[str, ...]:
        """The models of which a window was analysed, by name."""
        table = self._tables.WINDOWS
        with self.reading() as connection:
            found = connection.execute(self._sa.select(table.c.model).distinct().order_by(table.c.model))
            return tuple(str(row[0]) for row in found)

    def place(self, name: str, default: str = "") -> str:
        """A remembered position."""
        with self.reading() as connection:
            return self.place_in(connection, name, default)

    def place_in(self, connection: sa.Connection, name: str, default: str = "") -> str:
        """A remembered position, as the transaction sees it."""
        places = self._tables.PLACES
        row = connection.execute(self._sa.select(places.c.value).where(places.c.name == name)).first()
        return str(row[0]) if row else default

    def put_places(self, connection: sa.Connection, values: Mapping[str, str]) -> None:
        """Remember positions."""
        places = self._tables.PLACES
        for name, value in values.items():
            connection.execute(places.delete().where(places.c.name == name))
            connection.execute(places.insert().values(name=name, value=value))

    # -- what the monitor writes --------------------------------------------------------------------------

    def advance(
        self,
        connection: sa.Connection,
        observations: Sequence[Observation],
        held: Callable[[Observation], Persistence],
        now: datetime,
    ) -> None:
        """Take every alert that the observations speak of one window further."""
        if not observations:
            return
        subjects = {(o.model, o.version) for o in observations}
        book = {alert.key: alert for alert in self.open(connection, subjects)}
        for seen in observations:
            before = book.get(seen.key)
            after = step(before, seen, held(seen), now)
            if after is None:
                if before is not None:
                    self.drop(connection, before)
                    del book[seen.key]
            elif after is not before:
                book[seen.key] = self.put(connection, after, before, now)

    def open(
        self, connection: sa.Connection, subjects: Iterable[tuple[str, str]] | None = None
    ) -> list[Alert]:
        """Alerts that are not over, and those whose end nobody was told of; of some (model, version) only."""
        sa, table = self._sa, self._tables.ALERTS
        untold = (
            (table.c.state == "resolved")
            & table.c.announced.not_like("resolved%")
            & (table.c.announced != "")
        )
        query = sa.select(table).where(table.c.state.in_(OPEN) | untold).order_by(table.c.id)
        if subjects is not None:
            each = [(table.c.model == model) & (table.c.version == version) for model, version in subjects]
            query = sa.select(table).where(table.c.state.in_(OPEN) & sa.or_(*each)).order_by(table.c.id)
        return [_alert(row) for row in connection.execute(query).mappings()]

    def put(self, connection: sa.Connection, alert: Alert, before: Alert | None, now: datetime) -> Alert:
        """Write an alert; a change of its state or severity goes into the history."""
        table, values = self._tables.ALERTS, _values(alert)
        if alert.id:
            connection.execute(table.update().where(table.c.id == alert.id).values(**values))
        else:
            key = connection.execute(table.insert().values(**values)).inserted_primary_key
            assert key is not None
            alert = replace(alert, id=int(key[0]))
        if before is None or (before.state, before.severity) != (alert.state, alert.severity):
            words = alert.why if alert.state == "acknowledged" else alert.summary
            connection.execute(
                self._tables.CHANGES.insert().values(
                    alert=alert.id, at=now, state=alert.state, severity=alert.severity, words=words
                )
            )
        return alert

    def drop(self, connection: sa.Connection, alert: Alert) -> None:
        """Forget an alert that never fired."""
        for table, column in ((self._tables.ALERTS, "id"), (self._tables.CHANGES, "alert")):
            connection.execute(table.delete().where(table.c[column] == alert.id))

    def add_window(
        self, connection: sa.Connection, window: Window, findings: Sequence[Finding], now: datetime
    ) -> int:
        """Keep a window with everything that was found in it, and count it; its number."""
        tables = self._tables
        drifted = window.drifted or tuple(sorted({f.column for f in findings if f.found and f.column}))
        values = {n: getattr(window, n) for n in ("model", "version", "start", "end", "rows", "kind")}
        values |= {n: getattr(window, n) for n in ("metric", "quality", "labelled")}
        made = connection.execute(
            tables.WINDOWS.insert().values(**values, drifted=json.dumps(drifted), recorded=now)
        )
        assert made.inserted_primary_key is not None
        number = int(made.inserted_primary_key[0])
        if findings:
            connection.execute(tables.FINDINGS.insert(), [_finding_values(f, number) for f in findings])
        end = window.end or now
        for objective, (good, total) in window.good.items():
            connection.execute(
                tables.EVENTS.insert().values(
                    model=window.model,
                    version=window.version,
                    objective=objective,
                    end=end,
                    good=good,
                    total=total,
                )
            )
        if window.kind == "rows":
            self._count(connection, "predictions", window, "", window.rows)
        for reason, rows in window.invalid.items():
            self._count(connection, "invalid", window, reason, rows)
        return number

    def _count(self, connection: sa.Connection, name: str, window: Window, reason: str, more: int) -> None:
        table = self._tables.TOTALS
        key = {"name": name, "model": window.model, "version": window.version, "reason": reason}
        same = self._sa.and_(*(table.c[column] == value for column, value in key.items()))
        if not connection.execute(table.update().where(same).values(value=table.c.value + more)).rowcount:
            connection.execute(table.insert().values(**key, value=more))

    def forget(self, connection: sa.Connection, before: datetime) -> None:
        """Delete findings, windows, events, sent notices and finished silences older than that."""
        sa, tables = self._sa, self._tables
        old = sa.select(tables.WINDOWS.c.id).where(tables.WINDOWS.c.recorded < before)
        connection.execute(tables.FINDINGS.delete().where(tables.FINDINGS.c.window.in_(old)))
        connection.execute(tables.WINDOWS.delete().where(tables.WINDOWS.c.recorded < before))
        # The longest burn-rate window is three days, however short the retention is.
        connection.execute(tables.EVENTS.delete().where(tables.EVENTS.c.end < before - timedelta(days=3)))
        connection.execute(tables.OUTBOX.delete().where(tables.OUTBOX.c.sent < before))
        connection.execute(tables.SILENCES.delete().where(tables.SILENCES.c.ends < before))

    # -- what people ask and say --------------------------------------------------------------------------

    def alerts(self, state: str | None = None) -> list[Alert]:
        """Alerts, pages before tickets, newest first; all states unless one is named."""
        sa, table = self._sa, self._tables.ALERTS
        loudness = sa.case({level: number for number, level in enumerate(LEVELS)}, value=table.c.severity)
        query = sa.select(table).order_by(loudness, table.c.last_seen.desc())
        if state:
            query = query.where(table.c.state == state)
        with self.reading() as connection:
            return [_alert(row) for row in connection.execute(query).mappings()]

    def alert(self, number: int) -> Alert | None:
        """One alert."""
        with self.reading() as connection:
            return self._one(connection, number)

    def _one(self, connection: sa.Connection, number: int) -> Alert | None:
        table = self._tables.ALERTS
        row = connection.execute(self._sa.select(table).where(table.c.id == number)).mappings().first()
        return _alert(row) if row else None

    def acknowledge(
        self, number: int, who: str, why: str, useful: bool | None = None, now: datetime | None = None
    ) -> Alert | None:
        """Mark an alert as seen by someone, useful or not; it still resolves by itself. What it was worth
        can be said (again) at any time. None when there is no such alert."""
        now = now or datetime.now(UTC)
        with self.transaction() as connection:
            before = self._one(connection, number)
            if before is None:
                return None
            after = before if useful is None else replace(before, useful=useful)
            if before.state in ("firing", "silenced"):
                after = replace(
                    after, state="acknowledged", acknowledged_by=who, why=why, acknowledged_at=now
                )
            elif after is not before and not before.acknowledged_by:
                after = replace(after, acknowledged_by=who, why=why, acknowledged_at=now)
            return self.put(connection, after, before, now)

    def history(self, number: int) -> list[dict[str, Any]]:
        """Every change of an alert, oldest first: ``at``, ``state``, ``severity``, ``words``."""
        table = self._tables.CHANGES
        query = self._sa.select(table).where(table.c.alert == number).order_by(table.c.id)
        with self.reading() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [{**row, "at": aware(row["at"])} for row in rows]

    def windows(self, model: str, limit: int = 200) -> list[dict[str, Any]]:
        """The newest windows of a model's predictions, oldest first; those that late labels make are not
        among them."""
        table = self._tables.WINDOWS
        mine = (table.c.model == model) & (table.c.kind == "rows")
        query = self._sa.select(table).where(mine).order_by(table.c.id.desc()).limit(limit)
        with self.reading() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return rows[::-1]


def _dumped(distribution: Distribution) -> str:
    return json.dumps([list(distribution.labels), list(distribution.shares)])


def _loaded(text: str) -> Distribution:
    labels, shares = json.loads(text)
    return Distribution(tuple(labels), tuple(shares))


def _values(alert: Alert) -> dict[str, Any]:
    values = {key: getattr(alert, key) for key in Alert.__dataclass_fields__ if key != "id"}
    return values | {"reference": _dumped(alert.reference), "current": _dumped(alert.current)}


def _alert(row: Any) -> Alert:
    values = {key: row[key] for key in Alert.__dataclass_fields__}
    values = {key: aware(v) if isinstance(v, datetime) else v for key, v in values.items()}
    values["reference"], values["current"] = _loaded(row["reference"]), _loaded(row["current"])
    return Alert(**values)


def _finding_values(finding: Finding, window: int) -> dict[str, Any]:
    values = asdict(finding) | {"window": window, "found": bool(finding.found)}
    for name in ("statistic", "effect", "floor", "p_value", "p_adjusted"):
        values[name] = float(values[name])  # NumPy's own are nothing to a database driver
    for name in ("reference", "current"):
        values[name] = _dumped(getattr(finding, name)) if finding.found else _NO_PICTURE
    return values
