"""Three doors, one plan: the console, the command line and plain Pulumi."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from pulumi.automation.events import EngineEvent

from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from stacks.engine import Event
from stacks.engine.events import Plan
from stacks.engine.history import History
from stacks.engine.watch import Watcher
from stacks.engine.workspace import variables
from stacks.project import Project
from stacks.toolchain import find_engine
from tests.tui.conftest import run_modelyard
from tui.session import Session

LIGHT = ["database.kind=sqlite", "storage.kind=folder"]
OPTIONS = {
    "default": [],
    "light": LIGHT,
    "no serving": ["serving.enabled=no", "monitoring.enabled=no"],
    "wide": ["serving.replicas=3", "tracking.workers=2", 'tracking.allowed_hosts=["a.example","b.example"]'],
    "ports": ["tracking.port=25001", "database.port=25002", "storage.port=25003"],
    "guarded": ["protected=yes", "database.max_connections=60"],
    "unversioned": ["storage.versioning=no", "cost.budget_per_month=100"],
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_door_makes_the_same_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", assign(EnvironmentSpec(), options))
    told = run_modelyard(capsys, "-C", project.root, "--json", "--quiet", "preview")
    assert told.code == 0, told.err
    command_line = json.loads(told.out)["digest"]
    with Session.open(project.root) as session:
        console = session.engine().preview()
    assert console.changes > 10
    assert console.digest == command_line
    assert plain(project, tmp_path / "events").digest == command_line


OWN = """
import pulumi
pulumi.CustomResource("modelyard:local:Port", "own-port", {"name": "own", "numbers": None},
    pulumi.ResourceOptions(provider=pulumi.ProviderResource("modelyard", "own", {"home": "/nowhere"})))
"""


def test_what_a_team_adds_to_its_program_is_in_every_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", assign(EnvironmentSpec(), LIGHT))
    program = project.root / "__main__.py"
    program.write_text(program.read_text() + OWN)
    document = json.loads(run_modelyard(capsys, "-C", project.root, "--json", "--quiet", "preview").out)
    assert "own-port" in {step["name"] for step in document["steps"]}
    with Session.open(project.root) as session:
        assert session.engine().preview().digest == document["digest"]
    assert plain(project, tmp_path / "events").digest == document["digest"]


def test_a_program_that_fails_is_told_by_its_own_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", assign(EnvironmentSpec(), LIGHT))
    program = project.root / "__main__.py"
    program.write_text(program.read_text() + "\nnumber = 1 / 0\n")
    told = run_modelyard(capsys, "-C", project.root, "--quiet", "preview")
    assert told.code == 1
    assert "ZeroDivisionError" in told.err
    assert "runpy" not in told.err
    program.unlink()
    assert "__main__.py is missing" in run_modelyard(capsys, "-C", project.root, "--quiet", "preview").err


def plain(project: Project, log: Path) -> Plan:
    """What ``pulumi preview`` in the project folder plans, from its own event log."""
    binary = find_engine()
    env = {**os.environ, **variables(project, binary), "PULUMI_DEBUG_COMMANDS": "true"}
    # Only what a person would have set; the project's own file says where the state is.
    del env["PULUMI_BACKEND_URL"]
    done = subprocess.run(
        [binary.path, "preview", "--stack", "dev", "--non-interactive", "--event-log", log],
        cwd=project.root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    seen: list[Event] = []
    watcher = Watcher("preview", seen.append, History(project.home / "none.json"))
    for line in log.read_text().splitlines():
        watcher(EngineEvent.from_json(json.loads(line)))
    return Plan(project.name, "dev", watcher.steps, 0.0)
