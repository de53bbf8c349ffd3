"""Everything a served model depends on, as real processes that a test may kill and stop: PostgreSQL, S3,
MLflow on both, gateway replicas behind HAProxy, the monitor."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
from mlops.serving.client import GatewayClient
from mlops.serving.front.client import FrontClient
from mlops.serving.rollout.state import Deployment
from mlops.tracking.client import TrackingClient
from stacks.components.local.serving import known
from stacks.components.local.storage import _command, _identities
from stacks.local import postgres
from stacks.local.launch import QUIET, step_down
from stacks.provider.bucket import Bucket
from tests.mlops.yard import until

ROOT = Path(__file__).parents[2]
TOKEN = "let-me-in"
_SECRET = "the-secret-of-the-test"


@dataclass
class Service:
    """One process group that can be killed, stopped for a while and started again under its address."""

    name: str
    words: list[str]
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = ROOT
    well: Callable[[], bool] = lambda: True
    #: PostgreSQL takes SIGTERM for "wait until everybody has left".
    ending: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        """Begin, and wait until it is well."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.words,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **QUIET, **self.variables},
                cwd=self.cwd,
            )
        if wait:
            self.wait()

    def wait(self, seconds: float = 120) -> None:
        """Until it is well."""
        until(self.well, seconds)

    def kill(self) -> None:
        """``kill -9`` of the group; returns when it is gone."""
        self._signal(signal.SIGKILL)

    def end(self, seconds: float = 20) -> int:
        """Ask it to end, as a supervisor does; returns its exit code."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.send_signal(self.ending)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait(15)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Killed inside the block, well again after it."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """SIGSTOP inside the block: its sockets accept and nobody answers."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)


@dataclass(frozen=True)
class RealYard:
    """The services of one environment."""

    folder: Path
    environment: Environment
    gateway: GatewayClient
    tracking: TrackingClient
    database: Service
    storage: Service
    mlflow: Service
    replicas: tuple[Service, ...]
    front: Service
    monitor: Service

    @property
    def url(self) -> str:
        """What callers know."""
        assert self.environment.serving is not None
        return self.environment.serving.url

    def client(self, replica: int) -> GatewayClient:
        """One replica alone (from 1)."""
        assert self.environment.serving is not None
        base = self.environment.serving.replicas[replica - 1]
        return GatewayClient(ServingRef.model_validate({"url": base, "token": TOKEN}), timeout=90)

    def state(self, model: str, replica: int = 0) -> Deployment:
        """The desired state as the gateway says it; of one replica when it is named."""
        client = self.client(replica) if replica else self.gateway
        return next((each.desired for each in client.deployments() if each.model == model), Deployment())


def steady_port() -> int:
    """One nobody listens on, outside of those that outgoing connections take: a service that was killed
    must find it free again."""
    deal = random.SystemRandom()
    while _listens(port := deal.randrange(20_000, 32_000)):
        continue
    return port


