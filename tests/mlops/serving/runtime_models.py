"""Real logged models for the tests of the runtime, each fitted and saved once per test process."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from blueprints.environment import TrackingRef
from mlops.serving.runtime.artifacts import Cache, Entry
from mlops.tracking.entities import ModelVersion

NAMES = [f"f{index}" for index in range(20)]
NOWHERE = TrackingRef(url="http://127.0.0.1:9")


def numbers(rows: int, seed: int = 0) -> pd.DataFrame:
    """Twenty numeric columns."""
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, 20)), columns=NAMES)


def flights(rows: int, seed: int = 0) -> pd.DataFrame:
    """Two columns of texts, two of numbers, all with holes."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "carrier": random.choice([f"c{i}" for i in range(16)], rows),
            "dest": random.choice([f"d{i}" for i in range(90)], rows),
            "hour": random.integers(0, 24, rows).astype(float),
            "distance": random.gamma(2, 400, rows),
        }
    )
    frame.loc[random.random(rows) < 0.05, "carrier"] = None
    frame.loc[random.random(rows) < 0.05, "distance"] = np.nan
    return frame


def _late(frame: pd.DataFrame, seed: int = 1) -> Any:
    noise = np.random.default_rng(seed).normal(size=len(frame))
    odd = frame["carrier"].isin(["c1", "c4", "c9"]).to_numpy() * 1.5 + frame["dest"].isin(["d7", "d50"]) * 2.0
    return odd + frame["hour"].to_numpy() / 12 + frame["distance"].fillna(0).to_numpy() / 1000 + noise


def demo(kind: type, **more: Any) -> Pipeline:
    """The demo's pipeline: texts to codes, histogram boosting on categories."""
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=float("nan"),
        encoded_missing_value=float("nan"),
        max_categories=200,
    )
    words = ["carrier", "dest"]
    columns = ColumnTransformer([("words", encoder, words), ("numbers", "passthrough", ["hour", "distance"])])
    booster = kind(max_iter=40, categorical_features=[0, 1], random_state=0, **more)
    return Pipeline([("columns", columns), ("booster", booster)])


def _fitted(name: str) -> tuple[Any, pd.DataFrame]:
    x = numbers(2000)
    score = x["f0"] * 2 - x["f1"] + 0.5 * x["f2"] * x["f3"]
    label, three = (score > 0).astype(int), pd.cut(score, 3, labels=["low", "mid", "high"]).astype(str)
    if name in ("flights", "delays", "counts"):
        frame = flights(4000)
        late = _late(frame)
        if name == "flights":
            return demo(HistGradientBoostingClassifier).fit(
                frame, (late > np.median(late)).astype(int)
            ), frame
        loss = "poisson" if name == "counts" else "squared_error"
        return demo(HistGradientBoostingRegressor, loss=loss).fit(frame, np.maximum(late, 0) * 60), frame
    made: Callable[[], Any] = {
        "lr": lambda: LogisticRegression(max_iter=500).fit(x, label),
        "words": lambda: RandomForestClassifier(20, max_depth=8, random_state=0).fit(x, three),
        "forest": lambda: RandomForestClassifier(100, max_depth=12, random_state=0, n_jobs=2).fit(x, label),
        "linear": lambda: make_pipeline(StandardScaler(), LinearRegression()).fit(x, score * 1e4),
        "trees": lambda: RandomForestRegressor(20, random_state=0).fit(x, score * 1e4),
        "boosted": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(x, three),
    }[name]
    return made(), x


#: Models whose pyfunc answers probabilities.
PROBABLE = ("lr", "forest", "flights", "boosted")


@cache
def saved(name: str) -> Path:
    """Folder of a model logged with skops."""
    import skops.io

    model, frame = _fitted(name)
    call = "predict_proba" if name in PROBABLE else "predict"
    folder = Path(mkdtemp(prefix=f"modelyard-{name}-")) / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = getattr(model, call)(frame.head(50))
        mlflow.sklearn.save_model(
            model,
            str(folder),
            signature=mlflow.models.infer_signature(frame.head(500), outputs),
            input_example=frame.head(3),
            pyfunc_predict_fn=call,
            serialization_format="skops",
            skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(model)),
            pip_requirements=["mlflow", "scikit-learn", "skops", "pandas", "numpy"],
        )
    return folder


def rows_for(name: str, rows: int, seed: int) -> pd.DataFrame:
    """Rows the model has not seen."""
    return (flights if name in ("flights", "delays", "counts") else numbers)(rows, seed)


def save_function(model: PythonModel, folder: Path, requirements: list[str] | None = None) -> Path:
    """A custom pyfunc of the columns ``x`` and ``y``."""
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=model,
            signature=mlflow.models.infer_signature(frame, frame["x"]),
            input_example=frame,
            pip_requirements=requirements if requirements is not None else ["mlflow"],
        )
    return folder


def cached(
    folder: Path, into: Path, model: str = "m", version: str = "1", **tags: str
) -> tuple[Cache, Entry]:
    """A cache whose tracking server has that folder, and its entry."""
    made = Cache(into, NOWHERE)

    def copy(_: ModelVersion, target: Path) -> None:
        shutil.copytree(folder, target)

    made._download.model = copy  # type: ignore[method-assign, assignment]
    return made, made.ensure(a_version(model, version, **tags))


def a_version(model: str = "m", version: str = "1", **tags: str) -> ModelVersion:
    """As the registry would tell it."""
    named = {name.replace("__", "."): value for name, value in tags.items()}
    return ModelVersion(model, version, "run", "READY", None, (), named, "", "")
