"""Requests, errors and latencies of one deployment in one process."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

_KEPT = 2048
_RATE_SECONDS = 10.0


@dataclass
class Stats:
    """Counters since the process started; latencies of the last 2,048 requests."""

    requests: int = 0
    rows: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, rows: int, seconds: float) -> None:
        """A request of ``rows`` rows was answered after ``seconds``."""
        with self._lock:
            self.requests += 1
            self.rows += rows
            self._latencies.append(seconds * 1000)
            self._recent.append((time.monotonic(), rows))

    def failed(self, reason: str) -> None:
        """A request was refused or failed; ``reason`` is its class."""
        with self._lock:
            self.requests += 1
            self.errors[reason] = self.errors.get(reason, 0) + 1

    def snapshot(self) -> dict[str, float]:
        """requests, rows, errors, rate_per_second (rows), p50_ms, p95_ms, p99_ms (-1: unknown)."""
        with self._lock:
            ordered = sorted(self._latencies)
            since = time.monotonic() - _RATE_SECONDS
            recent = sum(rows for at, rows in self._recent if at >= since)
            return {
                "requests": self.requests,
                "rows": self.rows,
                "errors": sum(self.errors.values()),
                "rate_per_second": recent / _RATE_SECONDS,
                "p50_ms": _quantile(ordered, 0.5),
                "p95_ms": _quantile(ordered, 0.95),
                "p99_ms": _quantile(ordered, 0.99),
            }


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else -1.0
