"""What a training process and a shell are given of an environment."""

from __future__ import annotations

from pydantic import SecretStr

from blueprints.environment import (
    DatabaseRef,
    Environment,
    MonitoringRef,
    ServingRef,
    StorageRef,
    TrackingRef,
)
from mlops.access import references, variables

_SECRET = "correct horse"


def _environment(kind: str = "s3", serving: bool = True) -> Environment:
    secret = SecretStr(_SECRET)
    s3 = kind == "s3"
    return Environment(
        project="yard",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url="http://127.0.0.1:2", username="admin", password=secret),
        storage=StorageRef(
            kind="s3" if s3 else "folder",
            buckets={"data": "s3://data" if s3 else "file:///x/data"},
            endpoint_url="http://127.0.0.1:9" if s3 else "",
            access_key="key" if s3 else "",
            secret_key=secret if s3 else SecretStr(""),
        ),
        databases={},
        serving=ServingRef(url="http://127.0.0.1:3", token=secret) if serving else None,
        monitoring=MonitoringRef(
            url="http://127.0.0.1:5", token=secret, database=DatabaseRef(name="m", url=secret)
        )
        if serving
        else None,
    )


def test_a_child_gets_everything_it_needs() -> None:
    found = variables(_environment())
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:2"
    assert (found["MLFLOW_TRACKING_USERNAME"], found["MLFLOW_TRACKING_PASSWORD"]) == ("admin", _SECRET)
    assert found["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9"
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("key", _SECRET)
    assert found["AWS_REGION"] == "us-east-1"
    assert (found["MODELYARD_SERVING_URL"], found["MODELYARD_SERVING_TOKEN"]) == (
        "http://127.0.0.1:3",
        _SECRET,
    )
    assert found["MODELYARD_DATA_ROOT"] == "s3://data"
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_without_secrets_none_is_there_and_each_has_a_reference() -> None:
    environment = _environment()
    shown = variables(environment, secrets=False)
    assert _SECRET not in str(shown)
    assert shown.keys() | references(environment).keys() == variables(environment).keys()
    assert not shown.keys() & references(environment).keys()


def test_a_light_environment_gets_no_s3_and_no_gateway() -> None:
    found = variables(_environment("folder", serving=False))
    assert not [
        name for name in found if name.startswith("AWS_") or "SERVING" in name or "MONITORING" in name
    ]
    assert found["MODELYARD_DATA_ROOT"] == "file:///x/data"
    assert list(references(_environment("folder", serving=False))) == ["MLFLOW_TRACKING_PASSWORD"]
