"""Versions of one model that behave as a test asks, and the acts on their deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from mlops.serving.rollout.state import Deployment
from tests.mlops.yard import Yard, until

MODEL = "sum"


def register(yard: Yard, **config: float) -> str:
    """A new version that behaves as ``config`` says; returns it."""
    mlflow.set_tracking_uri(yard.environment.tracking.url)
    mlflow.set_experiment(MODEL)
    frame = pd.DataFrame({"x": [0.5, 1.0], "y": [1.0, 2.0]})
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("behaviour.py")),
            model_config=config,
            signature=mlflow.models.infer_signature(frame, frame["x"] + frame["y"]),
            input_example=frame,
            registered_model_name=MODEL,
            pip_requirements=[],
        )
    return str(info.registered_model_version)


def state(yard: Yard) -> Deployment:
    """The desired state, as the gateway says it."""
    found = [each.desired for each in yard.gateway.deployments() if each.model == MODEL]
    return found[0] if found else Deployment()


def act(yard: Yard, action: str, **what: Any) -> Deployment:
    """One act of a person; returns the state after it."""
    return yard.gateway.act(MODEL, action, by="ann@host", **what)


def over(yard: Yard, seconds: float = 120) -> Deployment:
    """The state once the rollout has ended."""
    return until(lambda: (found := state(yard)) and not found.active and found, seconds)  # type: ignore[no-any-return]
