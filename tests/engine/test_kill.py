"""``kill -9`` at random points of an ``up`` of 37 to 55 resources, then ``up``: the state is the truth."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from stacks.engine import Engine, recovery
from stacks.engine.diagnosis import diagnose
from stacks.engine.workspace import checkpoint_file
from stacks.local.home import Home
from stacks.project import Project
from tests.engine import crowd
from tests.engine.conftest import services

SEED, POINTS = 20261124, 20


@pytest.fixture
def project() -> Iterator[Project]:
    """The crowd, up in round 0; destroyed with its data at the end."""
    with crowd.living() as project:
        yield project


def killed_up(project: Project, after: int, pause: float, *, parent: bool) -> None:
    """An ``up`` of a process of its own that loses modelyard, or the engine under it, by ``kill -9`` after so
    many events and seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.crowd", str(project.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout
        for _ in range(after):
            assert process.stdout.readline(), "it ended before the kill"
        time.sleep(pause)
        victim = psutil.Process(process.pid) if parent else engine_of(process)
        victim.kill()
        process.stdout.read()
    assert process.returncode == (-9 if parent else 1)


def engine_of(process: subprocess.Popen[str]) -> psutil.Process:
    while process.poll() is None:
        for child in psutil.Process(process.pid).children():
            if "pulumi" in child.name():
                return child
        time.sleep(0.01)
    raise AssertionError("it ended before the kill")


def check_truth(project: Project, number: int) -> None:
    """What is on the machine, in the state and in round ``number`` is one and the same."""
    home = Home(project.folder("dev"))
    assert services(project) == Counter([*crowd.names(number), "supervisor"])
    assert {path.name: path.read_text() for path in home.config.iterdir()} == crowd.texts(number)
    defined = {path.name for path in (home.run / "services").iterdir()}
    assert defined == {f"{name}.{kind}" for name in crowd.names(number) for kind in ("json", "conf")}
    recorded = {each.name for each in Engine(project, "dev").resources()}
    assert {name for name in recorded if name.endswith(".conf")} == set(crowd.texts(number))
    assert len(recorded) >= 30
    state, checkpoint = project.state_folder, checkpoint_file(project, "dev")
    assert state
    assert checkpoint
    assert not recovery.pending(checkpoint)
    assert not list(recovery.locks(state, project.name, "dev"))
    halves = [*project.home.rglob("*.part*"), *project.home.rglob("*.tmp")]
    assert not [path for path in halves if path.is_file()]


@pytest.mark.timeout(900)
def test_kill_9_at_20_random_points_each_followed_by_up(project: Project) -> None:
    rng = random.Random(SEED)
    for number in range(1, POINTS + 1):
        # The first event comes before the engine starts; some 70 follow it.
        after = max(1, rng.randint(-9, 50))
        pause = rng.uniform(0, 1.5) if after == 1 else 0.0
        parent = number % 2 == 1
        print(f"seed {SEED}, point {number}: {after} events, {pause:.2f} s, {parent=}")  # noqa: T201
        crowd.turn(project, number)
        killed_up(project, after, pause, parent=parent)
        Engine(project, "dev").up()
        check_truth(project, number)
    assert Engine(project, "dev").preview().changes == 0
    assert Engine(project, "dev").drift().drifts == ()
    # No plugin outlives its engine.
    every = psutil.process_iter(["cmdline"])
    plugins = [each for each in every if f"{project.home}/bin/" in " ".join(each.info["cmdline"] or ())]
    assert not psutil.wait_procs(plugins, timeout=10)[1]
    assert diagnose(Engine(project, "dev")).faults == ()
