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
#: Bodies above are worth a thread, so never a quick answer.
MOST_QUICK_BYTES = 64 * 1024
#: Heads in a row that were never seen before: this connection's are not worth a look.
MOST_UNKNOWN = 64
_FINE = b"HTTP/1.1 200 "
#: The first answer of a turn of the loop waits this long for others.
ROUND_SECONDS = 0.0005
#: Where in a request the next byte belongs.
_BETWEEN, _HEAD, _BODY = 0, 1, 2
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


class _Round:
    """Answers of one turn of the loop, recorded together: a write of the log costs as much for many as for
    one, and its code is in the processor's cache for all but the first."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._due: list[tuple[Protocol, Any]] = []

    @classmethod
    def of(cls, state: Any, app: Any) -> _Round:
        """The one of a server."""
        if not hasattr(state, "round"):
            state.round = cls(app)
        found: _Round = state.round
        return found

    def add(self, connection: Protocol, owed: Any) -> None:
        """Answer this at the end of the turn, or now when the first waits for long."""
        due = self._due
        if not due:
            connection.loop.call_soon(self.settle)
        connection.owing = True
        due.append((connection, owed))
        if owed.start - due[0][1].start > ROUND_SECONDS:
            self.settle()

    def settle(self) -> None:
        """Record and answer what there is."""
        due, self._due = self._due, []
        if due:
            answers = self._app.settle([owed for _, owed in due])
            for (connection, _), answer in zip(due, answers, strict=True):
                connection.write_answer(answer)


class Protocol(HttpToolsProtocol):
    """One connection.

    An application that has a method ``quick(path, headers, body) -> bytes | None`` is asked it first, for a
    POST that arrived as a whole on a connection with nothing else in flight. What it answers is written as
    it is; for None the request takes uvicorn's usual way, with a task and an ASGI scope.

    Where the application has ``heads``, too, a head that was answered quickly is not parsed again when the
    same bytes come again: between two requests the parser remembers nothing that would make it read them
    otherwise.
    """

    def connection_made(self, transport: Any) -> None:
        """Take it, or refuse it when there are too many."""
        super().connection_made(transport)
        self._state = _BETWEEN
        self._idle_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ask_quick = getattr(self.app, "quick", None)
        heads = getattr(self.app, "heads", None)
        self._known_head = heads.find if heads is not None else None
        self._unknown = 0
        self._learnt: bytes | None = None
        self.owing = False
        self._round = _Round.of(self.server_state, self.app)
        self._held: bytearray | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._answered = 0.0
        if len(self.connections) > MOST_CONNECTIONS:
            self._last(_TOO_MANY)
        else:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._disarm()
        if self._quiet is not None:
            self._quiet.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends: what is owed is answered first."""
        if self.owing:
            self._round.settle()
        super().shutdown()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._state = _HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: its limits end."""
        self._state = _BODY
        self._idle_bytes = 0
        if self._timer is not None:
            self._disarm()
        if (
            self._ask_quick is not None
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
        ):
            self._held = bytearray()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        if self._held is not None:
            self._held += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there as a whole."""
        self._state = _BETWEEN
        if self._held is not None:
            body = bytes(self._held)
            if len(body) <= MOST_QUICK_BYTES and self._answer_quickly(body):
                self._held = None
                return
            self._usual()
        super().on_message_complete()

    def _answer_quickly(self, body: bytes) -> bool:
        assert self._ask_quick is not None
        answer = self._ask_quick(self.url, self.headers, body)
        if answer is None:
            return False
        if not self.parser.should_keep_alive():
            self.server_state.total_requests += 1
            self._last(answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
            return True
        if self._known_head is not None and answer.startswith(_FINE) and not self.parser.should_upgrade():
            self._learnt = body
        self.write_answer(answer)
        return True

    def write_answer(self, answer: bytes) -> None:
        """Send an answer, whole."""
        self.owing = False
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.transport.write(answer)
        if self._quiet is None:
            self._quiet = self.loop.call_later(KEEP_ALIVE_SECONDS, self._too_quiet)
        self._answered = self.loop.time()

    def _again(self, data: bytes) -> bool:
        """Answer a whole request whose head is known; False: it is not that, nothing was done."""
        assert self._known_head is not None
        end = data.find(b"\r\n\r\n") + 4
        head = self._known_head(data[:end])
        if head is None or len(data) != end + head.length:
            self._unknown += 1
            if self._unknown > MOST_UNKNOWN:
                self._known_head = None
            return False
        if (self.cycle is not None and not self.cycle.response_complete) or self.flow.write_paused:
            return False
        answer = self.app.again(head, data[end:])
        if answer is None:
            return False
        if type(answer) is not bytes:
            self._round.add(self, answer)
            answer = b""
        self._unknown = self._idle_bytes = 0
        if self._timer is not None:
            self._disarm()
        self._unset_keepalive_if_required()
        if answer:
            self.write_answer(answer)
        return True

    def _learn(self, data: bytes, body: bytes) -> None:
        """Know the head again, if what came is one request and nothing else (so its body has no chunks)."""
        end = data.find(b"\r\n\r\n") + 4
        if data[end:] == body:
            self.app.learn(data[:end], self.url, self.headers, len(body))

    def _usual(self) -> None:
        """Hand what was held to uvicorn."""
        held, self._held = self._held, None
        super().on_headers_complete()
        if held:
            super().on_body(bytes(held))

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, a body, or a body that nobody reads any more."""
        if self.owing:
            self._round.settle()
        between = self._state == _BETWEEN
        if between and self._known_head is not None and self._again(data):
            return
        super().data_received(data)
        if self._learnt is not None:
            if between and self._state == _BETWEEN:
                self._learn(data, self._learnt)
            self._learnt = None
        if self._state == _BETWEEN or self.transport.is_closing():
            return
        if self._held is not None:
            # The rest is on its way: waiting for it, with its limits, is the application's.
            self._usual()
        if self._state == _BODY and not self.cycle.response_complete:
            return
        self._idle_bytes += len(data)
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        if self._state == _HEAD and self._idle_bytes > MOST_HEAD_BYTES:
            self._last(_TOO_LONG)
        elif self._idle_bytes > MOST_UNREAD_BYTES:
            self._close()

    def _too_quiet(self) -> None:
        """Close a connection that asked nothing for long; one timer for all requests, not one for each."""
        self._quiet = None
        left = self._answered + KEEP_ALIVE_SECONDS - self.loop.time()
        busy = self.cycle is not None and not self.cycle.response_complete
        # After an answer on the usual way uvicorn has a timer of its own.
        if left <= 0 and not busy and self.timeout_keep_alive_task is None:
            self._close()
        elif not self.transport.is_closing():
            self._quiet = self.loop.call_later(max(left, 1.0), self._too_quiet)

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is refused like everything else: with a sentence in JSON."""
        self._last(_answer("400 Bad Request", "the request is not HTTP"))

    def _too_slow(self) -> None:
        self._timer = None
        if self._state == _BODY:
            self._close()
        else:
            self._last(_TOO_SLOW)

    def _last(self, answer: bytes) -> None:
        """The last answer of this connection."""
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
