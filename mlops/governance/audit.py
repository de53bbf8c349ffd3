"""The audit log: every act that changes something, in a file whose lines are chained by their hashes.

Each line carries the SHA-256 of its own canonical JSON together with the hash of the line before (a hash
chain as in Haber and Stornetta, "How to time-stamp a digital document", 1991). A line that is changed,
removed from the middle or put between others breaks the chain. Cutting lines off the end leaves a whole
chain; the side file ``<name>.head`` remembers how long it was, which shows a cut by anyone who does not
know of it or may not write it, and the next act records it. Only a copy of the head kept elsewhere proves
more.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blueprints.errors import Problem

_GENESIS = "0" * 64
#: The act that records a cut found by the next append.
_CUT = "audit.entries_missing"
_HIDDEN = ("password", "secret", "token", "passphrase", "credential", "api_key", "private_key")


@dataclass(frozen=True)
class AuditEntry:
    """One act.

    Attributes:
        number: 1, 2, 3, …
        time: ISO 8601, UTC, microseconds.
        who: ``user@host``.
        action: What was done, a verb with its domain: ``environment.up``, ``alert.acknowledge``.
        target: What it was done to.
        before, after: The values that changed; secrets are masked.
        why: The reason given.
        source: Where from: ``cli``, ``console``, ``ci``, ``service``.
        previous, hash: The chain.
    """

    number: int
    time: str
    who: str
    action: str
    target: str
    before: Any
    after: Any
    why: str
    source: str
    previous: str
    hash: str

    @property
    def computed(self) -> str:
        """The hash this entry should have."""
        content = {key: value for key, value in asdict(self).items() if key != "hash"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class AuditReport:
    """The result of a verification.

    Attributes:
        entries: How many entries, from the first, are sound.
        fault: The first fault, naming its line; empty: none.
        head: The hash of the last sound entry. A copy kept elsewhere proves later what the file was.
        torn: Half lines of crashes that were set aside in ``<name>.torn``: acts whose recording, and so
            whose doing, was never confirmed.
    """

    entries: int
    fault: str
    head: str
    torn: int = 0

    @property
    def sound(self) -> bool:
        """Whether the whole file is."""
        return not self.fault


class AuditLog:
    """The audit file of a project. Many processes may append at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._head_path = path.with_name(path.name + ".head")

    def append(
        self,
        action: str,
        target: str,
        *,
        before: Any = None,
        after: Any = None,
        why: str = "",
        source: str = "cli",
    ) -> AuditEntry:
        """Record an act; it is on the disk when this returns.

        Raises:
            Problem: The file cannot be written; the act must not go on as if it had been recorded.
        """
        try:
            with self._locked() as file:
                self._set_torn_line_aside(file)
                last = self._last(file)
                missing = self._missing(last)
                if missing:
                    last = self._write(file, last, _CUT, self.path.name, None, missing, "", "service")
                return self._write(file, last, action, target, before, after, why, source)
        except OSError as error:
            raise Problem(
                f"the act was not recorded: {error.strerror}",
                where=str(self.path),
                expected="a file this user can write, on a disk with room",
                todo="mend that and do it again; nothing is done without a record",
            ) from None

    def _missing(self, last: AuditEntry | None) -> str:
        """What the head file remembers and the file lacks. It is recorded before the next act, which would
        otherwise replace the head and with it the only trace of the cut."""
        number, _, head = self._head().partition(" ")
        if not number.isdigit() or int(number) <= (last.number if last else 0):
            return ""
        return f"{int(number) - (last.number if last else 0)} entries up to number {number}, hash {head}"

    def _write(
        self,
        file: Any,
        last: AuditEntry | None,
        action: str,
        target: str,
        before: Any,
        after: Any,
        why: str,
        source: str,
    ) -> AuditEntry:
        entry = AuditEntry(
            number=last.number + 1 if last else 1,
            time=datetime.now(UTC).isoformat(timespec="microseconds"),
            who=f"{_user()}@{socket.gethostname()}",
            action=_text(action),
            target=_text(target),
            before=_plain(before),
            after=_plain(after),
            why=_text(why),
            source=source,
            previous=last.hash if last else _GENESIS,
            hash="",
        )
        entry = replace(entry, hash=entry.computed)
        file.seek(0, os.SEEK_END)
        file.write(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
        self._write_head(f"{entry.number} {entry.hash}\n")
        return entry

    def _write_head(self, text: str) -> None:
        """Replace the head file whole: a crash leaves the one before, never an empty one."""
        part = self._head_path.with_name(self._head_path.name + ".part")
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._head_path)

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _set_torn_line_aside(self, file: Any) -> None:
        """A crash in the middle of a line leaves half of one: move it to ``<name>.torn``, never drop it."""
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        keep = self._end_of_last_whole_line(file, size)
        file.seek(keep)
        with self.path.with_name(self.path.name + ".torn").open("ab") as aside:
            aside.write(file.read() + b"\n")
            aside.flush()
            os.fsync(aside.fileno())
        file.truncate(keep)

    def _end_of_last_whole_line(self, file: Any, size: int) -> int:
        position, block = size, 4096
        while position > 0:
            start = max(0, position - block)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                return int(start + found + 1)
            position = start
        return 0

    def _last(self, file: Any) -> AuditEntry | None:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return None
        start = self._end_of_last_whole_line(file, size - 1)
        file.seek(start)
        try:
            return _parsed(file.read())
        except (ValueError, TypeError, AttributeError):
            raise Problem(
                "the last line is no audit entry, so nothing can be chained to it",
                where=str(self.path),
                todo="keep the file, find out who changed it, and start a new one beside it",
            ) from None

    def _snapshot(self) -> tuple[bytes, str]:
        """The file and its head as they were between two appends."""
        if not self.path.exists():
            return b"", self._head()
        with self.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return file.read(), self._head()

    def _head(self) -> str:
        return self._head_path.read_text().strip() if self._head_path.exists() else ""

    def entries(self) -> Iterator[AuditEntry]:
        """Every entry, oldest first. Half a line at the end, left by a crash, is no entry: :meth:`verify`
        reports it and the next :meth:`append` sets it aside.

        Raises:
            Problem: A line is not an entry; names it. Or the file cannot be read.
        """
        try:
            content, _ = self._snapshot()
        except OSError as error:
            raise Problem(f"cannot be read: {error.strerror}", where=str(self.path)) from None
        yield from self._parsed_lines(content)

    def _parsed_lines(self, content: bytes) -> Iterator[AuditEntry]:
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                yield _parsed(line)
            except (ValueError, TypeError):
                raise Problem("is no audit entry", where=f"line {number}") from None

    def tail(self, count: int) -> list[AuditEntry]:
        """The last entries, newest first."""
        return list(self.entries())[-count:][::-1]

    def verify(self) -> AuditReport:
        """Check every link of the chain, and its length against the head file.

        A fault names the first broken line. What this cannot show: a file rewritten from some line on
        together with its head file, by someone who may write both; compare :attr:`AuditReport.head` with a
        copy kept elsewhere for that.
        """
        try:
            content, head = self._snapshot()
        except OSError as error:
            return AuditReport(0, f"{self.path}: cannot be read: {error.strerror}", _GENESIS)
        sound, previous, hashes = 0, _GENESIS, [_GENESIS]
        fault = ""
        try:
            for line, entry in enumerate(self._parsed_lines(content), start=1):
                fault = _broken(line, entry, previous)
                if fault:
                    break
                sound, previous = line, entry.hash
                hashes.append(entry.hash)
        except Problem as problem:
            fault = f"{problem.where} {problem.what}"
        if not fault:
            fault = _end_fault(content, head, hashes, self._head_path.name)
        return AuditReport(sound, fault, previous, self._torn())

    def _torn(self) -> int:
        aside = self.path.with_name(self.path.name + ".torn")
        return aside.read_bytes().count(b"\n") if aside.exists() else 0


