"""Charts made of characters: braille lines, sparklines, paired bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from tui.themes import Palette
from tui.widgets.words import clip, number

_BLOCKS = "▁▂▃▄▅▆▇█"
#: Bit of each dot of a braille cell, by column and row.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def sparkline(values: Sequence[float], width: int) -> str:
    """The last ``width`` values as blocks, scaled from zero to their greatest."""
    recent = [value for value in values[-width:] if math.isfinite(value)]
    top = max(recent, default=0.0)
    return "".join(_BLOCKS[min(7, int(7 * max(0.0, v) / top))] if top > 0 else _BLOCKS[0] for v in recent)


def trend(values: Sequence[float | None], width: int) -> str:
    """The last ``width`` values between their own least and greatest: what counts here is change."""
    recent = [value for value in values[-width:] if value is not None and math.isfinite(value)]
    low, high = min(recent, default=0.0), max(recent, default=0.0)
    # The least one is still a line.
    return sparkline([value - low + (high - low) / 7 for value in recent], width) if high > low else ""


def line_chart(
    points: Sequence[tuple[float, float]],
    width: int,
    height: int,
    ends: tuple[str, str] | None = None,
    floor: float | None = None,
) -> list[str]:
    """A line through ``(x, y)`` in braille, ``height`` lines, axis labels at the left, range below.

    Args:
        points: In order of ``x``.
        width, height: Cells of the whole chart, and of its drawing.
        ends: What stands below the first and the last point; None: the steps.
        floor: Least value of the axis, when the values do not go below it themselves.
    """
    known = [(x, y) for x, y in points if math.isfinite(y)]
    if not known:
        return ["–"]
    low, high = min(y for _, y in known), max(y for _, y in known)
    low = low if floor is None else min(low, floor)
    # A value that never changed has one label, not the same one twice.
    labels = (number(high) if high > low else "", number(low))
    margin = max(len(label) for label in labels)
    across = max(4, width - margin - 2)
    cells = _braille(known, across, height, low, high)
    lines = []
    for at, cell in enumerate(cells):
        label = labels[0] if at == 0 else labels[1] if at == height - 1 else ""
        lines.append(f"{label.rjust(margin)} {'┤' if label else '│'}{cell}")
    first, last = ends or (number(known[0][0]), f"step {number(known[-1][0])}")
    gap = max(1, across - len(first) - len(last))
    lines.append(f"{' ' * (margin + 2)}{first}{' ' * gap}{last}")
    return lines


@dataclass(frozen=True)
class Mark:
    """Something that happened at a moment ``x`` of a chart: a character of the line below it."""

    x: float
    sign: str
    style: str


def interval_chart(
    points: Sequence[tuple[float, float, float | None, float | None]],
    width: int,
    height: int,
    ends: tuple[str, str],
    tint: Palette,
    expected: float | None = None,
    marks: Sequence[Mark] = (),
) -> Text:
    """A line through ``(x, y, low, high)`` with its intervals behind it, what was expected as a dashed line,
    and marks of what happened below.

    Args:
        points: In order of ``x``; ``low`` and ``high`` None: no interval.
        width, height: Cells of the whole chart, and lines of its drawing.
        ends: What stands below the first and the last point.
        expected: None: nothing is known of it.
        marks: Those outside of the chart's moments are left out.
    """
    known = [each for each in points if math.isfinite(each[1])]
    if not known:
        return Text("–\n", tint.dim)
    edges = [value for each in known for value in each[1:] if value is not None]
    low, high = min([*edges, expected or edges[0]]), max([*edges, expected or edges[0]])
    labels = (number(high) if high > low else "", number(low))
    margin = max(len(label) for label in labels)
    across = max(4, width - margin - 2)
    left, right = known[0][0], known[-1][0]

    def column(x: float) -> int:
        return round((x - left) / (right - left) * (across - 1)) if right > left else 0

    def line(value: float) -> int:
        return round((high - value) / (high - low) * (height - 1)) if high > low else height - 1

    behind = [[" "] * across for _ in range(height)]
    if expected is not None:
        behind[line(expected)] = ["╌"] * across
    for place in range(across):
        # Between two points: the interval of the nearer one.
        _, _, least, most = min(known, key=lambda each: abs(column(each[0]) - place))
        for at in range(line(most), line(least) + 1) if least is not None and most is not None else ():
            behind[at][place] = "░"
    text = Text()
    for at, drawn in enumerate(_braille([each[:2] for each in known], across, height, low, high)):
        label = labels[0] if at == 0 else labels[1] if at == height - 1 else ""
        text.append(f"{label.rjust(margin)} {'┤' if label else '│'}", tint.dim)
        for cell, under in zip(drawn, behind[at], strict=True):
            empty = cell == chr(0x2800)
            text.append(under if empty else cell, tint.dim if empty else tint.text)
        text.append("\n")
    below = {column(mark.x): mark for mark in marks if left <= mark.x <= right}
    text.append(" " * (margin + 2) if below else "")
    for place in range(across if below else 0):
        found = below.get(place)
        text.append(found.sign if found else " ", found.style if found else "")
    text.append("\n" if below else "")
    gap = max(1, across - len(ends[0]) - len(ends[1]))
    text.append(f"{' ' * (margin + 2)}{ends[0]}{' ' * gap}{ends[1]}\n", tint.dim)
    return text


def _braille(
    points: Sequence[tuple[float, float]], across: int, height: int, low: float, high: float
) -> list[str]:
    grid = [[0] * across for _ in range(height)]
    left, right = points[0][0], points[-1][0]
    wide, tall = across * 2 - 1, height * 4 - 1

    def place(point: tuple[float, float]) -> tuple[int, int]:
        x = (point[0] - left) / (right - left) if right > left else 0.0
        y = (point[1] - low) / (high - low) if high > low else 0.0
        return round(min(1.0, max(0.0, x)) * wide), round((1 - y) * tall)

    before = place(points[0])
    for point in points:
        here = place(point)
        steps = max(abs(here[0] - before[0]), abs(here[1] - before[1]), 1)
        for step in range(steps + 1):
            x = before[0] + round((here[0] - before[0]) * step / steps)
            y = before[1] + round((here[1] - before[1]) * step / steps)
            grid[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
        before = here
    return ["".join(chr(0x2800 + cell) for cell in row) for row in grid]


def paired_bars(
    labels: Sequence[str],
    reference: Sequence[float],
    current: Sequence[float],
    width: int,
    tint: Palette,
) -> Text:
    """Two bars a label, reference above current, on one scale; the change in points at the end."""
    name = min(18, max((len(label) for label in labels), default=4))
    room = max(8, width - name - 18)
    top = max([*reference, *current, 1e-9])
    text = Text()
    for label, was, now in zip(labels, reference, current, strict=True):
        delta = (now - was) * 100
        arrow = "↑" if delta > 0.05 else "↓" if delta < -0.05 else " "
        text.append(f"{clip(label, name):<{name}} ")
        text.append(f"{bar(was / top, room):<{room}}", tint.dim)
        text.append(f" {was:6.1%}\n", tint.dim)
        text.append(" " * (name + 1))
        text.append(f"{bar(now / top, room):<{room}}", tint.text)
        text.append(f" {now:6.1%} {delta:+5.1f}{arrow}\n")
    return text


def bar(share: float, room: int) -> str:
    """A bar of ``share`` (0 to 1) of ``room`` cells, to an eighth of one."""
    eighths = round(max(0.0, min(1.0, share)) * room * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


#: Bins of a number that stand in a picture.
_BINS = 11


def coarser(
    labels: Sequence[str], was: Sequence[float], now: Sequence[float]
) -> tuple[list[str], list[float], list[float]]:
    """Neighbouring bins of a number joined until about a screen of them is left; categories stay."""
    numeric = sum(" – " in label for label in labels) >= len(labels) - 3
    size = -(-len(labels) // _BINS) if numeric else 1
    names, before, after = [], [], []
    for at in range(0, len(labels), size):
        part = labels[at : at + size]
        first, last = part[0], part[-1]
        name = first if len(part) == 1 else _joined(first, last)
        names.append(name)
        before.append(sum(was[at : at + size]))
        after.append(sum(now[at : at + size]))
    return names, before, after


def _joined(first: str, last: str) -> str:
    low, high = first.partition(" – ")[0], last.rpartition(" – ")[2]
    if first.startswith("<"):
        return f"< {high}"
    if last.startswith("≥"):
        return f"≥ {low}"
    return last if low == last else f"{low} – {high}"
