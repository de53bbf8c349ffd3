"""The frame of every step: where in the guide, the body, the same as a command, the keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.guide.state import Answers
from tui.themes import DARK, LIGHT, Palette, palette

if TYPE_CHECKING:
    from tui.guide.app import GuideApp

STEPS = ("recommend", "choose", "answer", "preview", "apply")


class Step(Screen[None]):
    """One step; subclasses give ``number``, ``keys`` and :meth:`body`."""

    CSS_PATH = "guide.tcss"
    BINDINGS = [
        Binding("escape", "back", "back", id="guide.back"),
        Binding("ctrl+y,y", "copy", "copy command", id="guide.copy"),
        # Not a letter: in the answers those are text.
        Binding("ctrl+t", "theme", "dark or light", id="guide.theme"),
    ]
    number = 1
    keys: tuple[tuple[str, str], ...] = ()

    @property
    def guide(self) -> GuideApp:
        """The app, typed."""
        return cast("GuideApp", self.app)

    @property
    def answers(self) -> Answers:
        """The answers so far."""
        return self.guide.answers

    @property
    def tint(self) -> Palette:
        """State colours of the theme."""
        return palette(self.app.current_theme)

    def compose(self) -> ComposeResult:
        yield Static(id="where")
        with Vertical(id="body"):
            yield from self.body()
        yield Static(id="same")
        yield Static(id="keys")

    def body(self) -> Iterable[Widget]:
        """The step's own widgets."""
        return ()

    def on_mount(self) -> None:
        """Draw the frame."""
        self.draw_frame()

    def on_resize(self) -> None:
        """Draw the frame for the new width."""
        self.draw_frame()

    def redraw(self) -> None:
        """Draw everything whose colours are the theme's."""
        self.draw_frame()

    def action_theme(self) -> None:
        """Dark or light."""
        self.app.theme = LIGHT.name if self.app.current_theme.dark else DARK.name
        self.redraw()

    def draw_frame(self) -> None:
        """The lines above and below the body."""
        width = self.app.size.width
        title = Text(" New environment", style="bold")
        steps = Text()
        for index, name in enumerate(STEPS, start=1):
            shown = f"{index} {name}" if width >= 100 or index == self.number else str(index)
            steps.append(shown, "bold underline" if index == self.number else self.tint.dim)
            steps.append(" · " if index < len(STEPS) else " ", self.tint.dim)
        gap = max(1, width - title.cell_len - steps.cell_len)
        self.query_one("#where", Static).update(Text.assemble(title, " " * gap, steps))
        same = Text.assemble(
            ("same without the guide:  ", self.tint.dim), (self.answers.command(), self.tint.text)
        )
        self.query_one("#same", Static).update(same)
        line = Text(" ")
        for key, meaning in (*self.current_keys(), ("ctrl+q", "leave"), ("ctrl+t", "theme")):
            piece = Text.assemble((key, f"bold {self.tint.text}"), (f" {meaning}   ", self.tint.dim))
            if line.cell_len + piece.cell_len <= width:
                line.append_text(piece)
        self.query_one("#keys", Static).update(line)

    def current_keys(self) -> tuple[tuple[str, str], ...]:
        """The keys that do something now."""
        return self.keys

    def action_back(self) -> None:
        """To the step before; the first one stays."""
        self.guide.go(self.number - 1)

    def action_copy(self) -> None:
        """Copy the command."""
        self.app.copy_to_clipboard(self.answers.command())
        self.notify("The command is in the clipboard.")
