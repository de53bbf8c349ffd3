"""Recovery: what a crash left behind, the machine's truth beside the record, one step at a time out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from blueprints.errors import Problem
from tui.screens.page import told
from tui.themes import palette

if TYPE_CHECKING:
    from stacks.engine.diagnosis import Diagnosis
    from tui.session import Session

_KEYS = (("x", "do the next step"), ("r", "look again"), ("esc", "back"))


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

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.found: Diagnosis | None = None
        self._busy = False

    def compose(self) -> ComposeResult:
        """Title, diagnosis, the prompt, the keys."""
        yield Static(f"Recovery · {self.session.title}", id="title", markup=False)
        with VerticalScroll():
            yield Static(id="diagnosis", markup=False)
        yield Input(id="typed", compact=True)
        yield Static("   ".join(f"{key} {words}" for key, words in _KEYS), id="keys", markup=False)

    def on_mount(self) -> None:
        """Look at once."""
        self.query_one("#typed").display = False
        self.action_look()

    def action_look(self) -> None:
        """Look at the environment; nothing is changed."""
        self._work("")

    def _work(self, step: str) -> None:
        if self._busy:
            return
        self._busy = True
        doing = f"◐ {step}" if step else "◐ looking at the record and at the machine"
        self.query_one("#diagnosis", Static).update(doing)
        self.run_worker(
            lambda: self._do(step), thread=True, group="recover", exclusive=True, exit_on_error=False
        )

    def _do(self, step: str) -> None:
        """Take the step, when there is one, and look; in a thread."""
        from stacks.engine.diagnosis import diagnose

        try:
            if step and self.found is not None:
                take(self.session, self.found)
            self.post_message(self.Looked(diagnose(self.session.engine()), done=step))
        except Exception as problem:
            self.post_message(self.Looked(None, told(problem)))

    @on(Looked)
    def _show(self, message: Looked) -> None:
        self._busy, self.found = False, message.found
        tint = palette(self.app.current_theme)
        text = Text()
        if message.done:
            text.append(f"● done: {message.done}\n\n", tint.good)
        if message.fault:
            text.append(f"▲ {message.fault}", tint.bad)
        elif self.found is not None:
            for each in self.found.faults:
                text.append(f"△ {f'{each.resource}: ' if each.resource else ''}{each.what}\n", tint.warn)
                if each.resource:
                    text.append(f"    record   {each.recorded}\n    machine  {each.truth}\n", tint.dim)
            nothing = (
                "Nothing to recover: the record is whole, nobody holds it, and everything in it is there."
            )
            text.append(f"\nnext  {self.found.step}" if self.found.step else f"● {nothing}")
        self.query_one("#diagnosis", Static).update(text)

    def action_step(self) -> None:
        """Ask for the environment's name, then do the next step."""
        from stacks.engine.diagnosis import Remedy

        if self._busy or self.found is None or self.found.remedy is None:
            return
        if self.found.remedy is Remedy.WAIT:
            self.notify("Somebody is at work, and is never disturbed.", severity="warning")
            return
        prompt = self.query_one("#typed", Input)
        prompt.value, prompt.display = "", True
        prompt.placeholder = f"type {self.session.environment_name}: {self.found.step}"
        prompt.focus()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if event.value.strip() == self.session.environment_name and self.found is not None:
            self._close_prompt()
            self._work(self.found.step)

    def _close_prompt(self) -> None:
        self.query_one("#typed").display = False
        self.set_focus(None)

    def action_back(self) -> None:
        """Close the prompt, then the screen."""
        if self.query_one("#typed").display:
            self._close_prompt()
        else:
            self.dismiss()


def take(session: Session, found: Diagnosis) -> None:
    """Take the next step; it is in the audit log before it is done.

    Raises:
        Problem: Somebody has begun to work meanwhile, the step fails, or it would put data at stake.
    """
    from stacks.engine.diagnosis import Remedy
    from stacks.engine.remedies import carry_out

    assert found.remedy is not None
    faults = [each.what for each in found.faults if each.remedy is found.remedy]
    engine = session.engine()
    plan = engine.preview() if found.remedy is Remedy.UP else None
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
