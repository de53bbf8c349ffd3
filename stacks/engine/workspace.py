"""The Automation API, told exactly where everything is, and without the calls nobody waits for.

``Stack.up`` of the SDK asks the CLI for its version, selects the stack, reads the outputs twice and the whole
history: five more starts of a 115 MB executable than the one that does the work.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pulumi
from pulumi.automation import CommandResult, LocalWorkspace, OutputMap, PulumiCommand, Stack, UpdateSummary
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from stacks import program
from stacks.engine.recovery import OWNER, owner_mark
from stacks.project import Project
from stacks.toolchain import EngineBinary

# An engine that stops at a fault is gone before the program's last word reaches it; grpc would show the
# stack of that to whoever reads the terminal. The fault itself comes through the events.
logging.getLogger("grpc._server").setLevel(logging.CRITICAL)


def _unheard(*message: object, **of: object) -> None:
    """What a program says for debugging: four messages for each resource would go to the engine and come back
    as events that nobody hears, a fifth of the CPU of a preview."""


pulumi.log.debug = _unheard
if TYPE_CHECKING:
    from blueprints.spec import EnvironmentSpec

#: Variables of the caller that would send our state or secrets somewhere else.
_OURS = ("PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK", "PULUMI_CONFIG")


class Command(PulumiCommand):
    """The CLI as a child that can be interrupted.

    It runs in a session of its own: a Ctrl-C of the terminal reaches only Modelyard, which then tells the
    engine once. The engine ends at once at the second interrupt, and would leave pending operations.
    """

    def __init__(self, binary: EngineBinary) -> None:
        self.command = str(binary.path)
        self.version = VersionInfo.parse(binary.version)
        self.interrupted = False
        #: What the child reads as its standard input; None: nothing.
        self.stdin: IO[bytes] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> CommandResult:
        """Run one command to its end.

        Raises:
            CommandError: It failed.
        """
        env = {key: value for key, value in os.environ.items() if key not in _OURS}
        env |= {**additional_env, "PULUMI_AUTOMATION_API": "true"}
        with self._lock:
            process = self._process = subprocess.Popen(
                [self.command, "--non-interactive", *args],
                stdin=self.stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=env,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        try:
            stdout, stderr = process.communicate()
        except BaseException:
            # Ctrl-C in this thread: the engine gets it too, and is given the time to record what it did.
            self.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise
        finally:
            self._process = None
        result = CommandResult(stdout=stdout, stderr=stderr, code=process.returncode)
        if process.returncode:
            raise create_command_error(result)
        return result

    def interrupt(self) -> None:
        """Tell the running command to finish what it has begun and stop."""
        with self._lock:
            self.interrupted = True
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)


class QuickStack(Stack):
    """A stack that is known to exist, and whose outputs and history nobody asked for."""

    def __init__(self, name: str, workspace: LocalWorkspace) -> None:
        self.name = name
        self.workspace = workspace
        self._mode = StackInitMode.SELECT

    def outputs(self) -> OutputMap:
        """Not asked for after each operation; see ``Engine.outputs``."""
        return {}

    def info(self, show_secrets: bool = True) -> UpdateSummary:
        """Not asked for: the events have told."""
        return UpdateSummary("update", datetime.now(UTC), "", {}, {}, "succeeded")


def variables(project: Project, binary: EngineBinary) -> dict[str, str]:
    """The environment variables of every CLI call, set explicitly; the user's login is never touched."""
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([str(binary.folder), bin_folder, os.environ.get("PATH", os.defpath)])
    values = {
        "PATH": path,
        "PULUMI_BACKEND_URL": project.backend_url,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_HOME": str(project.home / "pulumi"),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # The language host takes the interpreter from here.
        "MODELYARD_BIN": bin_folder,
        OWNER: owner_mark(),
    }
    chosen = os.environ.get("PULUMI_CONFIG_PASSPHRASE") or os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if not chosen:
        values["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(project.passphrase_file)
    return values


def open_stack(
    project: Project,
    environment: str,
    command: Command,
    binary: EngineBinary,
    spec: EnvironmentSpec | None = None,
) -> QuickStack:
    """The stack of an environment, made when it is not there yet.

    Raises:
        CommandError: It cannot be made.
    """
    workspace = LocalWorkspace(
        work_dir=str(project.root),
        program=partial(program.run, project.root, spec=spec),
        env_vars=variables(project, binary),
        pulumi_command=command,
    )
    if not _exists(project, environment, workspace):
        Stack.create_or_select(environment, workspace)
    return QuickStack(environment, workspace)


def checkpoint_file(project: Project, environment: str) -> Path | None:
    """The file that holds the state; None when the backend is no folder."""
    folder = project.state_folder
    return folder / ".pulumi" / "stacks" / project.name / f"{environment}.json" if folder else None


def _exists(project: Project, environment: str, workspace: LocalWorkspace) -> bool:
    path = checkpoint_file(project, environment)
    return path is not None and path.is_file()
