"""The guide: from an empty folder to a live environment."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from blueprints.catalog import AWS, KUBERNETES, Blueprint, Need
from blueprints.errors import Problem
from blueprints.recommend import Needs
from mlops.governance.audit import AuditLog
from stacks.doctor import needs
from stacks.engine import Engine
from stacks.engine.events import Event, Outcome, Plan
from stacks.policy.results import exceptions_used
from stacks.project import Project
from tui.guide.answer import AnswerStep
from tui.guide.apply import ApplyStep
from tui.guide.choose import ChooseStep
from tui.guide.preview import PreviewStep
from tui.guide.recommend import RecommendStep
from tui.guide.state import Answers
from tui.guide.step import Step
from tui.themes import DARK, LIGHT


@dataclass(frozen=True)
class Finished:
    """The guide's result: the environment that is up."""

    project: Project
    environment: str


class LeaveScreen(ModalScreen[bool]):
    """Asks before the guide is left."""

    BINDINGS = [
        Binding("y", "dismiss(True)", "leave", id="leave.yes"),
        Binding("n,escape", "dismiss(False)", "stay", id="leave.no"),
    ]

    def __init__(self, said: str) -> None:
        super().__init__()
        self._said = said

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Static(f"{self._said}\n\ny leave    n stay")


class GuideApp(App[Finished]):
    """Five steps; answers are kept while one goes back and forth.

    Args:
        folder: Where the project will be written.
    """

    CSS_PATH = "guide.tcss"
    TITLE = "modelyard"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder.resolve()
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.folder.name).strip("-._") or "modelyard"
        self.answers = Answers(name, needs=Needs(has_cluster=_ready(KUBERNETES), has_aws=_ready(AWS)))
        self.project: Project | None = None
        self._engine: Engine | None = None
        self._preview: PreviewStep | None = None
        self._tried: Plan | None = None

    def on_mount(self) -> None:
        """Begin with the questions."""
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name
        self.animation_level = "none"
        self.push_screen(RecommendStep())

    def go(self, number: int) -> None:
        """Show a step; the first has none before it."""
        steps: dict[int, type[Step]] = {
            1: RecommendStep,
            2: ChooseStep,
            3: AnswerStep,
            4: PreviewStep,
            5: ApplyStep,
        }
        if number in steps:
            screen = steps[number]()
            if isinstance(screen, PreviewStep):
                self._preview = screen
            self.switch_screen(screen)

    @property
    def plan(self) -> Plan | None:
        """What the last preview found."""
        return self._preview.plan if self._preview else None

    def write(self) -> None:
        """Write the project's files, or the spec when they are there already.

        Raises:
            Problem: They cannot be written; nothing is half-written.
        """
        spec = self.answers.spec()
        if self.project is None:
            self.project = Project.create(self.folder, self.answers.project, self.answers.environment, spec)
            self._audit("environment.init", after={"settings": self.answers.assignments()})
        else:
            self.project.write_spec(self.answers.environment, spec)

    def engine(self, on_event: Callable[[Event], None]) -> Engine:
        """A new engine for one operation."""
        if self.project is None:
            raise Problem("the project was not written yet", todo="go back to the answers")
        self._engine = Engine(self.project, self.answers.environment, on_event=on_event)
        return self._engine

    def apply(self, on_event: Callable[[Event], None]) -> Outcome:
        """Bring the environment up; start and end are in the audit log."""
        engine = self.engine(on_event)
        for used in exceptions_used(self.plan.policy if self.plan else ()):
            self._audit("policy.exception.used", after=used)
        self._audit("environment.up.started")
        again, self._tried = self.plan is self._tried, self.plan
        try:
            outcome = engine.up(self._looked_again(engine) if again else self.plan)
        except Problem as problem:
            self._audit("environment.up.failed", after={"reason": problem.what})
            raise
        self._audit("environment.up.done", after={"changes": outcome.changes})
        return outcome

    def _looked_again(self, engine: Engine) -> Plan:
        """The plan of another attempt. What the first has begun is in the state; only a preview judges the
        rules over the whole stack before anything more is made.

        Raises:
            Problem: A rule is broken, the preview fails, or more data is at stake than was agreed to.
        """
        plan = engine.preview()
        agreed = {step.urn for step in self.plan.dangerous} if self.plan else set()
        more = ", ".join(f"{step.type} {step.name}" for step in plan.dangerous if step.urn not in agreed)
        if more:
            raise Problem(
                f"data may be lost that nobody was asked about: {more}",
                todo="esc, then the preview asks for each by its name",
            )
        return plan

    def _audit(self, action: str, after: object = None) -> None:
        assert self.project is not None
        target = f"{self.project.name}/{self.answers.environment}"
        AuditLog(self.project.audit_file).append(action, target, after=after, source="console")

    def cancel(self) -> None:
        """Ask the engine to stop."""
        if self._engine is not None:
            # A thread of its own: a worker would end with the app before it has begun.
            threading.Thread(target=self._engine.cancel, name="cancel", daemon=True).start()

    def log_file(self, service: str) -> Path:
        """The log of a service of the environment being built."""
        root = self.project.root if self.project else self.folder
        return root / ".modelyard" / self.answers.environment / "logs" / f"{service}.log"

    def finish(self) -> None:
        """Leave with the environment that is up."""
        if self.project is not None:
            self.exit(Finished(self.project, self.answers.environment))

    async def action_quit(self) -> None:
        """Ask, instead of leaving at once."""
        self.ask_to_leave()

    def ask_to_leave(self) -> None:
        """Ask, say what stays behind, leave."""
        if isinstance(self.screen, ModalScreen):
            return
        said = "Leave the guide? Nothing has been written."
        if self.project is not None:
            said = "Leave the guide? What is being done is stopped first."
            said += f" The project's files stay in {self.project.root}; modelyard up goes on with them."

        def answered(leave: bool | None) -> None:
            if leave:
                self.cancel()
                self.exit(None)

        self.push_screen(LeaveScreen(said), answered)


def _ready(blueprint: Blueprint) -> bool:
    """Whether a cluster or an account is at hand, by the files and variables of this machine."""
    outside = (Need.KUBECONFIG, Need.AWS_CREDENTIALS)
    wanted = {need: amount for need, amount in blueprint.needs.items() if need in outside}
    return all(check.status == "ok" for check in needs(replace(blueprint, needs=wanted)))
