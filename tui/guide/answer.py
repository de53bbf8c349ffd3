"""Step 3: names first, then every key with its default; each answer is checked as it is typed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from blueprints.errors import Problem
from blueprints.keys import find, keys
from tui.guide.state import default_text
from tui.guide.step import Step

_NAMES = {
    "project": "The project: Pulumi's project, and the name in its state.",
    "environment": "This environment, Pulumi's stack: dev, staging, prod are usual.",
}
#: Answered by the steps before, not open to answers yet, or of no use before there is an environment.
_SKIPPED = ("blueprint", "orchestration.", "cost.", "promotion.", "policy.", "drift.")


class AnswerStep(Step):
    """Everything else, with safe defaults."""

    BINDINGS = [
        Binding("enter", "next", "preview", id="guide.next", priority=True),
        Binding("up", "app.focus_previous", show=False, id="answer.up", priority=True),
        Binding("down", "app.focus_next", show=False, id="answer.down", priority=True),
    ]
    number = 3
    keys = (("↑ ↓", "field"), ("⏎", "write the files, preview"), ("esc", "back"))

    def body(self) -> Iterable[Widget]:
        """A row for each answer, grouped by layer."""
        with VerticalScroll(id="form", can_focus=False):
            yield Static("names", classes="group")
            yield self._row("project", self.answers.project)
            yield self._row("environment", self.answers.environment)
            group = ""
            for key in keys(blueprint=self.answers.blueprint):
                if key.path.startswith(_SKIPPED):
                    continue
                head = key.path.partition(".")[0] if "." in key.path else "environment"
                if head != group:
                    group = head
                    own = group == "extension"
                    named = f"{self.answers.blueprint} · keys of the blueprint's own" if own else group
                    yield Static(f"{named} · defaults are safe", classes="group")
                default = default_text(key.path, self.answers.blueprint)
                yield self._row(key.path, self.answers.settings.get(key.path, default))
        yield Static(id="about", markup=False)

    def _row(self, path: str, value: str) -> Horizontal:
        name = path.replace(".", "--")
        field = Input(value, id=name, placeholder="free port" if path.endswith(".port") else "")
        # The name of a project that is on disk stays: its state and its files carry it.
        field.disabled = path in _NAMES and self.guide.project is not None
        fault = Static(self._meaning(path), id=f"fault-{name}", classes="fault", markup=False)
        return Horizontal(Label(path.rpartition(".")[2].replace("_", " ")), field, fault, classes="row")

    def on_mount(self) -> None:
        """Begin at the first name."""
        super().on_mount()
        next(field for field in self.query(Input) if not field.disabled).focus()

    @on(DescendantFocus)
    def _explain(self, event: DescendantFocus) -> None:
        path = (event.widget.id or "").replace("--", ".")
        if isinstance(event.widget, Input):
            self._tell(path, event.widget.value.strip())

    def _tell(self, path: str, text: str) -> None:
        """Below the form, whole: what the answer means, and what is wrong with it or expected."""
        fault = self.answers.fault(path, text)
        expected = "" if path in _NAMES else f"Expected: {find(path, self.answers.blueprint).expected}."
        about = self.query_one("#about", Static)
        # The reason first: what comes last may find no room on a small terminal.
        meaning = self._meaning(path)
        about.update(f"▲ {fault}\n{meaning}" if fault else f"{meaning}\n{expected}")
        about.set_class(bool(fault), "-wrong")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        path, text = (event.input.id or "").replace("--", "."), event.value.strip()
        fault = self.answers.fault(path, text)
        event.input.set_class(bool(fault), "-wrong")
        beside = self.query_one(f"#fault-{event.input.id}", Static)
        beside.set_class(bool(fault), "-wrong")
        beside.update(f"▲ {fault}" if fault else self._meaning(path))
        if event.input.has_focus:
            self._tell(path, text)
        if path == "project":
            self.guide.answers = replace(self.answers, project=text)
        elif path == "environment":
            self.guide.answers = replace(self.answers, environment=text)
        else:
            self.guide.answers = self.answers.set(path, text)
        self.draw_frame()

    def action_next(self) -> None:
        """Write the files and preview; the first wrong answer is shown instead."""
        wrong = self.query("Input.-wrong")
        if wrong:
            wrong.first().focus()
            self.notify("One answer does not fit yet; the reason is beside it.", severity="warning")
            return
        try:
            self.answers.spec()
            self.guide.write()
        except Problem as problem:
            self.query_one("#about", Static).update(f"▲ {problem.where}: {problem.what}\n{problem.todo}")
            return
        self.guide.go(4)

    def _meaning(self, path: str) -> str:
        return _NAMES.get(path) or find(path, self.answers.blueprint).meaning
