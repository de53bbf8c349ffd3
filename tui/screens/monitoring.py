"""Monitoring: of each model what is known, what drifted and when, how good it was, and what was alerted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tui.commands_registry import LISTS, Command, bindings
from tui.monitoring import Row, moved, rows, shown
from tui.screens.page import ListPage
from tui.themes import Palette
from tui.widgets import symbols
from tui.widgets.charts import Mark, coarser, interval_chart, paired_bars, trend
from tui.widgets.heatmap import heatmap, legend
from tui.widgets.lanes import lanes
from tui.widgets.symbols import State as Sign
from tui.widgets.virtual_table import Column
from tui.widgets.words import UNKNOWN, clip, hanging, moment, number, plural

if TYPE_CHECKING:
    from mlops.monitoring.answers import Event, Heat, Picture, Point
    from mlops.monitoring.client import MonitorClient
    from tui.session import Session

_MOVES = (
    Command("monitoring.feature_next", "J", "feature(1)", "feature", "The next feature of the map"),
    Command("monitoring.feature_before", "K", "feature(-1)", "feature", "The feature above", False),
    Command("monitoring.segment", "s", "segment", "segment", "The map of the next segment, then of all rows"),
    Command("monitoring.earlier", "left_square_bracket", "window(-1)", "earlier", "The window before"),
    Command("monitoring.later", "right_square_bracket", "window(1)", "later", "The window after", False),
)
#: Windows of the map and of the series.
_WINDOWS = 200
#: From this width the map and the series stand side by side.
_TWO = 150


@dataclass(frozen=True)
class Detail:
    """What the map, the series and the lanes of one model are drawn from."""

    heat: Heat
    events: tuple[Event, ...]
    segment: str
    quality: tuple[Point, ...]


class MonitoringPage(ListPage):
    """Every model the monitor watches."""

    title = "Monitoring"
    COMMANDS = (*_MOVES, *LISTS)
    BINDINGS = bindings(_MOVES)
    every = 5.0
    empty = (
        "No model is registered, or the monitor has not looked yet. It compares what the gateway logs with"
        " the reference of each version. To see it on real flights, until the season drifts:\n\n"
        "  modelyard demo --months 4-9"
    )

    def __init__(self, session: Session) -> None:
        self._details: dict[str, Detail] = {}
        self._pictures: dict[tuple[str, str], Picture | None] = {}
        self._faults: dict[str, str] = {}
        self._row = 0
        self._window = -1
        self._wanted = ""
        self._segment = ""
        super().__init__(session)

    @property
    def alone(self) -> bool:
        """A map takes all the width there is."""
        return True

    def columns(self) -> Sequence[Column[Any]]:
        return (
            Column(
                "model", "model", 20, lambda r: r.state.model, flexible=True, most=40, middle=True,
                state=lambda r: _sign(r),
            ),
            Column("version", "version", 7, lambda r: f"v{r.state.version}" if r.state.version else UNKNOWN),
            Column(
                "alerts", "alerts", 6, lambda r: number(len(r.alerts)), lambda r: len(r.alerts), align="right"
            ),
            Column("sentence", "what is known", 40, lambda r: r.sentence, flexible=True, most=120),
            Column("quality", "quality", 20, _quality),
            Column("trend", "last windows", 24, lambda r: trend([p.value for p in r.series], 24)),
            Column(
                "behind", "behind", 9, lambda r: number(r.state.behind), lambda r: r.state.behind,
                align="right",
            ),
        )  # fmt: skip

    def key(self, row: Row) -> str:
        return row.state.model

    def keys(self) -> list[tuple[str, str]]:
        moves = {each.key_name for each in _MOVES}
        return [pair for pair in super().keys() if self.detail_open or pair[0] not in moves]  # noqa: SIM118

    def fetch(self) -> tuple[Row, ...]:
        monitor = self.session.monitor()
        found = rows(monitor, _WINDOWS)
        if self._wanted:
            self._details[self._wanted] = _detail(monitor, self._wanted, self._segment)
        return found

    def selected_changed(self) -> None:
        row = self.table.selected
        if row is None or not self.detail_open:
            self._wanted = ""
            return
        model = row.state.model
        if model != self._wanted:
            self._wanted, self._row, self._window, self._segment = model, 0, -1, ""
            self._details.pop(model, None)
        if model not in self._details:
            self._ask_for(model)
        self._picture()

    def action_segment(self) -> None:
        """The map of the next segment; after the last one that of all rows."""
        row = self.table.selected
        if row is None or not self.detail_open or not row.state.segments:
            self.notify("The reference of this model has no segments: build_reference(…, segments=[…])")
            return
        names = ("", *row.state.segments)
        at = names.index(self._segment) if self._segment in names else 0
        self._segment, self._row, self._window = names[(at + 1) % len(names)], 0, -1
        self._ask_for(row.state.model)

    def _ask_for(self, model: str) -> None:
        """Read the map and the events of a model."""
        segment = self._segment
        self.in_thread(
            lambda: _detail(self.session.monitor(), model, segment),
            lambda it, fault: self._read_detail(model, it, fault),
            "heat",
        )

    def _read_detail(self, model: str, found: Detail | None, fault: str) -> None:
        self._faults[model] = fault
        if found is not None and found.segment == self._segment:
            self._details[model] = found
        self._picture()
        self.redraw()

    def show(self) -> None:
        super().show()
        self._picture(again=True)

    def back(self) -> bool:
        closed = super().back()
        if not self.detail_open:
            self._wanted = ""
        return closed

    def _pointed(self) -> tuple[Heat, int, int] | None:
        """The map, and the feature and window that are pointed at; None: there is no cell."""
        detail = self._details.get(self._wanted)
        if detail is None or not detail.heat.columns or not detail.heat.windows:
            return None
        row = min(self._row, len(detail.heat.columns) - 1)
        count = len(detail.heat.windows)
        return detail.heat, row, count + self._window if self._window < 0 else self._window

    def _picture(self, again: bool = False) -> None:
        """Read the shares of the feature that is pointed at."""
        pointed = self._pointed()
        if pointed is None:
            return
        heat, row, _ = pointed
        model, column = self._wanted, heat.columns[row]
        if self._segment or not column or ((model, column) in self._pictures and not again):
            return

        def read() -> Picture | None:
            found = self.session.monitor().pictures(model, column)
            return found[0] if found else None

        def done(found: Picture | None, fault: str) -> None:
            if not fault:
                self._pictures[model, column] = found
                self.redraw()

        self.in_thread(read, done, "picture")

    def action_feature(self, by: int) -> None:
        """Point at another feature."""
        pointed = self._pointed()
        if pointed is not None:
            self._row = min(max(0, pointed[1] + by), len(pointed[0].columns) - 1)
            self._picture()
            self.redraw()

    def action_window(self, by: int) -> None:
        """Point at another window; the newest stays the newest while more come."""
        pointed = self._pointed()
        if pointed is not None:
            count = len(pointed[0].windows)
            self._window = min(max(-count, pointed[2] - count + by), -1)
            self.redraw()

    def redraw(self) -> None:
        row = self.table.selected
        if not self.detail_open or row is None:
            return
        box = self.query_one("#detail-box").size
        width = max(30, box.width - 4)
        if width < _TWO:
            left, right = self._left(row, width, max(4, box.height - 12)), self._right(row, width)
            self.panel.update(Group(self._head(row, width), left, right))
            return
        half = (width - 4) // 2
        both = Table.grid(padding=(0, 4, 0, 0))
        both.add_row(self._left(row, half, max(8, box.height - 22)), self._right(row, half))
        self.panel.update(Group(self._head(row, width), both))

    def _head(self, row: Row, width: int) -> Text:
        sign, tint = _sign(row), self.colours
        text = Text.assemble((f"{symbols.SYMBOLS[sign]} ", symbols.colour(sign, tint)))
        text.append(hanging(row.sentence, width, 2), "bold")
        detail = self._details.get(row.state.model)
        most = moved(detail.heat) if detail else ""
        return text.append(f"\n{hanging(f'Moved most now: {most}', width, 0)}") if most else text

    def _left(self, row: Row, width: int, height: int) -> Text:
        """The map, its cell, and the shares of its feature."""
        tint, detail = self.colours, self._details.get(row.state.model)
        text = Text("\n")
        if detail is None:
            fault = self._faults.get(row.state.model, "")
            text.append(fault or "reading", tint.bad if fault else tint.dim)
            return text.append("\n")
        pointed = self._pointed()
        if pointed is None:
            return text.append("Nothing was compared yet.\n", tint.dim)
        heat, at, window = pointed
        count = plural(len(heat.columns), "feature")
        where = f" in {detail.segment}" if detail.segment else ""
        said = f"How far from the reference{where}  {count}, {len(heat.windows)} windows"
        text.append(f"{clip(said, width)}\n", "bold")
        text.append_text(heatmap(heat, width, height, at, window, tint))
        text.append_text(legend(tint))
        text.append("\n\n")
        text.append(f"{_cell(heat, at, window)}\n")
        picture = self._pictures.get((row.state.model, heat.columns[at]))
        if picture is not None and not detail.segment:
            text.append(f"\n{shown(picture.column)}: reference above, newest window below\n", "bold")
            was, now = picture.reference, picture.current
            text.append_text(paired_bars(*coarser(was.labels, was.shares, now.shares), min(width, 90), tint))
        return text

    def _right(self, row: Row, width: int) -> Text:
        """The series of each metric, and the alerts over time."""
        tint, detail = self.colours, self._details.get(row.state.model)
        events = detail.events if detail else ()
        text = Text()
        if detail and detail.segment:
            row = replace(row, quality=detail.quality)
        first = row.series[-1].metric if row.series else ""
        for kind in ("realised", "estimated"):
            mine = [each for each in row.quality if (each.kind, each.metric) == (kind, first)]
            if mine:
                text.append_text(_series(mine, events, width, tint))
        text.append_text(_others([each for each in row.quality if each.metric != first], tint))
        if not row.quality:
            text.append("\nPerformance\n", "bold")
            said = "No labels have come yet: POST /v2/labels, or a table, as docs/monitoring.md says."
            text.append(f"{hanging(said, width, 0)}\n", tint.dim)
        text.append("\nAlerts over time\n", "bold")
        text.append_text(lanes(events, datetime.now(UTC), width, 12, tint))
        return text


def _sign(row: Row) -> Sign:
    if row.state.fault:
        return "failing"
    worst = {symbols.of_alert(each.severity, "firing") for each in row.alerts}
    if worst:
        return "failing" if "failing" in worst else "degraded"
    return "well" if row.state.reference else "off"


def _detail(monitor: MonitorClient, model: str, segment: str) -> Detail:
    quality = monitor.performance(model, _WINDOWS, segment) if segment else ()
    return Detail(monitor.heat(model, _WINDOWS, segment), monitor.timeline(model), segment, quality)


def _quality(row: Row) -> str:
    if not row.series:
        return UNKNOWN
    now = row.series[-1]
    return f"{now.metric} {number(now.value, 3)} {now.kind}"


def _cell(heat: Heat, at: int, window: int) -> str:
    """The cell that is pointed at, in words."""
    span, level, test = heat.windows[window], heat.levels[at][window], heat.tests[at][window]
    when = f"{moment(span.start)} to {moment(span.end)}, {span.rows:,} rows of v{span.version}"
    name = shown(heat.columns[at])
    if level is None:
        return f"{name}, {when}\nnot compared"
    if test:
        return f"{name}, {when}\n{test} at {number(level, 2)} times what matters"
    return f"{name}, {when}\nnothing found, at {number(level, 2)} of what matters"


def _series(points: Sequence[Point], events: Sequence[Event], width: int, tint: Palette) -> Text:
    """One metric over the windows, with its intervals, and what happened below it."""
    known = [each for each in points if each.value is not None and each.end is not None]
    last = points[-1]
    title = f"{last.metric} {number(last.value, 3)}"
    where = f" in {last.segment}" if last.segment else ""
    rows = (
        f"{last.labelled:,} of {last.rows:,} rows labelled"
        if last.kind == "realised"
        else f"{last.rows:,} rows"
    )
    text = Text.assemble((f"\n{title}{where}", "bold"), (f"  {last.kind}, {rows}\n", tint.dim))
    if len(known) < 2:
        return text.append("A line from the second window on.\n", tint.dim)
    line = [(_x(each.end), each.value or 0.0, each.low, each.high) for each in known]
    marks = [Mark(_x(e.at), "◆", tint.busy) for e in events if e.kind == "version" and e.at is not None]
    marks += [
        Mark(_x(e.at), "▲" if e.severity == "page" else "△", tint.bad if e.severity == "page" else tint.warn)
        for e in events
        if e.state == "firing" and e.at is not None
    ]
    ends = (clip(moment(known[0].end), width // 2), moment(known[-1].end))
    text.append_text(interval_chart(line, width, 6, ends, tint, last.expected, marks))
    if marks:
        text.append("◆ a version answers  ▲ page  △ ticket\n", tint.dim)
    return text


def _others(points: Sequence[Point], tint: Palette) -> Text:
    """One line for each other metric: its newest value, its interval, what was expected, the last windows."""
    text = Text()
    for kind, metric in dict.fromkeys((each.kind, each.metric) for each in points):
        mine = [each for each in points if (each.kind, each.metric) == (kind, metric)]
        last = mine[-1]
        between = f"{number(last.low, 3)} to {number(last.high, 3)}" if last.low is not None else ""
        text.append(f"{metric:<10}{number(last.value, 3):>8}  ")
        line = trend([each.value for each in mine], 24)
        told = f"{between:<18}reference {number(last.expected, 3):<8}{line:<24}  {kind}\n"
        text.append(told, tint.dim)
    return Text("\n").append_text(text) if text else text


def _x(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()
