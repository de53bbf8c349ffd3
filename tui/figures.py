"""Business figures and resources in words, for the console and the command line alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.widgets.words import UNKNOWN, number

if TYPE_CHECKING:
    from mlops.monitoring.alerts import Alert
    from mlops.monitoring.answers import Point, Series
    from mlops.monitoring.client import MonitorClient


@dataclass(frozen=True)
class Figure:
    """A series as the list shows it."""

    series: Series
    kind: str
    alerts: tuple[Alert, ...]

    @property
    def last(self) -> Point:
        """The newest period."""
        return self.series.points[-1]

    @property
    def odd(self) -> bool:
        """Whether the newest value is outside of what is usual."""
        value, low, high = self.last.value, self.last.low, self.last.high
        return value is not None and low is not None and high is not None and not low <= value <= high

    @property
    def value(self) -> str:
        """The newest value with its unit."""
        return said(self.last.value, self.series.unit)

    @property
    def usual(self) -> str:
        """Between what it would be usual."""
        if self.last.low is None:
            # Some are held against limits alone.
            learns = self.kind == "kpi" or self.series.unit not in ("share", "requests")
            return "learning" if learns and self.last.value is not None else UNKNOWN
        return between(self.last, self.series.unit)

    @property
    def off(self) -> str:
        """How far from what was expected."""
        value, expected = self.last.value, self.last.expected
        if value is None or not expected:
            return UNKNOWN
        return f"{(value - expected) / abs(expected):+.0%}"


def figures(monitor: MonitorClient, limit: int) -> tuple[Figure, ...]:
    """Every figure, business first. Asks the monitor: call it in a thread. Raises Problem."""
    firing = monitor.firing()
    found = []
    for kind in ("kpi", "resource"):
        for each in monitor.series(kind, limit):
            names = (each.name, f"{each.name} unknown")
            mine = tuple(a for a in firing if a.kind == kind and a.model == each.model and a.feature in names)
            found.append(Figure(each, kind, mine))
    # Who looks here looks for these.
    return tuple(sorted(found, key=lambda each: not each.alerts))


def between(point: Point, unit: str) -> str:
    """What is usual, with its unit once."""
    low, high = said(point.low, unit), said(point.high, unit)
    number, _, last = low.rpartition(" ")
    return f"{number if number and high.endswith(f' {last}') else low} to {high}"


def said(value: float | None, unit: str) -> str:
    """A value as a person says it."""
    if value is None:
        return UNKNOWN
    if unit == "share":
        return f"{value:.1%}" if abs(value) < 0.1 else f"{value:.0%}"
    if unit == "bytes":
        return f"{value / 1e6:,.0f} MB"
    if unit == "s":
        return f"{value * 1e3:,.1f} ms" if value < 1 else f"{value:,.1f} s"
    text = f"{value:,.0f}" if abs(value) >= 1000 else number(value, 3)
    return f"{text} {unit}".rstrip() if unit != "requests" else f"{value:,.0f}"
