"""After a crash: ``modelyard recover`` names what is wrong and goes one step at a time; two at once."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from blueprints.errors import ExitCode
from mlops.governance.audit import AuditLog
from stacks.engine import Engine, recovery
from stacks.engine.workspace import checkpoint_file
from stacks.local.home import Home
from stacks.local.processes import marked
from stacks.project import Project
from tests.engine import crowd
from tests.engine.conftest import services
from tests.engine.test_small import write_lock
from tests.tui.conftest import run_modelyard


@pytest.fixture(scope="module")
def up() -> Iterator[Project]:
    """The crowd, up in round 0; destroyed with its data at the end."""
    with crowd.living() as project:
        yield project


class Yard:
    """The command line on the crowd, in this process."""

    def __init__(self, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
        self.project, self._capsys = project, capsys

    def recover(self, *words: str) -> tuple[int, dict[str, Any]]:
        told = run_modelyard(self._capsys, "-C", self.project.root, "recover", "--json", *words)
        return told.code, json.loads(told.out)

    @property
    def state(self) -> Path:
        path = checkpoint_file(self.project, "dev")
        assert path is not None
        return path

    def acts(self) -> list[str]:
        log = AuditLog(self.project.audit_file)
        return [entry.action for entry in log.entries() if entry.action.startswith("recover.")]


@pytest.fixture
def yard(up: Project, capsys: pytest.CaptureFixture[str]) -> Yard:
    return Yard(up, capsys)


def test_nothing_to_recover(yard: Yard) -> None:
    code, document = yard.recover()
    assert (code, document["faults"], document["next"]) == (0, [], None)


def test_a_stale_lock_is_told_and_removed_when_agreed_to(yard: Yard) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    path = write_lock(yard.project, child.pid)
    code, document = yard.recover()
    assert (code, document["next"]) == (ExitCode.FAILED, "unlock")
    [fault] = document["faults"]
    assert f"ada on {socket.gethostname()}, pid {child.pid}" in fault["what"]
    assert "since 2026-01-02 03:04:05" in fault["what"]
    assert "its process is gone" in fault["what"]
    assert path.exists()
    code, document = yard.recover("--yes", "--why", "power cut")
    assert (code, document["done"]["step"], document["faults"]) == (0, "unlock", [])
    assert not path.exists()
    assert yard.acts()[-1] == "recover.unlock"


@pytest.mark.parametrize("host", ["", "lab3"])
def test_somebody_who_may_be_at_work_is_never_touched(yard: Yard, tmp_path: Path, host: str) -> None:
    engine = tmp_path / "pulumi"
    engine.symlink_to("/bin/sleep")
    child = subprocess.Popen([engine, "600"])
    path = write_lock(yard.project, child.pid, host)
    before = yard.state.read_bytes()
    try:
        code, document = yard.recover("--yes")
        assert (code, document["next"], document["done"]) == (ExitCode.RETRY, "wait", None)
        assert path.exists()
        assert child.poll() is None
        assert yard.state.read_bytes() == before
    finally:
        child.kill()
        child.wait()
        path.unlink()


def test_a_truncated_state_is_restored_from_the_newest_whole_copy_and_kept(yard: Yard) -> None:
    good = json.loads(yard.state.read_text())
    cut = yard.state.read_bytes()[:1000]
    yard.state.write_bytes(cut)
    backup = recovery.backup_of(yard.state)
    backup.write_text("{")
    code, document = yard.recover()
    assert (code, document["next"]) == (ExitCode.FAILED, "restore")
    assert ".checkpoint.json (Pulumi's history, 20" in document["step"]
    assert yard.state.read_bytes() == cut
    code, document = yard.recover("--yes")
    assert (code, document["done"]["step"]) == (0, "restore")
    assert Path(document["done"]["kept"]).read_bytes() == cut
    assert len(json.loads(yard.state.read_text())["checkpoint"]["latest"]["resources"]) == len(
        good["checkpoint"]["latest"]["resources"]
    )
    assert Engine(yard.project, "dev").preview().changes == 0


def running(project: Project) -> set[int]:
    return {each.pid for each in marked(str(project.folder("dev")), whole_environment=True)}


def test_without_a_whole_copy_it_starts_anew_and_adopts_what_runs(yard: Yard) -> None:
    before = services(yard.project)
    pids = running(yard.project)
    for path in (
        yard.state,
        recovery.backup_of(yard.state),
        *yard.state.parents[2].rglob("*.checkpoint.json"),
    ):
        path.write_text('{"version": 3, "checkp')
    _, document = yard.recover("--yes")
    assert document["done"]["step"] == "set-aside"
    assert Path(document["done"]["kept"]).read_text() == '{"version": 3, "checkp'
    Engine(yard.project, "dev").up()
    assert services(yard.project) == before
    assert running(yard.project) == pids
    assert yard.recover()[0] == 0


def test_a_torn_checksum_beside_the_state_stops_nothing(yard: Yard) -> None:
    beside = yard.state.with_name("dev.json.attrs")
    beside.write_text("")
    code, document = yard.recover()
    assert (code, document["next"]) == (ExitCode.FAILED, "tidy")
    assert "dev.json.attrs" in document["faults"][0]["what"]
    assert yard.recover("--yes")[0] == 0
    beside.write_text("")
    assert Engine(yard.project, "dev").preview().changes == 0


def test_what_was_in_flight_stands_beside_the_truth(yard: Yard) -> None:
    gone = crowd.cut_short(yard.project)
    code, document = yard.recover()
    assert (code, document["next"]) == (ExitCode.FAILED, "forget-pending")
    told = {each["resource"]: (each["what"], each["recorded"], each["truth"]) for each in document["faults"]}
    assert (
        told
        == {
            "datafolder beta": ("updating was cut short", "recorded", "there"),
            "file alpha-1.conf": ("updating was cut short", "recorded", "not there"),
            "file omega.conf": ("creating was cut short", "not recorded", "not there"),
        }
        or "service beta" in told
    )
    code, document = yard.recover("--yes")
    assert document["done"]["forgotten"] == 3
    # One step only; the next is named.
    assert (code, document["next"]) == (ExitCode.FAILED, "up")
    assert document["faults"][0]["resource"] == "file alpha-1.conf"
    assert not gone.exists()
    assert yard.recover("--yes")[0] == 0
    assert gone.read_text() == crowd.texts(0)["alpha-1.conf"]


def test_what_was_made_and_not_recorded_is_adopted_or_put_aside(yard: Yard) -> None:
    home = Home(yard.project.folder("dev"))
    crowd.turn(yard.project, 0)
    # Made by a killed up of the next round, and by hand.
    (home.config / "epsilon-0.conf").write_text("half")
    (home.config / "by-hand.conf").write_text("mine")
    crowd.turn(yard.project, 1)
    code, document = yard.recover()
    told = {each["resource"]: each["remedy"] for each in document["faults"]}
    assert told == {"file epsilon-0.conf": "up", "file by-hand.conf": "put-aside"}
    code, document = yard.recover("--yes")
    assert (document["done"]["step"], document["next"]) == ("up", "put-aside")
    assert (home.config / "epsilon-0.conf").read_text() == crowd.texts(1)["epsilon-0.conf"]
    code, document = yard.recover("--yes")
    assert code == 0
    [kept] = document["done"]["kept"]
    assert (Path(kept) / "by-hand.conf").read_text() == "mine"
    assert yard.acts()[-1] == "recover.put-aside"


def start(project: Project, *words: str) -> subprocess.Popen[str]:
    """The command line on the crowd as a process of its own."""
    command = [sys.executable, "-m", "tests.engine.crowd", str(project.root), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_ups_at_once_the_second_leaves_with_3_or_waits(up: Project) -> None:
    crowd.turn(up, 3)
    first = start(up, "up", "--yes", "--json")
    state = up.state_folder
    assert state
    lock = None
    while first.poll() is None and lock is None:
        lock = recovery.held(state, up.name, "dev")
        time.sleep(0.02)
    assert lock, first.communicate()
    # Held where it is, so that the second meets it however slow the machine is.
    engine = psutil.Process(lock.pid)
    engine.send_signal(signal.SIGSTOP)
    second = start(up, "up", "--yes", "--json")
    told, _ = second.communicate()
    assert second.returncode == ExitCode.RETRY
    assert f"another operation is at work on this environment: {lock.words}" in json.loads(told)["error"]
    waiting = start(up, "up", "--yes", "--json", "--wait", "240")
    assert waiting.stderr
    assert any("waiting for" in line for line in waiting.stderr)
    engine.send_signal(signal.SIGCONT)
    done, _ = first.communicate()
    assert (first.returncode, json.loads(done)["changes"] > 20) == (0, True)
    told, fault = waiting.communicate()
    assert waiting.returncode == 0, fault
    assert json.loads(told)["changes"] == 0
