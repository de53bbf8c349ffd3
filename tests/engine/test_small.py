"""The real engine on real services: plans, drift, faults, kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import psutil
import pytest

from blueprints.errors import ExitCode, Problem
from blueprints.keys import assign
from stacks.engine import Engine, Event, Phase, ResourceStarted, Step, Verb
from stacks.engine.workspace import checkpoint_file, variables
from stacks.local.home import Home
from stacks.local.processes import marked
from stacks.local.supervisor import Supervisor
from stacks.project import Project
from stacks.toolchain import find_engine
from tui.cli.main import main

from .conftest import SMALL, services

UP = "import sys, pathlib; from stacks.engine import Engine; from stacks.project import Project; " + (
    "Engine(Project.find(pathlib.Path(sys.argv[1])), 'dev').up()"
)


def pids(project: Project) -> dict[str, set[int]]:
    """The processes of each service."""
    names = ("supervisor", "storage", "tracking")
    return {name: {each.pid for each in marked(str(project.folder("dev") / name))} for name in names}


def changed(steps: tuple[Step, ...]) -> dict[str, Verb]:
    return {f"{step.type} {step.name}": step.verb for step in steps if step.verb is not Verb.SAME}


def test_everything_is_up_once_and_nothing_is_left_to_do(small: Project) -> None:
    assert services(small) == {"supervisor": 1, "storage": 1, "tracking": 1}
    plan = Engine(small, "dev").preview()
    assert plan.changes == 0, changed(plan.steps)
    assert plan.count(Verb.SAME) > 5


def test_resources_have_their_layer_and_show_no_secret(small: Project) -> None:
    resources = Engine(small, "dev").resources()
    environment = Engine(small, "dev").outputs()
    by_name = {f"{each.type} {each.name}": each for each in resources}
    assert by_name["service tracking"].layer == "tracking"
    assert by_name["service storage"].layer == "storage"
    text = repr(resources)
    assert environment.tracking.password.get_secret_value() not in text
    assert environment.storage.secret_key.get_secret_value() not in text
    assert "[secret]" in text


def test_refresh_sees_a_killed_service_and_up_heals_it(small: Project) -> None:
    supervisor = Supervisor(Home(small.folder("dev")))
    with supervisor._rpc() as rpc:
        rpc.stopProcess("storage")
    outcome = Engine(small, "dev").refresh()
    assert changed(outcome.steps) == {"service storage": Verb.UPDATE}
    healed = Engine(small, "dev").up()
    assert changed(healed.steps) == {"service storage": Verb.UPDATE}
    assert services(small)["storage"] == 1


def test_refresh_sees_what_was_deleted_and_edited_and_up_heals_it(small: Project) -> None:
    folder = small.folder("dev")
    storage = Engine(small, "dev").outputs().storage
    client = boto3.client(
        "s3",
        endpoint_url=storage.endpoint_url,
        aws_access_key_id=storage.access_key,
        aws_secret_access_key=storage.secret_key.get_secret_value(),
        region_name=storage.region,
    )
    client.delete_bucket(Bucket="backups")
    (folder / "config" / "basic_auth.ini").unlink()
    definition = folder / "run" / "services" / "tracking.json"
    good = definition.read_text()
    definition.write_text(good.replace("mlflow", "mlflop"))
    drifted = changed(Engine(small, "dev").refresh().steps)
    assert drifted == {
        "bucket backups-bucket": Verb.DELETE,
        "file basic_auth.ini": Verb.DELETE,
        "service tracking": Verb.UPDATE,
    }
    healed = changed(Engine(small, "dev").up().steps)
    assert healed == {
        "bucket backups-bucket": Verb.CREATE,
        "file basic_auth.ini": Verb.CREATE,
        "service tracking": Verb.UPDATE,
    }
    assert {bucket["Name"] for bucket in client.list_buckets()["Buckets"]} == {"artifacts", "data", "backups"}
    assert definition.read_text() == good
    assert (folder / "config" / "basic_auth.ini").is_file()
    assert services(small) == {"supervisor": 1, "storage": 1, "tracking": 1}


def test_an_edited_config_file_is_put_right(small: Project) -> None:
    path = small.folder("dev") / "config" / "s3.json"
    before = path.read_text()
    path.write_text("{}")
    plan = Engine(small, "dev").preview()
    step = next(step for step in plan.steps if step.name == "s3.json")
    assert step.verb is Verb.UPDATE
    assert "found changed" in step.because
    Engine(small, "dev").up()
    assert path.read_text() == before


def test_without_a_monitor_drift_is_told_all_the_same(
    small: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The nightly check of an environment without a monitor ends as the environment is."""
    config = Home(small.folder("dev")).config / "s3.json"
    good = config.read_text()
    words = ["-C", str(small.root), "drift", "--alert"]
    assert main(words) == ExitCode.DONE
    assert "△ no alert was resolved: this environment has no monitoring" in capsys.readouterr().err
    config.write_text("{}")
    try:
        assert main(words) == ExitCode.FAILED
    finally:
        config.write_text(good)
    told = capsys.readouterr()
    assert "△ file s3.json  edited: text" in told.out
    assert "△ no alert was raised: this environment has no monitoring" in told.err


