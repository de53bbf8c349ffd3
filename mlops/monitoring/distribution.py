"""Distribution: shares by label; light, so that clients need not load what computes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Distribution:
    """Shares of the same labels; they sum to 1 unless there is nothing."""

    labels: tuple[str, ...]
    shares: tuple[float, ...]
