"""Step 2: the blueprints side by side, with what each needs, checked on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from textwrap import wrap

from rich.text import Text
from textual import events, on
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from blueprints.catalog import Blueprint, catalog
from blueprints.errors import Problem
from blueprints.keys import keys
from blueprints.layers import Layer
from blueprints.recommend import recommend
from stacks.doctor import Check, needs
from tui.guide.step import Step

_LAYERS = (
    Layer.DATABASE,
    Layer.STORAGE,
    Layer.TRACKING,
    Layer.SERVING,
    Layer.MONITORING,
    Layer.ORCHESTRATION,
    Layer.NETWORK,
    Layer.ACCESS,
)
_LABEL = 15
#: Rows from which blank lines fit; a refusal must be in sight below the catalog at 24.
_ROOMY = 30


class ChooseStep(Step):
    """Which blueprint."""

    @dataclass
    class Checked(Message):
        """What a blueprint needs was looked at."""

        blueprint: str
        checks: tuple[Check, ...]

    BINDINGS = [
        Binding("left", "move(-1)", "previous", id="choose.previous"),
        Binding("right", "move(1)", "next", id="choose.next"),
        Binding("enter", "next", "next", id="guide.next"),
    ]
    number = 2
    keys = (("← →", "choose"), ("⏎", "next"), ("esc", "back"), ("ctrl+y", "copy"))

    def __init__(self) -> None:
        super().__init__()
        self._checks: dict[str, tuple[Check, ...]] = {}
        self._columns: list[tuple[int, str]] = []

    def body(self) -> Iterable[Widget]:
        """The table and, below it, why a choice is refused."""
        yield Static(id="catalog")
        yield Static(id="reason")

    def on_mount(self) -> None:
        """Draw, and look at the machine meanwhile."""
        super().on_mount()
        self._draw()
        self.run_worker(self._look, thread=True, exit_on_error=False, group="needs")

    def on_resize(self) -> None:
        """Draw for the new width."""
        super().on_resize()
        self._draw()

    def _look(self) -> None:
        for name, blueprint in catalog().items():
            self.post_message(self.Checked(name, needs(blueprint)))

    @on(Checked)
    def _looked(self, event: Checked) -> None:
        self._checks[event.blueprint] = event.checks
        self._draw()

    def _draw(self) -> None:
        known = list(catalog().values())
        width = self.app.size.width - 4
        shown = known if width >= 100 else [b for b in known if b.name == self.answers.blueprint]
        column = (width - _LABEL) if len(shown) == 1 else min(44, (width - _LABEL) // len(shown))
        self._columns = [(_LABEL + 2 + column * at, blueprint.name) for at, blueprint in enumerate(shown)]
        text = Text(no_wrap=True)
        for label, cells in self._rows(shown, column):
            text.append(f"{label:<{_LABEL}}", self.tint.dim)
            for blueprint, (content, style) in zip(shown, cells, strict=True):
                chosen = blueprint.name == self.answers.blueprint
                cut = content if len(content) < column else content[: column - 2] + "…"
                text.append(f"{cut:<{column}}", style if chosen or style != self.tint.text else self.tint.dim)
            text.append("\n")
        self.query_one("#catalog", Static).update(text)
        self.draw_frame()

    def _rows(self, shown: list[Blueprint], column: int) -> Iterable[tuple[str, list[tuple[str, str]]]]:
        best = recommend(self.answers.needs).blueprint.name
        plain = self.tint.text
        yield (
            "",
            [
                (
                    ("▸ " if b.name == self.answers.blueprint else "  ")
                    + b.name
                    + ("  ← recommended" if b.name == best else "")
                    + (
                        f"   {list(catalog()).index(b.name) + 1} of {len(catalog())}"
                        if len(shown) == 1
                        else ""
                    ),
                    f"bold {plain}",
                )
                for b in shown
            ],
        )
        titles = [wrap(b.title, max(12, column - 4)) for b in shown]
        for line in range(max(len(title) for title in titles)):
            yield "", [("  " + title[line] if line < len(title) else "", plain) for title in titles]
        if self.app.size.height >= _ROOMY:
            yield "", [("", plain) for _ in shown]
        for layer in _LAYERS:
            yield layer.value, [("  " + b.layers[layer], plain) for b in shown]
        if self.app.size.height >= _ROOMY:
            yield "", [("", plain) for _ in shown]
        yield "monthly", [(f"  {b.cost}", plain) for b in shown]
        yield "here", [self._here(b) for b in shown]
        yield (
            "up in",
            [
                (
                    f"  about {b.minutes * 60:.0f} s" if b.minutes < 1 else f"  about {b.minutes:.0f} min",
                    plain,
                )
                for b in shown
            ],
        )
        yield (
            "this release",
            [
                ("  ● builds it", self.tint.good) if b.built else ("  ○ not yet", self.tint.warn)
                for b in shown
            ],
        )

    def redraw(self) -> None:
        self._draw()

    def _here(self, blueprint: Blueprint) -> tuple[str, str]:
        checks = self._checks.get(blueprint.name)
        if checks is None:
            return "  ◐ looking", self.tint.busy
        worst = next((c for c in checks if c.status == "failed"), None)
        if worst:
            fact = worst.fact if worst.name in worst.fact else f"{worst.name}: {worst.fact}"
            # What this release cannot build is not ailing on this machine.
            return (f"  ▲ {fact}", self.tint.bad) if blueprint.built else (f"  ○ {fact}", self.tint.dim)
        worst = next((c for c in checks if c.status == "warning"), None)
        return (f"  △ {worst.fact}", self.tint.warn) if worst else ("  ● ready", self.tint.good)

    def action_move(self, step: int) -> None:
        """Choose the next or the previous blueprint."""
        names = list(catalog())
        name = names[(names.index(self.answers.blueprint) + step) % len(names)]
        self._choose(name)

    def _choose(self, name: str) -> None:
        self.guide.answers = replace(self.answers, blueprint=name)
        self.query_one("#reason", Static).update("")
        self._draw()

    @on(events.Click, "#catalog")
    def _clicked(self, event: events.Click) -> None:
        """Choose the column that was clicked."""
        for start, name in reversed(self._columns):
            if event.x >= start:
                self._choose(name)
                return

    def action_next(self) -> None:
        """To the answers, unless this release cannot build the blueprint or read its keys."""
        try:
            catalog()[self.answers.blueprint].require_built()
            # Another package's keys may be unreadable: better told here than where they are asked for.
            keys(blueprint=self.answers.blueprint)
        except Problem as problem:
            self.query_one("#reason", Static).update(f"△ {problem.what}. Choose local to go on.")
            return
        self.guide.go(3)
