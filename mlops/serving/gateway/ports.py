"""What the gateway needs from others: who answers, where it is recorded, who may ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlops.serving.evidence import Evidence
from mlops.serving.rows import Batch, Call, Outputs, Runtime

#: Gets a copy of what was answered and returns at once; it never raises.
Shadow = Callable[[Batch, Outputs, Call], None]
#: Answers ``(scope, body)`` with ``(status, JSON document)``; ``scope["modelyard.caller"]`` is who asks.
AdminHandler = Callable[[Mapping[str, Any], bytes], Awaitable[tuple[int, Any]]]

#: What :meth:`Log.append` is given.
Entry = tuple[str, str, str, Call, Batch, Outputs, float]


@dataclass(slots=True)
class Choice:
    """The arm that answers a request.

    Attributes:
        arm: ``champion``, ``challenger``, … as the log and the metrics name it.
        evidence: Where this request is counted.
        shadow: Gets what was answered, for arms that are only watched; None: there are none.
    """

    runtime: Runtime
    arm: str
    evidence: Evidence
    shadow: Shadow | None = None


@dataclass(slots=True)
class Refusal:
    """Why nobody answers: 404 (no such model or version) or 503 (not now)."""

    status: int
    sentence: str
    retry_after: float = 2.0


class QuickRuntime(Runtime, Protocol):
    """A runtime that answers a few rows sooner than a coroutine or a thread could be asked to.

    Where a runtime has this method the gateway calls it first, on the event loop.
    """

    def answer_now(self, batch: Batch) -> Outputs | None:
        """As ``predict``; None: these rows would hold the loop up, ask ``predict``."""
        ...


class Router(Protocol):
    """Deals requests to arms. Called on the event loop; reading it never waits."""

    def choose(self, model: str, call: Call, version: str | None) -> Choice | Refusal:
        """The arm for this call; ``version``: the caller asks for this one."""
        ...

    def served(self) -> Sequence[Choice]:
        """Every arm that is ready, for metadata, metrics and the OpenAPI document."""
        ...

    def fault(self) -> str:
        """Why this gateway is not ready, in a sentence; empty: it is."""
        ...


class Backlog(Protocol):
    """What is not in the log's table yet."""

    @property
    def rows(self) -> int:
        """How many rows."""
        ...


class Log(Protocol):
    """The prediction log. Its methods return when what they were given survives this process.

    Where a log has ``append_all(entries: Sequence[Entry])``, answers that become ready together are recorded
    together: all of them when it returns, and perhaps some when it raises OSError.
    """

    def append(
        self,
        model: str,
        version: str,
        arm: str,
        call: Call,
        batch: Batch,
        outputs: Outputs,
        latency_seconds: float,
    ) -> None:
        """Record an answer.

        Raises:
            OSError: It cannot; the request is not answered then.
        """
        ...

    def fail(
        self,
        model: str,
        version: str,
        arm: str,
        call: Call,
        reason: str,
        sentence: str,
        latency_seconds: float,
        batch: Batch | None = None,
    ) -> None:
        """Record a request that an arm did not answer: ``reason`` as evidence counts it, ``sentence`` as its
        caller was told.

        Raises:
            OSError: It cannot.
        """
        ...

    def label(
        self, model: str, ids: Sequence[str], values: Sequence[float], times: Sequence[int], name: str, /
    ) -> None:
        """Record true labels, or values of the business metric ``name`` (``times``: µs since the epoch, when
        each became known).

        Raises:
            OSError: It cannot.
        """
        ...

    def backlog(self, model: str) -> Backlog:
        """Of a model's predictions."""
        ...


class Caller(Protocol):
    """One who sent a valid token."""

    name: str
    administrator: bool

    def may(self, model: str) -> bool:
        """Whether it may use this model."""
        ...

    def may_watch(self) -> bool:
        """Whether it may read the metrics of everything."""
        ...

    def wait(self) -> float:
        """Seconds until its rate allows one more request; 0: this one is counted and allowed."""
        ...


class Callers(Protocol):
    """Who may ask."""

    def identify(self, authorization: bytes) -> Caller | None:
        """The caller of an ``Authorization`` header (empty: none was sent); None: unknown."""
        ...
