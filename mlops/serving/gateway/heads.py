"""Heads of requests that come again: what was worked out of their bytes once holds for the same bytes.

A client that keeps its connection sends the same head before each body, unless it numbers its requests.
Reading it anew costs more than the model.
"""

from __future__ import annotations

from mlops.serving.gateway.forms import Form
from mlops.serving.gateway.headers import Names, call_of
from mlops.serving.gateway.routes import Route
from mlops.serving.rows import Call

_MOST_BYTES = 4096
_MOST = 512
#: What tells one request from the next; such a head does not come again.
_OWN = (b"x-request-id", b"traceparent")


class Head:
    """What a head says.

    Attributes:
        length: Bytes of the body that it announces.
        form: Of which each of its requests gets one; None: not looked at yet.
    """

    __slots__ = ("_names", "call", "form", "headers", "length", "path", "route")

    def __init__(
        self, path: bytes, route: Route, sent: list[tuple[bytes, bytes]], names: Names, length: int = 0
    ) -> None:
        self.path, self.route, self.length = path, route, length
        self.headers = dict(sent)
        self.form: Form | None = None
        self._names = names
        self.call = call_of(sent, self.headers, names)

    def next_call(self) -> Call:
        """The call of one more request with this head."""
        first = self.call
        return Call(self._names.request(), "", first.key, first.attributes)


class Heads:
    """Heads by their bytes, tokens and all. How long a look takes depends on a hash keyed anew in each
    life of the process, so it tells nothing about a token; and the caller is identified for each request."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._known: dict[bytes, Head] = {}
        self.find = self._known.get

    def __len__(self) -> int:
        return len(self._known)

    def learn(
        self, raw: bytes, path: bytes, route: Route, sent: list[tuple[bytes, bytes]], length: int
    ) -> None:
        """Know this head from now on, if it may come again."""
        if len(raw) > _MOST_BYTES or any(name in _OWN for name, _ in sent):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[raw] = Head(path, route, sent, self._names, length)
