"""Numbers and times as people read them; unknown is a dash, never 0."""

from __future__ import annotations

import math
import textwrap
from datetime import UTC, datetime

UNKNOWN = "–"


def number(value: float | None, digits: int = 4) -> str:
    """A number with thin separators of thousands, ``digits`` significant below 1000."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.{digits}g}"


def seconds(value: float | None) -> str:
    """A duration: ``4.2 s``, ``3 min``, ``5 h``, ``14 d``."""
    if value is None:
        return UNKNOWN
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if value >= size:
            return f"{value / size:.0f} {unit}"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago: ``12 s ago``."""
    if moment is None:
        return UNKNOWN
    gone = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    return "now" if gone < 1 else f"{seconds(gone).replace('.0 ', ' ')} ago"


def moment(value: datetime | None) -> str:
    """The absolute time, local, to the second."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else UNKNOWN


def instant(text: str) -> datetime | None:
    """The moment an ISO 8601 text names; None when it names none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def clip(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def clip_middle(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, begin and end kept: names of a kind differ at their end."""
    if len(text) <= width or width < 8:
        return clip(text, width)
    tail = (width - 1) // 3
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def hanging(text: str, width: int, indent: int) -> str:
    """``text`` in lines of ``width`` columns, all but the first begun by ``indent`` blanks."""
    return f"\n{'':<{indent}}".join(textwrap.wrap(text, max(10, width - indent)) or [""])


def plural(count: int, one: str, many: str = "") -> str:
    """``1 run``, ``2 runs``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
