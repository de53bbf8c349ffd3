"""Real MLflow on real PostgreSQL and S3, two replicas behind HAProxy, under load, while each of them is
killed (``kill -9``) and stopped (SIGSTOP) in turn: nobody who was answered is missing from the log, rollbacks
move traffic, rollouts go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlops.serving.rollout.state import Deployment
from tests.mlops.serving.load import Load, steady
from tests.mlops.yard import until
from tests.real.yard import TOKEN, RealYard, opened

pytestmark = pytest.mark.timeout(300)
_MODEL = "sum"
_SPEC = {
    "serving": {"trust_pickle": True, "isolation": "never", "log": {"commit_seconds": 0.5}},
    "monitoring": {"interval_seconds": 1},
}
_CANARY = "canary:20,50,100,gates=errors:0.1+latency:1.5+drift:0.35"
#: Answered ids of all loads of this file.
_ANSWERED: set[str] = set()


class Models:
    """Versions of one model, made cheaply: most are the same files registered once more."""

    def __init__(self, yard: RealYard) -> None:
        self._client = MlflowClient(yard.environment.tracking.url, yard.environment.tracking.url)
        self._sources: dict[str, tuple[str, str, str]] = {}
        mlflow.set_tracking_uri(yard.environment.tracking.url)
        mlflow.set_experiment(_MODEL)
        self._client.create_registered_model(_MODEL)
        for name, config in (("good", {}), ("bad", {"shift": 3.0})):
            self._sources[name] = self._log(config)

    def _log(self, config: dict[str, float]) -> tuple[str, str, str]:
        frame = pd.DataFrame({"x": [0.5, 1.0], "y": [1.0, 2.0]})
        with mlflow.start_run() as run:
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).parents[1] / "mlops" / "serving" / "behaviour.py"),
                model_config=config,
                signature=mlflow.models.infer_signature(frame, frame["x"] + frame["y"]),
                input_example=frame,
                pip_requirements=[],
            )
        return str(info.model_uri), run.info.run_id, str(info.model_id)

    def register(self, kind: str = "good") -> str:
        """A new version; returns it."""
        source, run, model = self._sources[kind]
        return str(self._client.create_model_version(_MODEL, source, run, model_id=model).version)


@pytest.fixture(scope="module")
def yard() -> Iterator[RealYard]:
    with opened(_SPEC) as made:
        yield made


@pytest.fixture(scope="module")
def models(yard: RealYard) -> Models:
    made = Models(yard)
    version = made.register()
    yard.tracking.set_alias(_MODEL, "champion", version)
    until(lambda: all(yard.state(_MODEL, each).champion == version for each in (1, 2)))
    until(lambda: yard.gateway.predict(_MODEL, [{"x": 1.0, "y": 1.0}]))
    return made


@contextmanager
def load(yard: RealYard, name: str, pause: float = 0.02) -> Iterator[Load]:
    with steady(yard.url, TOKEN, _MODEL, 4, pause, name) as made:
        yield made
    _ANSWERED.update(made.ids)
    say(f"{name}: {len(made.ids)} answered, {len(made.failed)} failed {made.failed[:3]}")


def say(text: str) -> None:
    """A figure for who runs this with ``-s``."""
    sys.stderr.write(f"{text}\n")


def goes_on(running: Load) -> None:
    """Until some more requests are answered."""
    before = running.answered.total()
    until(lambda: running.answered.total() > before + 20)


def act(yard: RealYard, action: str, **what: Any) -> Deployment:
    return yard.gateway.act(_MODEL, action, by="ann@host", **what)


def settled(yard: RealYard, seconds: float = 90) -> Deployment:
    """The state once the rollout has ended, the same on both replicas."""

    def over() -> Deployment | None:
        one, two = (yard.state(_MODEL, each) for each in (1, 2))
        return one if not one.active and one.revision == two.revision else None

    found: Deployment = until(over, seconds)
    return found


def both_serve(yard: RealYard) -> None:
    """Until the front gives traffic to both replicas."""
    from mlops.serving.front.client import FrontClient

    front = FrontClient(yard.folder / "front")
    until(lambda: all(each.status == "UP" for each in front.stats() if each.backend == "ready"))


def test_what_is_killed_and_stopped_in_turn_costs_no_answer(yard: RealYard, models: Models) -> None:
    for service in (yard.mlflow, yard.storage, yard.database):
        with load(yard, service.name) as running:
            with service.stopped():
                time.sleep(3)
            time.sleep(0.5)
            with service.down():
                time.sleep(3)
            assert running.answered.total() > 50
        assert running.failed == []
    for number, service in enumerate(yard.replicas, start=1):
        both_serve(yard)
        with load(yard, service.name) as running:
            with service.stopped():
                time.sleep(3)
            time.sleep(0.5)
            with service.down():
                time.sleep(1)
            both_serve(yard)
            goes_on(running)
        assert len(running.failed) <= 1, (number, running.failed)
