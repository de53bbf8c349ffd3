"""Steering a front through HAProxy's Runtime API, a Unix socket that only its user may open."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blueprints.errors import ExitCode, Problem
from mlops.serving.front.config import server
from mlops.serving.front.settings import socket_path

log = logging.getLogger(__name__)
BACKENDS = ("ready", "alive")
_TIMEOUT = 2.0
#: HAProxy's own numbers, from the manual of `show servers state`.
_FORCED_DRAIN, _STOPPED = 0x08, "0"


@dataclass(frozen=True)
class ServerStats:
    """One replica as one backend of the front sees it.

    Attributes:
        backend: ``ready`` or ``alive``: which of the gateway's two health checks it goes by.
        name: ``r1``, ``r2``, …
        status: HAProxy's word: ``UP``, ``DOWN``, ``DRAIN``, ``MAINT``, ``UP 1/2`` …
        weight: Share it gets, relative to the others'.
        active: Requests it works on.
        requests: Answered or failed since the front began.
        retries, redispatches: Attempts that were repeated, and of those on another replica.
        failed: Answers of class 5xx.
    """

    backend: str
    name: str
    status: str
    weight: int
    active: int
    requests: int
    retries: int
    redispatches: int
    failed: int


class FrontClient:
    """One front's Runtime API; a connection a command, so that it may be shared between threads.

    Args:
        folder: The front's folder (``MODELYARD_FRONT``).
    """

    def __init__(self, folder: Path) -> None:
        self.path = socket_path(folder)

    def command(self, words: str) -> str:
        """What HAProxy says to a command.

        Raises:
            Problem: It does not answer.
        """
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.settimeout(_TIMEOUT)
                made.connect(str(self.path))
                made.sendall(words.encode() + b"\n")
                parts = []
                while part := made.recv(65_536):
                    parts.append(part)
        except OSError as error:
            raise Problem(
                "the front does not answer",
                where=str(self.path),
                todo="modelyard status; modelyard logs front",
                code=ExitCode.RETRY,
            ) from error
        return b"".join(parts).decode()

    def _set(self, name: str, words: str) -> None:
        # Commands joined by semicolons are carried out in one go; each that failed would answer something.
        said = self.command("; ".join(f"set server {each}/{name} {words}" for each in BACKENDS)).strip()
        if said:
            raise Problem(said.splitlines()[0], where=f"front, server {name}")

    def drain(self, name: str) -> None:
        """No new requests to a replica; those it has are finished.

        Raises:
            Problem: The front does not answer, or has no such server.
        """
        self._set(name, "state drain")

    def ready(self, name: str) -> None:
        """Requests again, once its health check is well.

        Raises:
            Problem: The front does not answer, or has no such server.
        """
        self._set(name, "state ready")

    def weight(self, name: str, weight: int) -> None:
        """Share of a replica, 0 to 256, relative to the others' (100 at first).

        Raises:
            Problem: The front does not answer, or has no such server.
        """
        self._set(name, f"weight {weight}")

    def stats(self) -> tuple[ServerStats, ...]:
        """Every replica, once for each backend.

        Raises:
            Problem: The front does not answer.
        """
        rows = csv.DictReader(io.StringIO(self.command("show stat").removeprefix("# ")))
        return tuple(
            ServerStats(
                backend=row["pxname"],
                name=row["svname"],
                status=row["status"],
                weight=int(row["weight"] or 0),
                active=int(row["scur"] or 0),
                requests=int(row["stot"] or 0),
                retries=int(row["wretr"] or 0),
                redispatches=int(row["wredis"] or 0),
                failed=int(row["hrsp_5xx"] or 0),
            )
            for row in rows
            if row["pxname"] in BACKENDS and row["svname"] not in ("FRONTEND", "BACKEND")
        )

    def gone(self) -> tuple[str, ...]:
        """Replicas that were drained and have ended since.

        Raises:
            Problem: The front does not answer.
        """
        lines = self.command(f"show servers state {BACKENDS[-1]}").splitlines()
        names = lines[1].removeprefix("# ").split() if len(lines) > 1 else []
        rows = [dict(zip(names, line.split(), strict=False)) for line in lines[2:] if line]
        return tuple(
            row["srv_name"]
            for row in rows
            if int(row["srv_admin_state"]) & _FORCED_DRAIN and row["srv_op_state"] == _STOPPED
        )

    def state(self) -> str:
        """What HAProxy knows of the replicas, in the form in which it reads it again.

        Raises:
            Problem: The front does not answer.
        """
        return self.command("show servers state")

    def active(self, name: str) -> int:
        """Requests a replica works on.

        Raises:
            Problem: The front does not answer.
        """
        return sum(each.active for each in self.stats() if each.name == name)


async def leave(
    folder: Path | None, replica: int, in_flight: Callable[[], int], timeout_seconds: float = 30.0
) -> bool:
    """Take this replica out of the front and wait until nothing is in flight; call it on SIGTERM, before the
    listening sockets are closed.

    Args:
        folder: The front's folder; None: there is no front, only what is in flight is waited for.
        replica: Number of this replica, from 1.
        in_flight: Requests this process works on, by its own count.

    Returns:
        Whether nothing was in flight in the end. A front that does not answer is no reason to stay.
    """
    front = FrontClient(folder) if folder is not None else None
    name, end = server(replica), time.monotonic() + timeout_seconds

    def told(what: Callable[[FrontClient], int]) -> int:
        nonlocal front
        if front is None:
            return 0
        try:
            return what(front)
        except Problem as problem:
            log.warning("leaving without the front: %s", problem.what)
            front = None
            return 0

    def drain(at: FrontClient) -> int:
        at.drain(name)
        return 0

    await asyncio.to_thread(told, drain)
    while time.monotonic() < end:
        if not in_flight() and not await asyncio.to_thread(told, lambda at: at.active(name)):
            return True
        await asyncio.sleep(0.02)
    return False


def join(folder: Path | None, replica: int) -> None:
    """Tell the front that this replica is back. The front finds out by itself when it saw the old process
    gone; this is for the one that came back in between."""
    if folder is None:
        return
    try:
        FrontClient(folder).ready(server(replica))
    except Problem as problem:
        # It may not be up yet; then it begins with every replica.
        log.info("not told to the front: %s", problem.what)
