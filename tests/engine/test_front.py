"""A front comes and goes with the second replica while callers go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from blueprints.keys import assign
from stacks.engine import Engine
from stacks.local.processes import marked
from stacks.project import Project
from stacks.status import services
from tests.engine.test_cold import project
from tests.engine.test_damage import LIGHT
from tests.engine.test_kill_services import eventually

__all__ = ["project"]
_SERVING = ["serving.enabled=true"]


class Caller(threading.Thread):
    """Asks through the shared port; a new connection each time, or one that is kept."""

    def __init__(self, url: str, keep: bool) -> None:
        super().__init__(daemon=True)
        self.url, self.keep = f"{url}/v2/health/live", keep
        self.answered = 0
        self.failed: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        client = httpx.Client(trust_env=False, timeout=10)
        while not self.stopped.wait(0.01):
            if not self.keep:
                client.close()
                client = httpx.Client(trust_env=False, timeout=10)
            try:
                client.get(self.url).raise_for_status()
                self.answered += 1
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
        client.close()


@contextmanager
def calling(url: str) -> Iterator[list[Caller]]:
    callers = [Caller(url, keep) for keep in (True, False)]
    for caller in callers:
        caller.start()
    yield callers
    for caller in callers:
        caller.stopped.set()
    for caller in callers:
        caller.join()


def pids(project: Project, service: str) -> set[int]:
    """The processes of a service of the environment."""
    found = {each.pid for each in marked(str(project.folder("dev") / service))}
    assert found
    return found


def test_scaling_and_kills_under_load(project: Project) -> None:
    engine = Engine(project, "dev")

    def up(*more: str) -> None:
        project.write_spec("dev", assign(LIGHT, [*_SERVING, *more]))
        engine.up()

    up()
    serving = engine.outputs().serving
    assert serving is not None
    with calling(serving.url) as callers:
        up("serving.replicas=2")
        second = pids(project, "gateway-2")
        begun = [len(caller.failed) for caller in callers]
        up("serving.replicas=3")
        assert second == pids(project, "gateway-2"), "a third replica restarts no follower"
        up("serving.replicas=2")
        assert second == pids(project, "gateway-2")
        scaled = [len(caller.failed) for caller in callers]
        environment = engine.outputs()
        assert "front" in {each.name for each in environment.services}
        # A setting of the gateway restarts the replicas, one after the other.
        up("serving.replicas=2", "serving.limits.rows=1000")
        changed = [len(caller.failed) for caller in callers]
        for name in ("gateway-2", "gateway"):
            eventually(lambda: all(each.well for each in services(environment)))
            for process in marked(str(project.folder("dev") / name)):
                process.kill()
        eventually(lambda: all(each.well for each in services(environment)))
        killed = [len(caller.failed) for caller in callers]
        up("serving.replicas=1")
        last = [len(caller.failed) for caller in callers]
    assert "front" not in {each.name for each in engine.outputs().services}
    told = (begun, scaled, changed, killed, last, [caller.failed for caller in callers])
    assert all(caller.answered > 100 for caller in callers)
    # The gateway closes a kept connection when it gives the port to the front: whoever asks in that moment
    # learns it from a reset, as HTTP has it.
    assert sum(begun) <= 1, told
    assert scaled == changed == begun, told
    # At most the request that a killed process was answering.
    assert sum(killed) - sum(begun) <= 2, told
    assert last == killed, told
