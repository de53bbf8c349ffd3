"""How fast the error budget burns: the multiwindow, multi-burn-rate alerts of The Site Reliability Workbook
(Google, 2018), chapter 5, table 5-8, over events that come with their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.finding import Finding, Severity


@dataclass(frozen=True)
class Pace:
    """One pair of windows: it burns when both do, the long one for weight, the short one to end soon."""

    rate: float
    long: timedelta
    short: timedelta
    severity: Severity


PACES = (
    Pace(14.4, timedelta(hours=1), timedelta(minutes=5), "page"),
    Pace(6.0, timedelta(hours=6), timedelta(minutes=30), "page"),
    Pace(1.0, timedelta(days=3), timedelta(hours=6), "ticket"),
)


@dataclass(frozen=True)
class Events:
    """Good events and all events of one analysed window; ``end`` is the time of its last event."""

    end: datetime
    good: int
    total: int


def burn_rate(
    events: Sequence[Events], objective: float, now: datetime, span: timedelta
) -> tuple[float, int]:
    """Share of bad events over the share that is allowed, and how many events there were.

    Windows longer than ``span`` count whole when they end in it: a service that fills a window once a day is
    judged by that window.
    """
    chosen = [each for each in events if now - span < each.end <= now]
    total = sum(each.total for each in chosen)
    bad = total - sum(each.good for each in chosen)
    return (bad / total / (1.0 - objective) if total else 0.0), total


def burning(events: Sequence[Events], name: str, objective: float, now: datetime, least: int) -> Finding:
    """The loudest pace at which the budget of an objective burns, as a finding of family ``performance``.

    Args:
        events: Of one model, version and objective, in any order.
        name: Of the objective: ``error``, ``valid``, …
        objective: Share of events that must be good, in (0, 1).
        now: Time of the newest event: the log's time, so that a replay and a late start say the same.
        least: Events a long window needs; the short one needs a twelfth of them, as it has a twelfth of the
            time. Where traffic is thin, the short window is stretched back until it has them, up to the
            long one: windows are in events as well as in time.
    """
    best: tuple[Pace, float, int] | None = None
    fastest = 0.0
    for pace in PACES:
        rate, count = burn_rate(events, objective, now, pace.long)
        recent, few = burn_rate(events, objective, now, _stretched(events, now, pace, least))
        if count < least or few < max(1, least // 12):
            continue
        both = min(rate, recent)
        fastest = max(fastest, both)
        if both >= pace.rate and best is None:
            best = pace, both, count
    pace, rate, count = best or (PACES[-1], fastest, sum(each.total for each in events))
    words = (
        f"{name}: the error budget burns {rate:.1f} times as fast as it lasts, for {_span(pace.long)}"
        f" and still ({count} events; {1 - objective:.2%} may be bad)"
        if best
        else f"{name}: the error budget lasts"
    )
    return Finding(
        column=name,
        family="performance",
        test="burn",
        statistic=rate,
        effect=rate,
        floor=pace.rate,
        p_value=1.0,
        p_adjusted=1.0,
        found=best is not None,
        severity=pace.severity if best else "none",
        sentence=words,
        reference=Distribution(("allowed",), (1 - objective,)),
        current=Distribution(("bad",), (rate * (1 - objective),)),
    )


def _stretched(events: Sequence[Events], now: datetime, pace: Pace, least: int) -> timedelta:
    span, need = pace.short, max(1, least // 12)
    while span < pace.long and burn_rate(events, 0.5, now, span)[1] < need:
        span = min(pace.long, 2 * span)
    return span


def _span(span: timedelta) -> str:
    return f"{span.days} days" if span.days else f"{span.seconds // 3600} h"
