"""A question before an act: what will happen, then one key; or a line to type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.themes import palette


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        title: The act and what it is done to.
        sentences: What will happen.
        label: What has to be typed; empty: nothing, enter agrees.
        value: What stands there already.
        fault: Why what was typed will not do, in words; empty: it will.
        do: What enter does, for the keys.
    """

    title: str
    sentences: Sequence[str] = ()
    label: str = ""
    value: str = ""
    fault: Callable[[str], str] = lambda typed: "" if typed else "Something has to be typed."
    do: str = "do it"


def by_name(title: str, sentences: Sequence[str], name: str, do: str) -> Question:
    """The question before an act in a protected environment: its name has to be typed."""

    def fault(typed: str) -> str:
        return "" if typed == name else f"{typed!r} is not the name. Nothing was changed."

    return Question(title, sentences, f"{name} is protected: type {name} to go on", fault=fault, do=do)


class AskScreen(ModalScreen[str | None]):
    """Gives what was typed (nothing to type: an empty text); None: it was left."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS = [("escape", "stay", "stay"), ("enter", "agree", "do it")]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        """Title, sentences, the line to type, the keys."""
        tint, asked = palette(self.app.current_theme), self.question
        with VerticalScroll(classes="dialog"):
            yield Static(Text(asked.title, "bold"))
            yield Static(Text("\n".join(asked.sentences)), classes="said")
            if asked.label:
                yield Static(Text(asked.label, tint.dim))
                yield Input(asked.value, id="typed", compact=True)
                yield Static("", id="fault")
            keys = Text.assemble(("⏎", "bold"), f" {asked.do}   ", ("esc", "bold"), " stay, nothing changes")
            yield Static(keys)

    def on_mount(self) -> None:
        """Type at once."""
        if self.question.label:
            self.query_one("#typed").focus()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_agree()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.query_one("#fault", Static).update("")

    def action_agree(self) -> None:
        """Give the answer, if it will do."""
        if not self.question.label:
            self.dismiss("")
            return
        typed = self.query_one("#typed", Input).value.strip()
        fault = self.question.fault(typed)
        if fault:
            tint = palette(self.app.current_theme)
            self.query_one("#fault", Static).update(Text(f"▲ {fault}", tint.bad))
        else:
            self.dismiss(typed)

    def action_stay(self) -> None:
        """Leave; nothing changes."""
        self.dismiss(None)
