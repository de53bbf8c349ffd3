"""What is recorded of an environment, and the command of the CLI that reads it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from blueprints.environment import Environment
from blueprints.errors import Problem
from stacks.engine.events import Event
from stacks.engine.results import Applied, ResourceState
from stacks.project import Project

if TYPE_CHECKING:
    from stacks.engine.watch import Watcher
    from stacks.engine.workspace import Command
    from stacks.toolchain import EngineBinary


def _silent(_: Event) -> None:
    return None


class Recorded:
    """The record of one environment: its outputs, its resources, what the last ``up`` built.

    Args:
        project: The project.
        environment: Name of the environment.
        on_event: Hears every event; called from other threads, returns quickly.
    """

    def __init__(
        self, project: Project, environment: str, on_event: Callable[[Event], object] = _silent
    ) -> None:
        self.project = project
        self.environment = environment
        self._say = on_event
        self._binary: EngineBinary | None = None
        self._command: Command | None = None
        self._cancelled = threading.Event()

    def outputs(self) -> Environment:
        """The environment that is up, with its secrets.

        Raises:
            Problem: Nothing is up, or the passphrase is wrong.
        """
        from stacks.engine.workspace import checkpoint_file

        checkpoint = checkpoint_file(self.project, self.environment)
        self.project.stack_file(self.environment)
        if checkpoint is not None and not checkpoint.is_file():
            raise self._nothing_is_up()
        done = self._cli(["stack", "output", "--json", "--show-secrets"])
        found = json.loads(done or "{}").get("environment")
        if not found:
            raise self._nothing_is_up()
        return Environment.model_validate(found)

    def resources(self) -> tuple[ResourceState, ...]:
        """Every resource as last recorded, secrets masked; empty when nothing is up.

        Raises:
            Problem: The state is damaged, or is kept elsewhere and cannot be read.
        """
        from stacks.engine.state import resource_states

        return resource_states(self._recorded())

    def applied(self) -> Applied | None:
        """What the last ``up`` built; None when there was none, or one of a release that did not record it.

        Raises:
            Problem: The state is kept elsewhere and cannot be read.
        """
        from stacks.engine.state import applied

        return applied(self._recorded())

    def recorded_text(self) -> str:
        """Every recorded resource as the engine writes it, secrets encrypted: JSON.

        Raises:
            Problem: The state is damaged, or is kept elsewhere and cannot be read.
        """
        return json.dumps(self._recorded(), ensure_ascii=False)

    def _recorded(self) -> list[dict[str, Any]]:
        from stacks.engine.state import recorded
        from stacks.engine.workspace import checkpoint_file

        checkpoint = checkpoint_file(self.project, self.environment)
        return self._exported() if checkpoint is None else recorded(checkpoint)

    def _exported(self) -> list[dict[str, Any]]:
        from stacks.engine.faults import NothingIsUp

        try:
            deployment = json.loads(self._cli(["stack", "export"]))["deployment"]
        except NothingIsUp:
            return []
        return list(deployment.get("resources") or [])

    def revealed(self) -> dict[str, Any]:
        """The whole deployment as Pulumi stores it, its secrets in plain text: to look at the truth with,
        never to be shown.

        Raises:
            Problem: Nothing is up, the state cannot be read, or the passphrase is wrong.
        """
        return dict(json.loads(self._cli(["stack", "export", "--show-secrets"]))["deployment"])

    def _cli(self, arguments: list[str]) -> str:
        """What one command of the CLI on this stack prints.

        Raises:
            Problem: It fails; "nothing is up" when there is no such stack.
        """
        from pulumi.automation.errors import CommandError

        from stacks.engine.workspace import variables

        command = self._new_command()
        environment = variables(self.project, self._found_engine())
        try:
            done = command.run([*arguments, "--stack", self.environment], str(self.project.root), environment)
        except CommandError as error:
            if "no stack named" in str(error):
                raise self._nothing_is_up() from None
            raise self._explained(error, None, interrupted=command.interrupted) from None
        return done.stdout

    def _nothing_is_up(self) -> Problem:
        from stacks.engine.faults import NothingIsUp

        return NothingIsUp("nothing is up", where=f"environment {self.environment}", todo="modelyard up")

    def _found_engine(self) -> EngineBinary:
        if self._binary is None:
            from stacks.toolchain import find_engine

            self._binary = find_engine(self._say)
        return self._binary

    def _new_command(self) -> Command:
        from stacks.engine.rotation import require_finished
        from stacks.engine.workspace import Command

        require_finished(self.project)
        self._command = Command(self._found_engine())
        if self._cancelled.is_set():
            self._cancelled.clear()
            raise self._interrupted()
        return self._command

    def _interrupted(self) -> Problem:
        from stacks.engine.faults import explained

        return explained("", None, f"environment {self.environment}", None, interrupted=True)

    def cancel(self) -> None:
        """Stop the running operation once what it has begun is done. Safe from any thread."""
        self._cancelled.set()
        command = self._command
        if command is not None:
            command.interrupt()

    def _explained(self, error: Exception, watcher: Watcher | None, *, interrupted: bool) -> Problem:
        from stacks.engine.faults import explained

        if interrupted:
            self._cancelled.clear()
        return explained(
            str(error),
            watcher,
            f"environment {self.environment}",
            self.project.state_folder,
            interrupted=interrupted,
        )
