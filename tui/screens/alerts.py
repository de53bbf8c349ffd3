"""Alerts: what fires, how the data differs from the reference, and who took it."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui.commands_registry import LISTS, Command, bindings
from tui.screens.page import ListPage, facts
from tui.widgets import symbols
from tui.widgets.charts import coarser, paired_bars
from tui.widgets.virtual_table import Column
from tui.widgets.words import ago, moment, number, seconds

if TYPE_CHECKING:
    from mlops.monitoring.alerts import Alert
    from mlops.monitoring.alerts.fatigue import Fatigue
    from mlops.monitoring.alerts.silences import Silence
    from mlops.monitoring.client import Change
    from tui.session import Session

_ACKNOWLEDGE = Command(
    "alerts.acknowledge", "a", "acknowledge", "acknowledge", "Take the alert, with a reason"
)
_SILENCE = Command(
    "alerts.silence",
    "m",
    "silence",
    "silence",
    "Say nothing of alerts like this for some hours; again: end it",
)
_ORDER = {"firing": 0, "pending": 1, "acknowledged": 2, "silenced": 3, "covered": 4, "resolved": 5}
#: First word of a reason, and what it says the alert was worth.
_WORTH = {"useful": True, "noise": False}
_HOURS = 4.0


class AlertsPage(ListPage):
    """Every alert, firing ones first."""

    title = "Alerts"
    COMMANDS = (_ACKNOWLEDGE, _SILENCE, *LISTS)
    BINDINGS = bindings((_ACKNOWLEDGE, _SILENCE))
    empty = (
        "No alert. The monitor compares what the gateway logs with the reference of each"
        " champion; what differs fires here by itself. To see it on real flights, until the"
        " season drifts:\n\n"
        "  modelyard demo --months 4-9"
    )

    def __init__(self, session: Session) -> None:
        self._silences: tuple[Silence, ...] = ()
        self._fatigue: Fatigue | None = None
        self._changes: dict[int, tuple[Change, ...]] = {}
        super().__init__(session)

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
            Column("state", "state", 12, _state, lambda a: _ORDER.get(_state(a), 9)),
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
        monitor = self.session.monitor()
        found, self._silences, self._fatigue = monitor.alerts(), monitor.silences(), monitor.fatigue()
        return tuple(sorted(found, key=lambda each: (_ORDER.get(_state(each), 9), each.severity, -each.id)))

    def action_acknowledge(self) -> None:
        """Ask for the reason, then take the alert."""
        alert = self.table.selected
        if alert is None or alert.state != "firing":
            self.notify("Select a firing alert first.")
            return
        console: Any = self.app
        label = f"why is alert {alert.id} acknowledged? Begin with useful or noise to say what it was worth"
        console.ask(label, "", lambda why: self._take(alert, why))

    def _take(self, alert: Alert, typed: str) -> None:
        first, _, rest = typed.strip().partition(" ")
        useful = _WORTH.get(first.rstrip(":,"))
        why = typed.strip() if useful is None else rest.strip()
        if not why:
            self.notify("Not acknowledged: a reason is needed.", severity="warning")
            return
        self.in_thread(lambda: self._acknowledge(alert, why, useful), self._taken, "acknowledge")

    def _acknowledge(self, alert: Alert, why: str, useful: bool | None) -> Alert:
        after = self.session.monitor().acknowledge(alert.id, getpass.getuser(), why, useful)
        self.session.record(
            "alert.acknowledge",
            target=f"{self.session.title}/alerts/{alert.id}",
            before={"state": alert.state},
            after={"state": after.state, "summary": after.summary, "useful": useful},
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

    def _held_by(self, alert: Alert) -> Silence | None:
        """The silence that holds an alert back now."""
        now = datetime.now(UTC)
        return next((each for each in self._silences if each.covers(alert, now)), None)

    def action_silence(self) -> None:
        """Ask for hours and a reason, and silence alerts like the selected one; or end its silence."""
        alert = self.table.selected
        if alert is None:
            self.notify("Select an alert first.")
            return
        held = self._held_by(alert)
        if held is not None:
            self.in_thread(lambda: self._unsilence(held), self._done, "silence")
            return
        console: Any = self.app
        label = f"hours and why, as: {_HOURS:g} a new sensor (silences {_said(_like(alert))})"
        console.ask(label, "", lambda typed: self._hold(alert, typed))

    def _hold(self, alert: Alert, typed: str) -> None:
        first, _, rest = typed.strip().partition(" ")
        try:
            hours, why = float(first), rest.strip()
        except ValueError:
            hours, why = 0.0, ""
        if not 0 < hours <= 24 * 31 or not why:
            self.notify(
                f"Not silenced: hours from 0 to 744, then a reason: {_HOURS:g} a new sensor",
                severity="warning",
            )
            return
        self.in_thread(lambda: self._silence(alert, hours, why), self._done, "silence")

    def _silence(self, alert: Alert, hours: float, why: str) -> str:
        matchers = _like(alert)
        made = self.session.monitor().silence(matchers, hours, getpass.getuser(), why)
        target = f"{self.session.title}/silences/{made}"
        after = {"matchers": matchers, "hours": hours}
        self.session.record("alert.silence", target=target, after=after, why=why, source="console")
        return f"Silent for {hours:g} h: {_said(matchers)}"

    def _unsilence(self, held: Silence) -> str:
        self.session.monitor().unsilence(held.id, getpass.getuser())
        target = f"{self.session.title}/silences/{held.id}"
        before = {"matchers": dict(held.matchers)}
        self.session.record("alert.unsilence", target=target, before=before, source="console")
        return f"No longer silent: {_said(held.matchers)}"

    def _done(self, said: str | None, fault: str) -> None:
        if said is None:
            self.notify(f"Nothing was changed: {fault}", severity="error", markup=False)
            return
        self.notify(said, markup=False)
        self.poll()

    def rhythm(self) -> str:
        heard = self._fatigue
        if heard is None or not heard.alerts:
            return super().rhythm()
        parts = [f"30 days: {number(heard.per_model_week, 2)} alerts a model and week"]
        if heard.precision is not None:
            parts.append(f"{heard.precision:.0%} useful")
        if heard.seconds_to_acknowledge is not None:
            parts.append(f"taken after {seconds(heard.seconds_to_acknowledge)}")
        return " · ".join(parts)

    def selected_changed(self) -> None:
        alert = self.table.selected
        if self.detail_open and alert is not None:
            chosen = alert.id
            self.in_thread(
                lambda: self.session.monitor().changes(chosen),
                lambda found, _: self._read_changes(chosen, found),
                "changes",
            )

    def _read_changes(self, number: int, found: tuple[Change, ...] | None) -> None:
        if found is not None:
            self._changes[number] = found
            self.redraw()

    def detail(self, row: Alert, width: int) -> Text:
        tint = self.colours
        state = symbols.of_alert(row.severity, row.state)
        text = Text.assemble(
            (f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint)), (f"{row.summary}\n", "bold")
        )
        pairs = [("state", f"{row.state}, {row.severity}")]
        pairs += _of_model(row) if row.model else [("resource", row.feature), ("do", "modelyard drift")]
        pairs.append(("seen", f"first {moment(row.first_seen)}, last {ago(row.last_seen)}"))
        if row.inhibited_by:
            pairs.append(("covered", row.inhibited_by))
        if row.acknowledged_by:
            pairs.append(("taken by", f"{row.acknowledged_by}: {row.why}"))
        if row.useful is not None:
            pairs.append(("worth", "useful" if row.useful else "noise"))
        held = self._held_by(row)
        if held is not None:
            pairs.append(("silent", f"until {moment(held.ends)}, by {held.who}: {held.why}"))
        text.append_text(facts(pairs, tint, width))
        changes = self._changes.get(row.id, ())
        if changes:
            text.append("\nWhat became of it\n", "bold")
            lines = [
                (moment(each.at), f"{each.state}, {each.severity}: {each.words}") for each in changes[-8:]
            ]
            text.append_text(facts(lines, tint, width))
        if row.reference.labels:
            text.append(f"\n{row.feature}: reference above, now below\n", "bold")
            labels, was, now = coarser(row.reference.labels, row.reference.shares, row.current.shares)
            text.append_text(paired_bars(labels, was, now, min(width, 90), tint))
        return text


def _state(alert: Alert) -> str:
    """What another alert explains fires, and nobody need look at it."""
    return "covered" if alert.state == "firing" and alert.inhibited_by else alert.state


def _like(alert: Alert) -> dict[str, str]:
    """Matchers of alerts about the same thing."""
    named = {"model": alert.model, "kind": alert.kind, "feature": alert.feature}
    return {name: value for name, value in named.items() if value}


def _said(matchers: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in matchers.items())


def _of_model(row: Alert) -> list[tuple[str, str]]:
    return [
        ("model", row.subject),
        ("feature", row.feature),
        (row.statistic, f"{number(row.value)} (alerts from {number(row.threshold)}, p {row.p_value:.2g})"),
        ("window", f"{moment(row.window_start)} to {moment(row.window_end)}, {number(row.window_rows)} rows"),
    ]
