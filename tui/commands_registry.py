"""Commands: declarations that feed the bindings, the palette, the keys line, the help and the keymap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.binding import Binding, BindingType

#: How keys are written for people.
_NAMES = {
    "enter": "⏎",
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "escape": "esc",
    "upper_s": "S",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left": "←",
    "right": "→",
}


@dataclass(frozen=True)
class Command:
    """One thing a person can do here.

    Attributes:
        id: Stable name, the one a keymap rebinds: ``runs.compare``.
        key: Default key.
        action: Textual action it runs.
        title: A word or two, for the keys line and the palette.
        tooltip: A sentence, for the help and the palette.
        shown: Whether the keys line names it.
    """

    id: str
    key: str
    action: str
    title: str
    tooltip: str
    shown: bool = True

    @property
    def binding(self) -> Binding:
        """As Textual binds it."""
        return Binding(self.key, self.action, self.title, show=self.shown, tooltip=self.tooltip, id=self.id)

    @property
    def key_name(self) -> str:
        """Its key as people write it."""
        return _NAMES.get(self.key.split(",")[0], self.key.split(",")[0])


def bindings(commands: Iterable[Command]) -> list[BindingType]:
    """Bindings of the commands."""
    return [command.binding for command in commands]


CONSOLE = (
    Command(
        "app.jump", "colon", "app.jump", "command", "Go somewhere by name: :runs, :model delay, :q", False
    ),
    Command("app.help", "question_mark", "app.help", "help", "Every key of this page", False),
    Command(
        "app.back", "escape", "app.back", "back", "Close the detail, the filter, the page; never quits", False
    ),
    Command("app.reload", "r", "app.reload", "reload", "Read the environment anew, now", False),
    Command("app.copy", "y", "app.copy_id", "copy", "Copy the id of the selected row", False),
    Command("app.theme", "t", "app.next_theme", "theme", "Dark or light", False),
    Command(
        "app.recover",
        "ctrl+r",
        "app.recover",
        "recover",
        "After a crash: what is wrong, one step at a time",
        False,
    ),
    Command("app.quit", "q,ctrl+q", "app.quit", "quit", "Leave the console", False),
)
LISTS = (
    Command(
        "list.filter", "slash", "filter", "filter", "Filter: words, !word, metrics.auc>0.9, status=FAILED"
    ),
    Command("list.sort", "S", "sort_next", "sort", "Sort by the next column; click a header to choose"),
    Command("list.reverse", "R", "sort_reverse", "reverse", "Turn the order round", False),
)
