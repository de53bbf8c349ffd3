"""Small real parts for tests of the control plane: a registry that speaks MLflow's interface, runtimes of
nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from blueprints.environment import TrackingRef
from mlops.serving.rollout.state import TAG, Deployment
from mlops.serving.rows import Batch, Outputs, Runtime
from mlops.serving.signature import Column, Signature
from mlops.tracking.client import TrackingClient
from tests.servers import Answer, Request, serving


@dataclass
class Registry:
    """Registered models over HTTP: aliases, tags, versions."""

    url: str = ""
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 200
    #: Runs while the list of models is on its way to whoever asked.
    listing: Callable[[], None] = lambda: None
    writes: list[str] = field(default_factory=list)

    @property
    def client(self) -> TrackingClient:
        """As the gateway has one."""
        return TrackingClient(TrackingRef(url=self.url), timeout=2)

    def add(
        self, name: str, champion: str = "", tag: str = "", versions: tuple[str, ...] = ("1", "2")
    ) -> None:
        """A registered model."""
        self.models[name] = {
            "aliases": {"champion": champion} if champion else {},
            "tags": {TAG: tag} if tag else {},
            "versions": list(versions),
        }

    def state(self, name: str) -> Deployment:
        """What the tag says."""
        return Deployment.from_tag(self.models[name]["tags"].get(TAG, ""))

    def answer(self, request: Request) -> Answer:
        """MLflow, as far as the gateway asks it."""
        if self.status != 200:
            return Answer(self.status, {"message": "the database is away"})
        path = request.path.removeprefix("/api/2.0/mlflow/")
        if path.startswith("registered-models/search"):
            found = {"registered_models": [self._model(name) for name in self.models]}
            self.listing()
            return Answer(body=found)
        if path.startswith("model-versions/search"):
            named = next((name for name in self.models if f"'{name}'" in request.query["filter"]), "")
            versions = self.models[named]["versions"] if named else ()
            return Answer(body={"model_versions": [_version(named, each) for each in versions]})
        self.writes.append(f"{request.method} {path}")
        model = self.models[(request.data or request.query)["name"]]
        if path == "registered-models/alias":
            if request.method == "DELETE":
                model["aliases"].pop((request.data or request.query)["alias"], None)
            else:
                model["aliases"][request.data["alias"]] = request.data["version"]
        elif path == "registered-models/set-tag":
            model["tags"][request.data["key"]] = request.data["value"]
        return Answer(body={})

    def _model(self, name: str) -> dict[str, Any]:
        model = self.models[name]
        return {
            "name": name,
            "aliases": [{"alias": alias, "version": each} for alias, each in model["aliases"].items()],
            "tags": [{"key": key, "value": each} for key, each in model["tags"].items()],
            "latest_versions": [],
        }


def _version(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "version": version, "run_id": "", "creation_timestamp": 0, "tags": []}


@contextmanager
def registry() -> Iterator[Registry]:
    """One that answers until the block ends."""
    made = Registry()
    with serving(made.answer) as url:
        made.url = url
        yield made


class Blank(Runtime):
    """A runtime of nothing."""

    processes, memory = 0, None

    def __init__(self, model: str, version: str) -> None:
        self.model, self.version, self.closed = model, version, False
        self.run_id, self.kind, self.signature = "", "native", Signature((Column("x", "double"),))

    async def predict(self, batch: Batch) -> Outputs:
        """Nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go."""
        self.closed = True


@dataclass
class Loading:
    """Loads what is not in ``faults``; ``gates`` hold versions up until they are set."""

    faults: dict[tuple[str, str], Exception] = field(default_factory=dict)
    gates: Mapping[tuple[str, str], threading.Event] = field(default_factory=dict)
    attempts: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, model: str, version: str) -> Runtime:
        """The runtime of a version."""
        self.attempts.append((model, version))
        if (model, version) in self.gates:
            self.gates[model, version].wait(30)
        if (model, version) in self.faults:
            raise self.faults[model, version]
        return Blank(model, version)
