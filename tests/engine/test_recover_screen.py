"""The recovery screen on a real environment that is really broken, with the real engine, by its keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from mlops.governance.audit import AuditLog
from stacks.engine import Engine
from stacks.local.home import Home
from stacks.project import Project
from tests.engine import crowd
from tests.engine.conftest import services
from tui.app import ConsoleApp
from tui.screens.recover import RecoverScreen
from tui.session import Session


@pytest.fixture
def up() -> Iterator[Project]:
    """The crowd, up in round 0; destroyed with its data at the end."""
    with crowd.living() as project:
        yield project


def part(pilot: Pilot[None], name: str) -> str:
    assert isinstance(pilot.app.screen, RecoverScreen)
    return str(pilot.app.screen.query_one(f"#{name}", Static).render())


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(part(pilot, "next") + part(pilot, "diagnosis"))


async def step(pilot: Pilot[None]) -> None:
    """Ask for the next step, type the name, wait for its end."""
    await pilot.press("x")
    await until(pilot, lambda: bool(pilot.app.screen.query_one("#ask").display))
    await pilot.press(*"dev", "enter")
    await until(pilot, lambda: "● done" in part(pilot, "next") and "◐" not in part(pilot, "next"))


async def test_pending_operations_and_half_created_resources_step_by_step(up: Project) -> None:
    home, running = Home(up.folder("dev")), services(up)
    gone = crowd.cut_short(up)
    (home.config / "by-hand.conf").write_text("mine")
    async with ConsoleApp(Session(up, "dev")).run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "next  " in part(pilot, "next"))
        assert part(pilot, "next") == "next  take 3 operations that were cut short off the record"
        for fault in (
            "service beta: updating was cut short\n    recorded; on the machine: there",
            "file alpha-1.conf: updating was cut short\n    recorded; on the machine: not there",
            "file omega.conf: creating was cut short\n    not recorded; on the machine: not there",
        ):
            assert fault in part(pilot, "diagnosis").replace("datafolder beta", "service beta")
        await step(pilot)
        # One step only. What the next one mends comes before what is for a later one.
        assert "next  modelyard up" in part(pilot, "next")
        [now, later] = part(pilot, "diagnosis").split("for a later step")
        assert "file alpha-1.conf: recorded, but not there" in now
        assert "file by-hand.conf: nobody asked for it" in later
        assert not gone.exists()

        # Half-created by an up that was killed in the next round: made, and not recorded.
        (home.config / "epsilon-0.conf").write_text("half")
        crowd.turn(up, 1)
        await pilot.press("r")
        await until(pilot, lambda: "epsilon-0.conf: made, but not recorded" in part(pilot, "diagnosis"))
        await pilot.press("x")
        await until(pilot, lambda: bool(pilot.app.screen.query_one("#ask").display))
        # The plan comes first; without the name nothing is done.
        assert "modelyard up: 19 to create, 16 to update" in part(pilot, "diagnosis").replace("\n", " ")
        assert "+ file epsilon-0.conf" in part(pilot, "diagnosis")
        await pilot.press("escape")
        await until(pilot, lambda: "made, but not recorded" in part(pilot, "diagnosis"))
        assert (home.config / "epsilon-0.conf").read_text() == "half"
        await step(pilot)
        texts = crowd.texts(1)
        assert {name: (home.config / name).read_text() for name in texts} == texts
        assert gone.exists()

        assert "next  put what nobody asked for out of use (1)" in part(pilot, "next")
        await step(pilot)
        assert "● Nothing to recover" in part(pilot, "next")
        assert part(pilot, "diagnosis") == ""
        [kept] = home.aside.rglob("by-hand.conf")
        assert kept.read_text() == "mine"
    assert Engine(up, "dev").preview().changes == 0
    assert set(services(up)) == {*running, *crowd.SOMETIMES}
    acts = [entry for entry in AuditLog(up.audit_file).entries() if entry.action.startswith("recover.")]
    assert [act.action for act in acts] == ["recover.forget-pending", "recover.up", "recover.put-aside"]
    assert {act.source for act in acts} == {"console"}


async def test_a_step_that_is_being_done_is_seen_to_its_end(up: Project) -> None:
    (Home(up.folder("dev")).config / "alpha-0.conf").unlink()
    async with ConsoleApp(Session(up, "dev")).run_test(size=(200, 60)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "next  modelyard up" in part(pilot, "next"))
        heads = part(pilot, "diagnosis").splitlines()[0].split()
        assert heads == ["resource", "what", "is", "wrong", "record", "machine"]
        await pilot.press("x")
        await until(pilot, lambda: bool(pilot.app.screen.query_one("#ask").display))
        await pilot.press(*"dev", "enter")
        await until(
            pilot, lambda: re.search(r"◐ modelyard up.* · \d+ of \d+ · ", part(pilot, "next")) is not None
        )
        assert part(pilot, "keys") == ""
        await pilot.press("escape")
        await until(pilot, lambda: "● done" in part(pilot, "next"))
        assert "● Nothing to recover" in part(pilot, "next")