def _answers(url: str, token: str = "") -> Callable[[], bool]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def well() -> bool:
        return httpx.get(url, headers=headers, timeout=3, trust_env=False).status_code == 200

    return well


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _database(folder: Path) -> tuple[Service, str]:
    """PostgreSQL from pip; returns it with the URL of a database in it, to be formatted with a name."""
    port, data = steady_port(), folder / "postgres"
    postgres.initialise(data, _SECRET)
    postgres.write_configuration(data, postgres.configuration(port, 50))
    server = str(postgres.binaries() / "postgres")
    words = [server, "-D", str(data)]
    if user := postgres.run_as():
        words = step_down(words, user, [data, Path(server)])

    def well() -> bool:
        import psycopg

        try:
            psycopg.connect(_dsn(port, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    made = Service("postgres", words, folder / "postgres.log", cwd=data, well=well, ending=signal.SIGINT)
    return made, f"postgresql+psycopg://postgres:{_SECRET}@127.0.0.1:{port}/{{}}"


def _dsn(port: int, name: str) -> str:
    return f"postgresql://postgres:{_SECRET}@127.0.0.1:{port}/{name}"


def _storage(folder: Path) -> tuple[Service, StorageRef]:
    port, inner = steady_port(), [steady_port() for _ in range(7)]
    identities, data = folder / "s3.json", folder / "s3"
    identities.write_text(_identities(_SECRET))
    data.mkdir()
    reference = StorageRef.model_validate(
        {
            "kind": "s3",
            "buckets": {name: f"s3://{name}" for name in ("artifacts", "data")},
            "endpoint_url": f"http://127.0.0.1:{port}",
            "access_key": "modelyard",
            "secret_key": _SECRET,
        }
    )

    def well() -> bool:
        # Its parts find each other again a little after it first answers.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            _buckets(reference)
        except (BotoCoreError, ClientError):
            return False
        return _answers(f"http://127.0.0.1:{port}/healthz")()

    words = _command(str(data), str(identities), port, inner)
    return Service("storage", words, folder / "s3.log", cwd=data, well=well), reference


def _buckets(storage: StorageRef) -> None:
    """Make what is missing, and prove that it can be written to."""
    reach = {
        "endpoint": storage.endpoint_url,
        "access_key": storage.access_key,
        "secret_key": storage.secret_key.get_secret_value(),
    }
    client = Bucket(None)._client(reach)  # type: ignore[arg-type] # it needs no home for this
    there = {each["Name"] for each in client.list_buckets()["Buckets"]}
    for name in set(storage.buckets) - there:
        client.create_bucket(Bucket=name)
    client.put_object(Bucket="data", Key="probe", Body=b"1")


def _mlflow(folder: Path, url: str, database: str, storage: StorageRef) -> Service:
    words = [
        *(sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", "--workers=1"),
        f"--port={url.rpartition(':')[2]}",
        f"--backend-store-uri={database}",
        "--serve-artifacts",
        "--artifacts-destination=s3://artifacts",
    ]
    variables = {
        "AWS_ACCESS_KEY_ID": storage.access_key,
        "AWS_SECRET_ACCESS_KEY": storage.secret_key.get_secret_value(),
        "AWS_DEFAULT_REGION": storage.region,
        "MLFLOW_S3_ENDPOINT_URL": storage.endpoint_url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return Service("mlflow", words, folder / "mlflow.log", variables, well=_answers(f"{url}/health"))


@contextmanager
def opened(spec: Mapping[str, Any], replicas: int = 2) -> Iterator[RealYard]:
    """Everything up, without a model."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-chaos-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)

        def started(service: Service) -> Service:
            service.start(wait=False)
            # What they would do when asked nicely has been tested by then.
            stack.callback(service.kill)
            return service

        database, database_url = _database(folder)
        storage, reference = _storage(folder)
        started(database), started(storage)
        database.wait()
        _make_databases(database_url)
        tracking = f"http://127.0.0.1:{steady_port()}"
        mlflow = _mlflow(folder, tracking, database_url.format("tracking"), reference)
        started(mlflow)
        environment = _environment(tracking, database_url, reference, replicas)
        variables = {
            "MODELYARD_ENVIRONMENT": json.dumps(environment.revealed()),
            "MODELYARD_SPEC": json.dumps(dict(spec)),
            "MODELYARD_AUDIT_FILE": str(folder / "audit.jsonl"),
            "OMP_NUM_THREADS": "1",
        }
        gateways = tuple(started(each) for each in _gateways(folder, environment, variables))
        front, monitor = (started(each) for each in _beside(folder, environment, variables))
        for each in (storage, mlflow, *gateways, front, monitor):
            each.wait()
        assert environment.serving is not None
        gateway, client = GatewayClient(environment.serving, timeout=90), TrackingClient(environment.tracking)
        yield RealYard(
            folder, environment, gateway, client, database, storage, mlflow, gateways, front, monitor
        )


def _make_databases(url: str) -> None:
    import psycopg

    plain = url.replace("+psycopg", "").format("postgres")
    with psycopg.connect(plain, autocommit=True) as connection:
        for name in ("tracking", "monitoring"):
            connection.execute(f"create database {name}".encode())


def _environment(tracking: str, database_url: str, storage: StorageRef, replicas: int) -> Environment:
    addresses = [f"http://127.0.0.1:{steady_port()}" for _ in range(replicas + 2)]
    monitoring = DatabaseRef.model_validate({"name": "monitoring", "url": database_url.format("monitoring")})
    return Environment(
        project="p",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url=tracking),
        storage=storage,
        databases={"monitoring": monitoring},
        serving=ServingRef.model_validate(
            {"url": addresses[0], "token": TOKEN, "replicas": tuple(addresses[2:])}
        ),
        monitoring=MonitoringRef.model_validate(
            {"url": addresses[1], "token": "see", "database": monitoring}
        ),
    )


def _gateways(folder: Path, environment: Environment, variables: Mapping[str, str]) -> list[Service]:
    assert environment.serving is not None
    urls = environment.serving.replicas
    made = []
    for number, url in enumerate(urls, start=1):
        mine = {
            **variables,
            "MODELYARD_PORT": url.rpartition(":")[2],
            "MODELYARD_REPLICA": str(number),
            "MODELYARD_REPLICAS": ",".join(known(number, urls)),
            "MODELYARD_FRONT": str(folder / "front"),
            "MODELYARD_DATA_DIR": str(folder / f"gateway-{number}"),
        }
        words = [sys.executable, "-m", "mlops.serving"]
        well = _answers(f"{url}/v2/health/live")
        made.append(Service(f"gateway-{number}", words, folder / f"gateway-{number}.log", mine, well=well))
    return made


def _beside(folder: Path, environment: Environment, variables: Mapping[str, str]) -> tuple[Service, Service]:
    """The front and the monitor."""
    assert environment.serving is not None
    assert environment.monitoring is not None
    settings = folder / "front.json"
    settings.write_text(json.dumps({"replicas": list(environment.serving.replicas), "deadline": 30}))
    front = {
        "MODELYARD_PORT": environment.serving.url.rpartition(":")[2],
        "MODELYARD_FRONT_SETTINGS": str(settings),
        "MODELYARD_FRONT": str(folder / "front"),
    }
    monitor = {
        **variables,
        "MODELYARD_PORT": environment.monitoring.url.rpartition(":")[2],
        "MODELYARD_DATA_DIR": str(folder / "monitor"),
    }
    return (
        Service(
            "front",
            [sys.executable, "-m", "mlops.serving.front"],
            folder / "front.log",
            front,
            well=_answers(f"{environment.serving.url}/-/front"),
        ),
        Service(
            "monitor",
            [sys.executable, "-m", "mlops.monitoring"],
            folder / "monitor.log",
            monitor,
            well=_answers(f"{environment.monitoring.url}/health"),
        ),
    )


class Models:
    """Versions of one model, made cheaply: most are the same files registered once more."""

    def __init__(self, yard: RealYard, name: str) -> None:
        import mlflow

        self.name = name
        self._client = mlflow.MlflowClient(yard.environment.tracking.url, yard.environment.tracking.url)
        self._sources: dict[str, tuple[str, str, str]] = {}
        mlflow.set_tracking_uri(yard.environment.tracking.url)
        mlflow.set_experiment(name)
        self._client.create_registered_model(self.name)
        for name, config in (("good", {}), ("bad", {"shift": 3.0})):
            self._sources[name] = self._log(config)

    def _log(self, config: dict[str, float]) -> tuple[str, str, str]:
        import mlflow
        import pandas as pd

        frame = pd.DataFrame({"x": [0.5, 1.0], "y": [1.0, 2.0]})
        with mlflow.start_run() as run:
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(ROOT / "tests" / "mlops" / "serving" / "behaviour.py"),
                model_config=config,
                signature=mlflow.models.infer_signature(frame, frame["x"] + frame["y"]),
                input_example=frame,
                pip_requirements=[],
            )
        return str(info.model_uri), run.info.run_id, str(info.model_id)

    def register(self, kind: str = "good") -> str:
        """A new version; returns it."""
        source, run, model = self._sources[kind]
        return str(self._client.create_model_version(self.name, source, run, model_id=model).version)


def both_serve(yard: RealYard) -> None:
    """Until the front gives traffic to both replicas."""
    front = FrontClient(yard.folder / "front")
    until(lambda: all(each.status == "UP" for each in front.stats() if each.backend == "ready"))
