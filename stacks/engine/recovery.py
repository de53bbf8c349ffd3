"""After a ``kill -9``: whose lock is it, is the state whole, what was pending.

Everything here is about the file backend; other backends keep their own locks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from blueprints.errors import ExitCode, Problem
from stacks.engine.events import Diagnostic, Event, Phase

#: Environment variable by which a CLI knows the modelyard that started it: ``pid@start time``.
OWNER = "MODELYARD_OWNER"
#: Seconds an orphaned CLI gets to record what it did.
_PATIENCE = 20.0
#: Seconds to wait for the holder of a lock before it is reported.
_LAST_MOMENT = 3.0


@dataclass(frozen=True)
class Lock:
    """A lock of the file backend: who holds it, since when."""

    path: Path
    pid: int
    user: str
    host: str
    since: str

    @property
    def words(self) -> str:
        """``ada on lab3, pid 812, since 09:12:04``."""
        return f"{self.user} on {self.host}, pid {self.pid}, since {self.since}"


def owner_mark(pid: int | None = None) -> str:
    """Names one process for good: pids are used again, start times are not."""
    process = psutil.Process(pid)
    return f"{process.pid}@{process.create_time():.2f}"


def locks(state: Path, project: str, environment: str) -> Iterator[Lock]:
    """The locks on one environment; a torn lock file (its writer was killed) counts as held by nobody."""
    folder = state / ".pulumi" / "locks" / "organization" / project / environment
    for path in sorted(folder.glob("*.json")):
        try:
            data = json.loads(path.read_text())
            since = str(data["timestamp"])[:19].replace("T", " ")
            yield Lock(path, int(data["pid"]), str(data["username"]), str(data["hostname"]), since)
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            if time.time() - path.stat().st_mtime > 2:
                path.unlink(missing_ok=True)


def clear_locks(state: Path, project: str, environment: str, on_event: Callable[[Event], object]) -> None:
    """Remove locks of the dead, end orphans of ours, and refuse while somebody works.

    Raises:
        Problem: The environment is locked (exit code 3: later it may work).
    """
    for lock in locks(state, project, environment):
        if lock.host != socket.gethostname():
            raise locked(lock)
        process = _engine_process(lock.pid)
        if process is not None:
            if not _orphaned(process):
                # One that is just ending no longer shows whose it was.
                if psutil.wait_procs([process], timeout=_LAST_MOMENT)[1]:
                    raise locked(lock)
                lock.path.unlink(missing_ok=True)
                continue
            on_event(Phase("recovering", f"ending an engine whose modelyard is gone, pid {lock.pid}"))
            _end(process)
        on_event(Phase("recovering", f"removing the lock of a process that is gone, pid {lock.pid}"))
        lock.path.unlink(missing_ok=True)


def locked(lock: Lock) -> Problem:
    """Somebody else works on the environment."""
    return Problem(
        f"another operation is at work on this environment: {lock.words}",
        where="state",
        todo="wait until it is done, then run the same again",
        code=ExitCode.RETRY,
    )


def _engine_process(pid: int) -> psutil.Process | None:
    """The process that took the lock, if it still lives and is a Pulumi engine."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or "pulumi" not in process.name():
            return None
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return psutil.Process(pid)
    return process


def _orphaned(process: psutil.Process) -> bool:
    """Whether a modelyard started this engine and is gone."""
    try:
        mark = process.environ().get(OWNER, "")
    except (psutil.Error, OSError):
        return False
    if not mark:
        return False
    pid = int(mark.partition("@")[0])
    try:
        return owner_mark(pid) != mark or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(family[:1], timeout=_PATIENCE)
        if alive:
            for member in family:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            psutil.wait_procs(family, timeout=5)


def mend_checkpoint(path: Path, on_event: Callable[[Event], object]) -> None:
    """Make the state fit to work on: whole, and without operations that a ``kill -9`` left pending.

    Creating, updating and deleting with our provider adopts what is already there, and every operation starts
    with a refresh, so a pending operation is simply done again.

    Raises:
        Problem: The state is damaged and so is its backup.
    """
    if not path.exists():
        return
    data = _load(path)
    if data is None:
        backup = path.with_name(path.name + ".bak")
        data = _load(backup)
        if data is None:
            raise Problem(
                "the recorded state is damaged, and so is its backup",
                where=str(path),
                todo=f"move it away, then modelyard up: it adopts what runs ({path.name} is only the record)",
            )
        on_event(Diagnostic("warning", f"{path.name} was damaged; going on from {backup.name}"))
        _store(path, data)
    latest = (data.get("checkpoint") or {}).get("latest") or {}
    pending = latest.get("pending_operations") or []
    if pending:
        on_event(
            Phase(
                "recovering", f"{len(pending)} operations were cut short; they are looked at and done again"
            )
        )
        latest["pending_operations"] = []
        _store(path, data)


def _load(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and "checkpoint" in data else None


def _store(path: Path, data: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    with part.open("w") as file:
        json.dump(data, file, indent=4)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
