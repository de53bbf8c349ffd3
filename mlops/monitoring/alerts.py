"""Alerts: what they are, and the table they live in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.monitoring.distribution import Distribution


@dataclass(frozen=True)
class Alert:
    """Something about a model, or about what it runs on, that a person should know.

    Attributes:
        kind: ``drift``, ``missing``, ``performance``, ``infrastructure`` or ``rollout``.
        severity: ``page`` (the model is worse, data may be gone) or ``ticket`` (its inputs changed).
        state: ``firing``, ``acknowledged`` or ``resolved``.
        model: Its name; empty for infrastructure.
        feature: Column, ``prediction``, the quality metric, the resource, or the gate that failed.
        value, threshold: Size of the effect now, and the least that alerts.
        summary: One sentence.
        window_start, window_end: Times of the window's events.
    """

    id: int
    kind: str
    severity: str
    state: str
    model: str
    version: str
    feature: str
    statistic: str
    value: float
    threshold: float
    p_value: float
    summary: str
    first_seen: datetime
    last_seen: datetime
    window_start: datetime | None
    window_end: datetime | None
    window_rows: int
    reference: Distribution
    current: Distribution
    acknowledged_by: str = ""
    why: str = ""

    @property
    def subject(self) -> str:
        """``delay v3``, or ``infrastructure``."""
        return f"{self.model} v{self.version}" if self.model else self.kind


@dataclass(frozen=True)
class Observation:
    """What a window says of one (model, version, feature, kind); ``bad`` windows fire, others clear."""

    kind: str
    severity: str
    model: str
    version: str
    feature: str
    statistic: str
    value: float
    threshold: float
    p_value: float
    bad: bool
    summary: str
    window_start: datetime | None
    window_end: datetime | None
    window_rows: int
    reference: Distribution
    current: Distribution


#: An alert resolves after this many windows in a row without it.
CLEAR_AFTER = 3
#: The same by kind, where one look is no sample of something noisy.
_CLEAR_AFTER = {"infrastructure": 1, "rollout": 1}


class AlertStore:
    """Alerts, windows and the monitor's places, in PostgreSQL or SQLite.

    Args:
        url: SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        import sqlalchemy as sa

        self._sa = sa
        self._engine = sa.create_engine(url, pool_size=3, max_overflow=2, pool_pre_ping=True)
        meta = sa.MetaData()
        text, real, whole = sa.Text, sa.Float, sa.Integer
        stamp = sa.DateTime(timezone=True)
        self._alerts = sa.Table(
            "alerts",
            meta,
            sa.Column("id", whole, primary_key=True, autoincrement=True),
            *(
                sa.Column(name, text, nullable=False)
                for name in (
                    "kind",
                    "severity",
                    "state",
                    "model",
                    "version",
                    "feature",
                    "statistic",
                    "summary",
                )
            ),
            *(sa.Column(name, real, nullable=False) for name in ("value", "threshold", "p_value")),
            sa.Column("first_seen", stamp, nullable=False),
            sa.Column("last_seen", stamp, nullable=False),
            sa.Column("window_start", stamp),
            sa.Column("window_end", stamp),
            sa.Column("window_rows", whole, nullable=False),
            sa.Column("reference", text, nullable=False),
            sa.Column("current", text, nullable=False),
            sa.Column("clear_windows", whole, nullable=False, default=0),
            sa.Column("acknowledged_by", text, nullable=False, default=""),
            sa.Column("why", text, nullable=False, default=""),
        )
        self._windows = sa.Table(
            "windows",
            meta,
            sa.Column("id", whole, primary_key=True, autoincrement=True),
            sa.Column("model", text, nullable=False),
            sa.Column("version", text, nullable=False),
            sa.Column("start", stamp),
            sa.Column("end", stamp),
            sa.Column("rows", whole, nullable=False),
            sa.Column("drifted", text, nullable=False),
            sa.Column("metric", text, nullable=False, default=""),
            sa.Column("quality", real),
            sa.Column("labelled", whole, nullable=False, default=0),
        )
        self._places = sa.Table(
            "places",
            meta,
            sa.Column("name", text, primary_key=True),
            sa.Column("value", text, nullable=False),
        )
        meta.create_all(self._engine)

    def place(self, name: str, default: str = "") -> str:
        """A remembered position."""
        with self._engine.connect() as connection:
            row = connection.execute(
                self._sa.select(self._places.c.value).where(self._places.c.name == name)
            ).first()
        return str(row[0]) if row else default

    def record(
        self,
        observations: Sequence[Observation],
        window: dict[str, Any] | None,
        places: dict[str, str],
    ) -> None:
        """One window's findings, the window itself and where reading goes on, in one transaction: a kill
        repeats a window whole or not at all."""
        with self._engine.begin() as connection:
            for observation in observations:
                self._observe(connection, observation)
            if window is not None:
                connection.execute(self._windows.insert().values(**window))
            for name, value in places.items():
                connection.execute(self._places.delete().where(self._places.c.name == name))
                connection.execute(self._places.insert().values(name=name, value=value))

    def _observe(self, connection: Any, seen: Observation) -> None:
        table = self._alerts
        same = (
            (table.c.model == seen.model)
            & (table.c.version == seen.version)
            & (table.c.feature == seen.feature)
            & (table.c.kind == seen.kind)
            & (table.c.state != "resolved")
        )
        row = connection.execute(self._sa.select(table).where(same)).mappings().first()
        now = datetime.now(UTC)
        if not seen.bad:
            if row is not None:
                clear = row["clear_windows"] + 1
                enough = clear >= _CLEAR_AFTER.get(seen.kind, CLEAR_AFTER)
                state = "resolved" if enough else row["state"]
                connection.execute(
                    table.update().where(table.c.id == row["id"]).values(clear_windows=clear, state=state)
                )
            return
        values = {
            "severity": seen.severity,
            "statistic": seen.statistic,
            "summary": seen.summary,
            "value": seen.value,
            "threshold": seen.threshold,
            "p_value": seen.p_value,
            "last_seen": now,
            "window_start": seen.window_start,
            "window_end": seen.window_end,
            "window_rows": seen.window_rows,
            "reference": _dumped(seen.reference),
            "current": _dumped(seen.current),
            "clear_windows": 0,
        }
        if row is not None:
            connection.execute(table.update().where(table.c.id == row["id"]).values(**values))
            return
        connection.execute(
            table.insert().values(
                **values,
                kind=seen.kind,
                state="firing",
                model=seen.model,
                version=seen.version,
                feature=seen.feature,
                first_seen=now,
                acknowledged_by="",
                why="",
            )
        )

    def alerts(self, state: str | None = None) -> list[Alert]:
        """Alerts, pages before tickets, newest first; all states unless one is named."""
        query = self._sa.select(self._alerts).order_by(
            self._alerts.c.severity, self._alerts.c.last_seen.desc()
        )
        if state:
            query = query.where(self._alerts.c.state == state)
        with self._engine.connect() as connection:
            return [_alert(row) for row in connection.execute(query).mappings()]

    def alert(self, number: int) -> Alert | None:
        """One alert."""
        query = self._sa.select(self._alerts).where(self._alerts.c.id == number)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return _alert(row) if row else None

    def acknowledge(self, number: int, who: str, why: str) -> Alert | None:
        """Mark an alert as seen by someone; it still resolves by itself. None when there is no such alert."""
        table = self._alerts
        with self._engine.begin() as connection:
            connection.execute(
                table.update()
                .where((table.c.id == number) & (table.c.state == "firing"))
                .values(state="acknowledged", acknowledged_by=who, why=why)
            )
        return self.alert(number)

    def windows(self, model: str, limit: int = 200) -> list[dict[str, Any]]:
        """The newest windows of a model, oldest first."""
        query = (
            self._sa.select(self._windows)
            .where(self._windows.c.model == model)
            .order_by(self._windows.c.id.desc())
            .limit(limit)
        )
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return rows[::-1]


def _dumped(distribution: Distribution) -> str:
    return json.dumps([list(distribution.labels), list(distribution.shares)])


def _loaded(text: str) -> Distribution:
    labels, shares = json.loads(text)
    return Distribution(tuple(labels), tuple(shares))


def _aware(moment: datetime | None) -> datetime | None:
    # SQLite gives times back without their zone; all of ours are UTC.
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _alert(row: Any) -> Alert:
    values = {key: row[key] for key in Alert.__dataclass_fields__}
    for key in ("first_seen", "last_seen", "window_start", "window_end"):
        values[key] = _aware(values[key])
    values["reference"], values["current"] = _loaded(row["reference"]), _loaded(row["current"])
    return Alert(**values)
