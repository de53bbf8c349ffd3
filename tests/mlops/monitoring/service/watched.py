"""A monitor on a folder and SQLite, with a registry that only says which versions there are and what their
runs hold; as a program it looks again and again until it is killed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from blueprints.environment import Environment
from blueprints.spec import MonitoringSpec
from mlops.monitoring.alerts import Alerts, AlertStore
from mlops.monitoring.service.monitor import Monitor
from mlops.monitoring.service.reference import build_reference
from mlops.serving.log import PredictionLog
from mlops.serving.rows import Call, Outputs
from tests.mlops.serving.logs import batch, environment

SPEC = MonitoringSpec(window_rows=100)


class Registry:
    """Models and what their runs hold as the reference."""

    url = "http://registry"

    def __init__(self, references: Mapping[str, str]) -> None:
        self._references = references

    def models(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self._references]

    def version(self, model: str, version: str) -> Any:
        return SimpleNamespace(run_id=model)

    def artifact(self, run: str, path: str) -> bytes:
        return self._references[run].encode()


def reference() -> str:
    """Of two columns and the output, as :func:`send` makes them."""
    random = np.random.default_rng(0)
    made = random.normal(size=(2000, 2))
    return build_reference({"x": made[:, 0], "y": made[:, 1]}, made.sum(axis=1), task="regression").to_json()


def send(made: Environment, folder: Path, model: str, prefix: str, number: int) -> None:
    """Rows of two normal columns and their sum, in the table when this returns."""
    values = np.random.default_rng(len(prefix) + number).normal(size=(number, 2))
    log = PredictionLog(folder / "log" / prefix, made)
    ids = [f"{prefix}-{row}" for row in range(number)]
    answers = Outputs(values.sum(axis=1))
    log.append(
        model, "1", "champion", Call(prefix, caller="team", trace=""), batch(ids, values), answers, 0.001
    )
    log.flush()


def monitor(folder: Path, references: Mapping[str, str]) -> Monitor:
    """The monitor of that folder."""
    made = Monitor(
        environment(folder), SPEC, Alerts(AlertStore(f"sqlite:///{folder / 'alerts.db'}"), SPEC.alerts)
    )
    made._tracking = Registry(references)  # type: ignore[assignment]
    return made


if __name__ == "__main__":
    watching = monitor(Path(sys.argv[1]), {"m": Path(sys.argv[2]).read_text()})
    print("ready", flush=True)  # noqa: T201
    while True:
        watching.look("m")
