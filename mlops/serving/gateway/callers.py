"""Who may ask: tokens, hashed, scoped to models, rotatable, limited in rate."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import orjson

from blueprints.environment import StorageRef
from mlops.data.files import Files
from mlops.data.files import replace as replace_file
from mlops.serving.gateway.caller_store import FOLDER, CallerRecord
from mlops.serving.gateway.identity import Identity, digest, sent_digest

log = logging.getLogger(__name__)
_ADMINISTRATOR = Identity("administrator", administrator=True)


class FixedCallers:
    """Only the environment's own token; an empty one: anybody may everything."""

    def __init__(self, token: str) -> None:
        self._digest = digest(token.encode()) if token else b""

    def identify(self, authorization: bytes) -> Identity | None:
        """The administrator."""
        if not self._digest or sent_digest(authorization) == self._digest:
            return _ADMINISTRATOR
        return None


class FollowedCallers:
    """The callers of the environment's storage, followed; looking one up never waits.

    Args:
        storage: Where :class:`~mlops.serving.gateway.caller_store.CallerStore` keeps them.
        folder: The gateway's own: keeps the hashes for a start while the storage is away.
        token: The environment's own, which may everything; empty: everybody may.
        interval: Seconds between two looks.
    """

    def __init__(self, storage: StorageRef, folder: Path, token: str, interval: float = 2.0) -> None:
        self._files = Files(storage, "data", *FOLDER)
        self._cache = folder / "callers.json"
        self._open = not token
        self._token = digest(token.encode())
        self._interval = interval
        self._seen: dict[str, tuple[int, int]] = {}
        self._records: dict[str, CallerRecord] = {}
        self._identities: dict[str, Identity] = {}
        #: By hash: the caller, and until when (seconds since the epoch).
        self._known: dict[bytes, tuple[Identity, float]] = {}
        self.fault = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="callers", daemon=True)
        self._remember()

    def identify(self, authorization: bytes) -> Identity | None:
        """The caller of an ``Authorization`` header; None: unknown, or its token is out of date."""
        if self._open:
            return _ADMINISTRATOR
        # What is looked up and compared are hashes: how long it takes tells nothing about a token.
        sent = sent_digest(authorization)
        if sent == self._token:
            return _ADMINISTRATOR
        found = self._known.get(sent)
        if found is None or time.time() >= found[1]:
            return None
        return found[0]

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()

    def _work(self) -> None:
        while True:
            try:
                self.look()
                self.fault = ""
            except Exception as error:
                # Known callers go on; new ones and revocations wait until the storage is back.
                lines = str(error).splitlines()
                self.fault = f"callers cannot be read: {lines[0][:200] if lines else type(error).__name__}"
                log.warning("%s", self.fault)
            if self._stop.wait(self._interval):
                return

    def look(self) -> None:
        """Read what changed.

        Raises:
            OSError: The storage does not answer.
        """
        names = self._files.names()
        # Stores that tell times to the second may hide a second change: what is young is read again.
        young = time.time_ns() - 5_000_000_000
        changed = {name for name, seen in names.items() if self._seen.get(name) != seen or seen[0] > young}
        records = {name: each for name, each in self._records.items() if name in names}
        for name in changed:
            data = self._files.read(name)
            if data is None:
                records.pop(name, None)
                continue
            try:
                records[name] = CallerRecord.from_json(data)
            except ValueError:
                log.warning("the record of caller %s is damaged; what was known of it stays", name)
        self._seen = names
        if records != self._records:
            self._take(records)
            documents = {name: orjson.loads(each.to_json()) for name, each in records.items()}
            replace_file(self._cache, orjson.dumps(documents))

    def _remember(self) -> None:
        """What an earlier life knew."""
        try:
            documents = orjson.loads(self._cache.read_bytes())
            self._take({name: CallerRecord.from_json(orjson.dumps(each)) for name, each in documents.items()})
        except (OSError, ValueError, AttributeError):
            return

    def _take(self, records: dict[str, CallerRecord]) -> None:
        """Swap what is known, in one assignment."""
        known: dict[bytes, tuple[Identity, float]] = {}
        identities: dict[str, Identity] = {}
        for name, record in records.items():
            before, identity = self._records.get(name), self._identities.get(name)
            # A rotation is no reason to fill a caller's bucket again.
            if identity is None or before is None or replace(before, tokens=()) != replace(record, tokens=()):
                identity = Identity(record.name, record.models, record.rate, watches=record.metrics)
            identities[name] = identity
            for token in record.tokens:
                until = datetime.fromisoformat(token.expires).timestamp() if token.expires else math.inf
                known[bytes.fromhex(token.sha256)] = (identity, until)
        self._known, self._identities, self._records = known, identities, records