def test_one_key_touches_only_its_service(small: Project) -> None:
    started: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, ResourceStarted):
            started.append(f"{event.step.type} {event.step.name}")

    before = pids(small)
    small.write_spec("dev", assign(SMALL, ['tracking.allowed_hosts=["models.example"]']))
    try:
        outcome = Engine(small, "dev", listen).up()
    finally:
        small.write_spec("dev", SMALL)
    assert changed(outcome.steps) == {"service tracking": Verb.UPDATE}
    assert started == ["service tracking"]
    after = pids(small)
    assert {name for name in after if after[name] != before[name]} == {"tracking"}
    assert not after["tracking"] & before["tracking"]
    Engine(small, "dev").up()


def test_a_key_that_no_resource_depends_on_still_arrives(small: Project) -> None:
    small.write_spec("dev", assign(SMALL, ["protected=yes"]))
    try:
        plan = Engine(small, "dev").preview()
        assert (plan.changes, plan.outputs_change, plan.unchanged) == (0, True, False)
        outcome = Engine(small, "dev").up()
        assert Engine(small, "dev").outputs().protected
        assert Engine(small, "dev").preview().unchanged
    finally:
        small.write_spec("dev", SMALL)
    assert set(outcome.urls) == {"storage", "tracking"}
    Engine(small, "dev").up()


