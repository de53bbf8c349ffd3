"""How much people hear, and how much of it was worth hearing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from mlops.monitoring.alerts.alert import Alert

_WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class Fatigue:
    """Figures of a stretch of time.

    Attributes:
        alerts: That somebody heard of.
        pages, tickets, digests: The same by level.
        model_weeks: Models times weeks that were watched.
        acknowledged, useful, noise: What people said of them.
        seconds_to_acknowledge: Median; None: nobody acknowledged any.
    """

    alerts: int
    pages: int
    tickets: int
    digests: int
    model_weeks: float
    acknowledged: int
    useful: int
    noise: int
    seconds_to_acknowledge: float | None

    @property
    def per_model_week(self) -> float:
        """Alerts per model and week; 0 where nothing was watched."""
        return self.alerts / self.model_weeks if self.model_weeks else 0.0

    @property
    def precision(self) -> float | None:
        """Share of the judged alerts that were useful; None: nobody judged any."""
        judged = self.useful + self.noise
        return self.useful / judged if judged else None


def measured(alerts: Iterable[Alert], spans: Iterable[tuple[datetime, datetime]]) -> Fatigue:
    """The figures.

    Args:
        alerts: Those that fired and were announced.
        spans: For each model, from its first to its last window.
    """
    heard = [alert for alert in alerts if alert.fired_at is not None]
    levels = [alert.severity for alert in heard]
    waits = [
        (a.acknowledged_at - a.fired_at).total_seconds()
        for a in heard
        if a.acknowledged_at is not None and a.fired_at is not None
    ]
    return Fatigue(
        len(heard),
        levels.count("page"),
        levels.count("ticket"),
        levels.count("digest"),
        sum((last - first) / _WEEK for first, last in spans),
        len(waits),
        sum(a.useful is True for a in heard),
        sum(a.useful is False for a in heard),
        median(waits) if waits else None,
    )


def of_the_past(alerts: Sequence[Alert], spans: Iterable[tuple[datetime, datetime]]) -> Fatigue:
    """The figures of what was really announced."""
    return measured([alert for alert in alerts if alert.announced], spans)
