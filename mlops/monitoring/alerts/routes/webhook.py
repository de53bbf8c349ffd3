"""A signed webhook."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

from mlops.monitoring.alerts.notice import Notice
from mlops.monitoring.alerts.routes.base import post, secret

KEY, STAMP, SIGNATURE = "Idempotency-Key", "Modelyard-Timestamp", "Modelyard-Signature"
#: Seconds a signature is good for: whoever records a request cannot repeat it tomorrow.
TOLERANCE = 300


class Webhook:
    """Posts the notice as JSON, signed with HMAC-SHA-256 (RFC 2104) over ``TIMESTAMP.BODY``.

    Args:
        url: Where to.
        key: Reference to the signing key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key

    def send(self, notice: Notice) -> None:
        """Deliver; the key of the notice is the idempotency key."""
        body, stamp = notice.to_json().encode(), str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            KEY: notice.key,
            STAMP: stamp,
            SIGNATURE: signature(secret(self._key), stamp, body),
        }
        post(self._url, content=body, headers=headers)


def signature(key: str, stamp: str, body: bytes) -> str:
    """``sha256=HEX`` over the time and the body."""
    return "sha256=" + hmac.new(key.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def genuine(key: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """For receivers: whether a request is ours and fresh.

    Args:
        headers: Of the request; names in any case.
        now: Seconds since 1970.
    """
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get(STAMP.lower(), "")
    if not stamp.isascii() or not stamp.isdigit() or abs(now - int(stamp)) > TOLERANCE:
        return False
    return hmac.compare_digest(
        signature(key, stamp, body).encode(), given.get(SIGNATURE.lower(), "").encode("utf-8", "replace")
    )
