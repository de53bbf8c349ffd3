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
    """

    model: str
    version: str
    start: datetime | None
    end: datetime | None
    profile: Profile
    segment: str = ""


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
    store: AlertStore, model: str, version: str, segment: str = "", limit: int | None = None
) -> list[Block]:
    """The newest blocks of a version, oldest first; all of them without a limit."""
    mine = (BLOCKS.c.model == model) & (BLOCKS.c.version == version) & (BLOCKS.c.segment == segment)
    query = sa.select(BLOCKS).where(mine).order_by(BLOCKS.c.id.desc())
    with store.reading() as connection:
        rows = connection.execute(query if limit is None else query.limit(limit)).mappings().all()
    return [_block(row) for row in reversed(rows)]


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
    )
