"""The tables of alerts, findings, windows and notices, and how those of an earlier release catch up."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

_STAMP = sa.DateTime(timezone=True)
META = sa.MetaData()


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, **options)


def _real(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Float, nullable=False)


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)


def _later(name: str, kind: Any, default: str) -> sa.Column[Any]:
    """A column that an earlier release did not have: rows of its have the default."""
    return sa.Column(name, kind, nullable=False, server_default=sa.text(default))


ALERTS = sa.Table(
    "alerts",
    META,
    _id(),
    *(_text(n) for n in ("kind", "severity", "state", "model", "version", "feature", "statistic", "summary")),
    *(_real(n) for n in ("value", "threshold", "p_value")),
    sa.Column("first_seen", _STAMP, nullable=False),
    sa.Column("last_seen", _STAMP, nullable=False),
    sa.Column("window_start", _STAMP),
    sa.Column("window_end", _STAMP),
    sa.Column("window_rows", sa.Integer, nullable=False),
    _text("reference"),
    _text("current"),
    sa.Column("clear_windows", sa.Integer, nullable=False, default=0),
    _text("acknowledged_by", default=""),
    _text("why", default=""),
    _later("segment", sa.Text, "''"),
    _later("history", sa.Text, "''"),
    _later("inhibited_by", sa.Text, "''"),
    sa.Column("useful", sa.Boolean),
    sa.Column("fired_at", _STAMP),
    sa.Column("acknowledged_at", _STAMP),
    sa.Column("resolved_at", _STAMP),
    _later("announced", sa.Text, "''"),
    sa.Column("announced_at", _STAMP),
    _later("announcements", sa.Integer, "0"),
)

WINDOWS = sa.Table(
    "windows",
    META,
    _id(),
    _text("model"),
    _text("version"),
    sa.Column("start", _STAMP),
    sa.Column("end", _STAMP),
    sa.Column("rows", sa.Integer, nullable=False),
    _text("drifted"),
    _text("metric", default=""),
    sa.Column("quality", sa.Float),
    sa.Column("labelled", sa.Integer, nullable=False, default=0),
    _later("kind", sa.Text, "'rows'"),
    sa.Column("recorded", _STAMP),
    sa.Index("windows_by_model", "model", "id"),
)

FINDINGS = sa.Table(
    "findings",
    META,
    _id(),
    sa.Column("window", sa.Integer, nullable=False, index=True),
    *(_text(n) for n in ("column", "family", "test", "severity", "sentence", "segment")),
    *(_real(n) for n in ("statistic", "effect", "floor", "p_value", "p_adjusted")),
    sa.Column("found", sa.Boolean, nullable=False),
    sa.Column("importance", sa.Float),
    _text("reference"),
    _text("current"),
)

#: Good and all events of each objective, by window: what burn rates are made of.
EVENTS = sa.Table(
    "events",
    META,
    _id(),
    _text("model"),
    _text("version"),
    _text("objective"),
    sa.Column("end", _STAMP, nullable=False),
    sa.Column("good", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Index("events_by_objective", "model", "version", "objective", "end"),
)

#: Counters that outlive the windows they were counted in.
TOTALS = sa.Table(
    "totals",
    META,
    _text("name", primary_key=True),
    _text("model", primary_key=True),
    _text("version", primary_key=True),
    _text("reason", primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

SILENCES = sa.Table(
    "silences",
    META,
    _id(),
    _text("matchers"),
    sa.Column("starts", _STAMP, nullable=False),
    sa.Column("ends", _STAMP, nullable=False),
    _text("who"),
    _text("why"),
)

#: Notices that are due: written with the change they tell of, so that no restart loses one.
OUTBOX = sa.Table(
    "outbox",
    META,
    _id(),
    _text("key", unique=True),
    _text("route"),
    _text("thread"),
    _text("body"),
    sa.Column("created", _STAMP, nullable=False),
    sa.Column("due", _STAMP, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("sent", _STAMP),
    _text("error"),
)

#: Every change of every alert, for the history and for what fatigue is measured by.
CHANGES = sa.Table(
    "changes",
    META,
    _id(),
    sa.Column("alert", sa.Integer, nullable=False, index=True),
    sa.Column("at", _STAMP, nullable=False),
    _text("state"),
    _text("severity"),
    _text("words"),
)

PLACES = sa.Table("places", META, _text("name", primary_key=True), _text("value"))


def engine(url: str) -> sa.Engine:
    """A pool on the database, its tables made or brought up to date."""
    made = sa.create_engine(url, pool_size=3, max_overflow=2, pool_pre_ping=True)
    with made.begin() as connection:
        old = set(sa.inspect(connection).get_table_names())
        META.create_all(connection)
        for table in META.sorted_tables:
            if table.name in old:
                _catch_up(connection, table)
                for index in table.indexes:
                    index.create(connection, checkfirst=True)
        if connection.execute(sa.select(PLACES.c.name).where(PLACES.c.name == LOCK)).first() is None:
            connection.execute(PLACES.insert().values(name=LOCK, value="0"))
    return made


#: The row that a writer changes first, so that writers come one after the other in both databases.
LOCK = "lock"


def _catch_up(connection: sa.Connection, table: sa.Table) -> None:
    present = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in present:
            # Rows of an earlier release were announced to nobody, and are not announced after the fact.
            ddl = sa.schema.CreateColumn(column).compile(connection)
            connection.execute(sa.text(f'ALTER TABLE "{table.name}" ADD COLUMN {ddl}'))
    if table is ALERTS and "announced" not in present:
        quiet = sa.func.concat if connection.dialect.name == "postgresql" else None
        words = (
            quiet(table.c.state, "/", table.c.severity) if quiet else table.c.state + "/" + table.c.severity
        )
        connection.execute(table.update().values(announced=words, history="1", fired_at=table.c.first_seen))
