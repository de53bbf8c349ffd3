"""A yard for live tests: MLflow, the gateway and the monitor as real processes, by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from blueprints.environment import (
    DatabaseRef,
    Environment,
    MonitoringRef,
    ServingRef,
    StorageRef,
    TrackingRef,
)
from blueprints.errors import Problem
from mlops.serving.client import GatewayClient
from mlops.tracking.client import TrackingClient


def free_port() -> int:
    """One nobody listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def until(what: Callable[[], Any], seconds: float = 90) -> Any:
    """The first true answer of ``what``; what is down meanwhile counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := what():
                return found
        except (Problem, httpx.HTTPError) as error:
            if time.monotonic() > deadline:
                raise AssertionError(str(error)) from error
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


@contextmanager
def process(words: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that is gone afterwards."""
    with log.open("ab") as out:
        made = subprocess.Popen(
            words,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **variables},
            cwd=Path(__file__).parents[2],
        )
    try:
        yield made
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if made.poll() is None:
                os.killpg(made.pid, number)
                try:
                    made.wait(15)
                except subprocess.TimeoutExpired:
                    continue


@dataclass(frozen=True)
class Yard:
    """The services by hand."""

    folder: Path
    environment: Environment
    variables: dict[str, str]
    gateway: GatewayClient
    tracking: TrackingClient

    def serving(self) -> Any:
        """A new gateway process on the same port and folder."""
        assert self.environment.serving is not None
        return process(
            [sys.executable, "-m", "mlops.serving"],
            self.folder / "gateway.log",
            **self.variables,
            MODELYARD_PORT=port_of(self.environment.serving.url),
            MODELYARD_DATA_DIR=str(self.folder / "gateway"),
        )

    def mlflow(self) -> Any:
        """A new MLflow server on the same port and folder."""
        words = [
            *(sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", "--workers=1"),
            f"--port={port_of(self.environment.tracking.url)}",
            f"--backend-store-uri=sqlite:///{self.folder / 'mlflow.db'}",
            f"--artifacts-destination={(self.folder / 'artifacts').as_uri()}",
        ]
        return process(words, self.folder / "mlflow.log", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")

    def monitoring(self) -> Any:
        """A new monitor process."""
        assert self.environment.monitoring is not None
        return process(
            [sys.executable, "-m", "mlops.monitoring"],
            self.folder / "monitor.log",
            **self.variables,
            MODELYARD_PORT=port_of(self.environment.monitoring.url),
            MODELYARD_DATA_DIR=str(self.folder / "monitor"),
        )


def port_of(url: str) -> str:
    """The port of ``http://host:port``."""
    return url.rpartition(":")[2]


@contextmanager
def opened(folder: Path, spec: Mapping[str, Any]) -> Iterator[Yard]:
    """A yard whose MLflow runs; gateway and monitor are started by the test."""
    tracking, serving, monitoring = (f"http://127.0.0.1:{free_port()}" for _ in range(3))
    database = DatabaseRef.model_validate(
        {"name": "monitoring", "url": f"sqlite:///{folder / 'monitoring.db'}"}
    )
    environment = Environment(
        project="p",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url=tracking),
        storage=StorageRef(kind="folder", buckets={"data": (folder / "data").as_uri()}),
        databases={"monitoring": database},
        serving=ServingRef.model_validate({"url": serving, "token": "let-me-in"}),
        monitoring=MonitoringRef.model_validate({"url": monitoring, "token": "see", "database": database}),
    )
    variables = {
        "MODELYARD_ENVIRONMENT": json.dumps(environment.revealed()),
        "MODELYARD_SPEC": json.dumps(dict(spec)),
        "MODELYARD_AUDIT_FILE": str(folder / "audit.jsonl"),
    }
    assert environment.serving is not None
    client = TrackingClient(environment.tracking)
    made = Yard(folder, environment, variables, GatewayClient(environment.serving), client)
    with made.mlflow():
        until(lambda: client.experiments(), 150)
        yield made
