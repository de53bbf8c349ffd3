"""The HTTP server under the gateway: uvicorn on uvloop and httptools, with limits that it lacks.

uvicorn bounds neither the size of a request's head nor the time it may take to arrive, so one client that
sends a byte a minute holds a connection for ever.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Connections of one process; more are told to come back.
MOST_CONNECTIONS = 2000
MOST_HEAD_BYTES = 64 * 1024
#: What may still arrive of a body whose request was refused, so that its sender reads the refusal.
MOST_UNREAD_BYTES = 4 * 1024 * 1024
HEAD_SECONDS = 20.0
#: Longer than the pauses of a client that is at work: closing just as it sends again would fail its request.
KEEP_ALIVE_SECONDS = 75


def _answer(status: str, sentence: str, *headers: str) -> bytes:
    body = orjson.dumps({"error": sentence})
    head = [
        f"HTTP/1.1 {status}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


_TOO_MANY = _answer(
    "503 Service Unavailable", "the gateway has as many connections as it may", "retry-after: 1"
)
_TOO_SLOW = _answer("408 Request Timeout", f"the request did not arrive within {HEAD_SECONDS:g} s")
_TOO_LONG = _answer(
    "431 Request Header Fields Too Large", f"expected a head of at most {MOST_HEAD_BYTES // 1024} KB"
)


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: Any) -> None:
        """Take it, or refuse it when there are too many."""
        super().connection_made(transport)
        self._in_head = True
        self._idle_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(_TOO_MANY)
        else:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._disarm()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """The head is there: its limits end."""
        self._in_head = False
        self._idle_bytes = 0
        if self._timer is not None:
            self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are another request's head."""
        self._in_head = True
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, a body, or a body that nobody reads any more."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            return
        self._idle_bytes += len(data)
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        if self._in_head and self._idle_bytes > MOST_HEAD_BYTES:
            self._refuse(_TOO_LONG)
        elif self._idle_bytes > MOST_UNREAD_BYTES:
            self._close()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is refused like everything else: with a sentence in JSON."""
        self._refuse(_answer("400 Bad Request", "the request is not HTTP"))

    def _too_slow(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(_TOO_SLOW)
        else:
            self._close()

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
        self._close()

    def _close(self) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.close()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Quiet(uvicorn.Server):
    """A server whose process listens to signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def server(app: Any, drain_seconds: int = 30, signals: bool = True) -> uvicorn.Server:
    """A server for ``app``; on SIGTERM (without ``signals``: when ``should_exit`` is set) it finishes what it
    has within ``drain_seconds``."""
    return (uvicorn.Server if signals else _Quiet)(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=Protocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=drain_seconds,
        )
    )


def serve(app: Any, sockets: Sequence[socket.socket]) -> None:
    """Serve on ``sockets`` until SIGTERM or SIGINT."""
    # What the libraries made while they were imported lives as long as the process: no collection need look
    # at it, and requests leave few cycles behind.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    server(app).run(sockets=list(sockets))
