"""Status and logs of services that run, stopped, crash, and of a supervisor that is gone."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import pytest

from blueprints.environment import Environment
from blueprints.errors import UsageProblem
from stacks import logs, status
from stacks.local.definition import Definition
from stacks.local.home import Home
from stacks.local.processes import marked
from stacks.local.supervisor import Supervisor
from stacks.provider.port import Port

WEB = """
import http.server, sys
print("ready", flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


def environment_of(home: Home, port: int) -> Environment:
    def row(name: str, health: str) -> dict[str, Any]:
        return {
            "name": name,
            "layer": "serving",
            "title": name.capitalize(),
            "unit": name,
            "log": str(home.log(name)),
            "url": health,
            "health": health,
        }

    url = f"http://127.0.0.1:{port}"
    return Environment.model_validate(
        {
            "project": "yard",
            "name": home.root.name,
            "blueprint": "local",
            "root": str(home.project),
            "tracking": {"url": url, "username": "admin", "password": "x"},
            "storage": {"kind": "folder", "buckets": {"artifacts": "file:///a", "data": "file:///d"}},
            "databases": {},
            "services": [row("web", url), row("broken", ""), row("unheard", "")],
        }
    )


@pytest.fixture
def environment(home: Home) -> Environment:
    [port] = Port(home).create(Port.filled({"name": "web"}))["numbers"]
    control = Supervisor(home)
    control.start()
    for name, code in (("web", WEB), ("broken", "raise SystemExit('no such table')")):
        control.add(Definition(name, home.marker(name), (sys.executable, "-c", code, str(port))))
    return environment_of(home, port)


def states(environment: Environment) -> dict[str, status.ServiceState]:
    return {each.name: each for each in status.services(environment)}


def wait_for(environment: Environment, name: str, state: str, healthy: bool | None) -> status.ServiceState:
    deadline = time.monotonic() + 40
    while True:
        found = states(environment)[name]
        if (found.state, found.healthy) == (state, healthy):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_every_service_is_a_row_whatever_it_does(environment: Environment, home: Home) -> None:
    web = wait_for(environment, "web", "running", True)
    assert web.well
    assert web.reason == ""
    assert web.pid is not None
    assert web.memory_mb is not None
    assert web.memory_mb > 1
    assert web.uptime_seconds is not None
    broken = wait_for(environment, "broken", "failed", None)
    assert "modelyard logs broken" in broken.reason
    unheard = states(environment)["unheard"]
    assert (unheard.state, unheard.pid) == ("unknown", None)
    assert "unknown to the supervisor" in unheard.reason
    with Supervisor(home)._rpc() as rpc:
        rpc.stopProcess("web")
    stopped = wait_for(environment, "web", "stopped", False)
    assert stopped.reason
    assert stopped.pid is None


def test_a_supervisor_that_is_gone_is_told_in_time(environment: Environment, home: Home) -> None:
    wait_for(environment, "web", "running", True)
    [process] = marked(home.marker("supervisor"))
    process.suspend()
    try:
        assert states(environment)["web"].healthy is True, "asked it directly, not hung on the supervisor"
    finally:
        process.resume()
    process.kill()
    process.wait(5)
    row = states(environment)["web"]
    assert row.state == "stopped"
    assert "supervisor" in row.reason
    assert "modelyard up" in row.reason


def test_logs_are_tailed_and_followed(environment: Environment, home: Home) -> None:
    wait_for(environment, "web", "running", True)
    assert "ready" in logs.tail(environment, "web")
    assert logs.tail(environment, "web", 0) == []
    stop = threading.Event()
    seen: list[str] = []

    def read() -> None:
        for line in logs.follow(environment, "web", stop):
            seen.append(line)
            if line == "last of all":
                stop.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        deadline = time.monotonic() + 20
        while not stop.is_set():
            with home.log("web").open("a") as file:
                file.write("one more\nlast of all\n")
            time.sleep(0.3)
            assert time.monotonic() < deadline
    finally:
        stop.set()
        reader.join()
    assert "one more" in seen
    with pytest.raises(UsageProblem, match="web or broken or unheard"):
        logs.tail(environment, "wbe")
