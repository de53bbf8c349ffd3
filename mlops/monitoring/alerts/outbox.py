"""The outbox: notices that are due, in order, until they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.monitoring.alerts.alert import aware
from mlops.monitoring.alerts.notice import Notice
from mlops.monitoring.alerts.store import AlertStore

#: Seconds before the first retry, doubled each time up to the longest.
_FIRST, _LONGEST = 5.0, 900.0
#: Notices taken at once.
_BATCH = 100


@dataclass(frozen=True)
class Due:
    """A notice to be sent now."""

    id: int
    notice: Notice
    attempts: int


@dataclass(frozen=True)
class Backlog:
    """What waits on a route: how many notices, since when, and why the last attempt failed."""

    route: str
    waiting: int
    since: datetime
    error: str


class Outbox:
    """The notices of one store. A notice is sent at least once; its key tells a receiver of repeats."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def due(self, now: datetime) -> list[Due]:
        """The oldest unsent notice of each thread, if its time has come: resolved never overtakes firing."""
        import sqlalchemy as sa

        from mlops.monitoring.alerts.tables import OUTBOX

        first = sa.select(sa.func.min(OUTBOX.c.id)).where(OUTBOX.c.sent.is_(None)).group_by(OUTBOX.c.thread)
        query = (
            sa.select(OUTBOX)
            .where(OUTBOX.c.id.in_(first) & (OUTBOX.c.due <= now))
            .order_by(OUTBOX.c.id)
            .limit(_BATCH)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [Due(row["id"], Notice.from_json(row["body"]), row["attempts"]) for row in rows]

    def sent(self, due: Due, now: datetime) -> None:
        """Mark as sent."""
        self._update(due, sent=now, error="", attempts=due.attempts + 1)

    def failed(self, due: Due, why: str, now: datetime) -> None:
        """Try again later, and later each time."""
        wait = min(_LONGEST, _FIRST * 2**due.attempts)
        self._update(due, due=now + timedelta(seconds=wait), error=why, attempts=due.attempts + 1)

    def _update(self, which: Due, **values: object) -> None:
        from mlops.monitoring.alerts.tables import OUTBOX

        with self._store.transaction() as connection:
            connection.execute(OUTBOX.update().where(OUTBOX.c.id == which.id).values(**values))

    def backlog(self) -> list[Backlog]:
        """What waits, by route."""
        import sqlalchemy as sa

        from mlops.monitoring.alerts.tables import OUTBOX

        query = sa.select(OUTBOX).where(OUTBOX.c.sent.is_(None)).order_by(OUTBOX.c.id)
        with self._store.reading() as connection:
            rows = connection.execute(query).mappings().all()
        found: dict[str, Backlog] = {}
        for row in rows:
            seen = found.get(row["route"])
            since = seen.since if seen else (aware(row["created"]) or row["created"])
            waiting = seen.waiting + 1 if seen else 1
            error = row["error"] or (seen.error if seen else "")
            found[row["route"]] = Backlog(row["route"], waiting, since, error)
        return list(found.values())
