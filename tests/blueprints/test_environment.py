"""The Environment contract goes from producer to consumer unharmed, and hides its secrets."""

from __future__ import annotations

import json

from pydantic import SecretStr

from blueprints.environment import (
    CONTRACT,
    DatabaseRef,
    Environment,
    MonitoringRef,
    ServiceRef,
    ServingRef,
    StorageRef,
    TrackingRef,
)
from blueprints.layers import Layer

_SECRET = "correct horse"


def _environment() -> Environment:
    secret = SecretStr(_SECRET)
    database = DatabaseRef(name="tracking", url=SecretStr(f"postgresql+psycopg://t:{_SECRET}@127.0.0.1:1/t"))
    return Environment(
        project="yard",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url="http://127.0.0.1:2", username="admin", password=secret),
        storage=StorageRef(kind="s3", buckets={"data": "s3://data"}, access_key="k", secret_key=secret),
        databases={"tracking": database},
        serving=ServingRef(url="http://127.0.0.1:3", token=secret, replicas=("http://127.0.0.1:4",)),
        monitoring=MonitoringRef(url="http://127.0.0.1:5", token=secret, database=database),
        services=(ServiceRef(name="gateway", layer=Layer.SERVING, title="gateway", unit="gateway"),),
    )


def test_revealed_json_gives_the_same_environment() -> None:
    before = _environment()
    after = Environment.model_validate(json.loads(json.dumps(before.revealed())))
    assert after == before
    assert after.contract == CONTRACT
    assert after.tracking.password.get_secret_value() == _SECRET


def test_no_secret_shows_unless_revealed() -> None:
    environment = _environment()
    assert _SECRET not in repr(environment) + str(environment) + environment.model_dump_json()
    assert json.dumps(environment.revealed()).count(_SECRET) == 6


def test_a_newer_producer_may_add_fields() -> None:
    data = _environment().revealed() | {"added_later": 1}
    assert Environment.model_validate(data) == _environment()
