"""What the gateway refuses, in words for the one who asked."""

from __future__ import annotations

from collections.abc import Mapping


class RequestError(Exception):
    """A request that is not answered; the text is safe for its sender.

    Attributes:
        status: HTTP status code.
        reason: Class of the refusal, as the metrics count it.
        headers: What the answer carries besides, as ``retry-after`` or ``allow``.
    """

    def __init__(
        self, status: int, sentence: str, reason: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.reason = status, reason or _REASONS.get(status, "other")
        self.headers = dict(headers or {})


class MalformedError(RequestError):
    """The body is not what its content type or its protocol says: 400."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, sentence)


class ContractError(RequestError):
    """The rows do not keep the model's signature: 400, and counted as the arm's."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, sentence, "contract")


def busy(sentence: str, after: float = 1.0, status: int = 503, reason: str = "") -> RequestError:
    """Not now: 503, or 429 for the caller's own rate. ``after``: seconds worth waiting."""
    return RequestError(status, sentence, reason, {"retry-after": str(max(1, round(after + 0.499)))})


_REASONS = {
    400: "malformed",
    401: "token",
    403: "scope",
    404: "unknown",
    405: "method",
    408: "slow",
    413: "size",
    415: "media",
    422: "model",
    429: "rate",
    503: "busy",
}
