"""Runs: the list, a run's metrics as charts, marked runs side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui.commands_registry import LISTS, Command, bindings
from tui.screens.page import ListPage, facts
from tui.widgets import symbols
from tui.widgets.charts import line_chart
from tui.widgets.virtual_table import Column
from tui.widgets.words import UNKNOWN, ago, clip_middle, moment, number, seconds

if TYPE_CHECKING:
    from mlops.tracking.entities import MetricPoint, Run
    from tui.session import Session

_COMPARE = Command("runs.compare", "c", "compare", "compare", "Marked runs side by side, what differs first")
_MARK = Command("runs.mark", "space", "mark", "mark", "Mark the run, to compare it")
_ENOUGH = 100_000


def _value(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _param(name: str, runs: Sequence[Run]) -> Column[Any]:
    """Numbers stand as numbers: at the right, four digits; the detail has them whole."""
    values = [_value(run.params[name]) for run in runs if name in run.params]
    numeric = all(isinstance(each, float) for each in values)

    def show(run: Run) -> str:
        found = _value(run.params.get(name))
        return number(found) if isinstance(found, float) else found or UNKNOWN

    return Column(
        f"params.{name}",
        name,
        min(16, max(8, len(name) + 1)),
        show,
        lambda run: _value(run.params.get(name)),
        align="right" if numeric else "left",
        middle=True,
    )


def _metric(name: str) -> Column[Any]:
    return Column(
        f"metrics.{name}",
        name,
        min(16, max(8, len(name) + 1)),
        lambda run: number(run.metrics.get(name)),
        lambda run: run.metrics.get(name),
        align="right",
    )


def _name(most: int) -> Column[Any]:
    return Column(
        "name",
        "run",
        22,
        lambda run: run.name or run.id,
        flexible=True,
        most=most,
        state=lambda run: symbols.of_run(run.status),
        middle=True,
    )


_FIXED: tuple[Column[Any], ...] = (
    _name(22),
    Column("start", "started", 10, lambda run: ago(run.start), lambda run: run.start, align="right"),
)
_LAST: tuple[Column[Any], ...] = (
    Column("seconds", "took", 8, lambda run: seconds(run.seconds), lambda run: run.seconds, align="right"),
    Column("user", "by", 12, lambda run: run.user or UNKNOWN),
)


def columns_of(runs: Sequence[Run]) -> tuple[Column[Any], ...]:
    """Name, time, then the metrics and params most of the newest runs have."""
    metrics: Counter[str] = Counter()
    params: Counter[str] = Counter()
    newest = runs[:200]
    for run in newest:
        # Their names: a mapping given to a Counter adds up its values.
        metrics.update(run.metrics.keys())
        params.update(run.params.keys())
    longest = max((len(run.name) for run in newest), default=0) + 2
    return (
        _name(max(22, min(52, longest))),
        *_FIXED[1:],
        *(_metric(name) for name, _ in metrics.most_common(8) if not name.startswith("system/")),
        *(_param(name, newest) for name, _ in params.most_common(8)),
        *_LAST,
    )


def _shape(column: Column[Any]) -> tuple[str, int, str]:
    return column.key, column.most, column.align


class RunsPage(ListPage):
    """Runs of every experiment, newest first."""

    title = "Runs"
    COMMANDS = (_MARK, _COMPARE, *LISTS)
    BINDINGS = bindings((_COMPARE,))
    empty = (
        "No run yet. A run appears here the moment a training script logs one. Your script, with"
        " this environment's endpoints:\n\n"
        "  modelyard exec -- python train.py\n\n"
        "or a real model, trained on real flights:\n\n"
        "  modelyard demo"
    )

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._known: dict[str, Run] = {}
        self._token: str | None = None
        self._histories: dict[str, dict[str, tuple[MetricPoint, ...]]] = {}
        self._history_fault = ""
        self.comparing = False

    def columns(self) -> Sequence[Column[Any]]:
        return (*_FIXED, *_LAST)

    def key(self, row: Run) -> str:
        return row.id

    @property
    def alone(self) -> bool:
        # Runs side by side want the whole width.
        return self.comparing or super().alone

    def crumb(self, row: Run) -> str:
        return f"{len(self.table.marked)} runs side by side" if self.comparing else row.name or row.id

    def words(self, row: Run) -> str:
        return " ".join((row.name, row.id, row.status, row.user, *row.params.values()))

    def field(self, row: Run, name: str) -> object:
        kind, _, key = name.partition(".")
        if key and kind in ("metrics", "params", "tags"):
            return dict(getattr(row, kind)).get(key)
        if name == "seconds":
            return row.seconds
        found = getattr(row, name, None)
        return row.metrics.get(name, row.params.get(name)) if found is None else found

    def fetch(self) -> tuple[Run, ...]:
        """The newest page, and one older page a fetch until all are here."""
        tracking = self.session.tracking()
        newest = tracking.runs()
        fresh = {run.id: run for run in newest.runs}
        if self._token is None:
            self._token = newest.next_token
        elif self._token and len(self._known) < _ENOUGH:
            older = tracking.runs(token=self._token)
            fresh |= {run.id: run for run in older.runs}
            self._token = older.next_token
        self._known = fresh | {key: run for key, run in self._known.items() if key not in fresh}
        return tuple(self._known.values())

    def wait(self, seconds: float) -> float:
        return 0.05 if self._token and len(self._known) < _ENOUGH and not self.fault else seconds

    def show(self) -> None:
        columns = columns_of(self.rows())
        if [_shape(column) for column in columns] != [_shape(column) for column in self.table.columns]:
            self.table.set_columns(columns)
        if not self.table.sorts:
            self.table.sorts = [("start", True)]
        super().show()

    def selected_changed(self) -> None:
        run = self.table.selected
        if not self.detail_open or run is None or (run.id in self._histories and run.status != "RUNNING"):
            return
        names = sorted(run.metrics)[:6]
        self.in_thread(
            lambda: {name: self.session.tracking().metric_history(run.id, name) for name in names},
            lambda found, fault: self._charts(run.id, found, fault),
            "history",
        )

    def _charts(self, run_id: str, found: dict[str, tuple[MetricPoint, ...]] | None, fault: str) -> None:
        self._history_fault = fault
        if found is not None:
            self._histories[run_id] = found
        self.redraw()

    def open_detail(self) -> None:
        self.comparing = False
        super().open_detail()

    def action_compare(self) -> None:
        """Put the marked runs side by side."""
        if len(self.table.marks) < 2:
            self.notify("Mark two or more runs with space, then c compares them.")
            return
        self.comparing = self.detail_open = True
        self.opened()

    def back(self) -> bool:
        self.comparing = False
        return super().back()

    def detail(self, row: Run, width: int) -> Text:
        return self._comparison(width) if self.comparing else self._run(row, width)

    def _run(self, run: Run, width: int) -> Text:
        tint = self.colours
        state = symbols.of_run(run.status)
        text = Text.assemble(
            (f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint)), (f"{run.name}\n", "bold")
        )
        text.append_text(
            facts(
                [
                    ("id", run.id),
                    ("status", run.status.lower()),
                    ("started", f"{moment(run.start)} · {ago(run.start)}"),
                    ("took", seconds(run.seconds)),
                    ("by", run.user or UNKNOWN),
                    *(("dataset", f"{each.name} {each.digest} {each.context}") for each in run.inputs),
                ],
                tint,
                width,
            )
        )
        text.append("\nMetrics\n", "bold")
        metrics = [(name, number(value)) for name, value in sorted(run.metrics.items())]
        text.append_text(facts(metrics, tint, width))
        for name, points in self._histories.get(run.id, {}).items():
            if len(points) > 1:
                text.append(f"\n{name}  {number(points[-1].value)}\n", "bold")
                pairs = [(float(point.step), point.value) for point in points]
                text.append("\n".join(line_chart(pairs, width, 6)) + "\n")
        if self._history_fault:
            text.append(f"{symbols.SYMBOLS['off']} charts: {self._history_fault}\n", tint.warn)
        text.append("\nParams\n", "bold")
        text.append_text(facts(sorted(run.params.items()), tint, width))
        return text

    def _comparison(self, width: int) -> Text:
        runs, tint = self.table.marked, self.colours
        names = min(30, max(16, width // 4))
        room = min(36, max(12, (width - names) // max(1, len(runs)) - 2))
        shown = max(1, (width - names) // (room + 2))
        text = Text(f"{'':<{names}}")
        for run in runs[:shown]:
            text.append(f"{clip_middle(run.name or run.id, room):>{room}}  ", "bold")
        text.append("\n")
        for title, rows in compared(runs, deltas=room >= 18):
            if rows:
                text.append(f"\n{title}\n", "bold")
            for name, values in rows:
                text.append(f"{clip_middle(name, names - 2):<{names}}", tint.dim)
                cells = (f"{clip_middle(value, room):>{room}}" for value in values[:shown])
                text.append("  ".join(cells) + "\n")
        if len(runs) > shown:
            text.append(f"\n{len(runs) - shown} more do not fit: a wider terminal shows them.\n", tint.warn)
        return text


Table = list[tuple[str, list[str]]]


def _beside(values: Sequence[float | None], deltas: bool) -> list[str]:
    first = values[0] if values else None
    cells = [number(value) for value in values]
    for at, value in enumerate(values):
        if at and deltas and value is not None and first is not None and value != first:
            cells[at] += f" {value - first:+.2g}{'↑' if value > first else '↓'}"
    return cells


def compared(runs: Sequence[Run], deltas: bool = True) -> list[tuple[str, Table]]:
    """``(title, rows)``: params that differ, metrics, params that are the same; unknown is a dash.

    With ``deltas`` a metric tells how far it is from the first run's.
    """
    params = sorted({name for run in runs for name in run.params})
    metrics = sorted({name for run in runs for name in run.metrics})
    rows: Table = [(name, [run.params.get(name, UNKNOWN) for run in runs]) for name in params]
    return [
        ("Params that differ", [row for row in rows if len(set(row[1])) > 1]),
        ("Metrics", [(name, _beside([run.metrics.get(name) for run in runs], deltas)) for name in metrics]),
        ("Params that are the same", [row for row in rows if len(set(row[1])) == 1]),
    ]
