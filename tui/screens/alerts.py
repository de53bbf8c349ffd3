"""Alerts: what fires, how the data differs from the reference, and who took it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui.commands_registry import LISTS, Command, bindings
from tui.screens.page import ListPage, facts
from tui.widgets import symbols
from tui.widgets.charts import paired_bars
from tui.widgets.virtual_table import Column
from tui.widgets.words import ago, moment, number

if TYPE_CHECKING:
    from mlops.monitoring.alerts import Alert

_ACKNOWLEDGE = Command(
    "alerts.acknowledge", "a", "acknowledge", "acknowledge", "Take the alert, with a reason"
)
_ORDER = {"firing": 0, "acknowledged": 1, "resolved": 2}


class AlertsPage(ListPage):
    """Every alert, firing ones first."""

    title = "Alerts"
    COMMANDS = (_ACKNOWLEDGE, *LISTS)
    BINDINGS = bindings((_ACKNOWLEDGE,))
    empty = (
        "No alert. The monitor compares what the gateway logs with the reference of each"
        " champion; what differs fires here by itself. To see it on real flights, until the"
        " season drifts:\n\n"
        "  modelyard demo --months 4-9"
    )

    def columns(self) -> Sequence[Column[Any]]:
        return (
            Column(
                "summary",
                "what",
                36,
                lambda a: a.summary,
                flexible=True,
                state=lambda a: symbols.of_alert(a.severity, a.state),
            ),
            Column("state", "state", 12, lambda a: a.state, lambda a: _ORDER.get(a.state, 9)),
            Column("seen", "seen", 10, lambda a: ago(a.last_seen), lambda a: a.last_seen, align="right"),
            Column("feature", "feature", 14, lambda a: a.feature),
            Column("value", "value", 8, lambda a: number(a.value, 3), lambda a: a.value, align="right"),
            Column("model", "model", 16, lambda a: a.subject),
        )

    def key(self, row: Alert) -> str:
        return str(row.id)

    def crumb(self, row: Alert) -> str:
        return f"{row.id} {row.kind} of {row.feature or row.model}"

    def fetch(self) -> tuple[Alert, ...]:
        found = self.session.monitor().alerts()
        return tuple(sorted(found, key=lambda each: (_ORDER.get(each.state, 9), each.severity, -each.id)))

    def action_acknowledge(self) -> None:
        """Ask for the reason, then take the alert."""
        alert = self.table.selected
        if alert is None or alert.state != "firing":
            self.notify("Select a firing alert first.")
            return
        console: Any = self.app
        console.ask(f"why is alert {alert.id} acknowledged?", "", lambda why: self._take(alert, why))

    def _take(self, alert: Alert, why: str) -> None:
        if not why.strip():
            self.notify("Not acknowledged: a reason is needed.", severity="warning")
            return
        self.in_thread(lambda: self._acknowledge(alert, why.strip()), self._taken, "acknowledge")

    def _acknowledge(self, alert: Alert, why: str) -> Alert:
        after = self.session.monitor().acknowledge(alert.id, getpass.getuser(), why)
        self.session.record(
            "alert.acknowledge",
            target=f"{self.session.title}/alerts/{alert.id}",
            before={"state": alert.state},
            after={"state": after.state, "summary": after.summary},
            why=why,
            source="console",
        )
        return after

    def _taken(self, alert: Alert | None, fault: str) -> None:
        if alert is None:
            self.notify(f"Not acknowledged: {fault}", severity="error")
            return
        self.notify(f"Acknowledged: {alert.summary}")
        self.poll()

    def detail(self, row: Alert, width: int) -> Text:
        tint = self.colours
        state = symbols.of_alert(row.severity, row.state)
        text = Text.assemble(
            (f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint)), (f"{row.summary}\n", "bold")
        )
        pairs = [("state", f"{row.state}, {row.severity}")]
        pairs += _of_model(row) if row.model else [("resource", row.feature), ("do", "modelyard drift")]
        pairs.append(("seen", f"first {moment(row.first_seen)}, last {ago(row.last_seen)}"))
        if row.acknowledged_by:
            pairs.append(("taken by", f"{row.acknowledged_by}: {row.why}"))
        text.append_text(facts(pairs, tint, width))
        if row.reference.labels:
            text.append(f"\n{row.feature}: reference above, now below\n", "bold")
            labels, was, now = coarser(row.reference.labels, row.reference.shares, row.current.shares)
            text.append_text(paired_bars(labels, was, now, min(width, 90), tint))
        return text


def _of_model(row: Alert) -> list[tuple[str, str]]:
    return [
        ("model", row.subject),
        ("feature", row.feature),
        (row.statistic, f"{number(row.value)} (alerts from {number(row.threshold)}, p {row.p_value:.2g})"),
        ("window", f"{moment(row.window_start)} to {moment(row.window_end)}, {number(row.window_rows)} rows"),
    ]


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
