"""Step 1: a few questions, and the blueprint that fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from textwrap import wrap
from typing import Any

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Static

from blueprints.recommend import recommend
from tui.guide.choice import Choice
from tui.guide.step import Step

#: Column the advice stands in.
_INDENT = 13
_QUESTIONS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("users", "who uses it", (("me", "me"), ("team", "my team"), ("company", "the company"))),
    (
        "data",
        "where data may go",
        (("machine", "this machine"), ("cluster", "our cluster"), ("cloud", "a cloud account")),
    ),
    ("runs_per_day", "training runs a day", (("20", "tens"), ("1000", "thousands"), ("20000", "more"))),
    (
        "predictions_per_day",
        "predictions a day",
        (("10000", "thousands"), ("1000000", "a million"), ("20000000", "tens of millions")),
    ),
    ("has_cluster", "a Kubernetes cluster", (("no", "no"), ("yes", "at hand"))),
    ("has_aws", "an AWS account", (("no", "no"), ("yes", "at hand"))),
)


class RecommendStep(Step):
    """What the team says of itself."""

    BINDINGS = [Binding("enter", "next", "next", id="guide.next")]
    number = 1
    keys = (("↑ ↓", "question"), ("← →", "answer"), ("⏎", "next"), ("ctrl+y", "copy"))

    def body(self) -> Iterable[Widget]:
        """The questions and the advice."""
        for name, question, options in _QUESTIONS:
            yield Choice(question, options, self._known(name), id=name)
        yield Static(id="advice")

    def _known(self, name: str) -> str:
        value = getattr(self.answers.needs, name)
        return ("yes" if value else "no") if isinstance(value, bool) else str(value)

    def on_mount(self) -> None:
        """Show the advice for the answers so far."""
        super().on_mount()
        self._advise()
        self.query(Choice).first().focus()

    @on(Choice.Changed)
    def _answered(self, event: Choice.Changed) -> None:
        name, text = event.choice.id or "", event.value
        value: Any = text
        if name.startswith("has_"):
            value = text == "yes"
        elif name.endswith("_day"):
            value = int(text)
        self.guide.answers = replace(
            self.answers, needs=replace(self.answers.needs, **{name: value}), settings={}
        )
        self._advise()

    def _advise(self) -> None:
        found = recommend(self.answers.needs)
        room = max(20, self.app.size.width - _INDENT - 5)
        self.guide.answers = replace(self.answers, blueprint=found.blueprint.name).recommended()
        text = Text.assemble(
            ("recommended  ", self.tint.dim), (found.blueprint.name, f"bold {self.tint.text}"), "\n"
        )
        said = [(found.blueprint.title, self.tint.text)]
        said += [(f"because {reason}", self.tint.dim) for reason in found.because]
        said += [(f"with {setting}", self.tint.dim) for setting in found.settings]
        if not found.blueprint.built:
            said.append(("This release cannot build it yet; local can be had now.", self.tint.warn))
        for sentence, style in said:
            for line in wrap(sentence, room):
                text.append(f"{'':<{_INDENT}}{line}\n", style)
        self.query_one("#advice", Static).update(text)
        self.draw_frame()

    def redraw(self) -> None:
        self._advise()

    def on_resize(self) -> None:
        """Wrap the advice for the new width."""
        super().on_resize()
        self._advise()

    def action_next(self) -> None:
        """To the catalog."""
        self.guide.go(2)
