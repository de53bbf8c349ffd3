"""A caller as the gateway knows it, and what is kept of its token."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import lru_cache

_BEARER = b"Bearer "
#: A caller with this among its models may use every model.
EVERY = "*"
#: Longer headers are no tokens of ours and are not kept.
_MOST_KNOWN = 256


class Identity:
    """A caller as the gateway knows it: what it may, and how much is left of its rate.

    Args:
        rate: Requests a second (of one gateway process), 0: any; a burst is a second's worth.
    """

    __slots__ = (
        "_last",
        "_left",
        "_models",
        "_rate",
        "administrator",
        "name",
        "watches",
    )

    def __init__(
        self,
        name: str,
        models: Sequence[str] = (),
        rate: float = 0.0,
        administrator: bool = False,
        watches: bool = False,
    ) -> None:
        self.name, self.administrator, self.watches = name, administrator, watches
        self._models = None if administrator or EVERY in models else frozenset(models)
        self._rate = rate
        self._left, self._last = max(1.0, rate), time.monotonic()

    def may(self, model: str) -> bool:
        """Whether it may use this model."""
        return self._models is None or model in self._models

    def may_watch(self) -> bool:
        """Whether it may read the metrics of everything."""
        return self.administrator or self.watches

    def wait(self) -> float:
        """Seconds until its rate allows one more request; 0: this one is counted and allowed."""
        rate = self._rate
        if not rate:
            return 0.0
        now = time.monotonic()
        left = min(max(1.0, rate), self._left + (now - self._last) * rate)
        self._last = now
        if left < 1.0:
            self._left = left
            return (1.0 - left) / rate
        self._left = left - 1.0
        return 0.0


def digest(token: bytes) -> bytes:
    """What is kept of a token. One round of SHA-256 is enough: nobody guesses 256 random bits."""
    return hashlib.sha256(token).digest()


def sent_digest(authorization: bytes) -> bytes:
    """The digest of the token of an ``Authorization`` header."""
    return _known(authorization) if len(authorization) <= _MOST_KNOWN else digest(bearer(authorization))


@lru_cache(maxsize=1024)
def _known(authorization: bytes) -> bytes:
    # A look compares hashes that are keyed anew in each life of the process: its time tells nothing either.
    return digest(bearer(authorization))


def bearer(authorization: bytes) -> bytes:
    """The token of an ``Authorization`` header; empty: it has none."""
    return authorization[7:] if authorization[:7] == _BEARER else b""
