"""Segments: append-only files of JSON lines on the local disk, one table's rows each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: A commit holds no more than this, so that moving a backlog takes little memory.
ROTATE_BYTES = 16 * 1024 * 1024


class Segment:
    """One append-only file, private to this user. ``shapes``: the bare forms it defines."""

    __slots__ = ("_descriptor", "bytes", "path", "rows", "shapes")

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rows, self.bytes = path, 0, 0
        self.shapes: set[int] = set()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, data: bytes, rows: int) -> None:
        """Append whole lines in one write: the operating system has them when this returns, whatever becomes
        of us.

        Raises:
            OSError: The disk is full or gone; the file ends with the last whole line before.
        """
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            # A full disk may have taken half a line: the next append must not continue it.
            os.ftruncate(self._descriptor, self.bytes)
            raise
        self.rows += rows
        self.bytes += len(data)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


@dataclass(frozen=True, order=True)
class Waiting:
    """A closed segment that is not in its table yet, in the order of commits.

    Attributes:
        number: Rises over all segments of one writer.
        writer: Life of a process that wrote it.
        recovered: Left by an earlier life, or by a commit that failed: it may be in the table already.
    """

    number: int
    writer: str
    kind: str
    model: str
    path: Path
    rows: int
    bytes: int
    recovered: bool = False


def found(folder: Path) -> list[Waiting]:
    """The segments that earlier lives left, in order; empty ones are removed."""
    waiting = []
    for path in folder.glob("*/*/*.jsonl"):
        size = path.stat().st_size
        if not size:
            path.unlink()
            continue
        number, _, writer = path.stem.partition("-")
        with path.open("rb") as file:
            rows = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        kind, model = path.parent.parent.name, path.parent.name
        waiting.append(Waiting(int(number), writer, kind, model, path, rows, size, recovered=True))
    return sorted(waiting)


def parcels(waiting: Iterable[Waiting]) -> list[list[Waiting]]:
    """Segments of one table, in order, cut into commits: one writer each, so that its last number speaks for
    all of them, and no more bytes than a segment may have."""
    made: list[list[Waiting]] = []
    size = 0
    for each in waiting:
        last = made[-1][-1] if made else None
        same = last is not None and (last.writer, last.recovered) == (each.writer, each.recovered)
        if not same or size + each.bytes > ROTATE_BYTES:
            made.append([])
            size = 0
        made[-1].append(each)
        size += each.bytes
    return made


def model_name_fault(name: str) -> str:
    """Why a model's name cannot be a folder of the log; empty when it can."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,120}", name):
        return ""
    return "use letters, digits, dots, hyphens, underscores and spaces, 120 at most"
