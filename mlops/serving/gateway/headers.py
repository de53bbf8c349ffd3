"""What a request says outside its body: id, trace, deadline, sticky key, attributes for feature flags."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import SystemRandom
from typing import Any

from mlops.serving.gateway.errors import MalformedError
from mlops.serving.gateway.limits import Limits
from mlops.serving.rows import Call

_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_TRACE = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_OURS = b"x-modelyard-"
_MOST_ATTRIBUTE = 256


class Names:
    """Makes ids: unguessable by chance, unique among replicas."""

    def __init__(self) -> None:
        from random import Random

        # One call of the operating system, not one a request; an id is a name, not a secret.
        self._bits = Random(SystemRandom().getrandbits(256)).getrandbits

    def request(self) -> str:
        """128 bits, in hexadecimal."""
        return f"{self._bits(128):032x}"

    def span(self) -> str:
        """64 bits, never zero."""
        return f"{self._bits(64) | 1:016x}"


def request_id(headers: dict[bytes, bytes], names: Names) -> str:
    """The id that was sent, or a new one; one that may not stand in a header or a log is not taken."""
    given = headers.get(b"x-request-id")
    if given is not None and _ID.match(given):
        return given.decode("ascii")
    return names.request()


def trace(headers: dict[bytes, bytes], names: Names) -> str:
    """W3C trace context: the ``traceparent`` of this request as a child of the caller's span; empty: the
    caller sent none, or none that is valid (then it must be ignored)."""
    given = headers.get(b"traceparent")
    found = _TRACE.match(given) if given is not None else None
    if found is None:
        return ""
    version, trace_id, span, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more) or not trace_id.strip(b"0") or not span.strip(b"0"):
        return ""
    return f"00-{trace_id.decode()}-{names.span()}-{flags.decode()}"


def deadline(headers: dict[bytes, bytes], limits: Limits) -> float:
    """Seconds that ``x-modelyard-deadline-ms`` allows.

    Raises:
        MalformedError: It is no positive number.
    """
    given = headers[b"x-modelyard-deadline-ms"]
    if not given.isdigit() or len(given) > 9 or int(given) == 0:
        raise MalformedError("x-modelyard-deadline-ms: expected a whole number of milliseconds above 0")
    return min(int(given) / 1000, limits.longest_deadline_seconds)


def call_of(sent: Iterable[Any], headers: dict[bytes, bytes], names: Names) -> Call:
    """The call that these headers make; caller and deadline are not known yet."""
    call = Call(request_id(headers, names))
    if b"traceparent" in headers:
        call.trace = trace(headers, names)
    attributes: dict[str, str] | None = None
    for name, value in sent:
        if name.startswith(_OURS):
            if attributes is None:
                attributes = {}
            attributes[name[len(_OURS) :].decode("latin-1")] = value[:_MOST_ATTRIBUTE].decode("latin-1")
    if attributes is not None:
        attributes.pop("deadline-ms", None)
        call.key = attributes.pop("key", "")
        call.attributes = attributes
    return call
