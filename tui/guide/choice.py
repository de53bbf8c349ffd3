"""Choice: one question on one line, answered with the arrow keys or the mouse."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget

from tui.themes import palette

_LABEL = 26


class Choice(Widget, can_focus=True):
    """A question with a few answers.

    Args:
        question: What is asked.
        options: ``(value, shown)``.
        value: The answer at first.
    """

    BINDINGS = [
        Binding("left", "move(-1)", "previous", show=False, id="choice.previous"),
        Binding("right,space", "move(1)", "next", show=False, id="choice.next"),
        Binding("up", "app.focus_previous", show=False, id="choice.up"),
        Binding("down", "app.focus_next", show=False, id="choice.down"),
    ]

    @dataclass
    class Changed(Message):
        """Another answer was chosen."""

        choice: Choice
        value: str

    def __init__(self, question: str, options: tuple[tuple[str, str], ...], value: str, id: str) -> None:
        super().__init__(id=id)
        self.question, self.options, self.value = question, options, value

    def render(self) -> Text:
        tint = palette(self.app.current_theme)
        line = Text(f"{self.question:<{_LABEL}}", style=tint.text if self.has_focus else tint.dim)
        for value, shown in self.options:
            if value == self.value:
                line.append(f" ● {shown} ", f"bold {tint.text}")
            else:
                line.append(f" ○ {shown} ", tint.dim)
            line.append(" ")
        return line

    def action_move(self, step: int) -> None:
        """The next or the previous answer."""
        values = [value for value, _ in self.options]
        self._choose(values[(values.index(self.value) + step) % len(values)])

    def _choose(self, value: str) -> None:
        if value != self.value:
            self.value = value
            self.refresh()
            self.post_message(self.Changed(self, value))

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked."""
        at = 1 + _LABEL
        for value, shown in self.options:
            at += len(shown) + 5
            if event.x < at and event.x > _LABEL:
                self._choose(value)
                return
