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
from datetime import UTC, datetime
from enum import StrEnum
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


class Holder(StrEnum):
    """What has become of the process that took a lock."""

    ELSEWHERE = "on another machine"
    ALIVE = "alive"
    ORPHANED = "an engine whose modelyard is gone"
    GONE = "gone"


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


def holder(lock: Lock) -> Holder:
    """What has become of the process that took the lock."""
    if lock.host != socket.gethostname():
        return Holder.ELSEWHERE
    process = _engine_process(lock.pid)
    if process is None:
        return Holder.GONE
    return Holder.ORPHANED if _orphaned(process) else Holder.ALIVE


def held(state: Path, project: str, environment: str) -> Lock | None:
    """A lock of somebody who is, or may be, at work; None: it is our turn."""
    return next((each for each in locks(state, project, environment) if _at_work(each)), None)


def _at_work(lock: Lock) -> bool:
    found = holder(lock)
    if found is not Holder.ALIVE:
        return found is Holder.ELSEWHERE
    process = _engine_process(lock.pid)
    if process is None:
        return False
    # One that is just ending has no variables any more, and so no longer shows whose it was.
    return bool(_mark(process)) or bool(psutil.wait_procs([process], timeout=_LAST_MOMENT)[1])


def wait_for_turn(
    state: Path, project: str, environment: str, seconds: float, on_event: Callable[[Event], object]
) -> None:
    """Return when nobody is at work on the environment any more.

    Raises:
        Problem: Somebody still is after so many seconds (exit code 3).
    """
    deadline, told = time.monotonic() + seconds, False
    while (lock := held(state, project, environment)) is not None:
        if time.monotonic() >= deadline:
            raise locked(lock)
        if not told:
            on_event(Phase("waiting", f"waiting for {lock.words}"))
            told = True
        time.sleep(0.2)


def clear_locks(state: Path, project: str, environment: str, on_event: Callable[[Event], object]) -> None:
    """Remove locks of the dead, end orphans of ours, and refuse while somebody works.

    Raises:
        Problem: The environment is locked (exit code 3: later it may work).
    """
    for lock in locks(state, project, environment):
        clear_lock(lock, on_event)


def clear_lock(lock: Lock, on_event: Callable[[Event], object]) -> None:
    """Remove the lock of a process that is gone; end an orphan of ours first.

    Raises:
        Problem: Somebody is at work (exit code 3).
    """
    found = holder(lock)
    process = _engine_process(lock.pid) if found in (Holder.ALIVE, Holder.ORPHANED) else None
    if found is Holder.ELSEWHERE:
        raise locked(lock)
    if found is Holder.ALIVE and process is not None:
        # One that is just ending no longer shows whose it was.
        if psutil.wait_procs([process], timeout=_LAST_MOMENT)[1]:
            raise locked(lock)
        lock.path.unlink(missing_ok=True)
        return
    if process is not None:
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


def _mark(process: psutil.Process) -> str | None:
    """The modelyard that started this engine, empty: none did; None: it is not to be seen."""
    try:
        return str(process.environ().get(OWNER, ""))
    except (psutil.Error, OSError):
        return None


def _orphaned(process: psutil.Process) -> bool:
    """Whether a modelyard started this engine and is gone."""
    mark = _mark(process)
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
    with a refresh, so a pending operation is simply done again. A damaged state is replaced by Pulumi's own
    backup, one write older; anything older than that is a person's choice (``modelyard recover``).

    Raises:
        Problem: The state is damaged and so is its backup.
    """
    if not path.exists():
        return
    for torn in _torn_attributes(path):
        torn.unlink(missing_ok=True)
    if not whole(path):
        backup = backup_of(path)
        if not whole(backup):
            raise Problem(
                "the recorded state is damaged, and so is its backup",
                where=str(path),
                todo="modelyard recover: it goes on from an older one, or modelyard up adopts what runs",
            )
        restore(path, backup)
        on_event(Diagnostic("warning", f"{path.name} was damaged; going on from {backup.name}"))
    count = forget_pending(path)
    if count:
        on_event(Phase("recovering", f"{count} operations were cut short; they are looked at and done again"))


def halves(path: Path) -> list[Path]:
    """What a killed engine left half-written beside a state: ``NAME.NUMBER.tmp`` of its own, our parts, and
    ``NAME.attrs``, a content type and a checksum that it can do without, but for which it refuses the whole
    state when they end early."""
    parts = [*path.parent.glob(f"{path.name}*.tmp"), *path.parent.glob(f"{path.name}.part-*")]
    return [*parts, *_torn_attributes(path)]


def _torn_attributes(path: Path) -> Iterator[Path]:
    for each in (path, backup_of(path)):
        beside = each.with_name(f"{each.name}.attrs")
        try:
            json.loads(beside.read_text())
        except FileNotFoundError:
            continue
        except ValueError:
            yield beside


def sweep_halves(path: Path) -> None:
    """Remove them; nobody may be at work."""
    for half in halves(path):
        half.unlink(missing_ok=True)


def backup_of(path: Path) -> Path:
    """The copy that Pulumi keeps of the write before the last."""
    return path.with_name(path.name + ".bak")


def whole(path: Path) -> bool:
    """Whether the file holds a state."""
    return _load(path) is not None


def kept_states(path: Path) -> list[Path]:
    """Every whole copy of a state that Pulumi keeps, the newest first: its backup and, after each update, a
    checkpoint in the history."""
    project, environment = path.parent.name, path.stem
    history = path.parents[2] / "history" / project / environment
    found = [backup_of(path), *history.glob(f"{environment}-*.checkpoint.json")]
    newest = sorted((each for each in found if each.is_file()), key=lambda each: -each.stat().st_mtime)
    return [each for each in newest if whole(each)]


def restore(path: Path, copy: Path) -> Path | None:
    """Go on from ``copy``; the damaged state is kept beside it. Returns where; None: there was none."""
    data = _load(copy)
    assert data is not None
    aside = set_aside(path)
    _store(path, data)
    return aside


def set_aside(path: Path) -> Path | None:
    """Rename a damaged state, so that neither the engine nor the next damage finds it; None: not there."""
    # Pulumi takes every *.json in this folder for a stack.
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return None
    return aside


def pending(path: Path) -> list[dict[str, Any]]:
    """Operations that began and whose end nobody recorded, as Pulumi stores them."""
    return list(_latest(_load(path) or {}).get("pending_operations") or [])


def forget_pending(path: Path) -> int:
    """Take the pending operations out of the state; returns how many there were."""
    data = _load(path) or {}
    latest = _latest(data)
    count = len(latest.get("pending_operations") or [])
    if count:
        latest["pending_operations"] = []
        _store(path, data)
    return count


def _latest(data: dict[str, Any]) -> dict[str, Any]:
    latest = (data.get("checkpoint") or {}).get("latest") or {}
    return latest if isinstance(latest, dict) else {}


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
