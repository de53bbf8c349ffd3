"""A model as code for live tests: what it does is in its configuration."""

from __future__ import annotations

import random
import time
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel


class Behaviour(PythonModel):
    """``x + y``, unless the configuration says otherwise: ``shift`` is added, ``sleep`` is waited (seconds),
    ``crash`` is a share of requests that fail, ``leak`` grows by so many MB a request."""

    def __init__(self) -> None:
        self.kept: list[bytearray] = []

    def load_context(self, context: Any) -> None:
        """Read the configuration."""
        self.config = dict(context.model_config or {})

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # MLflow reads hints
        """One number a row."""
        time.sleep(float(self.config.get("sleep", 0.0)))
        if random.random() < float(self.config.get("crash", 0.0)):
            raise RuntimeError("the crash that was asked for")
        if leak := int(self.config.get("leak", 0)):
            self.kept.append(bytearray(b"x" * (leak * 1024 * 1024)))
        return model_input["x"] + model_input["y"] + float(self.config.get("shift", 0.0))


mlflow.models.set_model(Behaviour())
