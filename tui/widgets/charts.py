"""Charts made of characters: braille lines, sparklines, paired bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
