"""Steps 4 and 5: the plan, and the plan being carried out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, RichLog, Static, Tree
from textual.widgets.tree import TreeNode

from blueprints.catalog import catalog
from blueprints.errors import Problem
from blueprints.layers import PURPOSE, Layer
from stacks.engine.events import (
    Diagnostic,
    Event,
    Outcome,
    Phase,
    Plan,
    ResourceFailed,
    ResourceFinished,
    ResourceStarted,
    Verb,
)
from stacks.local.logs import last_lines
from stacks.policy.results import headline
from tui.guide.step import Step
from tui.themes import Palette
from tui.widgets.resource_tree import ResourceTree, Row, detail


def _about(node: TreeNode[Row], tint: Palette) -> Text:
    """What the selected line is: a resource, or what its layer is for."""
    if node.data is not None:
        return detail(node.data, tint)
    return Text(PURPOSE[Layer(str(node.label))], "dim")


class _Operation(Step):
    """What both steps share: a headline, the tree, a pane beside it, and an engine in a thread."""

    @dataclass
    class Happened(Message):
        """The engine reported something."""

        event: Event

    @dataclass
    class Ended(Message):
        """The operation ended: a Plan, an Outcome, or a Problem."""

        result: Plan | Outcome | Problem

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()
        self.running = False
        self.phase = ""
        self.expected: float | None = None

    def on_mount(self) -> None:
        """Begin."""
        super().on_mount()
        self.on_resize()
        self.set_interval(0.5, self.tick)
        self.begin()

    def on_resize(self) -> None:
        """The pane beside the tree wants 100 columns."""
        super().on_resize()
        self.set_class(self.app.size.width < 100, "narrow")

    def begin(self) -> None:
        """Start the operation in its thread."""
        self.began, self.running, self.phase = time.monotonic(), True, ""
        self.draw_headline()
        self.run_worker(self._work, thread=True, exit_on_error=False, group="engine", exclusive=True)

    def _work(self) -> None:
        try:
            result: Plan | Outcome | Problem = self.operate()
        except Problem as problem:
            result = problem
        except Exception as error:
            result = Problem(
                f"the engine failed: {(str(error) or type(error).__name__).splitlines()[0][:200]}",
                todo="modelyard doctor",
            )
        self.post_message(self.Ended(result))

    def operate(self) -> Plan | Outcome:
        """The operation itself; runs in a thread."""
        raise NotImplementedError

    def report(self, event: Event) -> None:
        """Called by the engine, from its own threads."""
        self.post_message(self.Happened(event))

    def tick(self) -> None:
        """Another half second has gone by."""
        self.draw_headline()

    def draw_headline(self) -> None:
        """Say what is going on."""
        raise NotImplementedError

    def redraw(self) -> None:
        super().redraw()
        self.draw_headline()
        self.query_one(ResourceTree).refresh()

    def headline(self, text: Text) -> None:
        """Show a headline."""
        self.query_one("#headline", Static).update(text)

    @property
    def elapsed(self) -> float:
        """Seconds since the operation began."""
        return time.monotonic() - self.began


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


class PreviewStep(_Operation):
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

    @on(_Operation.Happened)
    def _happened(self, message: _Operation.Happened) -> None:
        if isinstance(message.event, Phase):
            self.phase = message.event.message
            self.draw_headline()

    @on(_Operation.Ended)
    def _ended(self, message: _Operation.Ended) -> None:
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
        self.query_one("#detail", Static).update(_about(event.node, self.tint))

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


class ApplyStep(_Operation):
    """It is being done."""

    BINDINGS = [
        Binding("enter", "next", "console", id="guide.next", priority=True),
        Binding("c", "cancel", "cancel", id="apply.cancel"),
        Binding("r", "retry", "retry", id="apply.retry"),
    ]
    number = 5
    keys = (("↑ ↓", "resource and its log"),)

    def __init__(self) -> None:
        super().__init__()
        self.result: Outcome | Problem | None = None
        self.selected: Row | None = None
        self.asked = False
        self.total = 0

    def current_keys(self) -> tuple[tuple[str, str], ...]:
        """Cancel while it works, then retry or the console."""
        if isinstance(self.result, Problem):
            return (*self.keys, ("r", "retry"), ("esc", "back"))
        if self.result is not None:
            return (*self.keys, ("⏎", "open the console"))
        return (*self.keys, ("c", "cancel"))

    def body(self) -> Iterable[Widget]:
        """Headline, tree, the selected service's log."""
        yield Static(id="headline")
        with Horizontal(id="split"):
            yield ResourceTree(id="tree")
            yield RichLog(id="log", wrap=True, min_width=20, max_lines=500, auto_scroll=True)

    def begin(self) -> None:
        """Fill the tree with the plan and begin."""
        self.result, self.asked = None, False
        plan = self.guide.plan
        if plan is not None:
            tree = self.query_one(ResourceTree)
            if tree.rows():
                # Another attempt: what came up stays marked so, the rest is to do again.
                for row in tree.rows():
                    if row.progress != "done":
                        tree.put(Row(row.step))
            else:
                tree.show(plan.steps)
            self.total = plan.changes
        self.query_one(ResourceTree).focus()
        if self.selected is None:
            self.query_one(RichLog).write(Text("↑ ↓ select a resource; a service shows its log here.", "dim"))
        self.draw_frame()
        super().begin()

    def operate(self) -> Outcome:
        """Bring it up; the audit log has it before and after. Runs in a thread."""
        return self.guide.apply(self.report)

    @on(_Operation.Happened)
    def _happened(self, message: _Operation.Happened) -> None:
        event, tree = message.event, self.query_one(ResourceTree)
        if isinstance(event, Phase):
            self.phase = event.message
            self.expected = event.expected_seconds or self.expected
        elif isinstance(event, ResourceStarted):
            tree.put(Row(event.step, "doing", 0.0, event.expected_seconds))
        elif isinstance(event, ResourceFinished):
            tree.put(Row(event.step, "done", event.seconds))
        elif isinstance(event, ResourceFailed):
            tree.put(Row(event.step, "failed", event.seconds))
        elif isinstance(event, Diagnostic) and event.severity == "error":
            row = tree.row(event.urn)
            if row is not None:
                row.messages.append(event.message)
            self._shown = ()
            self._show_log()
        self.draw_headline()

    @on(_Operation.Ended)
    def _ended(self, message: _Operation.Ended) -> None:
        self.running = False
        if isinstance(message.result, Outcome | Problem):
            self.result = message.result
        if isinstance(self.result, Problem):
            tree = self.query_one(ResourceTree)
            for row in tree.rows():
                if row.progress == "doing":
                    tree.put(Row(row.step))
        self.redraw()

    def tick(self) -> None:
        """Seconds of what is being done, and new log lines."""
        super().tick()
        tree = self.query_one(ResourceTree)
        for row in tree.rows():
            if row.progress == "doing":
                row.seconds = (row.seconds or 0.0) + 0.5
                tree.put(row)
        self._show_log()

    def draw_headline(self) -> None:
        """How far, elapsed, expected; or how it ended."""
        rows = self.query_one(ResourceTree).rows()
        done = sum(row.progress == "done" for row in rows)
        name = f"Apply · {self.answers.project} ▸ {self.answers.environment} · "
        if isinstance(self.result, Problem):
            self.headline(Text(f"▲ {self.result}\nr retries", style=self.tint.bad))
        elif self.result is not None:
            took = f"● up: {self.result.changes} resources in {self.result.seconds:.0f} s"
            self.headline(Text.assemble(name, (took, self.tint.good), "\n⏎ opens the console"))
        else:
            stop = "  cancelling after what is running" if self.asked else ""
            expected = self.expected or catalog()[self.answers.blueprint].minutes * 60
            left = expected - self.elapsed
            eta = f", about {left:.0f} s left" if left > 0 else f", longer than the usual {expected:.0f} s"
            doing = f"◐ {done} of {self.total} · {self.elapsed:.0f} s{eta} · {self.phase}{stop}"
            self.headline(Text.assemble(name, (doing, self.tint.busy)))

    @on(Tree.NodeHighlighted)
    def _selected(self, event: Tree.NodeHighlighted[Row]) -> None:
        self.selected = event.node.data
        self._shown = ()
        if self.selected is None:
            log = self.query_one(RichLog)
            log.clear()
            log.write(_about(event.node, self.tint))
        self._show_log()

    _shown: tuple[str, ...] = ()

    def _show_log(self) -> None:
        row = self.selected
        if row is None:
            return
        if row.step.type == "service" and row.progress != "planned":
            lines = tuple(last_lines(self.guide.log_file(row.step.name), 60))
            lines = (*lines, *(f"▲ {message}" for message in row.messages)) or ("no log yet",)
        else:
            lines = tuple(detail(row, self.tint).plain.splitlines())
        if lines != self._shown:
            self._shown = lines
            log = self.query_one(RichLog)
            log.clear()
            for line in lines:
                log.write(Text(line, style=self.tint.bad if line.startswith("▲") else ""))

    def action_next(self) -> None:
        """Open the console once everything is up."""
        if isinstance(self.result, Outcome):
            self.guide.finish()

    def action_cancel(self) -> None:
        """The second press within the operation cancels it."""
        if not self.running:
            return
        if not self.asked:
            self.asked = True
            self.notify("Press c again to cancel. What is up stays up; modelyard up goes on from there.")
            return
        self.guide.cancel()

    def action_retry(self) -> None:
        """Go on after a failure: what is up is not done again."""
        if isinstance(self.result, Problem):
            self.begin()

    def action_back(self) -> None:
        """Not while the engine works."""
        if self.running:
            self.notify("The engine is working. c cancels.")
        else:
            super().action_back()
