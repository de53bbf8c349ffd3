"""Help, made from the command registry: what every key does here."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.commands_registry import Command
from tui.themes import palette

_TABLE = (
    ("1 to 6", "Open a page"),
    ("↑ ↓ j k", "Move; page up and down, home and end likewise"),
    ("← →", "Scroll the columns sideways"),
    ("⏎", "Open the detail of the row; tab goes into it, to scroll"),
    ("space", "Mark the row"),
)


class HelpScreen(ModalScreen[None]):
    """Keys of one page; escape closes it."""

    BINDINGS = [("escape,q,question_mark", "dismiss", "close")]

    def __init__(self, title: str, commands: Sequence[Command]) -> None:
        super().__init__()
        self._title, self._commands = title, commands

    def compose(self) -> ComposeResult:
        """One line a key."""
        tint = palette(self.app.current_theme)
        text = Text.assemble((f"{self._title}: keys\n\n", "bold"))
        lines = [*((c.key_name, c.tooltip) for c in self._commands), ("ctrl+p", "Command palette"), *_TABLE]
        for key, tooltip in lines:
            text.append(f"{key:<8} ", "bold")
            text.append(f"{tooltip}\n", tint.dim)
        with VerticalScroll():
            yield Static(text)
