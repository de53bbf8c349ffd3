"""The default environment, as a newcomer gets it: a plain MLflow client and a prediction."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import httpx

from tests.conftest import Live

#: What a user's own script does; it knows nothing of Modelyard.
TRAIN = """
import mlflow, pandas
from sklearn.linear_model import LogisticRegression
mlflow.set_experiment("engine")
rows = pandas.DataFrame({"a": [0.0, 1.0, 0.2, 0.9], "b": [1.0, 0.0, 0.9, 0.1]})
model = LogisticRegression().fit(rows, [0, 1, 0, 1])
with mlflow.start_run() as run:
    mlflow.log_param("kind", "logistic")
    mlflow.log_metric("accuracy", 1.0)
    mlflow.log_text("hello", "notes/hello.txt")
    info = mlflow.sklearn.log_model(
        model, name="model", registered_model_name="engine-model", input_example=rows,
        serialization_format="skops",
    )
client = mlflow.MlflowClient()
client.set_registered_model_alias("engine-model", "champion", info.registered_model_version)
print(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/hello.txt"))
"""


def test_a_plain_client_logs_a_run_and_the_gateway_answers(live: Live) -> None:
    tracking, serving = live.environment.tracking, live.environment.serving
    assert serving is not None
    env = {
        **os.environ,
        "MLFLOW_TRACKING_URI": tracking.url,
        "MLFLOW_TRACKING_USERNAME": tracking.username,
        "MLFLOW_TRACKING_PASSWORD": tracking.password.get_secret_value(),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRAIN)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("hello")
    headers = {"Authorization": f"Bearer {serving.token.get_secret_value()}"}
    body = {"dataframe_records": [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}]}
    deadline = time.monotonic() + 60
    while True:
        answer = httpx.post(f"{serving.url}/invocations/engine-model", json=body, headers=headers)
        if answer.status_code == 200 or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [1, 0]


def test_without_credentials_nothing_answers(live: Live) -> None:
    serving = live.environment.serving
    assert serving is not None
    assert httpx.get(f"{live.environment.tracking.url}/api/2.0/mlflow/experiments/search").status_code == 401
    assert httpx.post(f"{serving.url}/v2/models/engine-model/infer", json={}).status_code == 401
