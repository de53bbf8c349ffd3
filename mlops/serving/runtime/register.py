"""What a version gets at registration: the digest of its files, and its conversion to ONNX with the proof."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from blueprints.environment import Environment, TrackingRef
from mlops.serving.runtime.artifacts import (
    DIGEST_TAG,
    ONNX_TAG,
    PARITY_TAG,
    digest_of,
    hashes,
    onnx_artifact,
)
from mlops.serving.runtime.convert import Conversion, convert
from mlops.serving.runtime.download import Download
from mlops.tracking.client import TrackingClient
from mlops.tracking.entities import ModelVersion


def attach(environment: Environment, model: str, version: str, held_out_rows: Any = None) -> Conversion:
    """Convert a version, log the graph and its report with its run, and tag the version.

    The version is loaded in this process: call it where the model was trained. Tags it sets:
    ``modelyard.digest`` always; ``modelyard.onnx`` (SHA-256 of the graph) when it is equal; and
    ``modelyard.onnx.parity``, the report, which says why when it is not.

    Args:
        environment: Where the version is registered.
        model: Registered model.
        version: Its version.
        held_out_rows: DataFrame or mapping of columns; None: its input example.

    Raises:
        Problem: The tracking server is down or refuses.
    """
    client = TrackingClient(environment.tracking, timeout=30)
    try:
        found = client.version(model, version)
        with TemporaryDirectory(prefix="modelyard-attach-") as scratch:
            folder = Path(scratch, "model")
            Download(environment.tracking).model(found, folder)
            client.set_version_tag(model, version, DIGEST_TAG, digest_of(hashes(folder)))
            conversion = convert(folder, held_out_rows)
        publish(environment.tracking, client, found, conversion)
    finally:
        client.close()
    return conversion


def publish(
    tracking: TrackingRef, client: TrackingClient, version: ModelVersion, conversion: Conversion
) -> None:
    """Log graph and report as artifacts of the version's run; tag last, so that a tag never names a file
    that is not there."""
    report = json.dumps(conversion.to_json())
    with TemporaryDirectory(prefix="modelyard-onnx-") as scratch, _server(tracking):
        from mlflow import MlflowClient

        remote = MlflowClient(tracking.url, tracking.url)
        digest = hashlib.sha256(conversion.graph).hexdigest() if conversion.graph is not None else ""
        name = onnx_artifact(digest or version.version)
        files = {Path(name).with_suffix(".json").name: report.encode()}
        if conversion.graph is not None:
            files[Path(name).name] = conversion.graph
        for each, content in files.items():
            Path(scratch, each).write_bytes(content)
            remote.log_artifact(version.run_id, str(Path(scratch, each)), str(Path(name).parent))
    client.set_version_tag(version.name, version.version, PARITY_TAG, report)
    if conversion.graph is not None:
        client.set_version_tag(version.name, version.version, ONNX_TAG, digest)


@contextmanager
def _server(tracking: TrackingRef) -> Iterator[None]:
    """mlflow's credentials in this process, and as they were afterwards."""
    wanted = {
        "MLFLOW_TRACKING_USERNAME": tracking.username,
        "MLFLOW_TRACKING_PASSWORD": tracking.password.get_secret_value(),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
