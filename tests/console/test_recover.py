"""The recovery screen on a project whose records are really broken."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from blueprints.spec import EnvironmentSpec
from mlops.governance.audit import AuditLog
from stacks.engine.workspace import checkpoint_file
from stacks.project import Project
from tests.engine.test_small import write_lock
from tui.app import ConsoleApp
from tui.screens.recover import RecoverScreen
from tui.session import Session


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())


def shown(pilot: Pilot[None]) -> str:
    assert isinstance(pilot.app.screen, RecoverScreen)
    return "\n".join(
        str(pilot.app.screen.query_one(each, Static).render())
        for each in ("#next", "#diagnosis", "#question")
    )


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(shown(pilot))


def a_process_that_is_gone() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


async def test_a_stale_lock_is_shown_and_removed_when_the_name_is_typed(project: Project) -> None:
    gone = a_process_that_is_gone()
    lock = write_lock(project, gone)
    async with ConsoleApp(Session(project, "dev")).run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "next  " in shown(pilot))
        assert f"pid {gone}" in shown(pilot)
        await pilot.press("x", *"prod", "enter")
        await until(pilot, lambda: "'prod' is not the name. Type dev" in shown(pilot))
        assert lock.exists()
        await pilot.press("escape", "x", *"dev", "enter")
        await until(pilot, lambda: "● done" in shown(pilot))
        assert not lock.exists()
        assert "Nothing to recover" in shown(pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, RecoverScreen)
    acts = [entry for entry in AuditLog(project.audit_file).entries() if entry.action == "recover.unlock"]
    assert [act.source for act in acts] == ["console"]


async def test_an_operation_of_somebody_else_is_left_alone(project: Project) -> None:
    lock = write_lock(project, 812, "lab3")
    async with ConsoleApp(Session(project, "dev")).run_test(size=(100, 30)) as pilot:
        await pilot.press("colon", *"recover", "enter")
        await until(pilot, lambda: "lab3" in shown(pilot))
        await pilot.press("x")
        await pilot.pause()
        assert not pilot.app.screen.query_one("#ask").display
    assert lock.exists()


async def test_a_damaged_state_is_restored_from_its_backup(project: Project) -> None:
    path = checkpoint_file(project, "dev")
    assert path is not None
    path.parent.mkdir(parents=True)
    whole = '{"version": 3, "checkpoint": {"stack": "organization/yard/dev", "latest": null}}'
    path.write_text(whole[:30])
    path.with_name(path.name + ".bak").write_text(whole)
    async with ConsoleApp(Session(project, "dev")).run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "next  " in shown(pilot))
        await pilot.press("x", *"dev", "enter")
        await until(pilot, lambda: "● done" in shown(pilot))
    assert json.loads(path.read_text()) == json.loads(whole)
    # The damaged one is kept.
    assert [each for each in path.parent.iterdir() if each.is_file() and each.read_text() == whole[:30]]
