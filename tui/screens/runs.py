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
from tui.widgets.words import UNKNOWN, ago, clip, moment, number, seconds

if TYPE_CHECKING:
    from mlops.tracking.entities import MetricPoint, Run
    from tui.session import Session

_COMPARE = Command("runs.compare", "c", "compare", "compare", "Marked runs side by side, what differs first")
_MARK = Command("runs.mark", "space", "mark", "mark", "Mark the run, to compare it")
_ENOUGH = 100_000


def _param(name: str) -> Column[Any]:
    def value(run: Run) -> Any:
        text = run.params.get(name)
        try:
            return None if text is None else float(text)
        except ValueError:
            return text

    return Column(
        f"params.{name}",
        name,
        min(16, max(8, len(name) + 1)),
        lambda run: run.params.get(name, UNKNOWN),
        value,
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


_FIXED: tuple[Column[Any], ...] = (
    Column("name", "run", 22, lambda run: run.name or run.id, state=lambda run: symbols.of_run(run.status)),
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
    for run in runs[:200]:
        # Their names: a mapping given to a Counter adds up its values.
        metrics.update(run.metrics.keys())
        params.update(run.params.keys())
    return (
        *_FIXED,
        *(_metric(name) for name, _ in metrics.most_common(8) if not name.startswith("system/")),
        *(_param(name) for name, _ in params.most_common(8)),
        *_LAST,
    )


class RunsPage(ListPage):
    """Runs of every experiment, newest first."""

    title = "Runs"
    COMMANDS = (_MARK, _COMPARE, *LISTS)
    BINDINGS = bindings((_COMPARE,))
    empty = (
        "No run yet. A run appears here the moment a training script logs one:\n\n"
        "  modelyard exec -- python train.py     your script, with this environment's endpoints\n"
        "  modelyard demo                        a real model trained on real flights"
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
        if [column.key for column in columns] != [column.key for column in self.table.columns]:
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
        self.comparing = True
        self.detail_open = True
        self.settle()
        self.call_after_refresh(self.redraw)

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
            )
        )
        text.append("\nMetrics\n", "bold")
        text.append_text(facts([(name, number(value)) for name, value in sorted(run.metrics.items())], tint))
        for name, points in self._histories.get(run.id, {}).items():
            if len(points) > 1:
                text.append(f"\n{name}  {number(points[-1].value)}\n", "bold")
                pairs = [(float(point.step), point.value) for point in points]
                text.append("\n".join(line_chart(pairs, width, 6)) + "\n")
        if self._history_fault:
            text.append(f"{symbols.SYMBOLS['off']} charts: {self._history_fault}\n", tint.warn)
        text.append("\nParams\n", "bold")
        text.append_text(facts(sorted(run.params.items()), tint))
        return text

    def _comparison(self, width: int) -> Text:
        runs, tint = self.table.marked, self.colours
        room = max(10, (width - 22) // max(1, len(runs)) - 2)
        text = Text(f"{'':<22}")
        for run in runs:
            text.append(f"{clip(run.name or run.id, room):>{room}}  ", "bold")
        text.append("\n")
        for title, rows in compared(runs):
            if rows:
                text.append(f"\n{title}\n", "bold")
            for name, values in rows:
                text.append(f"{clip(name, 21):<22}", tint.dim)
                text.append("  ".join(f"{clip(value, room):>{room}}" for value in values) + "\n")
        return text


Table = list[tuple[str, list[str]]]


def compared(runs: Sequence[Run]) -> list[tuple[str, Table]]:
    """``(title, rows)``: params that differ, metrics, params that are the same; unknown is a dash."""
    params = sorted({name for run in runs for name in run.params})
    metrics = sorted({name for run in runs for name in run.metrics})
    rows: Table = [(name, [run.params.get(name, UNKNOWN) for run in runs]) for name in params]
    return [
        ("Params that differ", [row for row in rows if len(set(row[1])) > 1]),
        ("Metrics", [(name, [number(run.metrics.get(name)) for run in runs]) for name in metrics]),
        ("Params that are the same", [row for row in rows if len(set(row[1])) == 1]),
    ]
