"""Callers of the gateway, kept as one small file each in the environment's ``data`` bucket.

A token is 256 random bits. It is returned once, when it is made; its SHA-256 is what is kept.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from blueprints.environment import StorageRef
from blueprints.errors import ExitCode, Problem, UsageProblem
from mlops.data.files import Files
from mlops.serving.gateway.identity import EVERY, digest

FOLDER = ("serving", "callers")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
#: Secret scanners know a token by how it begins.
PREFIX = "mdy_"
_RESERVED = ("administrator", "anonymous")


@dataclass(frozen=True)
class Token:
    """What is kept of a token: hash in hexadecimal, ISO 8601 times; ``expires`` empty: never."""

    sha256: str
    created: str
    expires: str = ""

    def valid(self, now: datetime) -> bool:
        """Whether it may still be used."""
        return not self.expires or datetime.fromisoformat(self.expires) > now


@dataclass(frozen=True)
class CallerRecord:
    """A caller.

    Attributes:
        models: Names it may use; ``*`` among them: every one.
        rate: Requests a second per gateway process; 0: any.
        metrics: It may read ``/metrics``.
        tokens: One, or two while it is rotated.
    """

    name: str
    models: tuple[str, ...]
    rate: float
    metrics: bool
    tokens: tuple[Token, ...]

    def to_json(self) -> bytes:
        """As it is stored."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes | str) -> CallerRecord:
        """What :meth:`to_json` made.

        Raises:
            ValueError: It is something else.
        """
        try:
            found: Mapping[str, Any] = orjson.loads(data)
            tokens = tuple(
                Token(str(each["sha256"]), str(each["created"]), str(each.get("expires", "")))
                for each in found["tokens"]
            )
            for token in tokens:
                bytes.fromhex(token.sha256)
                token.valid(datetime.now(UTC))
            models = tuple(str(each) for each in found["models"])
            rate, metrics = float(found.get("rate", 0)), bool(found.get("metrics", False))
            return cls(str(found["name"]), models, rate, metrics, tokens)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no caller: {error}") from None


class CallerStore:
    """Creates, rotates, revokes and lists callers. Every method raises :class:`Problem` in words."""

    def __init__(self, storage: StorageRef) -> None:
        self._files = Files(storage, "data", *FOLDER)

    def create(self, name: str, models: Sequence[str] = (), rate: float = 0.0, metrics: bool = False) -> str:
        """A new caller; returns its token, which nothing can show again."""
        if not _NAME.match(name) or name in _RESERVED:
            raise UsageProblem(
                f"no caller can be called {name!r}",
                where="NAME",
                expected="lower-case letters, digits, dots, hyphens and underscores, 63 at most",
            )
        if not models and not metrics:
            raise UsageProblem(
                "a caller that may use nothing is of no use",
                where="--model",
                expected=f"names of models, {EVERY} for every one, or --metrics",
            )
        if not 0 <= rate < 1e6:
            raise UsageProblem("no such rate", where="--rate", expected="requests a second, 0: any")
        if self._read(name) is not None:
            raise Problem(
                f"a caller {name} is there already", where="NAME", todo=f"modelyard tokens rotate {name}"
            )
        token, kept = _new()
        self._write(CallerRecord(name, tuple(models), rate, metrics, (kept,)))
        return token

    def rotate(self, name: str, grace_seconds: float = 3600.0) -> str:
        """Another token; the last one is valid for ``grace_seconds`` more, those before it no longer."""
        record = self._read(name)
        if record is None:
            raise _unknown(name)
        now = datetime.now(UTC)
        token, kept = _new()
        last = [each for each in record.tokens if each.valid(now)][-1:]
        until = now + timedelta(seconds=grace_seconds)
        aging = tuple(
            each if each.expires and datetime.fromisoformat(each.expires) < until else _until(each, until)
            for each in last
            if grace_seconds > 0
        )
        self._write(replace(record, tokens=(*aging, kept)))
        return token

    def revoke(self, name: str) -> None:
        """Forget a caller; gateways notice within seconds."""
        try:
            if not self._files.delete(f"{name}.json"):
                raise _unknown(name)
        except OSError as error:
            raise _away(error) from None

    def list(self) -> tuple[CallerRecord, ...]:
        """All callers, by name."""
        try:
            names = sorted(self._files.names())
        except OSError as error:
            raise _away(error) from None
        found = (self._read(name.removesuffix(".json")) for name in names if name.endswith(".json"))
        return tuple(each for each in found if each is not None)

    def _read(self, name: str) -> CallerRecord | None:
        if not _NAME.match(name):
            return None
        try:
            data = self._files.read(f"{name}.json")
            return CallerRecord.from_json(data) if data is not None else None
        except OSError as error:
            raise _away(error) from None
        except ValueError:
            raise Problem(
                f"the record of caller {name} is damaged",
                where=f"{'/'.join(FOLDER)}/{name}.json",
                todo=f"modelyard tokens revoke {name}, then create it again",
            ) from None

    def _write(self, record: CallerRecord) -> None:
        try:
            self._files.write(f"{record.name}.json", record.to_json())
        except OSError as error:
            raise _away(error) from None


def _new() -> tuple[str, Token]:
    token = PREFIX + secrets.token_urlsafe(32)
    return token, Token(digest(token.encode()).hex(), datetime.now(UTC).isoformat(timespec="seconds"))


def _until(token: Token, until: datetime) -> Token:
    return replace(token, expires=until.isoformat())


def _unknown(name: str) -> Problem:
    return Problem(f"there is no caller {name}", where="NAME", todo="modelyard tokens")


def _away(error: OSError) -> Problem:
    lines = str(error).splitlines()
    return Problem(
        f"the storage does not answer: {lines[0][:200] if lines else type(error).__name__}",
        where="storage",
        todo="modelyard status",
        code=ExitCode.RETRY,
    )
