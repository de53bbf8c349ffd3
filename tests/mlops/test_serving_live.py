"""Gateway and monitor as real processes on a real MLflow server: serve, log, alert, acknowledge, resolve."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc.model import PythonModel

from blueprints.errors import Problem
from mlops.governance.audit import AuditLog
from mlops.monitoring.client import MonitorClient
from mlops.monitoring.service.reference import ARTIFACT, build_reference
from tests.mlops.yard import Yard, opened, until

_ROWS = 200
_SPEC = {"serving": {"trust_pickle": True}, "monitoring": {"window_rows": _ROWS, "interval_seconds": 0.5}}


class Slope(PythonModel):
    """``(x + y) * factor``."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return (model_input["x"] + model_input["y"]) * self.factor


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with opened(tmp_path_factory.mktemp("yard"), _SPEC) as made:
        yield made


def train(yard: Yard, factor: float) -> str:
    """Register a version of the model ``slope`` with its reference; returns the version."""
    random = np.random.default_rng(1)
    features = {"x": random.normal(size=4000).tolist(), "y": random.normal(size=4000).tolist()}
    frame = pd.DataFrame(features)
    outputs = ((frame["x"] + frame["y"]) * factor).tolist()
    labels = (np.asarray(outputs) + random.normal(size=4000) > 0).astype(float).tolist()
    mlflow.set_tracking_uri(yard.environment.tracking.url)
    # The experiment that an earlier test of this process chose is of another server.
    mlflow.set_experiment("slope")
    with mlflow.start_run():
        mlflow.log_text(build_reference(features, outputs, labels).to_json(), ARTIFACT)
        signature = mlflow.models.infer_signature(frame, pd.Series(outputs))
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=Slope(factor),
            signature=signature,
            registered_model_name="slope",
            pip_requirements=[],
        )
    version = str(info.registered_model_version)
    yard.tracking.set_alias("slope", "champion", version)
    return version


def rows_in(yard: Yard, kind: str) -> list[str]:
    """Ids in a table of the log."""
    import deltalake

    uri = (yard.folder / "data" / kind / "slope").as_uri()
    if not deltalake.DeltaTable.is_deltatable(uri):
        return []
    found: list[str] = deltalake.DeltaTable(uri).to_pyarrow_table().column("id").to_pylist()
    return found


def send(yard: Yard, name: str, seed: int, shift: float = 0.0, honest: bool = True) -> None:
    """One window of rows with their labels; ``shift`` moves x, dishonest labels ignore the model."""
    random = np.random.default_rng(seed)
    x, y = random.normal(shift, 1, _ROWS), random.normal(size=_ROWS)
    ids = [f"{name}-{index}" for index in range(_ROWS)]
    times = ["2013-04-01T00:00:00+00:00"] * _ROWS
    outputs = yard.gateway.predict("slope", {"x": x.tolist(), "y": y.tolist()}, ids, times)
    truth = np.asarray(outputs) if honest else random.normal(size=_ROWS)
    labels = (truth + random.normal(size=_ROWS) > 0).astype(float).tolist()
    yard.gateway.label("slope", ids, labels)


def served(yard: Yard) -> str:
    """The version that answers; empty: none yet."""
    return next((each.version for each in yard.gateway.deployments() if each.state == "serving"), "")


@pytest.mark.timeout(400)
def test_from_champion_to_resolved_alert(yard: Yard) -> None:
    assert yard.environment.serving is not None
    assert yard.environment.monitoring is not None
    url = yard.environment.serving.url
    with yard.serving() as first:
        until(lambda: httpx.get(f"{url}/v2/health/live").is_success)
        assert httpx.get(f"{url}/v2/deployments").status_code == 401
        until(lambda: "champion" in httpx.get(f"{url}/v2/health/ready").json()["reason"])
        with pytest.raises(Problem, match="no model slope has the alias champion"):
            yard.gateway.predict("slope", [{"x": 1.0, "y": 2.0}])

        train(yard, 1.0)
        until(lambda: served(yard))
        assert yard.gateway.predict("slope", [{"x": 1.0, "y": 2.0}], ["one"]) == [3.0]
        with pytest.raises(Problem, match="missing column y"):
            yard.gateway.predict("slope", [{"x": 1.0}])
        with pytest.raises(Problem, match="column x"):
            yard.gateway.predict("slope", [{"x": "far", "y": 1.0}])

        # A new champion replaces the old one without a restart.
        train(yard, 10.0)
        until(lambda: served(yard) == "2")
        assert yard.gateway.predict("slope", [{"x": 1.0, "y": 2.0}], ["two"]) == [30.0]
        yard.gateway.predict("slope", [{"x": 0.0, "y": 0.0}], ["three"])
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()

    # What was answered before the kill is in the table once the next life has started.
    with yard.serving():
        until(lambda: set(rows_in(yard, "predictions")) == {"one", "two", "three"})
        until(lambda: served(yard))
        _watch(yard)
    assert len(rows_in(yard, "predictions")) == len(set(rows_in(yard, "predictions")))


