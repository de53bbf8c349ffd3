"""Figures: what the business makes of the models and what the services use, beside what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui.commands_registry import LISTS
from tui.figures import Figure, between, figures, said
from tui.screens.page import ListPage, facts
from tui.widgets import symbols
from tui.widgets.charts import Mark, interval_chart, trend
from tui.widgets.symbols import State as Sign
from tui.widgets.virtual_table import Column
from tui.widgets.words import UNKNOWN, ago, clip, hanging, moment

if TYPE_CHECKING:
    from tui.session import Session

_PERIODS = 200
#: Of the newest periods, those told one by one below the chart.
_TOLD = 12


class FiguresPage(ListPage):
    """Every business figure and every resource that is watched."""

    title = "Figures"
    every = 5.0
    COMMANDS = LISTS
    empty = (
        "Nothing is measured yet: resources are, every five minutes, once the monitor runs. A business figure"
        " is a query or a function in the spec:\n\n"
        "  modelyard docs monitoring     shows how, at monitoring.kpis"
    )

    def columns(self) -> Sequence[Column[Any]]:
        return (
            Column("name", "figure", 22, lambda r: r.series.name, flexible=True, most=40, state=_sign),
            Column("value", "now", 14, lambda r: r.value, lambda r: r.last.value or 0.0, align="right"),
            Column("off", "off", 6, lambda r: r.off, _distance, align="right"),
            Column("usual", "usual", 26, lambda r: r.usual),
            Column("trend", "last periods", 24, lambda r: trend([p.value for p in r.series.points], 24)),
            Column("model", "of", 12, lambda r: r.series.model or _of(r), flexible=True, most=30),
            Column("end", "until", 8, lambda r: ago(r.last.end), lambda r: str(r.last.end), align="right"),
        )

    def __init__(self, session: Session) -> None:
        super().__init__(session)

    def key(self, row: Figure) -> str:
        return f"{row.kind}/{row.series.model}/{row.series.name}"

    def crumb(self, row: Figure) -> str:
        return row.series.name

    def fetch(self) -> tuple[Figure, ...]:
        return figures(self.session.monitor(), _PERIODS)

    def detail(self, row: Figure, width: int) -> Text:
        tint, unit = self.colours, row.series.unit
        sign = _sign(row)
        text = Text.assemble((f"{symbols.SYMBOLS[sign]} ", symbols.colour(sign, tint)))
        words = "; ".join(each.summary for each in row.alerts) or _sentence(row)
        text.append(f"{hanging(words, width, 2)}\n\n", "bold")
        known = [p for p in row.series.points if p.value is not None and p.end is not None]
        if len(known) > 1:
            line = [(p.end.timestamp(), p.value or 0.0, p.low, p.high) for p in known if p.end is not None]
            marks = [
                Mark(a.fired_at.timestamp(), "▲" if a.severity == "page" else "△", tint.bad)
                for a in row.alerts
                if a.fired_at is not None
            ]
            ends = (clip(moment(known[0].end), width // 2), moment(known[-1].end))
            text.append_text(interval_chart(line, width, 10, ends, tint, None, marks))
            text.append("░ usual\n\n", tint.dim)
        last = row.last
        pairs = [("now", row.value), ("expected", said(last.expected, unit)), ("usual", row.usual)]
        pairs += [("off", row.off), ("learnt from", f"{last.rows:,} periods" if last.rows else UNKNOWN)]
        text.append_text(facts(pairs, tint, width))
        text.append("\nPeriods\n", "bold")
        for each in reversed(row.series.points[-_TOLD:]):
            band = between(each, unit) if each.low is not None else ""
            text.append(f"{moment(each.start)}  {said(each.value, unit):>14}  ")
            text.append(f"{band}\n", tint.dim)
        return text


def _sign(row: Figure) -> Sign:
    worst = {symbols.of_alert(each.severity, "firing") for each in row.alerts}
    if worst:
        return "failing" if "failing" in worst else "degraded"
    return "off" if row.last.value is None else "well"


def _sentence(row: Figure) -> str:
    name = row.series.name
    if row.last.value is None:
        return f"{name} has no value for its newest period."
    if row.last.low is None:
        return f"{name} is {row.value}; what is usual is still being learnt."
    return f"{name} is {row.value}, {'not what' if row.odd else 'as'} is usual at this time."


def _of(row: Figure) -> str:
    return "resources" if row.kind == "resource" else "business"


def _distance(row: Figure) -> float:
    value, expected = row.last.value, row.last.expected
    return abs(value - expected) / abs(expected) if value is not None and expected else 0.0
