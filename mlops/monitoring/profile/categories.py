"""What is known of a column of words: rows of each, and beyond a size of each bucket of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint64]

#: Buckets for the words beyond the size.
BUCKETS = 256
#: Bytes of UTF-8 that the kept words may have together, each counted with ``_EACH`` more for its number.
SIZE = 15_000
_EACH = 6
#: A word longer than this is kept as its hash.
LONGEST = 64
#: Most frequent words of the first block that are kept whatever the others are.
PINNED = 100


@dataclass(frozen=True, eq=False)
class Categories:
    """A column of words.

    As long as all its words have room, each is counted. When they have not, the words whose hash is below a
    bound that halves with each ``level`` are kept, and the ``pinned`` ones; the rest is counted by bucket.
    Which words that are follows from the set of words alone, so profiles merge in any order; a profile that
    was merged and has parts taken away again stays at its level, and its counts stay exact.

    Attributes:
        rows: All rows.
        missing: Rows without a value.
        counts: Rows of each category that is kept.
        level: How often the bound was halved; 0 when every word is in ``counts``.
        beyond: Rows of the words that are not kept, by bucket, shape ``(BUCKETS,)``.
        pinned: Words that are kept at every level.
    """

    rows: int
    missing: int
    counts: Mapping[str, int]
    level: int = 0
    beyond: Ints | None = None
    pinned: frozenset[str] = frozenset()

    def __add__(self, other: Categories) -> Categories:
        return self._with(other, 1)

    def __sub__(self, other: Categories) -> Categories:
        return self._with(other, -1)

    @property
    def others(self) -> int:
        """Rows of words that are not in ``counts``."""
        return 0 if self.beyond is None else int(self.beyond.sum())

    def _with(self, other: Categories, sign: int) -> Categories:
        one, other = comparable(self, other)
        counts = dict(one.counts)
        for name, count in other.counts.items():
            counts[name] = counts.get(name, 0) + sign * count
        beyond = one.beyond
        if other.beyond is not None:
            beyond = sign * other.beyond if beyond is None else beyond + sign * other.beyond
        rows, missing = one.rows + sign * other.rows, one.missing + sign * other.missing
        kept = {name: count for name, count in counts.items() if count}
        return _refitted(Categories(rows, missing, kept, one.level, beyond, one.pinned))


def comparable(one: Categories, other: Categories) -> tuple[Categories, Categories]:
    """Both with the same words kept, so that a word is in the counts or in a bucket of both."""
    level = max(one.level, other.level)
    pinned = one.pinned & other.pinned
    return _at(one, level, pinned), _at(other, level, pinned)


def fitting(names: Any, amounts: Ints, places: Places, column: Categories) -> Categories:
    """``column`` with ``names`` in it as well, at the lowest level at which its words have room.

    Args:
        names: Arrow array of the words, each once, shape ``(n,)``.
        amounts: Rows of each.
        places: Hash of each.
        column: Level, pinned words, rows, and what is in buckets already; its counts are not looked at.
    """
    heavy = weights(names)
    pinned = np.array([], bool) if not len(names) else _among(names, column.pinned)
    room = SIZE - sum(len(name.encode()) + _EACH for name in column.pinned)
    level = column.level
    if int(heavy.sum()) > SIZE:
        while level < 64 and int(heavy[~pinned & (places <= _bound(level))].sum()) > room:
            level += 1
    kept = pinned | (places <= _bound(level)) if level < 64 else pinned
    beyond = column.beyond
    if level:
        beyond = np.zeros(BUCKETS, np.int64) if beyond is None else beyond.copy()
        # The lowest bits choose the bucket, the highest the words that are kept: neither says anything of the
        # other.
        np.add.at(beyond, (places[~kept] % np.uint64(BUCKETS)).astype(np.int64), amounts[~kept])
        names, amounts = names.filter(_mask(kept)), amounts[kept]
    counts = {name: int(count) for name, count in zip(names.to_pylist(), amounts, strict=True) if count}
    return replace(column, counts=counts, level=level, beyond=beyond)


def weights(names: Any) -> Ints:
    """Bytes that each of the words takes in a profile, shape ``(n,)``."""
    import pyarrow.compute as pc

    return np.asarray(pc.binary_length(names).to_numpy(zero_copy_only=False), np.int64) + _EACH


def _refitted(column: Categories) -> Categories:
    import pyarrow as pa

    from mlops.monitoring.profile.hashing import hashes

    # All words at once: one by one, their encoding costs more than the merge.
    heavy = len("".join(column.counts).encode()) + _EACH * len(column.counts)
    if not column.level and heavy <= SIZE:
        return column
    names = pa.array(list(column.counts), pa.large_string())
    amounts = np.fromiter(column.counts.values(), np.int64, len(column.counts))
    return fitting(names, amounts, hashes(names), column)


def _at(column: Categories, level: int, pinned: frozenset[str]) -> Categories:
    if (level, pinned) == (column.level, column.pinned):
        return column
    column = replace(column, level=level, pinned=pinned)
    return _refitted(column) if level else column


def _among(names: Any, pinned: frozenset[str]) -> npt.NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.is_in(names, pa.array(sorted(pinned), pa.large_string()))
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _mask(mask: npt.NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(mask)


def _bound(level: int) -> np.uint64:
    return np.uint64((1 << (64 - level)) - 1)
