"""Recovery: what a crash left behind, the machine's truth beside the record, one step at a time out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from blueprints.errors import Problem
from stacks.engine.events import Event, Phase, Plan, ResourceFinished, ResourceStarted
from tui.screens.page import told
from tui.themes import palette
from tui.widgets.recovery_text import faults_text, near, plan_text
from tui.widgets.symbols import SYMBOLS
from tui.widgets.words import plural, seconds

if TYPE_CHECKING:
    from stacks.engine.diagnosis import Diagnosis
    from tui.session import Session

_WELL = "Nothing to recover: the record is whole, nobody holds it, and everything in it is there."


@dataclass
class _Work:
    """What is being done, and how far it is; ``changes``: it is a step, not a look."""

    doing: str
    changes: bool = False
    total: int = 0
    finished: int = 0
    now: str = ""
    expected: float | None = None
    began: float = field(default_factory=time.monotonic)

    def hear(self, event: Event) -> None:
        """Take an event of the engine."""
        if isinstance(event, Phase):
            self.now, self.expected = event.message, event.expected_seconds
        elif isinstance(event, ResourceStarted):
            self.now = f"{event.step.verb.value} {event.step.type} {event.step.name}"
        elif isinstance(event, ResourceFinished):
            self.finished += 1

    def __str__(self) -> str:
        far = f"{self.finished} of {self.total}" if self.total else ""
        took = f"{time.monotonic() - self.began:.0f} s"
        usual = f"{took} of ~{seconds(self.expected)}" if self.expected else took
        return " · ".join(part for part in (self.doing, far, self.now, usual) if part)


class RecoverScreen(Screen[None]):
    """The diagnosis and its next step; a step is done when the environment's name is typed."""

    CSS_PATH = "recover.tcss"
    BINDINGS = [("escape", "back", "back"), ("r", "look", "look again"), ("x", "step", "do the next step")]

    @dataclass
    class Looked(Message):
        """A look, or a step and a look, has ended; ``done`` is the step that was taken."""

        found: Diagnosis | None
        fault: str = ""
        done: str = ""

    @dataclass
    class Previewed(Message):
        """What the next step would do is known; it is ``up``."""

        plan: Plan

    @dataclass
    class Happened(Message):
        """The engine reported something."""

        event: Event

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.found: Diagnosis | None = None
        self._looked: RecoverScreen.Looked | None = None
        self._plan: Plan | None = None
        self._work: _Work | None = None

    def compose(self) -> ComposeResult:
        """Title, next step, what is wrong, the question, the keys."""
        yield Static(id="title")
        yield Static(id="next", markup=False)
        with VerticalScroll():
            yield Static(id="diagnosis", markup=False)
        with Vertical(id="ask"):
            yield Static(id="question", markup=False)
            yield Input(id="typed", compact=True)
        yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        """Look at once."""
        self.query_one("#ask").display = False
        self.set_interval(0.5, self._draw_next)
        self.action_look()

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def action_look(self) -> None:
        """Look at the environment; nothing is changed."""
        self._start(_Work("looking at the record and at the machine"), lambda: self._look(""))

    def action_step(self) -> None:
        """Show what the next step does, and ask for the environment's name."""
        from stacks.engine.diagnosis import Remedy

        if self._work is not None or self._asking or self.found is None or self.found.remedy is None:
            return
        if self.found.remedy is Remedy.WAIT:
            self.notify("Somebody is at work, and is never disturbed.", severity="warning")
        elif self.found.remedy is Remedy.UP:
            self._start(_Work("looking at what modelyard up would do"), self._preview)
        else:
            self._ask()

    def action_back(self) -> None:
        """Close the question, then the screen; a step that is being done is seen to its end."""
        if self._asking:
            self._stop_asking()
        elif self._work is not None and self._work.changes:
            self.notify("The step is being done, and it ends first: its outcome is told here.")
        else:
            self.dismiss()

    def _start(self, work: _Work, run: Callable[[], Message]) -> None:
        """Do ``run`` in a thread; what it returns, or the problem it meets, becomes a message."""
        if self._work is not None:
            return
        self._work = work
        self._draw()

        def attempt() -> None:
            try:
                self.post_message(run())
            except Exception as problem:
                self.post_message(self.Looked(None, told(problem)))

        self.run_worker(attempt, thread=True, group="recover", exclusive=True, exit_on_error=False)

    def _hear(self, event: Event) -> None:
        """Called by the engine, from its own threads."""
        self.post_message(self.Happened(event))

    def _look(self, done: str) -> Message:
        from stacks.engine.diagnosis import diagnose

        return self.Looked(diagnose(self.session.engine()), done=done)

    def _preview(self) -> Message:
        return self.Previewed(self.session.engine(self._hear).preview())

    def _take(self, found: Diagnosis, plan: Plan | None) -> Message:
        take(self.session, found, plan, self._hear)
        return self._look(found.step)

    @on(Happened)
    def _heard(self, message: Happened) -> None:
        if self._work is not None:
            self._work.hear(message.event)
            self._draw_next()

    @on(Looked)
    def _show(self, message: Looked) -> None:
        self._work, self._looked, self.found = None, message, message.found
        self._draw()

    @on(Previewed)
    def _show_plan(self, message: Previewed) -> None:
        self._work, self._plan = None, message.plan
        if message.plan.dangerous:
            self.notify("Data is at stake: modelyard up asks for each by its name.", severity="warning")
            self._draw()
        else:
            self._ask()

    def _ask(self) -> None:
        """Show the plan, if the step has one, and ask for the name."""
        name = self.session.environment_name
        self.query_one("#question", Static).update(f"Type {name} and ⏎ to do it, esc to stay.")
        self.query_one("#ask").display = True
        prompt = self.query_one("#typed", Input)
        prompt.value = ""
        prompt.focus()
        self._draw()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        name, typed, found, plan = self.session.environment_name, event.value.strip(), self.found, self._plan
        if typed != name or found is None:
            said = f"{typed!r} is not the name. " if typed else ""
            self.query_one("#question", Static).update(f"{said}Type {name} and ⏎ to do it, esc to stay.")
            return
        self._stop_asking()
        work = _Work(found.step, changes=True, total=plan.changes if plan else 0)
        self._start(work, lambda: self._take(found, plan))

    @property
    def _asking(self) -> bool:
        return bool(self.query_one("#ask").display)

    def _stop_asking(self) -> None:
        self.query_one("#ask").display = False
        self._plan = None
        self.set_focus(None)
        self._draw()

    def _draw(self) -> None:
        """Everything, as it stands."""
        self._draw_title()
        self._draw_next()
        tint, width = palette(self.app.current_theme), max(40, self.app.size.width - 4)
        body = Text()
        if self._plan is not None:
            body = plan_text(self._plan, width, tint)
        elif self.found is not None:
            body = faults_text(self.found, str(self.session.project.root), width, tint)
        self.query_one("#diagnosis", Static).update(body)
        self.query_one("#keys", Static).update("   ".join(f"{key} {words}" for key, words in self._keys()))

    def _keys(self) -> list[tuple[str, str]]:
        """What can be done now."""
        from stacks.engine.diagnosis import Remedy

        if self._asking:
            return [("⏎", "do it"), ("esc", "stay")]
        if self._work is not None:
            return [] if self._work.changes else [("esc", "back")]
        step = self.found is not None and self.found.remedy not in (None, Remedy.WAIT)
        return [*([("x", "do the next step")] if step else []), ("r", "look again"), ("esc", "back")]

    def _draw_title(self) -> None:
        tint = palette(self.app.current_theme)
        text = Text.assemble(
            ("Recovery", "bold"), f" · {self.session.project.name} ▸ {self.session.environment_name}"
        )
        try:
            protected = self.session.spec().protected
        except Problem:
            protected = False
        if protected:
            text.append(f" {SYMBOLS['protected']} protected", tint.protected)
        if self.found is not None and self.found.faults:
            text.append(f" · {plural(len(self.found.faults), 'fault')}", tint.warn)
        self.query_one("#title", Static).update(text)

    def _draw_next(self) -> None:
        """The step that was done, and the next; or what is being done."""
        tint, looked, text = palette(self.app.current_theme), self._looked, Text()
        if self._work is not None:
            text.append(f"◐ {near(str(self._work), str(self.session.project.root))}", tint.busy)
        elif looked is not None:
            if looked.done:
                text.append(f"● done  {near(looked.done, str(self.session.project.root))}\n", tint.good)
            if looked.fault:
                text.append(f"▲ {looked.fault}", tint.bad)
            elif looked.found is not None and looked.found.step:
                text.append(f"next  {near(looked.found.step, str(self.session.project.root))}", "bold")
            else:
                text.append(f"● {_WELL}", tint.good)
        self.query_one("#next", Static).update(text)


def take(
    session: Session,
    found: Diagnosis,
    plan: Plan | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> None:
    """Take the next step; it is in the audit log before it is done.

    Args:
        session: The environment.
        found: The diagnosis whose next step it is.
        plan: What a person agreed to, where the step is ``up``.
        on_event: Hears the engine, from its threads.

    Raises:
        Problem: Somebody has begun to work meanwhile, the step fails, or it would put data at stake.
    """
    from stacks.engine.diagnosis import Remedy
    from stacks.engine.remedies import carry_out

    assert found.remedy is not None
    faults = [each.what for each in found.faults if each.remedy is found.remedy]
    engine = session.engine(on_event)
    if found.remedy is Remedy.UP and plan is None:
        plan = engine.preview()
    if plan is not None and plan.dangerous:
        raise Problem(
            f"data may be lost: {', '.join(step.name for step in plan.dangerous)}",
            todo="modelyard up asks for each by its name",
        )
    session.record(
        f"recover.{found.remedy.value}",
        before={"faults": faults},
        after={"step": found.step},
        source="console",
    )
    if plan is not None:
        engine.up(plan)
    else:
        carry_out(engine, found)
