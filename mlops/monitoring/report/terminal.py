"""A comparison for a terminal, with Rich."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.tests.comparison import Comparison

if TYPE_CHECKING:
    from rich.table import Table

_BARS = " ▁▂▃▄▅▆▇█"


def to_text(comparison: Comparison, width: int = 100, colour: bool = False) -> str:
    """What was found as text of ``width`` columns, one line a column; with ANSI colours if asked."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    m, n = comparison.rows
    console.print(f"{n:,} rows against {m:,} of the reference, {len(comparison.findings):,} tests")
    if comparison.problem:
        console.print(comparison.problem, markup=False)
    if comparison.summary:
        console.print(_table(comparison))
    elif not comparison.problem:
        console.print("nothing changed")
    return out.getvalue()


def _table(comparison: Comparison) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("was", "now", "what changed"):
        table.add_column(heading, no_wrap=heading != "what changed")
    for each in comparison.summary:
        style = "bold red" if each.severity == "page" else ""
        # Text, not markup: a column may be called "[red]".
        table.add_row(sparkline(each.reference), sparkline(each.current), Text(each.sentence, style=style))
    return table


def sparkline(distribution: Distribution) -> str:
    """The shares as one character each."""
    top = max(distribution.shares, default=0.0)
    if top <= 0:
        return ""
    last = len(_BARS) - 1
    return "".join(_BARS[max(round(share / top * last), 1 if share else 0)] for share in distribution.shares)
