"""Features by time: how far each was from its reference, one character a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from tui.monitoring import STEPS, shown, step
from tui.themes import Palette
from tui.widgets.words import clip_middle, moment

if TYPE_CHECKING:
    from mlops.monitoring.answers import Heat

_NAME = 22


def heatmap(heat: Heat, width: int, height: int, row: int, window: int, tint: Palette) -> Text:
    """The map around a cell; only what is in sight is drawn, whatever the number of features.

    Args:
        width, height: Cells, and lines of features.
        row, window: The cell that is pointed at.
    """
    name = min(_NAME, max((len(each) for each in map(shown, heat.columns)), default=4))
    room = max(4, width - name - 2)
    wide = 2 if 2 * len(heat.windows) <= room else 1
    fits = room // wide
    left = min(max(0, window - fits + 1), max(0, len(heat.windows) - fits))
    if window < left:
        left = window
    seen = range(left, min(len(heat.windows), left + fits))
    first = _first(len(heat.columns), height, row)
    text = Text()
    for at in range(first, min(len(heat.columns), first + height)):
        here = at == row
        text.append(f"{clip_middle(shown(heat.columns[at]), name):<{name}} ", "bold" if here else tint.dim)
        for place in seen:
            number = step(heat.levels[at][place])
            mark = STEPS[number][1] if number >= 0 else " "
            style = _style(number, tint)
            pointed = here and place == window
            text.append(mark * wide, f"{style} on {tint.cursor} bold underline" if pointed else style)
        text.append("\n")
    text.append(" " * (name + 1))
    text.append_text(_axis(heat, seen, wide * len(seen), tint))
    text.append("\n")
    return text


def legend(tint: Palette) -> Text:
    """What the characters mean."""
    text = Text()
    for number, (_, mark, words) in enumerate(STEPS):
        text.append(f"{mark} ", _style(number, tint))
        text.append(f"{words}  ", tint.dim)
    return text


def _first(total: int, height: int, row: int) -> int:
    """The first line in sight, so that the one pointed at is."""
    return min(max(0, row - height // 2), max(0, total - height))


def _axis(heat: Heat, seen: range, width: int, tint: Palette) -> Text:
    if not seen:
        return Text("no window yet", tint.dim)
    begin, end = heat.windows[seen[0]], heat.windows[seen[-1]]
    first, last = moment(begin.start or begin.end), moment(end.end or end.start)
    gap = width - len(first) - len(last)
    return Text(f"{first}{' ' * gap}{last}" if gap > 0 else f"to {last}", tint.dim)


def _style(number: int, tint: Palette) -> str:
    return (tint.dim, tint.dim, tint.dim, tint.warn, tint.warn, tint.bad)[number + 1]
