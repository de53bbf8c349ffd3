"""What one request may take, and what happens to one that would take more."""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from mlops.serving.gateway.errors import RequestError, busy
from mlops.serving.rows import BusyError

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Limits of a gateway process.

    Attributes:
        body_bytes: Of one request.
        buffered_bytes: Of all bodies being received or worked on.
        inline_bytes: Larger bodies are parsed in a thread, one at a time, so that small ones go on.
        rows: Of one request.
        concurrency: Requests of one model at once.
        queue: Requests of one model that may wait for their turn.
        deadline_seconds: For requests that name none.
        longest_deadline_seconds: What a request may ask for.
        body_seconds: To receive a body.
        send_seconds: For a client to take an answer.
    """

    body_bytes: int = 32 * 1024 * 1024
    buffered_bytes: int = 256 * 1024 * 1024
    inline_bytes: int = 64 * 1024
    rows: int = 50_000
    concurrency: int = 32
    queue: int = 128
    deadline_seconds: float = 30.0
    longest_deadline_seconds: float = 600.0
    body_seconds: float = 20.0
    send_seconds: float = 60.0


async def before(deadline: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; it is cancelled at ``deadline`` (seconds on the loop's clock).

    Work that does not wait costs no timer: the first step is taken here, and only what is left is timed.

    Raises:
        TimeoutError: It was.
    """
    try:
        first = work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    async with asyncio.timeout_at(deadline):
        return await _rest(work, first)


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], waited: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has already said what it waits for."""
    try:
        while True:
            try:
                sent = yield waited
            except BaseException as error:
                waited = work.throw(error)
            else:
                waited = work.send(sent)
    except StopIteration as stop:
        result: T = stop.value
        return result


class Gate:
    """At most ``limit`` at once, at most ``queue`` waiting, first come first served."""

    __slots__ = ("_waiting", "active", "limit", "queue")

    def __init__(self, limit: int, queue: int) -> None:
        self.limit, self.queue, self.active = limit, queue, 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter_now(self) -> bool:
        """Whether there was a place; it is taken then."""
        if self.active >= self.limit:
            return False
        self.active += 1
        return True

    async def enter(self, deadline: float) -> None:
        """Wait for a place.

        Raises:
            BusyError: The queue is full.
            TimeoutError: ``deadline`` passed.
        """
        if self.enter_now():
            return
        if self.waiting >= self.queue:
            raise BusyError(f"{self.active} requests are being answered and {self.queue} wait")
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout_at(deadline):
                await future
        except BaseException:
            # The place may have been given in the same turn as the deadline passed.
            if future.done() and not future.cancelled():
                self.leave()
            elif future in self._waiting:
                self._waiting.remove(future)
            raise

    def leave(self) -> None:
        """Give the place to the next, or back."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self.active -= 1


class Bodies:
    """Receives bodies within the limits; ``held``: bytes of those not yet answered."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self.held = limits, 0
        # A length with fewer digits than the limit needs no arithmetic.
        self._digits = len(str(limits.body_bytes))

    def announced(self, headers: dict[bytes, bytes]) -> None:
        """Refuse by the announced length, before a byte is read.

        Raises:
            RequestError: 400, 413, 415 or 503.
        """
        if b"content-encoding" in headers and headers[b"content-encoding"] != b"identity":
            raise RequestError(415, "send the body without Content-Encoding")
        length = headers.get(b"content-length")
        if length is None or (len(length) < self._digits and length.isdigit()):
            return
        if not length.isdigit():
            raise RequestError(400, "Content-Length: expected a number")
        if len(length) > 15 or int(length) > self._limits.body_bytes:
            raise self._too_large()

    async def receive(self, receive: Any, now: float) -> tuple[bytes, int]:
        """The whole body and the bytes held for it, to :meth:`release` when the request is done.

        Raises:
            RequestError: 408, 413 or 503.
        """
        held = 0
        try:
            message = await before(now + self._limits.body_seconds, receive())
            body: bytes = message.get("body", b"")
            held = self._hold(0, len(body))
            if not message.get("more_body"):
                return body, held
            parts = [body]
            while message.get("more_body"):
                message = await before(now + self._limits.body_seconds, receive())
                if message["type"] == "http.disconnect":
                    raise RequestError(400, "the sender went away", "gone")
                parts.append(message.get("body", b""))
                held = self._hold(held, len(parts[-1]))
            return b"".join(parts), held
        except TimeoutError:
            self.release(held)
            raise RequestError(
                408,
                f"the body did not arrive within {self._limits.body_seconds:g} s",
                headers={"connection": "close"},
            ) from None
        except BaseException:
            self.release(held)
            raise

    def _hold(self, held: int, more: int) -> int:
        if held + more > self._limits.body_bytes:
            raise self._too_large()
        if self.held + more > self._limits.buffered_bytes:
            raise busy("the gateway holds as many bodies as it may")
        self.held += more
        return held + more

    def release(self, held: int) -> None:
        """Give back what :meth:`receive` returned."""
        self.held -= held

    def _too_large(self) -> RequestError:
        most = self._limits.body_bytes
        size = f"{most // 1024 // 1024} MB" if most >= 1024 * 1024 else f"{most} bytes"
        return RequestError(
            413, f"expected a body of at most {size}; send the rows in parts", headers={"connection": "close"}
        )
