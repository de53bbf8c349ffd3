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


class Log(Protocol):
    """The prediction log. Both methods return when what they were given survives this process."""

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

    def label(self, model: str, ids: Sequence[str], labels: Sequence[float], times: Sequence[int]) -> None:
        """Record true labels (``times``: µs since the epoch, when each became known).

        Raises:
            OSError: It cannot.
        """
        ...

    def lag(self, model: str) -> int:
        """Rows answered and not yet in the table."""
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