def _broken(line: int, entry: AuditEntry, previous: str) -> str:
    """What is wrong with an entry at its place in the chain; empty: nothing."""
    if entry.computed != entry.hash:
        return f"line {line} was changed after it was written"
    if entry.previous != previous:
        return f"line {line} does not follow the line before it"
    if entry.number != line:
        return f"line {line} carries the number {entry.number}"
    if entry.action == _CUT:
        return f"before line {line}, lines had been cut off: {entry.after}"
    return ""


def _end_fault(content: bytes, head: str, hashes: list[str], head_name: str) -> str:
    """What is wrong with the end of a chain that is whole; ``hashes`` are those of entries 0 (none), 1, …"""
    count = len(hashes) - 1
    number, _, expected = head.partition(" ")
    if not head and count > 1:
        return f"{head_name} is missing; whether lines were cut off the end cannot be said"
    if head and not number.isdigit():
        return f"{head_name} is damaged; whether lines were cut off the end cannot be said"
    remembered = int(number) if head else 0
    if remembered > count:
        return f"{remembered - count} entries are missing after line {count}"
    if remembered and hashes[remembered] != expected:
        return f"line {remembered} is not the one that {head_name} remembers"
    # The head is written after the line: a crash between the two leaves it one behind, and no more.
    if remembered < count - 1:
        return f"line {remembered + 2} was added without {head_name}, not by this program"
    if content and not content.endswith(b"\n"):
        return f"line {count + 1} is only half written (a crash); the next act sets it aside"
    return ""


def _parsed(line: bytes) -> AuditEntry:
    return AuditEntry(**json.loads(line))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _plain(value: Any) -> Any:
    """``value`` as JSON gives it back, so that a hash over it is the same when it is read again; everything
    under a key that names a secret is hidden."""
    if isinstance(value, Mapping):
        return {
            _text(key): "[secret]" if _names_secret(key) and item else _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _text(value)


def _names_secret(key: Any) -> bool:
    return any(word in str(key).lower() for word in _HIDDEN)


def _text(value: Any) -> str:
    # File names and arguments may hold bytes that are no UTF-8.
    return str(value).encode("utf-8", "replace").decode()
