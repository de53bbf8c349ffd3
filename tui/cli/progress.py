"""Progress of an engine operation on stderr: live, by layer, on a terminal; else a line per event."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from blueprints.layers import Layer
from stacks.engine.events import (
    Diagnostic,
    Event,
    Phase,
    Planned,
    ResourceFailed,
    ResourceFinished,
    ResourceStarted,
    Step,
    Verb,
)
from tui.cli.output import Output, duration

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

DOING = {
    Verb.CREATE: "creating",
    Verb.UPDATE: "updating",
    Verb.REPLACE: "replacing",
    Verb.DELETE: "deleting",
    Verb.SAME: "checking",
    Verb.READ: "reading",
    Verb.REFRESH: "reading",
}
DONE = {
    Verb.CREATE: "created",
    Verb.UPDATE: "updated",
    Verb.REPLACE: "replaced",
    Verb.DELETE: "deleted",
    Verb.SAME: "unchanged",
    Verb.READ: "read",
    Verb.REFRESH: "read",
}

#: Layers as they come up; what belongs to none comes first.
ORDER = ("environment", *(layer.value for layer in Layer))


def progress(out: Output) -> LineProgress | TreeProgress:
    """The form that fits where stderr goes."""
    if out.quiet:
        return LineProgress(silent=True)
    return TreeProgress() if sys.stderr.isatty() and not out.as_json else LineProgress()


def expected(seconds: float | None) -> str:
    """``of ~4 s``, or nothing when no earlier run tells."""
    return f" of ~{duration(seconds)}" if seconds else ""


class LineProgress(AbstractContextManager["LineProgress"]):
    """A line per fact, prefixed by the seconds since the start. Call it with each event."""

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent
        self.began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        text = self._words(event)
        if text and not self.silent:
            sys.stderr.write(f"{time.monotonic() - self.began:6.1f} s  {text}\n")
            sys.stderr.flush()

    def _words(self, event: Event) -> str:
        match event:
            case Phase(message=message, expected_seconds=seconds):
                return message + (f" (about {duration(seconds)})" if seconds else "")
            case ResourceStarted(step=step, expected_seconds=seconds) if _counts(step):
                about = f" (about {duration(seconds)})" if seconds else ""
                return f"◐ {_where(step)}  {DOING[step.verb]}{about}"
            case ResourceFinished(step=step, seconds=seconds) if _counts(step):
                return f"● {_where(step)}  {DONE[step.verb]} in {duration(seconds)}"
            case ResourceFailed(step=step, seconds=seconds):
                return f"▲ {_where(step)}  failed after {duration(seconds)}"
            case Diagnostic(severity=severity, message=message) if severity != "info":
                return f"{'▲' if severity == 'error' else '△'} {message.strip()}"
            case _:
                return ""


class TreeProgress(AbstractContextManager["TreeProgress"]):
    """One line per layer that fills in: symbol, layer, how many are done, what is done now and since when."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.phase = ""
        self.phase_expected: float | None = None
        self.rows: dict[str, LayerRow] = {}
        self.notes: list[str] = []
        self._live: Live | None = None

    def __enter__(self) -> TreeProgress:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self.render, console=Console(stderr=True), refresh_per_second=5, transient=False
        )
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Phase(message=message, expected_seconds=seconds):
                self.phase, self.phase_expected = message, seconds
            case Planned(step=step) if _counts(step) and step.verb is not Verb.SAME:
                self._row(step).planned.add(step.urn)
            case ResourceStarted(step=step, expected_seconds=seconds) if _counts(step):
                self._row(step).running[step.urn] = (step, time.monotonic(), seconds)
            case ResourceFinished(step=step) if step.type != "component":
                row = self._row(step)
                row.running.pop(step.urn, None)
                row.done.add(step.urn)
            case ResourceFailed(step=step):
                row = self._row(step)
                row.running.pop(step.urn, None)
                row.failed.append(step.name)
            case Diagnostic(severity=severity, message=message) if severity != "info":
                self.notes.append(f"{'▲' if severity == 'error' else '△'} {message.strip()}")
            case _:
                pass

    def _row(self, step: Step) -> LayerRow:
        name = step.layer.value if step.layer else "environment"
        return self.rows.setdefault(name, LayerRow())

    def render(self) -> Table:
        """The picture now: called by the refresh thread."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        spent = duration(time.monotonic() - self.began)
        grid.add_row(
            "", Text(self.phase or "starting"), "", Text(spent + expected(self.phase_expected), "dim")
        )
        for name, row in sorted(self.rows.items(), key=lambda item: ORDER.index(item[0])):
            symbol, style = row.state()
            grid.add_row(Text(symbol, style), Text(name), Text(row.count(), "dim"), Text(row.now()))
        for note in self.notes[-5:]:
            grid.add_row("", Text(note, "yellow", overflow="fold"))
        return grid


class LayerRow:
    """What is known of one layer while it changes."""

    def __init__(self) -> None:
        self.planned: set[str] = set()
        self.running: dict[str, tuple[Step, float, float | None]] = {}
        self.done: set[str] = set()
        self.failed: list[str] = []

    def state(self) -> tuple[str, str]:
        """Symbol and colour, in the grammar of every page."""
        if self.failed:
            return "▲", "red"
        if self.running:
            return "◐", "blue"
        return ("●", "green") if self.done >= self.planned and self.done else ("○", "dim")

    def count(self) -> str:
        """Resources done of those known."""
        return f"{len(self.done)}/{len(self.planned | self.done | set(self.running))}"

    def now(self) -> str:
        """What is being done, since when, how long it took before."""
        parts = [
            f"{step.type} {step.name} {DOING[step.verb]} {duration(time.monotonic() - start)}{expected(eta)}"
            for step, start, eta in list(self.running.values())[:2]
        ]
        more = len(self.running) - len(parts)
        failed = [f"{name} failed" for name in self.failed]
        return "; ".join(failed + parts) + (f"; {more} more" if more > 0 else "")


def _counts(step: Step) -> bool:
    return step.type not in ("component", "stack", "provider")


def _where(step: Step) -> str:
    layer = f"{step.layer.value}  " if step.layer else ""
    return f"{layer}{step.type} {step.name}"
