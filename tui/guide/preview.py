"""Step 4: the plan, and what has to be agreed to by its name."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static, Tree

from blueprints.catalog import catalog
from blueprints.errors import Problem
from stacks.engine.events import Phase, Plan, Verb
from stacks.policy.results import headline
from tui.guide.operation import Operation, about
from tui.widgets.resource_tree import ResourceTree, Row


class NameScreen(ModalScreen[bool]):
    """Asks for a name before data can be lost or a protected environment changes."""

    BINDINGS = [Binding("escape", "dismiss(False)", "stay", id="name.no")]

    def __init__(self, name: str, why: str) -> None:
        super().__init__()
        self._name_to_type, self._why = name, why

    def compose(self) -> ComposeResult:
        said = f"{self._why}\nType {self._name_to_type} to go on, esc to stay."
        with Vertical(id="ask"):
            yield Static(said, markup=False)
            yield Input(id="typed")

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if event.value.strip() == self._name_to_type:
            self.dismiss(True)


class PreviewStep(Operation):
    """What would be done."""

    BINDINGS = [Binding("enter", "next", "apply", id="guide.next", priority=True)]
    number = 4
    keys = (("↑ ↓", "resource"), ("⏎", "apply"), ("y", "copy"), ("esc", "back"))

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self.problem: Problem | None = None

    def body(self) -> Iterable[Widget]:
        """Headline, tree, detail."""
        yield Static(id="headline")
        with Horizontal(id="split"):
            yield ResourceTree(id="tree")
            yield Static(id="detail")

    def operate(self) -> Plan:
        """Preview; runs in a thread."""
        return self.guide.engine(self.report).preview()

    @on(Operation.Happened)
    def _happened(self, message: Operation.Happened) -> None:
        if isinstance(message.event, Phase):
            self.phase = message.event.message
            self.draw_headline()

    @on(Operation.Ended)
    def _ended(self, message: Operation.Ended) -> None:
        self.running = False
        if isinstance(message.result, Plan):
            self.plan = message.result
            self.query_one(ResourceTree).show(message.result.steps)
            self.query_one(ResourceTree).focus()
        elif isinstance(message.result, Problem):
            self.problem = message.result
        self.draw_headline()

    def draw_headline(self) -> None:
        """Counts when the plan is there."""
        name = f"Preview · {self.answers.project} ▸ {self.answers.environment} · "
        if self.problem:
            self.headline(Text(f"▲ {self.problem}", style=self.tint.bad))
        elif self.plan is None:
            said = self.phase or "asking the engine for the plan"
            self.headline(Text.assemble(name, (f"◐ {said}  {self.elapsed:.0f} s", self.tint.busy)))
        else:
            counts = [
                f"{self.plan.count(verb)} to {verb.value}"
                for verb in (Verb.CREATE, Verb.UPDATE, Verb.REPLACE, Verb.DELETE)
                if self.plan.count(verb)
            ]
            line = Text.assemble(
                name,
                (" · ".join(counts) or "nothing to do", "bold"),
                f"\ncost {self._cost} / month",
            )
            if self.plan.policy:
                line.append(f" · {headline(self.plan.policy)}")
            if self.plan.dangerous:
                stake = ", ".join(f"{step.type} {step.name}" for step in self.plan.dangerous)
                line.append(f"   ▲ data at stake: {stake}", self.tint.bad)
            self.headline(line)

    @property
    def _cost(self) -> object:
        """Of the plan's own resources; the catalog's range when the plan has no estimate."""
        estimate = self.plan.cost if self.plan else None
        return estimate.headline if estimate else catalog()[self.answers.blueprint].cost

    @on(Tree.NodeHighlighted)
    def _selected(self, event: Tree.NodeHighlighted[Row]) -> None:
        self.query_one("#detail", Static).update(about(event.node, self.tint))

    def action_back(self) -> None:
        """To the answers; a preview that runs is stopped."""
        if self.running:
            self.guide.cancel()
        super().action_back()

    def action_next(self) -> None:
        """Apply, once the plan is there. What is at stake wants each name typed."""
        if self.plan is not None:
            self._ask(self._at_stake(self.plan))
        elif not self.running:
            self.problem = None
            self.begin()

    def _at_stake(self, plan: Plan) -> list[tuple[str, str]]:
        """``(name, why)`` of everything that has to be agreed to by its name."""
        asked = [
            (step.name, f"Data can be lost: {step.type} {step.name} would be {step.verb.value}d.")
            for step in plan.dangerous
        ]
        if self.answers.spec().protected:
            name = self.answers.environment
            asked.append((name, f"{name} is protected."))
        return asked

    def _ask(self, asked: list[tuple[str, str]]) -> None:
        if not asked:
            self.guide.go(5)
            return

        def answered(sure: bool | None) -> None:
            if sure:
                self._ask(asked[1:])

        self.app.push_screen(NameScreen(*asked[0]), answered)
