"""What is known of the models that are watched, for the console and the command line alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.widgets.words import number

if TYPE_CHECKING:
    from mlops.monitoring.alerts import Alert
    from mlops.monitoring.answers import Heat, Point, State
    from mlops.monitoring.client import MonitorClient

#: Lowest level of each step, its character and what it means: effect over the floor of what matters.
STEPS = (
    (0.0, "·", "quiet"),
    (0.75, "░", "near"),
    (1.0, "▒", "found"),
    (2.0, "▓", "2×"),
    (4.0, "█", "4× the floor"),
)


@dataclass(frozen=True)
class Row:
    """A model as the list shows it."""

    state: State
    alerts: tuple[Alert, ...]
    quality: tuple[Point, ...]

    @property
    def series(self) -> tuple[Point, ...]:
        """Values of the metric that the model is judged by, realised if labels have come, oldest first."""
        known = [each for each in self.quality if each.value is not None]
        known = [each for each in known if each.kind == "realised"] or known
        return tuple(each for each in known if each.metric == known[0].metric)

    @property
    def sentence(self) -> str:
        """What is known of it, in one sentence, and what to do."""
        name = f"{self.state.model} v{self.state.version}" if self.state.version else self.state.model
        if self.state.fault:
            return f"{name} is not watched: {self.state.fault}"
        if not self.state.version:
            return f"{name}: no full window of predictions yet."
        if not self.state.reference:
            return f"{name} has no reference to compare with: attach one to its run, see docs/monitoring.md."
        if self.alerts:
            return "; ".join(each.summary for each in self.alerts[:2]) + "."
        now = self.series[-1] if self.series else None
        if now is None or now.kind == "estimated":
            unknown = "nothing differs; no labels have come, so how good it is cannot be known."
            about = f" {now.metric} is estimated at {number(now.value, 3)}." if now else ""
            return f"{name}: {self.state.words or unknown}{about}"
        return (
            f"{name}: nothing differs; {now.metric} is {number(now.value, 3)} with {now.labelled:,} labels."
        )


def rows(monitor: MonitorClient, windows: int) -> tuple[Row, ...]:
    """Every model. Asks the monitor: call it in a thread. Raises Problem."""
    firing = monitor.firing()
    return tuple(
        Row(
            state,
            tuple(each for each in firing if each.model == state.model),
            monitor.performance(state.model, windows) if state.version else (),
        )
        for state in monitor.models()
    )


def moved(heat: Heat, most: int = 3) -> str:
    """What was found in the newest window, the furthest from its reference first."""
    if not heat.windows:
        return ""
    last = [(line[-1] or 0.0, name) for name, line in zip(heat.columns, heat.levels, strict=True)]
    found = sorted(((level, name) for level, name in last if level >= 1 and name), reverse=True)
    return ", ".join(f"{name} {number(level, 2)}×" for level, name in found[:most])


def step(level: float | None) -> int:
    """Which of :data:`STEPS` a level is of; -1: the feature was not compared."""
    if level is None:
        return -1
    return max(at for at, (low, _, _) in enumerate(STEPS) if level >= low)


def shown(column: str) -> str:
    """A feature's name; the table as a whole has none."""
    return column or "(all together)"
