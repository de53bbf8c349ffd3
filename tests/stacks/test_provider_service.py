"""Services under a real supervisord: ready, killed, leftover, adopted, drifted, failed, gone."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from blueprints.errors import Problem
from stacks.local.home import Home
from stacks.local.launch import step_down
from stacks.local.processes import MARKER, marked
from stacks.local.supervisor import Supervisor
from stacks.provider.service import Service
from stacks.provider.supervisor import Supervisor as SupervisorKind

PASSWORD = "correct-horse-battery-staple"

#: A server whose worker keeps the port when only the parent is killed.
FAMILY = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if os.fork() == 0:
    while True:
        server.accept()[0].close()
time.sleep(600)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(holds: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return value


@pytest.fixture
def kind(home: Home) -> Service:
    return Service(home)


def inputs_of(kind: Service, port: int, **more: Any) -> dict[str, Any]:
    return kind.filled(
        {
            "name": "web",
            "argv": [sys.executable, "-c", FAMILY, str(port)],
            "env": {"WEB_PASSWORD": PASSWORD},
            "probe": {"url": f"tcp://127.0.0.1:{port}"},
            "grace": 3,
            "triggers": ["1"],
            **more,
        }
    )


def pid_of(home: Home) -> int:
    return Supervisor(home).states()["web"].pid


def pids(home: Home) -> set[int]:
    return {process.pid for process in marked(home.marker("web"))}


def test_a_service_is_up_when_create_returns_and_shows_no_secret(home: Home, kind: Service) -> None:
    port = free_port()
    state = kind.create(inputs_of(kind, port))
    socket.create_connection(("127.0.0.1", port), 1).close()
    assert state["running"] is True
    process = psutil.Process(pid_of(home))
    assert process.environ()["WEB_PASSWORD"] == PASSWORD
    for each in [process, *process.parents()[:1]]:
        assert PASSWORD not in " ".join(each.cmdline())
    for path in home.run.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0 or PASSWORD not in path.read_text()
    assert kind.read(state) == state
    assert kind.changed(state, inputs_of(kind, port)) == []


def test_kill_9_of_the_parent_ends_its_worker_and_restarts(home: Home, kind: Service) -> None:
    port = free_port()
    kind.create(inputs_of(kind, port))
    before = eventually(lambda: len(pids(home)) == 2 and pids(home))
    os.kill(pid_of(home), signal.SIGKILL)
    after = eventually(lambda: len(now := pids(home)) == 2 and not now & before and now)
    assert pid_of(home) in after
    eventually(lambda: socket.create_connection(("127.0.0.1", port), 1))


def test_a_lost_state_adopts_what_runs(home: Home, kind: Service) -> None:
    port = free_port()
    first = kind.create(inputs_of(kind, port))
    running = pids(home)
    assert Service(Home(home.root)).create(inputs_of(kind, port)) == first
    assert pids(home) >= {min(running)}
    assert pid_of(home) in running


def test_a_changed_command_restarts_once_and_a_changed_wish_to_wait_does_not(
    home: Home, kind: Service
) -> None:
    port = free_port()
    state = kind.create(inputs_of(kind, port))
    first = pid_of(home)
    state = kind.update(state, inputs_of(kind, port, patience=90))
    assert pid_of(home) == first
    state = kind.update(state, inputs_of(kind, port, triggers=["2"]))
    second = pid_of(home)
    assert second != first
    other = free_port()
    kind.update(state, inputs_of(kind, other, triggers=["2"]))
    assert pid_of(home) != second
    socket.create_connection(("127.0.0.1", other), 1).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


@pytest.mark.parametrize("harm", ["stopped", "supervisor killed", "definition edited", "conf deleted"])
def test_drift_is_seen_and_healed(home: Home, kind: Service, harm: str) -> None:
    port = free_port()
    wanted = inputs_of(kind, port)
    state = kind.create(wanted)
    control = Supervisor(home)
    if harm == "stopped":
        with control._rpc() as rpc:
            rpc.stopProcess("web")
    elif harm == "supervisor killed":
        for process in marked(home.marker("supervisor")):
            process.kill()
            process.wait(5)
    elif harm == "definition edited":
        path = control.definition_path("web")
        path.write_text(path.read_text().replace("600", "601"))
    else:
        control.conf_path("web").unlink()
    drifted = kind.read(state)
    assert drifted is not None
    assert kind.changed(drifted, wanted)
    assert kind.update(drifted, wanted) == state
    assert kind.read(state) == state
    eventually(lambda: len(pids(home)) == 2)
    socket.create_connection(("127.0.0.1", port), 1).close()


def test_deleted_definitions_mean_the_service_is_gone(home: Home, kind: Service) -> None:
    port = free_port()
    wanted = inputs_of(kind, port)
    state = kind.create(wanted)
    Supervisor(home).definition_path("web").unlink()
    assert kind.read(state) is None
    assert kind.create(wanted) == state
    assert len(eventually(lambda: len(pids(home)) == 2 and pids(home))) == 2


def test_a_failure_quotes_the_log_without_secrets(home: Home, kind: Service) -> None:
    (home.secrets).mkdir(parents=True)
    (home.secrets / "other").write_text("generated-secret-of-another")
    program = (
        "import os; print('cannot open', os.environ['WEB_PASSWORD'], os.environ['VIEW']); raise SystemExit(3)"
    )
    with pytest.raises(Problem) as caught:
        kind.create(
            inputs_of(
                kind,
                free_port(),
                argv=[sys.executable, "-c", program],
                env={
                    "WEB_PASSWORD": PASSWORD,
                    "VIEW": 'token "generated-secret-of-another"',
                    "PLACE": "x" * 20,
                },
            )
        )
    words = str(caught.value)
    assert "service web" in words
    assert "cannot open [secret]" in words
    assert PASSWORD not in words
    assert "generated-secret-of-another" not in words
    assert "Traceback" not in words


def test_a_port_held_by_a_stranger_is_told(home: Home, kind: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Problem, match=f"port {port} is held by .*pid {os.getpid()}"):
            kind.create(inputs_of(kind, port))


def test_a_service_that_never_answers_times_out(home: Home, kind: Service) -> None:
    program = "import time; time.sleep(600)"
    with pytest.raises(Problem, match="not ready after 2 s: does not answer"):
        kind.create(inputs_of(kind, free_port(), argv=[sys.executable, "-c", program], patience=2))


def test_delete_leaves_no_process_and_no_file(home: Home, kind: Service) -> None:
    supervisor = SupervisorKind(home)
    owner = supervisor.create({"name": "supervisor"})
    port = free_port()
    state = kind.create(inputs_of(kind, port))
    (home.data / "kept").write_text("1")
    kind.delete(state)
    assert pids(home) == set()
    assert not list(home.logs.glob("web*"))
    kind.delete(state)
    supervisor.delete(owner)
    supervisor.delete(owner)
    assert marked(str(home.root), whole_environment=True) == []
    assert [path.name for path in home.root.iterdir()] == ["data"]
    assert not home.socket.exists()


def test_services_created_at_once_share_one_supervisor(home: Home, kind: Service) -> None:
    faults: list[BaseException] = []

    def create(name: str, port: int) -> None:
        try:
            kind.create(inputs_of(kind, port) | {"name": name})
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=create, args=(f"web-{n}", free_port())) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert {name: each.state for name, each in Supervisor(home).states().items()}.keys() == {
        f"web-{n}" for n in range(4)
    }
    assert len(marked(home.marker("supervisor"))) == 1


def test_a_long_path_gets_a_short_socket(home: Home, tmp_path: Path) -> None:
    deep = Home(tmp_path / ("d" * 60) / ("e" * 60) / ".modelyard" / "dev")
    try:
        Supervisor(deep).start()
        assert Supervisor(deep).alive()
        assert len(os.fsencode(deep.socket)) <= 100
    finally:
        Supervisor(deep).shut_down()
    assert not deep.socket.exists()


def test_a_stopped_supervisor_does_not_hang_its_askers(home: Home) -> None:
    control = Supervisor(home)
    control.start()
    [process] = [each for each in marked(home.marker("supervisor")) if each.environ()[MARKER]]
    process.suspend()
    try:
        assert control.states(timeout_seconds=0.3) == {}
    finally:
        process.resume()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
def test_stepping_down_keeps_only_what_it_needs(home: Home, tmp_path: Path) -> None:
    home.root.mkdir(parents=True)
    shut = step_down(["id"], "nobody", [home.root / "x"])
    assert "--ambient-caps=+dac_read_search" in shut
    assert "--reuid=nobody" in shut
    free = step_down(["id"], "nobody", [Path("/usr/bin/id")])
    assert not any("caps" in word for word in free)
