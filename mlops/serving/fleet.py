"""The versions that this gateway holds in memory, loaded ahead of their traffic and let go after it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from blueprints.errors import ExitCode, Problem
from mlops.serving.rows import Runtime

log = logging.getLogger(__name__)
#: ``(model, version)``.
Key = tuple[str, str]
_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Fault:
    """Why a version that is wanted is not loaded. ``attempts`` were made; the next is at ``retry`` on the
    monotonic clock, for the registry or the storage may only have been away; ``final``: it is the version
    itself."""

    reason: str
    attempts: int
    retry: float
    final: bool = False


class Fleet:
    """Loads what is wanted, each version on a thread of its own: a rollback must not wait for a candidate
    whose environment is still being built. Reading it never waits.

    Args:
        load: Makes a runtime of a version; blocks; raises with a reason that people can read.
        changed: Called on a thread of the fleet after a version was loaded or could not be.
        linger: Seconds that a version stays after nobody wants it: requests in flight, and those of replicas
            that hear of the change a little later.
    """

    def __init__(
        self,
        load: Callable[[str, str], Runtime],
        changed: Callable[[], None] = lambda: None,
        linger: float = 5.0,
    ) -> None:
        self._load, self._changed, self._linger = load, changed, linger
        self._wake = threading.Condition()
        self._wanted: frozenset[Key] = frozenset()
        self._unwanted_since: dict[Key, float] = {}
        self._stopping = False
        self.loaded: Mapping[Key, Runtime] = {}
        self.faults: Mapping[Key, Fault] = {}
        self.loading: frozenset[Key] = frozenset()
        self._thread = threading.Thread(target=self._work, name="fleet", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def stop(self) -> None:
        """Let everything go."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout=10)
        for runtime in self.loaded.values():
            runtime.close()

    def want(self, keys: Collection[Key]) -> None:
        """From now on these, and no others."""
        with self._wake:
            self._wanted = frozenset(keys)
            self.faults = {key: fault for key, fault in self.faults.items() if key in self._wanted}
            self._wake.notify()

    def retry(self, key: Key) -> None:
        """Try a version again at once that could not be loaded."""
        with self._wake:
            self.faults = {each: fault for each, fault in self.faults.items() if each != key}
            self._wake.notify()

    def hurry(self) -> None:
        """What kept versions from being fetched is over: try those at once whose fault it was not."""
        with self._wake:
            self.faults = {
                key: fault if fault.final else replace(fault, retry=0.0) for key, fault in self.faults.items()
            }
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                keys = self._due()
                if not keys and not self._stopping:
                    self._wake.wait(timeout=0.5)
                if self._stopping:
                    return
                self.loading |= keys
            for key in sorted(keys):
                name = f"load {key[0]} {key[1]}"
                threading.Thread(target=self._bring, args=(key,), name=name, daemon=True).start()
            self._let_go()

    def _due(self) -> frozenset[Key]:
        now = time.monotonic()
        missing = self._wanted - set(self.loaded) - self.loading
        return frozenset(key for key in missing if key not in self.faults or now >= self.faults[key].retry)

    def _bring(self, key: Key) -> None:
        start = time.monotonic()
        try:
            runtime = self._load(*key)
        except Exception as error:
            known = self.faults.get(key)
            attempts = known.attempts + 1 if known else 1
            lines = str(error).splitlines()
            reason = lines[0][:300] if lines and lines[0] else type(error).__name__
            log.warning("%s version %s cannot be served: %s", *key, reason)
            retry = time.monotonic() + min(_LONGEST_WAIT, 2.0**attempts)
            final = isinstance(error, Problem) and error.code is not ExitCode.RETRY
            fault = Fault(reason, attempts, retry, final)
            with self._wake:
                self.loading -= {key}
                if key in self._wanted:
                    self.faults = {**self.faults, key: fault}
        else:
            log.info("%s version %s loaded in %.1f s, %s", *key, time.monotonic() - start, runtime.kind)
            with self._wake:
                self.loading -= {key}
                self.loaded = {**self.loaded, key: runtime}
                self.faults = {each: fault for each, fault in self.faults.items() if each != key}
        self._changed()

    def _let_go(self) -> None:
        now = time.monotonic()
        with self._wake:
            unwanted = set(self.loaded) - self._wanted
            self._unwanted_since = {key: self._unwanted_since.get(key, now) for key in unwanted}
            gone = {key for key, since in self._unwanted_since.items() if now - since >= self._linger}
            leaving = [self.loaded[key] for key in gone]
            self.loaded = {key: each for key, each in self.loaded.items() if key not in gone}
        for runtime in leaving:
            runtime.close()
            log.info("%s version %s let go", runtime.model, runtime.version)
