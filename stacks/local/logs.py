"""Read log files: the last lines, and what is added."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 64 * 1024


def last_lines(path: Path, count: int) -> list[str]:
    """The last ``count`` lines of a file, oldest first; empty when there is none. Reads from the end, so a
    large log costs no more than a small one."""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            text = b""
            while position > 0 and text.count(b"\n") <= count:
                step = min(_BLOCK, position)
                position = file.seek(position - step)
                text = file.read(step) + text
    except OSError:
        return []
    return text.decode(errors="replace").splitlines()[-count:] if count > 0 else []


def follow(path: Path, stop: threading.Event, interval_seconds: float = 0.25) -> Iterator[str]:
    """Lines as they are added, until ``stop`` is set; survives rotation and a file that is not there yet."""
    position, identity, rest = -1, None, b""
    while not stop.is_set():
        try:
            status = path.stat()
        except OSError:
            stop.wait(interval_seconds)
            continue
        if position < 0:
            position, identity = status.st_size, status.st_ino
        if status.st_ino != identity or status.st_size < position:
            position, identity, rest = 0, status.st_ino, b""
        if status.st_size == position:
            stop.wait(interval_seconds)
            continue
        with path.open("rb") as file:
            file.seek(position)
            chunk = file.read(_BLOCK)
        position += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
