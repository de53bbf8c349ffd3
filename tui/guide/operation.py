"""What the steps of preview and apply share: a headline, the tree, an engine in a thread."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.text import Text
from textual.message import Message
from textual.widgets import Static
from textual.widgets.tree import TreeNode

from blueprints.errors import Problem
from blueprints.layers import PURPOSE, Layer
from stacks.engine.events import Event, Outcome, Plan
from tui.guide.step import Step
from tui.themes import Palette
from tui.widgets.resource_tree import ResourceTree, Row, detail


def about(node: TreeNode[Row], tint: Palette) -> Text:
    """What the selected line is: a resource, or what its layer is for."""
    if node.data is not None:
        return detail(node.data, tint)
    return Text(PURPOSE[Layer(str(node.label))], "dim")


class Operation(Step):
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
