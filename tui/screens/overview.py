"""Overview: how every service is and why, what is there, what burns, what happened last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from tui.screens.page import Page, told
from tui.widgets import symbols
from tui.widgets.words import UNKNOWN, ago, clip, clip_middle, hanging, instant, number, plural, seconds

#: Alerts and deployments listed here; their own pages have them all.
_SHOWN = 8

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Overview:
    """Everything the page shows; ``faults`` names the parts that did not answer, with the reason."""

    services: tuple[Any, ...] = ()
    models: tuple[Any, ...] | None = None
    runs: int | None = None
    more_runs: bool = False
    deployments: tuple[Any, ...] | None = None
    alerts: tuple[Any, ...] | None = None
    entries: tuple[Any, ...] = ()
    faults: dict[str, str] = field(default_factory=dict)


class OverviewPage(Page):
    """The first page."""

    title = "Overview"

    def compose(self) -> ComposeResult:
        """Two columns; one below the other when it is narrow."""
        with Horizontal(classes="columns"):
            with VerticalScroll(id="left-box"):
                yield Static("Reading the environment.", id="left")
            with VerticalScroll(id="right-box"):
                yield Static("", id="right")

    def fetch(self) -> Overview:
        faults: dict[str, str] = {}

        def ask(part: str, question: Callable[[], Answer]) -> Answer | None:
            try:
                return question()
            except Exception as problem:
                faults[part] = told(problem)
                return None

        services = self.session.services()
        page = ask("runs", lambda: self.session.tracking().runs(page_size=1000))
        return Overview(
            services=services,
            runs=len(page.runs) if page else None,
            more_runs=bool(page and page.next_token),
            models=ask("models", lambda: self.session.tracking().models()),
            deployments=ask("deployments", lambda: self.session.gateway().deployments()),
            alerts=ask("alerts", lambda: self.session.monitor().firing()),
            entries=tuple(ask("audit", lambda: self.session.audit().tail(12)) or ()),
            faults=faults,
        )

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.show()

    def show(self) -> None:
        if not self.is_mounted:
            return
        screen = self.app.size.width
        wide = screen >= 110
        self.query_one("#right-box").display = wide
        # The services need what they need, up to their address; what happens has the rest.
        across = screen if not wide else 58 if screen < 160 else 86
        self.query_one("#left-box").styles.width = across if wide else "1fr"
        left, right = self.query_one("#left", Static), self.query_one("#right", Static)
        if self.snapshot is None:
            left.update(self._nothing() if self.fault else Text("Reading the environment.", self.colours.dim))
            return
        one = self._services(across - 6)
        two = self._events((screen - across if wide else screen) - 6)
        if wide:
            left.update(one)
            right.update(two)
        else:
            left.update(Text.assemble(one, "\n", two))

    def _nothing(self) -> Text:
        tint = self.colours
        return Text.assemble(
            (f"{symbols.SYMBOLS['off']} {self.fault}\n\n", tint.warn),
            "Services, models, deployments and alerts of this environment stand here once it is up.\n",
            ("modelyard up", "bold"),
            "  brings it up,  ",
            ("modelyard demo", "bold"),
            "  puts a model and traffic into it.",
        )

    def _services(self, width: int) -> Text:
        tint, now = self.colours, self.snapshot
        text = Text()
        well = sum(each.well for each in now.services)
        text.append(f"Services  {well} of {len(now.services)} well\n", "bold")
        for each in now.services:
            state = symbols.of_service(each.state, each.healthy)
            text.append(f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint))
            text.append(f"{clip(each.title, 22):<22} ")
            text.append(f"{each.state:<9}", tint.dim)
            memory = f"{number(round(each.memory_mb))} MB" if each.memory_mb else UNKNOWN
            text.append(f"{memory:>8} {seconds(each.uptime_seconds):>8}", tint.dim)
            if width > 75:
                text.append(f"  {clip(each.url, width - 53)}", tint.dim)
            text.append("\n")
            if each.reason:
                reason = symbols.colour("degraded" if state == "off" else state, tint)
                text.append(f"  {hanging(each.reason, width, 2)}\n", reason)
        text.append("\nIn it\n", "bold")
        for name, value in self._counts():
            text.append(f"  {name:<14}", tint.dim)
            text.append(f"{value:>10}\n")
        for fault in dict.fromkeys(now.faults.values()):
            parts = ", ".join(part for part, what in now.faults.items() if what == fault)
            text.append(f"{symbols.SYMBOLS['off']} {hanging(f'{parts}: {fault}', width, 2)}\n", tint.warn)
        return text

    def _counts(self) -> list[tuple[str, str]]:
        now = self.snapshot
        runs = UNKNOWN if now.runs is None else number(now.runs) + ("+" if now.more_runs else "")
        return [
            ("runs", runs),
            *(
                (name, UNKNOWN if found is None else number(len(found)))
                for name, found in (
                    ("models", now.models),
                    ("deployments", now.deployments),
                    ("firing alerts", now.alerts),
                )
            ),
        ]

    def _events(self, width: int) -> Text:
        return Text("\n").join((self._firing(width), self._deploys(width), self._acts(width)))

    def _firing(self, width: int) -> Text:
        tint, alerts = self.colours, self.snapshot.alerts
        text = Text.assemble(("Firing\n", "bold"))
        for alert in (alerts or ())[:_SHOWN]:
            state = symbols.of_alert(alert.severity, alert.state)
            text.append(f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint))
            text.append(f"{clip(alert.summary, width - 14):<{width - 14}}")
            text.append(f"{ago(alert.last_seen):>12}\n", tint.dim)
        if len(alerts or ()) > _SHOWN:
            text.append(f"  {len(alerts) - _SHOWN} more: 5 shows them\n", tint.dim)
        if not alerts:
            text.append("  nothing\n" if alerts is not None else f"  {UNKNOWN}\n", tint.dim)
        return text

    def _deploys(self, width: int) -> Text:
        """What is served, the newest deploy first."""
        tint, found = self.colours, self.snapshot.deployments
        text = Text.assemble(("Last deploys\n", "bold"))
        for each in sorted(found or (), key=lambda d: d.since, reverse=True)[:_SHOWN]:
            state = symbols.of_deployment(each.state)
            text.append(f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint))
            name = f"{clip_middle(each.model, width - 32)} v{each.version}  {each.alias}"
            text.append(f"{clip(name, width - 14):<{width - 14}}")
            text.append(f"{ago(instant(each.since)):>12}\n", tint.dim)
            text.append(
                f"  {plural(each.requests, 'request')}, {number(each.errors)} failed,"
                f" p95 {number(each.p95_ms, 3)} ms\n",
                tint.dim,
            )
        if not found:
            nobody = "  no model has the alias champion; modelyard demo deploys a real one\n"
            text.append(nobody if found is not None else f"  {UNKNOWN}\n", tint.dim)
        return text

    def _acts(self, width: int) -> Text:
        """The end of the audit log, the newest first."""
        tint, entries = self.colours, self.snapshot.entries
        text = Text.assemble(("Last acts\n", "bold"))
        for entry in entries:
            text.append(f"  {clip(entry.action, 28):<28} ")
            text.append(f"{clip(entry.who, max(8, width - 44)):<{max(8, width - 43)}}", tint.dim)
            text.append(f"{ago(instant(entry.time)):>12}\n", tint.dim)
        if not entries:
            text.append("  nothing yet\n", tint.dim)
        return text

    def focus_list(self) -> None:
        if self.display and not isinstance(self.app.focused, Input):
            self.query_one("#left-box").focus()

    def listing(self) -> str:
        if self.snapshot is None:
            return self.title
        return f"{self.title} · {plural(len(self.snapshot.services), 'service')}"