def _watch(yard: Yard) -> None:
    """Quiet data, then moved data with labels that ignore the model, then quiet data again."""
    reference = yard.environment.monitoring
    assert reference is not None
    monitor = MonitorClient(reference)
    with yard.monitoring():
        send(yard, "quiet", 1)
        until(lambda: len(monitor.windows("slope")) == 1)
        assert monitor.alerts() == ()
        for index in range(2):
            send(yard, f"moved{index}", 10 + index, shift=2.0, honest=False)
        until(lambda: {alert.kind for alert in monitor.alerts("firing")} >= {"drift", "performance"})
        found = {alert.feature: alert for alert in monitor.alerts("firing")}
        assert "y" not in found
        assert found["x"].value > 0.5
        assert found["auc"].value > found["auc"].threshold
        assert found["auc"].severity == "page"
        _told_to_the_console(monitor)

        taken = monitor.acknowledge(found["x"].id, "ann", "a new sensor")
        assert (taken.state, taken.acknowledged_by) == ("acknowledged", "ann")
        entries = list(AuditLog(yard.folder / "audit.jsonl").entries())
        assert [entry.action for entry in entries] == ["alert.acknowledge"]

        for index in range(5):
            send(yard, f"well{index}", 20 + index)
        until(lambda: not monitor.alerts("firing") and not monitor.alerts("acknowledged"))
        assert monitor.alert(taken.id).state == "resolved"
        assert monitor.faults() == {}
        metrics = httpx.get(f"{reference.url}/metrics", headers={"Authorization": "Bearer see"})
        assert metrics.text.endswith("# EOF\n")


def _told_to_the_console(monitor: MonitorClient) -> None:
    """What the page of a model draws: one quiet window, two that moved, and their labels."""
    (state,) = monitor.models()
    assert (state.model, state.version, state.fault, state.reference) == ("slope", "2", "", True)
    assert "Inputs changed and 0 of 200 predictions have labels" in state.words
    heat = monitor.heat("slope")
    assert [each.rows for each in heat.windows] == [200] * 3
    assert heat.columns[0] == "x", "what drifted most comes first"
    levels = dict(zip(heat.columns, heat.levels, strict=True))
    assert [(level or 0) >= 1 for level in levels["x"]] == [False, True, True]
    assert not any((level or 0) >= 1 for level in levels["y"])
    assert heat.tests[0][0] == ""
    assert heat.tests[0][1] != ""
    assert len(monitor.heat("slope", windows=1).windows) == 1
    assert monitor.heat("nobody").windows == ()
    (picture,) = monitor.pictures("slope", "x")
    assert picture.column == "x"
    assert sum(picture.reference.shares) == pytest.approx(1)
    assert picture.reference.labels == picture.current.labels
    points = [each for each in monitor.performance("slope") if each.metric == "auc"]
    realised = [each for each in points if each.kind == "realised"]
    assert [(each.value or 0) > 0.8 for each in realised][:2] == [True, False]
    assert all(100 <= each.labelled <= 200 for each in realised)
    estimated = [each for each in points if each.kind == "estimated"]
    assert len(estimated) == 3
    assert all((each.low or 1) < (each.value or 0) < (each.high or 0) for each in points)
    assert all(each.expected and each.expected > 0.8 for each in points)
    kinds = [each.kind for each in monitor.timeline("slope")]
    assert {"version", "drift", "performance"} <= set(kinds)


def test_a_gateway_starts_without_mlflow() -> None:
    """The heavy library is imported by the thread that loads the first model, not at start."""
    code = "import sys, mlops.serving.__main__, mlops.monitoring.__main__; print(sorted(sys.modules))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not [each for each in ("'mlflow'", "'pandas'", "'deltalake'") if each in names]
