"""Blocks: the profiles of what was read, one after the other; a window is a sum of the newest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlops.monitoring.alerts.tables import META
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.storage import from_bytes, to_bytes

if TYPE_CHECKING:
    from mlops.monitoring.alerts import AlertStore

_STAMP = sa.DateTime(timezone=True)
#: In the database of the alert store: a block, the findings made from it and the place in the log are written
#: in one transaction.
BLOCKS = sa.Table(
    "blocks",
    META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("model", "version", "segment")),
    sa.Column("start", _STAMP),
    sa.Column("end", _STAMP),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("profile", sa.LargeBinary, nullable=False),
    sa.Index("blocks_by_model", "model", "version", "segment", "id"),
)


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of one version that were read together.

    Attributes:
        segment: ``region=EU``; empty: all rows.
        start, end: Times of its first and last event; UTC.
        id: Its number in the database; 0: not there yet.
    """

    model: str
    version: str
    start: datetime | None
    end: datetime | None
    profile: Profile
    segment: str = ""
    id: int = 0


def write(connection: sa.Connection, blocks: Iterable[Block]) -> None:
    """Keep blocks, inside the transaction that moves the place on."""
    for each in blocks:
        connection.execute(
            BLOCKS.insert().values(
                model=each.model,
                version=each.version,
                segment=each.segment,
                start=each.start,
                end=each.end,
                rows=each.profile.rows,
                profile=to_bytes(each.profile),
            )
        )


def forget(connection: sa.Connection, before: datetime) -> None:
    """Delete the blocks that ended before a moment."""
    connection.execute(BLOCKS.delete().where(BLOCKS.c.end < before))


def newest(
    store: AlertStore,
    model: str,
    version: str,
    segment: str = "",
    limit: int | None = None,
    after: datetime | None = None,
) -> list[Block]:
    """The newest blocks of a version, oldest first; all of them without a limit.

    Args:
        after: Only those that ended later.
    """
    query = _of(model, version, segment).order_by(BLOCKS.c.id.desc()).limit(limit)
    return _read(store, query if after is None else query.where(BLOCKS.c.end > after))[::-1]


def oldest(store: AlertStore, model: str, version: str, segment: str, first: int, limit: int) -> list[Block]:
    """So many blocks from a number on, in order."""
    query = _of(model, version, segment).where(BLOCKS.c.id >= first).order_by(BLOCKS.c.id)
    return _read(store, query.limit(limit))


def ended(
    store: AlertStore, model: str, version: str, segment: str, first: int, until: datetime
) -> list[Block]:
    """The blocks from a number on that had ended by a moment, in order, up to the first that had not."""
    later = _of(model, version, segment).where((BLOCKS.c.id >= first) & (BLOCKS.c.end > until))
    stop = later.with_only_columns(sa.func.min(BLOCKS.c.id)).scalar_subquery()
    query = _of(model, version, segment).where(BLOCKS.c.id >= first).order_by(BLOCKS.c.id)
    return _read(store, query.where((stop.is_(None)) | (BLOCKS.c.id < stop)))


def last(store: AlertStore) -> int:
    """The number of the newest block of all; 0: there is none."""
    with store.reading() as connection:
        return int(connection.execute(sa.select(sa.func.max(BLOCKS.c.id))).scalar() or 0)


def _of(model: str, version: str, segment: str) -> sa.Select[Any]:
    mine = (BLOCKS.c.model == model) & (BLOCKS.c.version == version) & (BLOCKS.c.segment == segment)
    return sa.select(BLOCKS).where(mine)


def _read(store: AlertStore, query: sa.Select[Any]) -> list[Block]:
    with store.reading() as connection:
        return [_block(row) for row in connection.execute(query).mappings().all()]


def summed(blocks: Iterable[Block]) -> Profile:
    """The profile of all their rows; one block at least."""
    return reduce(add, (each.profile for each in blocks))


def _block(row: Any) -> Block:
    return Block(
        row["model"],
        row["version"],
        row["start"],
        row["end"],
        from_bytes(row["profile"]),
        row["segment"],
        row["id"],
    )
