"""Windows over blocks: each the sum of some blocks, made from the one before by what comes and what goes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.profile import Profile

#: The segment of every value that has none of its own.
OTHER = "(other)"


@dataclass(frozen=True)
class Block:
    """The profile of rows that came together.

    Attributes:
        start, end: The rows are from ``start`` up to, not with, ``end``.
        profile: Of these rows.
    """

    start: datetime
    end: datetime
    profile: Profile


class Windows:
    """Sliding windows over blocks, in the order they come.

    Args:
        span: Keep the blocks that end within this of the latest one's end.
        rows: Keep the latest blocks that have no more than this many rows together, at least one.
        every: Yield a window only when its end is this much later than the last one's; with ``every`` equal
            to ``span`` the windows tumble.

    Raises:
        UsageProblem: Neither ``span`` nor ``rows``.
    """

    def __init__(
        self, span: timedelta | None = None, rows: int | None = None, every: timedelta | None = None
    ) -> None:
        if span is None and rows is None:
            raise UsageProblem("a window needs a length", expected="a span of time, or a number of rows")
        self._span, self._rows, self._every = span, rows, every
        self._blocks: deque[Block] = deque()
        self._sum: Profile | None = None
        self._next: datetime | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Those in the window, oldest first."""
        return tuple(self._blocks)

    def add(self, block: Block) -> Block | None:
        """Take one block in, and those out that it pushes out.

        Costs the block and what leaves, never the window.

        Returns:
            The window, or nothing when it is not yet time for the next one.

        Raises:
            UsageProblem: The block ends before the latest one: late rows belong into a block of their own
                time, before the windows are made.
        """
        if self._blocks and block.end < self._blocks[-1].end:
            raise UsageProblem(
                "a block is older than the window",
                where=f"it ends {block.end}, the window {self._blocks[-1].end}",
                todo="give the blocks in the order of their end",
            )
        self._blocks.append(block)
        self._sum = block.profile if self._sum is None else self._sum + block.profile
        while len(self._blocks) > 1 and self._over():
            self._sum = self._sum - self._blocks.popleft().profile
        if self._every is not None:
            self._next = self._next or self._blocks[0].start + self._every
            if block.end < self._next:
                return None
            while self._next <= block.end:
                self._next += self._every
        return Block(self._blocks[0].start, block.end, self._sum)

    def over(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The windows of all ``blocks``."""
        for block in blocks:
            if (window := self.add(block)) is not None:
                yield window

    def _over(self) -> bool:
        oldest, latest = self._blocks[0], self._blocks[-1]
        late = self._span is not None and oldest.start < latest.end - self._span
        many = self._rows is not None and self._sum is not None and self._sum.rows > self._rows
        return late or many


class Segments:
    """Splits tables by the values of some columns, each segment to be profiled alone.

    Args:
        by: Names of the columns.
        most: Segments that are kept apart: the most frequent of the first table; all others are one.
    """

    def __init__(self, by: Sequence[str], most: int = 50) -> None:
        self.by, self.most = tuple(by), most
        self._known: tuple[str, ...] | None = None
        self._beyond: Counter[str] = Counter()

    @property
    def note(self) -> str:
        """What was put together, in words, or ""."""
        if not self._beyond:
            return ""
        rows, some = sum(self._beyond.values()), ", ".join(self.by)
        return (
            f"{rows} rows are in {OTHER}: {some} had more than the {self.most} segments that are kept apart"
        )

    def profiles(self, table: Any, like: Mapping[str, Profile] | Profile | None = None) -> dict[str, Profile]:
        """The profile of each segment of an Arrow table, by its values joined with ``/``.

        Args:
            table: Rows of all segments.
            like: Count as this one does, or as that of the same segment.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = [pc.fill_null(pc.cast(table[name], pa.string()), "(missing)") for name in self.by]
        names = pc.binary_join_element_wise(*parts, "/")
        counts = {each["values"]: each["counts"] for each in pc.value_counts(names).to_pylist()}
        if self._known is None:
            ranked = sorted(counts, key=lambda name: (-counts[name], name))
            self._known = tuple(ranked[: self.most])
        known = pc.is_in(names, pa.array(self._known, pa.string()))
        names = pc.if_else(known, names, OTHER)
        for name in counts.keys() - set(self._known):
            self._beyond[OTHER] += counts[name]
        found: dict[str, Profile] = {}
        columns = [name for name in table.column_names if name not in self.by]
        for name in sorted(pc.unique(names).to_pylist()):
            as_it = like.get(name) if isinstance(like, Mapping) else like
            found[name] = Profile.of(table.filter(pc.equal(names, name)), as_it, columns)
        return found
