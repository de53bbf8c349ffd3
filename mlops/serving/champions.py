"""The models the gateway serves: whatever the registry calls ``champion``."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blueprints.environment import TrackingRef
from blueprints.errors import Problem
from mlops.serving.stats import Stats
from mlops.tracking.client import TrackingClient
from mlops.tracking.entities import ModelVersion

ALIAS = "champion"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A loaded model version."""

    name: str
    version: str
    run_id: str
    since: str
    model: Any
    columns: tuple[str, ...]
    """Columns of its signature in order; empty when it has none."""


@dataclass(frozen=True)
class Fault:
    """Why a version that should be served is not. ``attempts`` were made; the next is at ``retry`` on the
    monotonic clock: the registry or the storage may only have been away."""

    version: str
    reason: str
    attempts: int = 1
    retry: float = 0.0


class Champions:
    """Follows the registry and holds what is served; reading it never waits.

    Args:
        tracking: The registry.
        trust_pickle: Load models whose files can run code.
        interval: Seconds between two looks.
    """

    def __init__(self, tracking: TrackingRef, trust_pickle: bool, interval: float = 2.0) -> None:
        self._ref, self._trust, self._interval = tracking, trust_pickle, interval
        self._client = TrackingClient(tracking)
        self._stop = threading.Event()
        self.served: Mapping[str, Served] = {}
        self.faults: Mapping[str, Fault] = {}
        self.loading = ""
        self.stats: dict[str, Stats] = {}
        self.registry_fault = "the registry was not asked yet"
        self._thread = threading.Thread(target=self._work, name="champions", daemon=True)

    def start(self) -> None:
        """Begin to follow the registry."""
        # mlflow reads its server and credentials from here.
        os.environ["MLFLOW_TRACKING_URI"] = self._ref.url
        os.environ["MLFLOW_TRACKING_USERNAME"] = self._ref.username
        os.environ["MLFLOW_TRACKING_PASSWORD"] = self._ref.password.get_secret_value()
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()

    def _work(self) -> None:
        while True:
            try:
                self.look()
                self.registry_fault = ""
            except Problem as problem:
                self.registry_fault = problem.what
            except Exception as error:
                self.registry_fault = str(error).splitlines()[0][:200]
                log.exception("looking at the registry failed")
            if self._stop.wait(self._interval):
                return

    def look(self) -> None:
        """Bring what is served to what the registry says; one model's fault does not touch the others."""
        wanted = {
            model.name: model.aliases[ALIAS] for model in self._client.models() if ALIAS in model.aliases
        }
        gone = set(self.served) - set(wanted)
        if gone:
            self.served = {name: each for name, each in self.served.items() if name not in gone}
        self.faults = {name: fault for name, fault in self.faults.items() if name in wanted}
        for name, version in wanted.items():
            now, fault = self.served.get(name), self.faults.get(name)
            waits = fault and fault.version == version and time.monotonic() < fault.retry
            if (now and now.version == version) or waits:
                continue
            self.loading = name
            try:
                self._load(self._client.version(name, version))
            finally:
                self.loading = ""

    def _load(self, version: ModelVersion) -> None:
        start = time.monotonic()
        try:
            model, columns = load(version, self._trust)
        except Exception as error:
            reason = str(error).splitlines()[0][:300] or type(error).__name__
            log.warning("%s version %s cannot be served: %s", version.name, version.version, reason)
            known = self.faults.get(version.name)
            attempts = known.attempts + 1 if known and known.version == version.version else 1
            retry = time.monotonic() + min(60.0, 2.0**attempts)
            fault = Fault(version.version, reason, attempts, retry)
            self.faults = {**self.faults, version.name: fault}
            return
        since = datetime.now(UTC).isoformat(timespec="seconds")
        served = Served(version.name, version.version, version.run_id, since, model, columns)
        self.stats.setdefault(version.name, Stats())
        # One assignment: a request sees the old version or the new, never a mixture.
        self.served = {**self.served, version.name: served}
        self.faults = {name: fault for name, fault in self.faults.items() if name != version.name}
        log.info("%s version %s loaded in %.1f s", version.name, version.version, time.monotonic() - start)


def load(version: ModelVersion, trust_pickle: bool) -> tuple[Any, tuple[str, ...]]:
    """Load a version with its native flavour; returns the pyfunc model and its input columns.

    Raises:
        Problem: Its files can run code and that is not trusted.
    """
    import mlflow

    uri = f"models:/{version.name}/{version.version}"
    info = mlflow.models.get_model_info(uri)
    if not trust_pickle and _can_run_code(info.flavors):
        raise Problem(
            "its files can run code (pickle) and the spec does not trust them",
            where=f"{version.name} version {version.version}",
            expected="a model logged with skops or ONNX, or serving.trust_pickle=true",
        )
    model = mlflow.pyfunc.load_model(uri)
    signature = model.metadata.signature
    columns: tuple[str, ...] = ()
    if signature is not None and signature.inputs is not None and signature.inputs.has_input_names():
        columns = tuple(str(name) for name in signature.inputs.input_names())
    return model, columns


def _can_run_code(flavors: Mapping[str, Any]) -> bool:
    """Whether loading any flavour may unpickle: all formats but those known to be plain data."""
    plain_formats = {"skops", "onnx", "json", "ubj", "txt"}
    for name, flavor in flavors.items():
        if name == "python_function":
            if "python_model" in flavor or "loader_module" not in flavor:
                return True
            continue
        if name == "onnx":
            continue
        form = flavor.get("serialization_format") or flavor.get("model_format") or flavor.get("save_format")
        if form not in plain_formats:
            return True
    return False
