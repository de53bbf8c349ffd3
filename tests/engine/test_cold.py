"""The light options come up and work; a cold ``up`` or ``destroy`` that is killed converges."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from blueprints.keys import assign
from mlops import access
from mlops.serving.client import GatewayClient
from stacks.engine import Engine
from stacks.project import Project
from tests.engine.conftest import services
from tests.engine.test_damage import LIGHT
from tests.engine.test_kill_services import eventually
from tests.engine.test_live import TRAIN

RUN = (
    "import sys, pathlib; from stacks.engine import Engine; from stacks.project import Project;"
    "getattr(Engine(Project.find(pathlib.Path(sys.argv[1])), 'dev'), sys.argv[2])()"
)


@pytest.fixture
def project() -> Iterator[Project]:
    """A light project that was never up; nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="modelyard-cold-") as folder:
        made = Project.create(Path(folder) / "cold", "cold", "dev", LIGHT)
        try:
            yield made
        finally:
            Engine(made, "dev").destroy(delete_data=True)
            assert services(made) == {}


def begin(project: Project, operation: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", RUN, str(project.root), operation]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def engine_of(process: subprocess.Popen[bytes], operation: str) -> psutil.Process:
    """The Pulumi CLI that does the operation."""
    while process.poll() is None:
        for child in psutil.Process(process.pid).children():
            # One of the short calls before it may end as we look.
            with suppress(psutil.Error):
                if "pulumi" in child.name() and operation in child.cmdline():
                    return child
        time.sleep(0.01)
    raise AssertionError("it ended before it began")


@pytest.mark.parametrize(("moment", "whole"), [(0.5, True), (2.5, False)])
def test_a_cold_up_and_a_destroy_that_are_killed_converge(
    project: Project, moment: float, whole: bool
) -> None:
    """``whole``: modelyard itself is killed, else its Pulumi child alone."""
    for operation in ("up", "destroy"):
        process = begin(project, operation)
        engine = engine_of(process, operation)
        time.sleep(moment / (1 if operation == "up" else 5))
        (process if whole else engine).kill()
        process.wait(60)
        Engine(project, "dev").up()
        assert Engine(project, "dev").preview().changes == 0
        assert services(project) == {"supervisor": 1, "tracking": 1}


def test_sqlite_folder_two_workers_two_replicas(project: Project) -> None:
    spec = assign(LIGHT, ["tracking.workers=2", "serving.enabled=true", "serving.replicas=2"])
    project.write_spec("dev", spec)
    Engine(project, "dev").up()
    environment = Engine(project, "dev").outputs()
    env = {**os.environ, **access.variables(environment)}
    program = textwrap.dedent(TRAIN)
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("hello")
    serving = environment.serving
    assert serving is not None
    assert len(set(serving.replicas)) == 2
    assert {"front", "gateway", "gateway-2"} < {each.name for each in environment.services}
    rows = [{"a": 1.0, "b": 0.0}]
    headers = {"Authorization": f"Bearer {serving.token.get_secret_value()}"}

    def answers(url: str) -> bool:
        body = {"dataframe_records": rows}
        return httpx.post(f"{url}/invocations/engine-model", json=body, headers=headers).is_success

    for url in serving.replicas:
        eventually(partial(answers, url))

    def shared() -> bool:
        """Each connection to the one port goes to either replica; in the end both have answered there."""
        gateway = GatewayClient(serving)
        gateway.predict("engine-model", rows)
        gateway.close()
        return all(requests(url) > 1 for url in serving.replicas)

    def requests(url: str) -> int:
        found = httpx.get(f"{url}/v2/deployments", headers=headers).json()["deployments"]
        return sum(int(arm["requests"]) for arm in found[0]["arms"])

    eventually(shared)
