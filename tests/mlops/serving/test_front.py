"""HAProxy before real replicas: weights, drain, SIGTERM and ``kill -9`` under steady load."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from blueprints.errors import Problem
from mlops.serving.front import config
from mlops.serving.front.__main__ import check, write
from mlops.serving.front.client import FrontClient, join, leave
from mlops.serving.front.settings import FrontSettings, read, socket_path
from tests.mlops.yard import free_port

ROOT = Path(__file__).parents[3]


class Yard:
    """A front and its replicas, as processes."""

    def __init__(self, folder: Path, replicas: int = 2, seconds: float = 0.005) -> None:
        self.folder, self.seconds = folder / "front", seconds
        self.port = free_port()
        self.ports = [free_port() for _ in range(replicas)]
        self.settings = folder / "front.json"
        self.tell(replicas)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = FrontClient(self.folder)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for number in range(1, replicas + 1):
            self.start(number)
        self._begin("front", ["mlops.serving.front"])

    def _begin(self, name: str, words: list[str]) -> None:
        variables = {
            "MODELYARD_PORT": str(self.port),
            "MODELYARD_FRONT_SETTINGS": str(self.settings),
            "MODELYARD_FRONT": str(self.folder),
        }
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=ROOT, env={**os.environ, **variables}
        )

    def tell(self, replicas: int) -> None:
        """The front is before the first so many, from now on."""
        urls = [f"http://127.0.0.1:{port}" for port in self.ports[:replicas]]
        # At once, as the provider writes it: nobody reads half of it.
        part = self.settings.with_suffix(".part")
        part.write_text(json.dumps({"replicas": urls, "deadline": 30}))
        part.replace(self.settings)

    def start(self, number: int) -> None:
        """Begin a replica."""
        words = [str(self.ports[number - 1]), str(number), str(self.folder), str(self.seconds)]
        self._begin(f"r{number}", ["tests.mlops.serving.replica", *words])

    def status(self, name: str) -> str:
        """HAProxy's word for a replica; empty: the front is not up."""
        try:
            found = {each.name: each.status for each in self.client.stats() if each.backend == "ready"}
        except Problem:
            return ""
        return found.get(name, "")

    async def until(self, name: str, status: str, seconds: float = 30) -> None:
        """Wait for a status."""
        end = time.monotonic() + seconds
        while (found := self.status(name)) != status:
            assert time.monotonic() < end, f"{name} is {found}, not {status}"
            await asyncio.sleep(0.05)

    def end(self) -> None:
        """Everything this one started."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def yard(folder: Path, replicas: int = 2, seconds: float = 0.005) -> Iterator[Yard]:
    made = Yard(folder, replicas, seconds)
    try:
        yield made
    finally:
        made.end()


class Load:
    """Callers that keep their connections and never repeat a request."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.stopped = False

    async def caller(self, session: aiohttp.ClientSession, url: str) -> None:
        """One request after the other."""
        while not self.stopped:
            sent = f"{random.getrandbits(64):x}"
            try:
                async with session.post(url, json={"x": 1}, headers={"x-request-id": sent}) as answer:
                    await answer.read()
                    if answer.status != 200 or answer.headers["x-request-id"] != sent:
                        self.failed.append(f"{answer.status} {answer.headers}")
                    else:
                        self.answered[answer.headers["x-replica"]] += 1
            except (aiohttp.ClientError, OSError) as error:
                self.failed.append(repr(error))


@asynccontextmanager
async def load(url: str, callers: int = 8, kept: bool = True) -> AsyncIterator[Load]:
    made = Load()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not kept)) as session:
        tasks = [
            asyncio.create_task(made.caller(session, f"{url}/v2/models/m/infer")) for _ in range(callers)
        ]
        yield made
        made.stopped = True
        await asyncio.gather(*tasks)


