"""ConsoleApp: composes the frame, opens pages, routes keys. What a page shows is the page's business."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from tui.commands_registry import CONSOLE, Command, bindings
from tui.screens.page import Page, told
from tui.themes import DARK, LIGHT
from tui.widgets.frame import KeysLine, ListLine, PagesLine, Rule, Standing, WhereLine

if TYPE_CHECKING:
    from tui.session import Session

#: Digit, name, and where the page is: a page is imported when it is first opened.
PAGES = (
    ("1", "Overview", "tui.screens.overview:OverviewPage"),
    ("2", "Runs", "tui.screens.runs:RunsPage"),
    ("3", "Models", "tui.screens.models:ModelsPage"),
    ("4", "Deployments", "tui.screens.deployments:DeploymentsPage"),
    ("5", "Monitoring", "tui.screens.monitoring:MonitoringPage"),
    ("6", "Alerts", "tui.screens.alerts:AlertsPage"),
    ("7", "Infra", "tui.screens.infra:InfraPage"),
    ("8", "Figures", "tui.screens.figures:FiguresPage"),
)
_EVERY = 2.0


@dataclass
class StandingRead(Message):
    """The poller of line 1 has an answer."""

    standing: Standing

    def can_replace(self, message: Message) -> bool:
        """Only the newest counts."""
        return isinstance(message, StandingRead)


class ConsoleApp(App[None]):
    """The console on one environment."""

    CSS_PATH = "app.tcss"
    TITLE = "modelyard"
    # The only focusable widget at the start is the hidden prompt; it must not swallow the keys.
    AUTO_FOCUS = None
    PAUSE_GC_ON_SCROLL = True
    BINDINGS = [
        *bindings(CONSOLE),
        *(
            Binding(digit, f"page('{name.lower()}')", name, show=False, id=f"page.{name.lower()}")
            for digit, name, _ in PAGES
        ),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.animation_level = "none"
        self.standing = Standing(session.project.name, session.environment_name)
        self.current = ""
        self._history: list[str] = []
        self._answer: Callable[[str], None] | None = None
        self._live = False
        self._before = ""

    def compose(self) -> ComposeResult:
        """The frame; the body fills when a page is opened."""
        yield WhereLine(id="where-line")
        yield PagesLine(id="pages-line")
        yield ListLine(id="list-line")
        yield Rule()
        yield Vertical(id="body")
        yield Rule()
        yield Input(id="prompt", compact=True)
        yield KeysLine(id="keys-line")

    def on_mount(self) -> None:
        """First frame first; nothing here waits."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name
        self.query_one("#prompt").display = False
        self.query_one(WhereLine).tell(self.standing)
        self.query_one(PagesLine).tell([(digit, name) for digit, name, _ in PAGES], "Overview")
        self.query_one(ListLine).tell("Overview · reading")
        self.call_after_refresh(self._start)

    async def _start(self) -> None:
        # A key may have been faster than the first frame.
        if not self.current:
            await self.action_page("overview")
        self._poll_standing()
        self.set_interval(1.0, self.query_one(WhereLine).refresh)

    def _poll_standing(self) -> None:
        self.run_worker(self._read_standing, thread=True, group="standing", exit_on_error=False)

    def _read_standing(self) -> None:
        now = self.standing
        try:
            environment = self.session.environment()
            services = self.session.services()
            now = replace(
                now,
                protected=environment.protected,
                services=len(services),
                down=sum(not each.well and each.state != "starting" for each in services),
                synced=time.monotonic(),
                fault="",
            )
        except Exception as problem:
            now = replace(now, fault=told(problem))
        try:
            if not now.fault:
                alerts = self.session.monitor().firing()
                pages = sum(each.severity == "page" for each in alerts)
                now = replace(now, pages=pages, tickets=len(alerts) - pages)
        except Exception:
            # The monitor being down is told by its own service row.
            now = replace(now, pages=0, tickets=0)
        self.post_message(StandingRead(now))

    def on_standing_read(self, message: StandingRead) -> None:
        """Draw line 1; read again later."""
        self.standing = message.standing
        self.query_one(WhereLine).tell(self.standing)
        for rule in self.query(Rule):
            rule.tell(self.standing.protected)
        self.set_timer(_EVERY, self._poll_standing)

    @property
    def page(self) -> Page | None:
        """The page in sight."""
        for page in self.query(Page):
            if page.display:
                return page
        return None

    async def action_page(self, name: str, remember: bool = True) -> None:
        """Open a page; it is made the first time."""
        entry = next((each for each in PAGES if each[1].lower() == name), None)
        if entry is None or name == self.current:
            return
        if self.current:
            self.close_prompt()
        if self.current and remember:
            self._history.append(self.current)
        for other in self.query(Page):
            other.display = False
        self.current = name
        self.query_one(PagesLine).tell([(digit, title) for digit, title, _ in PAGES], entry[1])
        found = [page for page in self.query(Page) if page.title == entry[1]]
        if found:
            page = found[0]
            page.display = True
            page.poll()
        else:
            module, _, kind = entry[2].partition(":")
            page = getattr(import_module(module), kind)(self.session)
            await self.query_one("#body").mount(page)
            if self.current != name:
                return
        page.tell()
        page.focus_list()

    async def action_back(self) -> None:
        """Close the prompt, the detail, the filter; then go to the page before. Never quits."""
        if self.query_one("#prompt").display:
            if self._live and self._answer:
                self._answer(self._before)
            self.close_prompt()
            return
        if self.page and self.page.back():
            return
        if self._history:
            await self.action_page(self._history.pop(), remember=False)
        elif self.current:
            await self.action_page("overview", remember=False)

    def ask(self, label: str, value: str, answer: Callable[[str], None], live: bool = False) -> None:
        """Ask for one line at the bottom; ``answer`` gets it on enter, with ``live`` also as it is typed."""
        prompt = self.query_one("#prompt", Input)
        self._answer, self._live, self._before = None, live, value
        prompt.value = value
        prompt.placeholder = label
        prompt.display = True
        prompt.focus()
        self._answer = answer

    def close_prompt(self) -> None:
        """Take the prompt away and give the keys back to the page."""
        prompt = self.query_one("#prompt", Input)
        if prompt.display:
            prompt.display = False
            self._answer = None
            self.set_focus(None)
            if self.page:
                self.page.focus_list()

    def on_input_changed(self, event: Input.Changed) -> None:
        """A live prompt answers as it is typed."""
        if event.input.id == "prompt" and self._live and self._answer:
            self._answer(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The prompt is answered."""
        answer = self._answer
        self.close_prompt()
        if answer:
            answer(event.value)

    def action_jump(self) -> None:
        """Ask where to go."""
        self.ask(":runs  :model NAME  :q", "", self._jump)

    def _jump(self, text: str) -> None:
        words = text.strip().lstrip(":").split()
        if not words:
            return
        name = words[0].lower()
        if name in ("q", "quit"):
            self.exit()
            return
        if name == "recover":
            self.action_recover()
            return
        titles = [title.lower() for _, title, _ in PAGES]
        match = next((title for title in titles if title.startswith(name) or title.rstrip("s") == name), None)
        if match is None:
            self.notify(f"no page is called {words[0]!r}. Known: {', '.join(titles)}, q", severity="warning")
            return
        self.call_later(self._jump_to, match, " ".join(words[1:]))

    async def _jump_to(self, name: str, text: str) -> None:
        await self.action_page(name)
        setter = getattr(self.page, "set_filter", None)
        if text and setter:
            setter(text)

    def commands(self) -> tuple[Command, ...]:
        """Every command that works here: the page's and the console's."""
        return (*(self.page.COMMANDS if self.page else ()), *CONSOLE)

    def action_help(self) -> None:
        """Keys of this page."""
        from tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.page.title if self.page else "", self.commands()))

    def action_recover(self) -> None:
        """What a crash left behind, and the way out."""
        from tui.screens.recover import RecoverScreen

        self.push_screen(RecoverScreen(self.session))

    def action_reload(self) -> None:
        """Read the environment's outputs and the page anew."""
        self.run_worker(self._reload, thread=True, group="reload", exit_on_error=False)

    def _reload(self) -> None:
        try:
            self.session.environment(again=True)
        except Exception as problem:
            self.call_from_thread(self.notify, told(problem), severity="warning")
        if self.page:
            self.call_from_thread(self.page.poll)

    def action_copy_id(self) -> None:
        """Copy the id of the selected row (OSC 52: works through SSH)."""
        text = self.page.selected_id() if self.page else ""
        if text:
            self.copy_to_clipboard(text)
            self.notify(f"copied {text}")

    def action_next_theme(self) -> None:
        """Dark or light."""
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name
        for line in self.query("Line"):
            line.refresh()
        if self.page and self.page.snapshot is not None:
            self.page.show()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: pages, then the commands of this page."""
        for _, title, _ in PAGES:
            yield SystemCommand(f"Go to {title}", f"Open the page {title}", lambda t=title: self._jump(t))
        for command in self.commands():
            yield SystemCommand(command.title, command.tooltip, lambda c=command: self._run(c))

    def _run(self, command: Command) -> None:
        target = self if command.action.startswith("app.") else self.page
        self.call_later(self.run_action, command.action, target)