def test_plain_pulumi_plans_no_change(small: Project) -> None:
    binary = find_engine()
    env = {**os.environ, **variables(small, binary)}
    # Only what a person would have set; the project's own file says where the state is.
    del env["PULUMI_BACKEND_URL"]
    done = subprocess.run(
        [binary.path, "preview", "--stack", "dev", "--non-interactive", "--expect-no-changes", "--json"],
        cwd=small.root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert set(json.loads(done.stdout)["changeSummary"]) == {"same"}


def test_a_wrong_passphrase_is_told(small: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    for act in (Engine(small, "dev").outputs, Engine(small, "dev").up):
        with pytest.raises(Problem, match="passphrase") as caught:
            act()
        assert "Traceback" not in str(caught.value)


def write_lock(project: Project, pid: int, host: str = "") -> Path:
    state = project.state_folder
    assert state is not None
    folder = state / ".pulumi" / "locks" / "organization" / project.name / "dev"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "0b1c.json"
    data = {
        "pid": pid,
        "username": "ada",
        "hostname": host or socket.gethostname(),
        "timestamp": "2026-01-02T03:04:05.6Z",
    }
    path.write_text(json.dumps(data))
    return path


def test_a_lock_of_another_machine_is_named(small: Project) -> None:
    path = write_lock(small, 812, "lab3")
    try:
        with pytest.raises(Problem, match="ada on lab3, pid 812") as caught:
            Engine(small, "dev").up()
    finally:
        path.unlink()
    assert caught.value.code is ExitCode.RETRY


def test_a_lock_of_the_dead_is_removed(small: Project) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    path = write_lock(small, child.pid)
    phases: list[Event] = []
    Engine(small, "dev", phases.append).up()
    assert not path.exists()
    assert any(isinstance(each, Phase) and each.name == "recovering" for each in phases)


def test_two_at_once_the_second_names_the_first(small: Project) -> None:
    small.write_spec("dev", assign(SMALL, ['tracking.allowed_hosts=["a.example"]']))
    entered = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, ResourceStarted):
            entered.set()

    first = threading.Thread(target=Engine(small, "dev", listen).up)
    first.start()
    try:
        assert entered.wait(60)
        with pytest.raises(Problem, match="another operation") as caught:
            Engine(small, "dev").up()
        assert caught.value.code is ExitCode.RETRY
    finally:
        first.join()
        small.write_spec("dev", SMALL)
    Engine(small, "dev").up()


def test_a_damaged_state_falls_back_to_its_backup(small: Project) -> None:
    path = checkpoint_file(small, "dev")
    assert path is not None
    path.write_text("")
    said: list[Event] = []
    assert changed(Engine(small, "dev", said.append).up().steps) == {}
    assert any("was damaged" in getattr(each, "message", "") for each in said)
    assert services(small) == {"supervisor": 1, "storage": 1, "tracking": 1}


def test_cancel_ends_it_and_leaves_a_state_to_go_on_from(small: Project) -> None:
    small.write_spec("dev", assign(SMALL, ['tracking.allowed_hosts=["b.example"]']))

    def listen(event: Event) -> None:
        if isinstance(event, ResourceStarted):
            threading.Thread(target=engine.cancel).start()

    engine = Engine(small, "dev", listen)
    try:
        with pytest.raises(Problem) as caught:
            engine.up()
        assert caught.value.code is ExitCode.INTERRUPTED
    finally:
        small.write_spec("dev", SMALL)
    Engine(small, "dev").up()
    assert Engine(small, "dev").preview().changes == 0
    assert services(small) == {"supervisor": 1, "storage": 1, "tracking": 1}


@pytest.mark.parametrize("moment", [0.4, 1.2, 2.0, 3.5])
def test_kill_9_of_up_then_up_converges(small: Project, moment: float) -> None:
    small.write_spec("dev", assign(SMALL, [f'tracking.allowed_hosts=["at-{moment}.example"]']))
    process = subprocess.Popen([sys.executable, "-c", UP, str(small.root)])
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    Engine(small, "dev").up()
    assert Engine(small, "dev").preview().changes == 0
    assert services(small) == {"supervisor": 1, "storage": 1, "tracking": 1}


def test_kill_9_of_the_engine_itself_then_up_converges(small: Project) -> None:
    small.write_spec("dev", assign(SMALL, ['tracking.allowed_hosts=["d.example"]']))
    process = subprocess.Popen([sys.executable, "-c", UP, str(small.root)], stderr=subprocess.PIPE)
    killed = False
    while process.poll() is None and not killed:
        for child in psutil.Process(process.pid).children():
            if "pulumi" in child.name():
                time.sleep(1.5)
                child.kill()
                killed = True
        time.sleep(0.02)
    process.communicate()
    assert killed
    Engine(small, "dev").up()
    assert Engine(small, "dev").preview().changes == 0
    assert services(small) == {"supervisor": 1, "storage": 1, "tracking": 1}


@pytest.mark.parametrize("words", [["--delete-data=prod"], ["--delete-data"], ["--confirm", "prod"]])
def test_destroy_with_a_wrong_name_changes_nothing(small: Project, words: list[str]) -> None:
    data = small.folder("dev") / "data"
    before, listed = pids(small), sorted(path.name for path in data.iterdir())
    state = checkpoint_file(small, "dev")
    assert state is not None
    text = state.read_bytes()
    if "--confirm" not in words:
        words = ["--yes", *words]
    assert main(["-C", str(small.root), "destroy", *words]) == ExitCode.USAGE
    assert (pids(small), sorted(path.name for path in data.iterdir())) == (before, listed)
    assert state.read_bytes() == text


def test_destroy_leaves_no_process_no_port_and_keeps_data(small: Project) -> None:
    numbers = [
        port
        for each in Engine(small, "dev").resources()
        if each.type == "port"
        for port in json.loads(dict(each.outputs)["numbers"])
    ]
    Engine(small, "dev").destroy()
    assert services(small) == {}
    assert sorted(path.name for path in small.folder("dev").iterdir()) == ["data"]
    for port in numbers:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    with pytest.raises(Problem, match="nothing is up"):
        Engine(small, "dev").outputs()
    Engine(small, "dev").destroy(delete_data=True)
    assert not small.folder("dev").exists()