async def test_weights_drain_and_kills_under_load(tmp_path: Path) -> None:
    """60 weight changes and a drain with SIGTERM fail nothing; ``kill -9`` at most one request each."""
    with yard(tmp_path) as made:
        for name in ("r1", "r2"):
            await made.until(name, "UP")
        async with load(made.url) as running:
            for _ in range(60):
                made.client.weight("r1", random.randint(0, 256))
                made.client.weight("r2", random.randint(1, 256))
                await asyncio.sleep(0.02)
            made.client.weight("r1", 100)
            made.client.weight("r2", 100)
            await asyncio.sleep(0.3)
            assert not running.failed
            assert min(running.answered["1"], running.answered["2"]) > 10
            # SIGTERM: the replica drains itself, finishes, ends; a new one under its address is let in.
            for number in (1, 2):
                made.processes[f"r{number}"].terminate()
                assert await asyncio.to_thread(made.processes[f"r{number}"].wait, 10) == 0
                await asyncio.sleep(1.5)
                made.start(number)
                await made.until(f"r{number}", "UP")
            assert not running.failed
            for number in (1, 2, 1):
                before = running.answered.copy()
                made.processes[f"r{number}"].kill()
                made.processes[f"r{number}"].wait(5)
                await asyncio.sleep(0.5)
                assert running.answered[str(3 - number)] > before[str(3 - number)]
                made.start(number)
                await made.until(f"r{number}", "UP")
            await asyncio.sleep(0.3)
        # The kernel resets what a dead process had not read, and HAProxy does not repeat that: one a caller.
        assert len(running.failed) <= 3 * 8
        assert running.answered.total() > 500


async def test_replicas_come_and_go_and_no_request_fails(tmp_path: Path) -> None:
    """The front is told of a third replica, and of its end, under load, with connections that are kept and
    with new ones; who was drained stays drained."""
    with yard(tmp_path, replicas=3) as made:
        for name in ("r1", "r2", "r3"):
            await made.until(name, "UP")
        made.client.drain("r1")
        process = psutil.Process(made.processes["front"].pid)
        async with load(made.url) as kept, load(made.url, kept=False) as fresh:
            for replicas in (2, 3, 2, 3):
                before = process.children()
                made.tell(replicas)
                assert not (await asyncio.to_thread(psutil.wait_procs, before, 20))[1]
                await made.until("r2", "UP")
                seen = kept.answered.copy(), fresh.answered.copy()
                await asyncio.sleep(1)
                asked = {
                    name
                    for load, old in zip((kept, fresh), seen, strict=True)
                    for name in load.answered - old
                }
                assert asked == {str(number) for number in range(2, replicas + 1)}
        assert kept.failed == fresh.failed == []
        made.settings.write_text("{}")
        await asyncio.sleep(1)
        assert made.status("r2") == "UP", "what cannot be read changes nothing"
        made.settings.write_text(json.dumps({"replicas": ["no address"], "deadline": 30}))
        await asyncio.sleep(1)
        assert made.status("r2") == "UP", "nor does what HAProxy does not accept"
        before = process.children()
        made.tell(2)
        assert not (await asyncio.to_thread(psutil.wait_procs, before, 20))[1]
        await made.until("r2", "UP")
        assert made.status("r3") == ""


async def test_a_replica_that_comes_back_at_once_joins(tmp_path: Path) -> None:
    """It was drained, and the front never saw it gone: the new process says that it is there."""
    with yard(tmp_path) as made:
        for name in ("r1", "r2"):
            await made.until(name, "UP")
        assert await leave(made.folder, 1, lambda: 0)
        assert made.status("r1") == "DRAIN"
        async with load(made.url, 2) as running:
            await asyncio.sleep(0.3)
        assert set(running.answered) == {"2"}
        join(made.folder, 1)
        await made.until("r1", "UP")


