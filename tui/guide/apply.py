"""Step 5: the plan being carried out."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import RichLog, Static, Tree

from blueprints.catalog import catalog
from blueprints.errors import Problem
from stacks.engine.events import Diagnostic, Outcome, Phase, ResourceFailed, ResourceFinished, ResourceStarted
from stacks.local.logs import last_lines
from tui.guide.operation import Operation, about
from tui.widgets.resource_tree import ResourceTree, Row, detail


class ApplyStep(Operation):
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

    @on(Operation.Happened)
    def _happened(self, message: Operation.Happened) -> None:
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

    @on(Operation.Ended)
    def _ended(self, message: Operation.Ended) -> None:
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
            log.write(about(event.node, self.tint))
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
