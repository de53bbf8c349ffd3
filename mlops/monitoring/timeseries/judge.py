"""One new value of a watched series: a point for the chart, and what is unusual about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from mlops.monitoring.answers import Point
from mlops.monitoring.finding import Family, Finding, Severity
from mlops.monitoring.timeseries.baseline import Baseline, Expectation

#: Share of usual values outside of the interval; of usual days, beyond what counts. Half of both alarm.
ALPHA = 0.001
#: Days for which a change of level is news.
_NEWS_DAYS = 7
_WORDS = {"low": "below", "high": "above"}


@dataclass(frozen=True)
class Watched:
    """What is watched.

    Attributes:
        name: Of the series: the ``metric`` of its points, the column of its findings.
        family: ``kpi`` or ``resource``.
        period: Length of one value's time.
        zone: Of the people whose days and weeks its season follows.
        side: ``low``, ``high`` or ``both``: which deviations are bad.
        least: Share of the expectation below which no deviation matters.
        shown: A value in words.
        severity: Of a deviation.
        least_off: Deviation in the unit of the series below which none matters either.
    """

    name: str
    family: Family
    period: timedelta
    zone: str = "UTC"
    side: str = "both"
    least: float = 0.05
    shown: Callable[[float], str] = "{:,.4g}".format
    severity: Severity = "page"
    least_off: float = 0.0


def judged(
    watched: Watched, past: Sequence[Point], start: datetime, value: float | None
) -> tuple[Point, list[Finding]]:
    """The point of a new value, and what it says: nothing before enough is known.

    Args:
        past: Its points, oldest first; those from ``start`` on do not count.
        value: None: the period has none.
    """
    end = start + watched.period
    plain = Point("", start, end, watched.name, value, kind=watched.family)
    if value is None or not math.isfinite(value):
        return Point("", start, end, watched.name, None, kind=watched.family), []
    found = _expected(watched, past, start, value)
    if found is None:
        return plain, []
    point = Point(
        "", start, end, watched.name, value, found.low, found.high, found.expected, found.learnt, 0,
        watched.family,
    )  # fmt: skip
    return point, [_now(watched, point, found), *_lately(watched, point, found)]


def level(watched: Watched, past: Sequence[Point], until: datetime) -> Finding:
    """Whether the level of a series changed in the last week before ``until`` and has stayed so for a day; a
    ticket, for what lasts wakes nobody twice."""
    baseline = _baseline(watched, past, until)
    found = baseline.step()
    name = f"{watched.name} level"
    since = _local(until, ZoneInfo(watched.zone)) - timedelta(days=_NEWS_DAYS).total_seconds()
    if found is None or found.moment < since:
        words = f"{watched.name} keeps its level"
        return Finding(name, watched.family, "level", 0, 0, watched.least, 1, 1, False, "none", words)
    share = _share(found.after - found.before, found.before)
    wrong = watched.side == "both" or (share < 0) == (watched.side == "low")
    held = wrong and abs(share) >= watched.least
    when = f"{datetime.fromtimestamp(found.moment, UTC):%a %d %b %H:%M}"
    way = _WORDS["low" if share < 0 else "high"]
    words = f"{watched.name} is {abs(share):.0%} {way} its level before {when}"
    return Finding(
        name, watched.family, "level", found.after, abs(share), watched.least, found.p_value, found.p_value,
        held, "ticket" if held else "none", words,
    )  # fmt: skip


def _expected(watched: Watched, past: Sequence[Point], start: datetime, value: float) -> Expectation | None:
    moment = _local(start, ZoneInfo(watched.zone))
    return _baseline(watched, past, start).expect(moment, value, ALPHA, watched.side)


def _baseline(watched: Watched, past: Sequence[Point], start: datetime) -> Baseline:
    zone = ZoneInfo(watched.zone)
    known = [each for each in past if each.start is not None and each.start < start]
    # What comes before the first value that is one says only that nothing was recorded yet.
    first = next((at for at, each in enumerate(known) if each.value), len(known))
    known = known[first:]
    times = np.asarray([_local(each.start, zone) for each in known], np.int64)
    values = np.asarray([np.nan if each.value is None else each.value for each in known], float)
    usual = np.asarray([_usual(each) for each in known], bool)
    period = round(watched.period.total_seconds())
    # A clock set back for winter gives an hour twice: both are of that hour.
    order = np.argsort(times, kind="stable")
    return Baseline(times[order], values[order], period, usual[order])


def _local(moment: datetime | None, zone: ZoneInfo) -> int:
    assert moment is not None
    there = moment.astimezone(zone)
    return round(there.replace(tzinfo=UTC).timestamp())


def _usual(point: Point) -> bool:
    low, high, value = point.low, point.high, point.value
    return value is None or low is None or high is None or low <= value <= high


def _now(watched: Watched, point: Point, found: Expectation) -> Finding:
    assert point.value is not None
    share = _share(point.value - found.expected, found.expected)
    sentence = (
        f"{watched.name} is {watched.shown(point.value)} in the {_length(watched.period)} from"
        f" {_when(point.start, watched.zone)}, expected {watched.shown(found.expected)}"
        f" ({watched.shown(found.low)} to {watched.shown(found.high)})"
    )
    off = point.value - found.expected
    return _finding(watched, "value", point.value, share, off, found.p_value, ALPHA, sentence)


def _lately(watched: Watched, point: Point, found: Expectation) -> list[Finding]:
    if found.day is None:
        return []
    assert point.value is not None
    side = _WORDS["low" if found.day < 0 else "high"]
    sentence = (
        f"{watched.name} was {abs(found.day):.0%} {side} what was expected over the 24 hours until"
        f" {_when(point.end, watched.zone)}"
    )
    off = found.day * found.expected
    return [_finding(watched, "day", found.day, found.day, off, found.day_p_value, ALPHA / 2, sentence)]


def _finding(
    watched: Watched,
    test: str,
    value: float,
    share: float,
    off: float,
    p_value: float,
    alpha: float,
    sentence: str,
) -> Finding:
    wrong = watched.side == "both" or (share < 0) == (watched.side == "low")
    held = wrong and p_value <= alpha and abs(share) >= watched.least and abs(off) >= watched.least_off
    severity = watched.severity if held else "none"
    return Finding(
        watched.name, watched.family, test, value, abs(share), watched.least, p_value, p_value, held,
        severity, sentence,
    )  # fmt: skip


def _share(off: float, of: float) -> float:
    if not of:
        return math.copysign(1.0, off) if off else 0.0
    return off / abs(of)


def _length(period: timedelta) -> str:
    minutes = round(period.total_seconds() / 60)
    for unit, size in (("week", 10_080), ("day", 1440), ("hour", 60)):
        if minutes % size == 0:
            return unit if minutes == size else f"{minutes // size} {unit}s"
    return f"{minutes} minutes"


def _when(moment: datetime | None, zone: str) -> str:
    assert moment is not None
    return f"{moment.astimezone(ZoneInfo(zone)):%a %d %b %H:%M}"
