"""Train: fit, log everything that makes the run reproducible, register, make champion."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from blueprints.environment import Environment
from mlops.access import variables
from mlops.demo.source import Source
from mlops.monitoring.service.reference import ARTIFACT, build_reference, measure
from mlops.serving.rollout.weights import CHAMPION
from mlops.serving.runtime.register import attach
from mlops.tracking.client import TrackingClient

#: The tag of a model version that says which data it was trained on.
SOURCE_TAG = "modelyard.source"
_HELD_OUT = 0.2
_PARAMS = {"learning_rate": 0.1, "max_iter": 150, "max_leaf_nodes": 31, "min_samples_leaf": 50}


def train(environment: Environment, source: Source) -> str:
    """Train on ``source``, log to the environment, register and alias; returns the new version."""
    held = int(len(source.train) * (1 - _HELD_OUT))
    fitted, unseen = source.train.iloc[:held], source.train.iloc[held:]
    model = _estimator(source)
    model.fit(fitted[list(source.features)], fitted[source.target])
    classification = source.task == "classification"
    features = unseen[list(source.features)]
    scores = model.predict_proba(features)[:, 1] if classification else model.predict(features)
    with _mlflow(environment) as mlflow:
        mlflow.set_experiment(source.model)
        with mlflow.start_run(run_name="train") as run:
            mlflow.log_params({**_PARAMS, "rows": len(fitted), "features": len(source.features)})
            mlflow.log_metrics(_metrics(source, scores, unseen[source.target]))
            mlflow.log_input(
                mlflow.data.from_pandas(
                    fitted[[*source.features, source.target]], name=source.identity, targets=source.target
                ),
                context="training",
            )
            mlflow.set_tags({"python": platform.python_version(), **_commit()})
            # The last fifth in time, which the model has not seen: honest scores, and the newest habits.
            reference = build_reference(
                {name: unseen[name].tolist() for name in source.features},
                scores.tolist(),
                unseen[source.target].tolist(),
                source.task,
                _log_importance(mlflow, model, source, unseen),
                source.segments,
            )
            mlflow.log_text(reference.to_json(), ARTIFACT)
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                signature=mlflow.models.infer_signature(features.head(100), scores[:100]),
                input_example=features.head(2),
                registered_model_name=source.model,
                pyfunc_predict_fn="predict_proba" if classification else "predict",
                **_serialization(model),
            )
            version = str(info.registered_model_version)
            run_id = run.info.run_id
        attach(environment, source.model, version, features)
    client = TrackingClient(environment.tracking, timeout=30)
    client.set_version_tag(source.model, version, SOURCE_TAG, source.identity)
    client.set_version_tag(source.model, version, "modelyard.run", run_id)
    client.set_alias(source.model, CHAMPION, version)
    return version


def _serialization(model: Any) -> dict[str, Any]:
    """skops holds data only, so a gateway that trusts no pickle loads it as well. The types it asks to be
    named are those of the model that this process has just built."""
    import skops.io

    types = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    return {"serialization_format": "skops", "skops_trusted_types": types}


def _estimator(source: Source) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    words = [name for name in source.features if source.train[name].dtype.kind not in "fiub"]
    numbers = [name for name in source.features if name not in words]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=float("nan"),
        encoded_missing_value=float("nan"),
        max_categories=200,
    )
    columns = ColumnTransformer([("words", encoder, words), ("numbers", "passthrough", numbers)])
    kind = (
        HistGradientBoostingClassifier if source.task == "classification" else HistGradientBoostingRegressor
    )
    booster = kind(**_PARAMS, categorical_features=list(range(len(words))), random_state=0)
    return Pipeline([("columns", columns), ("booster", booster)])


def _metrics(source: Source, scores: Any, labels: Any) -> dict[str, float]:
    import numpy as np

    truth = labels.to_numpy(dtype=float)
    quality = measure(np.asarray(scores, float), truth, source.task)
    found = {quality.metric: quality.value, f"{quality.metric}_error": quality.error} if quality else {}
    if source.task == "classification":
        clipped = np.clip(scores, 1e-12, 1 - 1e-12)
        loss = -(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped))
        found |= {"logloss": float(loss.mean()), "brier": float(((scores - truth) ** 2).mean())}
    return found


def _log_importance(mlflow: Any, model: Any, source: Source, unseen: Any) -> dict[str, float]:
    """Permutation importance on a sample (Breiman, Machine Learning 45, 2001), also as an artifact."""
    from sklearn.inspection import permutation_importance

    sample = unseen.sample(min(2000, len(unseen)), random_state=0)
    found = permutation_importance(
        model, sample[list(source.features)], sample[source.target], n_repeats=3, random_state=0
    )
    importance = dict(zip(source.features, map(float, found.importances_mean), strict=True))
    mlflow.log_dict(importance, "modelyard/importance.json")
    return importance


def _commit() -> dict[str, str]:
    """The git commit of the current folder, when there is one."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {"mlflow.source.git.commit": done.stdout.strip()} if done.returncode == 0 else {}


@contextlib.contextmanager
def _mlflow(environment: Environment) -> Iterator[Any]:
    """mlflow pointed at the environment, in a scratch folder; the process is as before afterwards."""
    before = dict(os.environ)
    folder = Path.cwd()
    os.environ.update(variables(environment))
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
    os.environ["MLFLOW_LOGGING_LEVEL"] = "ERROR"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    try:
        # MLflow prints what it registers; the caller says it in its own words. Faults come as exceptions.
        quiet = contextlib.redirect_stderr(io.StringIO())
        with TemporaryDirectory() as scratch, warnings.catch_warnings(), quiet:
            warnings.simplefilter("ignore")
            os.chdir(scratch)
            try:
                import logging

                import mlflow
                import mlflow.sklearn

                logging.getLogger("mlflow").setLevel(logging.ERROR)
                mlflow.set_tracking_uri(environment.tracking.url)
                yield mlflow
            finally:
                os.chdir(folder)
    finally:
        os.environ.clear()
        os.environ.update(before)
