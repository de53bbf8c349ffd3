"""Windows over the blocks in the database: sums are kept, so that a block costs itself and what leaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from mlops.monitoring.profile import Profile
from mlops.monitoring.service import blocks
from mlops.monitoring.service.blocks import Block

if TYPE_CHECKING:
    from mlops.monitoring.alerts import AlertStore

_Key = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class _Held:
    """What a window holds of the blocks in the database: how many, from which number on, their sum."""

    count: int
    first: int
    sum: Profile | None


class Windows:
    """The windows of every model, version and segment.

    Args:
        most: Blocks in a window; counts where ``span`` is none.
        span: A window holds the blocks that ended within this of its own end.
    """

    def __init__(self, store: AlertStore, most: int, span: timedelta | None) -> None:
        self._store, self._most, self._span = store, most, span
        self._held: dict[_Key, _Held] = {}

    def ending_with(self, model: str, version: str, segment: str, block: Profile, end: datetime) -> Profile:
        """The window whose last block is this one, which is not in the database yet."""
        if self._span is None and self._most == 1:
            return block
        key = (model, version, segment)
        held = self._without_old(key, self._held.get(key) or self._read(key, end), end)
        if held.sum is not None and held.sum.columns.keys() != block.columns.keys():
            # Other columns: the window begins anew.
            held = self._empty()
        window = block if held.sum is None else held.sum + block
        self._held[key] = _Held(held.count + 1, held.first, window)
        return window

    def forget(self, model: str) -> None:
        """What was added may not be in the database: begin from there again."""
        self._held = {key: held for key, held in self._held.items() if key[0] != model}

    def _read(self, key: _Key, end: datetime) -> _Held:
        limit, after = (self._most - 1, None) if self._span is None else (None, end - self._span)
        kept = _alike(blocks.newest(self._store, *key, limit=limit, after=after))
        if not kept:
            return self._empty()
        return _Held(len(kept), kept[0].id, reduce(add, [each.profile for each in kept]))

    def _empty(self) -> _Held:
        return _Held(0, blocks.last(self._store) + 1, None)

    def _without_old(self, key: _Key, held: _Held, end: datetime) -> _Held:
        if held.sum is None:
            return held
        if self._span is None:
            leave = held.count - (self._most - 1)
            old = blocks.oldest(self._store, *key, held.first, leave) if leave > 0 else []
        else:
            old = blocks.ended(self._store, *key, held.first, end - self._span)
        if not old:
            return held
        if len(old) >= held.count:
            return self._empty()
        rest = reduce(lambda total, each: total - each.profile, old, held.sum)
        return _Held(held.count - len(old), old[-1].id + 1, rest)


def _alike(kept: list[Block]) -> list[Block]:
    """The newest that have the columns of the last."""
    other = [
        at for at, each in enumerate(kept) if each.profile.columns.keys() != kept[-1].profile.columns.keys()
    ]
    return kept[other[-1] + 1 :] if other else kept
