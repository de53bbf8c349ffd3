"""Alerts over time: one line an alert, a character for each state it was in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from tui.themes import Palette
from tui.widgets.words import clip_middle, moment

if TYPE_CHECKING:
    from mlops.monitoring.answers import Event

#: Character of each state; resolved and before the first: nothing.
_SIGNS = {"pending": "·", "firing": "█", "acknowledged": "▒", "silenced": "░"}
_NAME = 26


def lanes(events: Sequence[Event], now: datetime, width: int, most: int, tint: Palette) -> Text:
    """The newest alerts, one line each, from their first change until now.

    Args:
        events: Changes of alerts, oldest first; others are left out.
        most: Lines of alerts at most.
    """
    mine: dict[int, list[Event]] = {}
    for event in events:
        if event.alert and event.at is not None:
            mine.setdefault(event.alert, []).append(event)
    chosen = sorted(mine, key=lambda number: _moment(mine[number][-1]), reverse=True)[:most]
    if not chosen:
        return Text("No alert was ever raised for it.\n", tint.dim)
    begin = min(_moment(mine[number][0]) for number in chosen)
    span = max((now - begin).total_seconds(), 1e-9)
    room = max(4, width - _NAME - 1)

    def place(at: datetime) -> int:
        return min(room - 1, max(0, int((at - begin).total_seconds() / span * room)))

    text = Text()
    for number in chosen:
        changes = mine[number]
        cells, styles = [" "] * room, [""] * room
        for event, after in zip(changes, [*changes[1:], None], strict=True):
            sign = _SIGNS.get(event.state, " ")
            until = room - 1 if after is None else place(_moment(after))
            for at in range(place(_moment(event)), until + 1):
                cells[at], styles[at] = sign, _style(event, tint)
        last = changes[-1]
        name = f"{number} {last.kind} {last.feature}".rstrip()
        text.append(f"{clip_middle(name, _NAME):<{_NAME}} ", tint.dim)
        for cell, style in zip(cells, styles, strict=True):
            text.append(cell, style)
        text.append("\n")
    first, end = moment(begin), "now"
    text.append(f"{' ' * (_NAME + 1)}{first}{' ' * max(1, room - len(first) - len(end))}{end}\n", tint.dim)
    signs = "  ".join(f"{sign} {state}" for state, sign in _SIGNS.items())
    text.append(f"{' ' * (_NAME + 1)}{signs}\n", tint.dim)
    return text


def _moment(event: Event) -> datetime:
    assert event.at is not None
    return event.at


def _style(event: Event, tint: Palette) -> str:
    if event.state != "firing":
        return tint.dim
    return tint.bad if event.severity == "page" else tint.warn