async def test_leave_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    with yard(tmp_path, replicas=1, seconds=1.0) as made:
        await made.until("r1", "UP")
        async with aiohttp.ClientSession() as session:
            slow = asyncio.create_task(session.post(f"{made.url}/invocations/m", json={}))
            await asyncio.sleep(0.2)
            assert not await leave(made.folder, 1, lambda: 0, timeout_seconds=0.2)
            begun = time.monotonic()
            assert await leave(made.folder, 1, lambda: 0)
            assert time.monotonic() - begun > 0.2
            assert (await slow).status == 200


async def test_leaving_without_a_front_waits_for_ones_own_count(tmp_path: Path) -> None:
    counts = iter([2, 1, 0])
    assert await leave(None, 1, lambda: next(counts))
    assert await leave(tmp_path, 1, lambda: 0)
    assert not await leave(None, 1, lambda: 1, timeout_seconds=0.1)


async def test_without_replicas_the_front_answers_in_words_and_ends_with_its_parent(tmp_path: Path) -> None:
    with yard(tmp_path, replicas=1) as made:
        await made.until("r1", "UP")
        made.processes["r1"].kill()
        await made.until("r1", "DOWN")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{made.url}/v2/deployments") as answer:
                assert answer.status == 503
                assert await answer.json() == {"error": "no replica answers"}
                assert answer.headers["retry-after"] == "2"
            async with session.get(made.url + config.HEALTH) as answer:
                assert answer.status == 200
        mode = made.client.path.stat().st_mode
        assert mode & 0o777 == 0o600
        parent = psutil.Process(made.processes["front"].pid)
        (child,) = parent.children()
        parent.send_signal(signal.SIGKILL)
        _, alive = await asyncio.to_thread(psutil.wait_procs, [child], 5)
        assert not alive


async def test_replicas_too_busy_for_their_health_check_are_asked_all_the_same(tmp_path: Path) -> None:
    """Both hang for long enough to be taken for dead; a request meanwhile waits for one, and is answered."""
    with yard(tmp_path) as made:
        for name in ("r1", "r2"):
            await made.until(name, "UP")
        busy = [made.processes[name] for name in ("r1", "r2")]
        for each in busy:
            each.send_signal(signal.SIGSTOP)
        try:
            await made.until("r1", "DOWN")
            await made.until("r2", "DOWN")
            async with aiohttp.ClientSession() as session:
                waiting = asyncio.create_task(session.post(f"{made.url}/v2/models/m/infer", json={}))
                await asyncio.sleep(0.3)
                for each in busy:
                    each.send_signal(signal.SIGCONT)
                assert (await waiting).status == 200
        finally:
            for each in busy:
                each.send_signal(signal.SIGCONT)


async def test_a_short_hang_is_not_taken_for_death(tmp_path: Path) -> None:
    with yard(tmp_path) as made:
        for name in ("r1", "r2"):
            await made.until(name, "UP")
        for name in ("r1", "r2"):
            made.processes[name].send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.2)
        for name in ("r1", "r2"):
            made.processes[name].send_signal(signal.SIGCONT)
        assert {made.status("r1"), made.status("r2")} <= {"UP", "UP 1/2"}


def test_a_socket_in_a_deep_folder_is_elsewhere_and_private(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    settings = FrontSettings(free_port(), ("127.0.0.1:9",), deep)
    path = write(settings)
    assert len(str(socket_path(deep))) < 100
    assert socket_path(deep).parent.stat().st_mode & 0o777 == 0o700
    check(config.executable(), path)
    socket_path(deep).parent.rmdir()


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="MODELYARD_FRONT_SETTINGS"):
        read({"MODELYARD_PORT": "1", "MODELYARD_FRONT": str(tmp_path)})
    with pytest.raises(Problem, match="front does not answer"):
        FrontClient(tmp_path).stats()
    path = tmp_path / "bad.cfg"
    path.write_text("nonsense\n")
    with pytest.raises(Problem, match="does not accept"):
        check(config.executable(), path)
