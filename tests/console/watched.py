"""What a monitor tells of one model over 48 windows: two features drift, the quality falls, alerts come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mlops.monitoring.answers import Event, Heat, Picture, Point, Series, Span, State
from mlops.monitoring.distribution import Distribution

NOW = datetime.now(UTC)
_WINDOWS = 48


def _at(window: int) -> datetime:
    return NOW - timedelta(hours=2 * (_WINDOWS - window))


def _spans() -> tuple[Span, ...]:
    return tuple(Span("7" if at < 30 else "8", _at(at), _at(at + 1), 2000) for at in range(_WINDOWS))


def heat(features: int = 14) -> Heat:
    """``dep_delay`` drifts from window 32 on, ``visib`` a little, the others never."""
    names = ("dep_delay", "visib", *(f"a_feature_with_a_long_name_{at}" for at in range(features - 2)))
    levels = [
        [
            (0.2 + 0.6 * abs(math.sin(at * (row + 1))))
            if row > 1 or at < 32
            else (1.0 + (at - 32) / (3 if row == 0 else 9))
            for at in range(_WINDOWS)
        ]
        for row in range(features)
    ]
    tests = tuple(tuple("ks" if level >= 1 else "" for level in row) for row in levels)
    rows: list[tuple[float | None, ...]] = [tuple(line) for line in levels]
    # One came with a later release of the model.
    rows[5] = (None,) * 10 + rows[5][10:]
    return Heat(_spans(), names, tuple(rows), tests)


def quality() -> tuple[Point, ...]:
    """AUC with intervals, falling at the end, and what was to be expected without labels."""
    found = []
    for at, span in enumerate(_spans()[:-4]):
        value = 0.73 + 0.01 * math.sin(at) - (0.004 * (at - 32) if at > 32 else 0)
        found.append(
            Point(
                span.version,
                span.start,
                span.end,
                "auc",
                value,
                value - 0.02,
                value + 0.02,
                0.731,
                2000,
                1640,
            )
        )
    for at, span in enumerate(_spans()):
        value = 0.732 + 0.008 * math.sin(at + 1)
        span_of = (span.version, span.start, span.end)
        found.append(Point(*span_of, "auc", value, value - 0.03, value + 0.03, 0.731, 2000, 0, "estimated"))
        found.append(Point(*span_of, "brier", 0.18 + value / 90, 0.17, 0.2, 0.185, 2000, 0, "estimated"))
    return tuple(found)


def events() -> tuple[Event, ...]:
    """A version that came, and two alerts."""
    return (
        Event(_at(30), "version", "answers", "", "version 8 answers"),
        Event(_at(32), "drift", "pending", "ticket", "dep_delay differs", 4, "dep_delay"),
        Event(_at(33), "drift", "firing", "ticket", "dep_delay differs", 4, "dep_delay"),
        Event(_at(38), "performance", "firing", "page", "auc is 0.68, was 0.73", 5, "auc"),
        Event(_at(40), "drift", "acknowledged", "ticket", "taken by ann", 4, "dep_delay"),
    )


def kpis() -> tuple[Series, ...]:
    """Revenue by the hour that falls in the last three, and orders that are still being learnt."""
    points = []
    for at in range(_WINDOWS):
        start = NOW - timedelta(hours=_WINDOWS - at)
        expected = 1000 * (1.2 + math.sin(at / 24 * 2 * math.pi))
        value = expected * (1 + 0.05 * math.sin(7 * at)) * (0.5 if at >= _WINDOWS - 3 else 1.0)
        points.append(
            Point(
                "", start, start + timedelta(hours=1), "revenue", value, 0.8 * expected, 1.2 * expected,
                expected, 671, 0, "kpi",
            )
        )  # fmt: skip
    known = [
        replace(each, metric="orders", low=None, high=None, expected=None, rows=0) for each in points[:9]
    ]
    return (Series("orders", "", tuple(known)), Series("revenue", "delay", tuple(points), "USD"))


def resources() -> tuple[Series, ...]:
    """Of one gateway and the disk."""
    made = []
    for name, unit, size in (("gateway cpu", "cores", 0.2), ("gateway memory", "bytes", 3e8),
                             ("tracking answer", "s", 0.004), ("disk free", "share", 0.42)):  # fmt: skip
        low, high = (None, None) if name == "disk free" else (0.8 * size, 1.3 * size)
        expected = None if low is None else size
        values = [size * (1 + 0.05 * math.sin(at)) for at in range(_WINDOWS)]
        points = tuple(
            Point("", _at(at), _at(at + 1), name, value, low, high, expected, 300, 0, "resource")
            for at, value in enumerate(values)
        )
        made.append(Series(name, "", points, unit))
    return tuple(made)


@dataclass
class Watched:
    """The answers of a monitor."""

    states: tuple[State, ...] = (
        State("delay", "8", "", True, 1234, "", ("region=EU", "region=US")),
        State("price", "", "", False, 0),
    )
    maps: dict[str, Heat] = field(default_factory=lambda: {"region=US": heat(7)})
    heat: Heat = field(default_factory=heat)
    quality: tuple[Point, ...] = field(default_factory=quality)
    events: tuple[Event, ...] = field(default_factory=events)

    series: dict[str, tuple[Series, ...]] = field(
        default_factory=lambda: {"kpi": kpis(), "resource": resources()}
    )

    def of(self, segment: str) -> tuple[Point, ...]:
        """The series of a segment: estimates only."""
        mine = (each for each in self.quality if not segment or each.kind == "estimated")
        return tuple(replace(each, segment=segment, expected=None) if segment else each for each in mine)

    def pictures(self, column: str) -> tuple[Picture, ...]:
        """One column against its reference."""
        labels = ("below 0", "0 to 5", "5 to 15", "15 to 30", "30 to 60", "above 60")
        was, now = (0.31, 0.3, 0.2, 0.1, 0.06, 0.03), (0.2, 0.22, 0.18, 0.15, 0.13, 0.12)
        return (Picture(column, "drift", 0.3, Distribution(labels, was), Distribution(labels, now)),)
