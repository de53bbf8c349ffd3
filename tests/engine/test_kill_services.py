"""``kill -9`` of every service while clients write: nothing that was acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import psutil
import pytest

from blueprints.errors import Problem
from mlops import access
from mlops.data import tables
from mlops.governance.audit import AuditLog
from mlops.monitoring.client import MonitorClient
from mlops.serving.client import GatewayClient
from mlops.tracking.client import TrackingClient
from stacks.engine import Verb
from stacks.local.processes import marked
from stacks.status import services
from tests.conftest import Live
from tests.engine.test_live import TRAIN
from tests.engine.test_small import changed
from tests.tui.test_live import firing_alert

MODEL = "kill-model"


def eventually(holds: Callable[[], Any], seconds: float = 90) -> Any:
    """The first true answer; what is down meanwhile counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := holds():
                return found
        except (Problem, httpx.HTTPError):
            pass
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def well(live: Live) -> bool:
    return all(each.well for each in services(live.environment))


class Writer(threading.Thread):
    """Writes 0, 1, 2, … until it is stopped and remembers which were acknowledged."""

    def __init__(self, write: Callable[[int], object]) -> None:
        super().__init__(daemon=True)
        self.write = write
        self.acknowledged: list[int] = []
        self.refused = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopped.wait(0.02):
            try:
                self.write(number)
                self.acknowledged.append(number)
            except Exception:  # a dead server shows in many ways; what counts is what was acknowledged
                self.refused += 1
            number += 1

    def beyond(self, count: int) -> bool:
        """Whether more than ``count`` writes were acknowledged."""
        return len(self.acknowledged) > count


@contextmanager
def writing(*writers: Writer) -> Iterator[None]:
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        for writer in writers:
            writer.stopped.set()
        for writer in writers:
            writer.join(120)


def kill_first_processes(live: Live, names: tuple[str, ...]) -> list[psutil.Process]:
    """Kill the parent of each service, whose workers the supervisor has to end; returns all that ran."""
    everyone = []
    for name in names:
        family = marked(str(live.project.folder("dev") / name))
        pids = {process.pid for process in family}
        first = next(process for process in family if process.ppid() not in pids)
        first.kill()
        first.wait(10)
        everyone += family
    return everyone


def objects(live: Live) -> Any:
    """An S3 client as a user has one."""
    import boto3
    from botocore.config import Config

    storage = live.environment.storage
    return boto3.client(
        "s3",
        endpoint_url=storage.endpoint_url,
        aws_access_key_id=storage.access_key,
        aws_secret_access_key=storage.secret_key.get_secret_value(),
        region_name=storage.region,
        config=Config(retries={"max_attempts": 1}, read_timeout=10, s3={"addressing_style": "path"}),
    )


def mlflow_api(live: Live) -> httpx.Client:
    """MLflow's REST interface."""
    tracking = live.environment.tracking
    auth = (tracking.username, tracking.password.get_secret_value())
    return httpx.Client(base_url=f"{tracking.url}/api/2.0/mlflow", auth=auth, trust_env=False, timeout=20)


def trained(live: Live) -> None:
    """The model of a plain client, served."""
    program = textwrap.dedent(TRAIN).replace("engine-model", MODEL)
    words = [sys.executable, "-c", program]
    env = {"PATH": "/usr/bin:/bin", **access.variables(live.environment)}
    subprocess.run(words, env=env, capture_output=True, check=True)
    assert live.environment.serving
    gateway = GatewayClient(live.environment.serving)
    eventually(lambda: gateway.predict(MODEL, [{"a": 1.0, "b": 0.0}]))


def logged_predictions(live: Live) -> list[str]:
    import deltalake

    uri = tables.location(live.environment, "predictions", MODEL)
    table = deltalake.DeltaTable(uri, storage_options=tables.options(live.environment.storage))
    found: list[str] = table.to_pyarrow_table().column("id").to_pylist()
    return [each for each in found if each.startswith("kill-")]


@pytest.mark.timeout(400)
def test_what_was_acknowledged_survives_kill_9_of_every_service(live: Live) -> None:
    trained(live)
    assert live.environment.serving
    assert live.environment.monitoring
    gateway = GatewayClient(live.environment.serving, timeout=20)
    s3, api = objects(live), mlflow_api(live)
    experiment = api.post("/experiments/create", json={"name": "kill"}).json()["experiment_id"]
    run = api.post("/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]["run_id"]

    def log_metric(number: int) -> None:
        body = {"run_id": run, "key": "n", "value": number, "timestamp": number, "step": number}
        api.post("/runs/log-metric", json=body).raise_for_status()

    monitor = MonitorClient(live.environment.monitoring)
    alert = monitor.acknowledge(firing_alert(live, "kill-alert"), "ann", "known")
    metrics = Writer(log_metric)
    puts = Writer(lambda n: s3.put_object(Bucket="backups", Key=f"kill/{n}", Body=b"%d" % n))
    rows = Writer(lambda n: gateway.predict(MODEL, [{"a": 1.0, "b": 0.0}], [f"kill-{n}"]))
    with writing(metrics, puts, rows):
        for names in (("storage", "gateway"), ("database", "tracking", "monitor")):
            before = kill_first_processes(live, names)
            eventually(lambda: well(live))
            assert not [process for process in before if process.is_running()]
        for writer in (metrics, puts, rows):
            eventually(partial(writer.beyond, len(writer.acknowledged)))

    for writer in (metrics, puts, rows):
        assert writer.refused, "the kill was not noticed: it hit nothing"
    history = TrackingClient(live.environment.tracking, timeout=20).metric_history(run, "n")
    assert {point.step for point in history} >= set(metrics.acknowledged)
    for number in puts.acknowledged:
        assert s3.get_object(Bucket="backups", Key=f"kill/{number}")["Body"].read() == b"%d" % number
    wanted = {f"kill-{number}" for number in rows.acknowledged}
    eventually(lambda: wanted <= set(logged_predictions(live)))
    found = logged_predictions(live)
    assert len(found) == len(set(found))
    assert monitor.alert(alert.id).state == "acknowledged"
    log = AuditLog(live.project.audit_file)
    assert log.verify().sound
    assert any(entry.action == "alert.acknowledge" and entry.who for entry in log.entries())


def test_kill_9_of_the_supervisor_is_seen_and_healed(live: Live) -> None:
    root = live.project.folder("dev")
    [supervisor] = marked(str(root / "supervisor"))
    supervisor.kill()
    supervisor.wait(10)
    assert all("supervisor" in each.reason for each in services(live.environment))
    seen = changed(live.engine.refresh().steps)
    assert {name for name in seen if name.startswith("s")} >= {"supervisor supervisor", "service tracking"}
    live.engine.up()
    assert {step.name for step in live.engine.preview().steps if step.verb is not Verb.SAME} == set()
    eventually(lambda: well(live))
    # Each service once: its first process is a child of the new supervisor.
    [supervisor] = marked(str(root / "supervisor"))
    family = {process.pid for process in marked(str(root), whole_environment=True)}
    children = {process.pid for process in supervisor.children()}
    assert len(children) == len(live.environment.services)
    assert family <= {supervisor.pid} | {each.pid for each in supervisor.children(recursive=True)}
