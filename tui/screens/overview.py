"""Overview: how every service is and why, what is there, what burns, what happened last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from tui.screens.page import Page, told
from tui.widgets import symbols
from tui.widgets.words import UNKNOWN, ago, clip, number, plural, seconds

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
            with VerticalScroll():
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
            alerts=ask("alerts", lambda: self.session.monitor().alerts(state="firing")),
            entries=tuple(ask("audit", lambda: self.session.audit().tail(12)) or ()),
            faults=faults,
        )

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.show()

    def show(self) -> None:
        if not self.is_mounted:
            return
        wide = self.app.size.width >= 110
        self.query_one("#right-box").display = wide
        left, right = self.query_one("#left", Static), self.query_one("#right", Static)
        if self.snapshot is None:
            left.update(self._nothing() if self.fault else Text("Reading the environment.", self.colours.dim))
            return
        width = (self.app.size.width // 2 if wide else self.app.size.width) - 6
        one, two = self._services(width), self._events(width)
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
            text.append("\n")
            if each.reason:
                text.append(f"  {each.reason}\n", symbols.colour(state, tint))
        text.append("\nIn it\n", "bold")
        for name, value in self._counts():
            text.append(f"  {name:<14}", tint.dim)
            text.append(f"{value:>10}\n")
        for part, fault in now.faults.items():
            text.append(f"{symbols.SYMBOLS['off']} {part}: {fault}\n", tint.warn)
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
        tint, now = self.colours, self.snapshot
        text = Text.assemble(("Firing\n", "bold"))
        for alert in (now.alerts or ())[:8]:
            state = symbols.of_alert(alert.severity, alert.state)
            text.append(f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint))
            text.append(f"{clip(alert.summary, width - 14)}")
            text.append(f"  {ago(alert.last_seen)}\n", tint.dim)
        if not now.alerts:
            text.append("  nothing\n" if now.alerts is not None else "  unknown\n", tint.dim)
        text.append("\nServed\n", "bold")
        for each in now.deployments or ():
            state = symbols.of_deployment(each.state)
            text.append(f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint))
            text.append(f"{each.model} v{each.version}  ")
            text.append(
                f"{plural(each.requests, 'request')}, {number(each.errors)} failed,"
                f" p95 {number(each.p95_ms, 3)} ms\n",
                tint.dim,
            )
        if not now.deployments:
            text.append("  no model has the alias champion\n", tint.dim)
        text.append("\nLast acts\n", "bold")
        for entry in now.entries:
            when = ago(datetime.fromisoformat(entry.time))
            text.append(f"  {when:<12}", tint.dim)
            text.append(f"{clip(entry.action, 28):<28} ")
            text.append(f"{clip(entry.who, max(8, width - 44))}\n", tint.dim)
        if not now.entries:
            text.append("  nothing yet\n", tint.dim)
        return text

    def listing(self) -> str:
        if self.snapshot is None:
            return self.title
        return f"{self.title} · {plural(len(self.snapshot.services), 'service')}"
