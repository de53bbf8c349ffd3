"""The log on a real S3 server (SeaweedFS) that is stopped and started, and writers that are killed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from blueprints.environment import StorageRef
from mlops.monitoring.cursor import Cursor
from mlops.serving.log import PredictionLog, read_predictions
from mlops.serving.log.compact import compact
from stacks.local.home import Home
from stacks.local.supervisor import Supervisor
from stacks.provider.bucket import Bucket
from tests.mlops.serving.logs import append, environment, ids
from tests.mlops.serving.test_log_recovery import eventually, kill_in_a_loop
from tests.stacks.conftest import home
from tests.stacks.test_provider_real import start_storage

__all__ = ["home"]


@pytest.fixture
def storage(home: Home) -> StorageRef:
    """A server with a bucket for data."""
    reach = start_storage(home)
    kind = Bucket(home)
    kind.create(kind.filled({"name": "data", **reach, "versioned": False}))
    return StorageRef(
        kind="s3",
        buckets={"data": "s3://data"},
        endpoint_url=reach["endpoint"],
        access_key=reach["access_key"],
        secret_key=SecretStr(reach["secret_key"]),
    )


def test_kill_9_loses_nothing_and_repeats_nothing_on_s3(tmp_path: Path, storage: StorageRef) -> None:
    kill_in_a_loop(tmp_path, storage, 3)


def test_s3_away_and_back_with_two_replicas_and_compaction(
    tmp_path: Path,
    home: Home,
    storage: StorageRef,
) -> None:
    """Two writers commit to one table, the server is stopped for a while, files are merged under a reader."""
    made = environment(tmp_path, storage)
    logs = [PredictionLog(tmp_path / name, made, interval=0.2) for name in ("one", "two")]
    for log in logs:
        log.start()
    stopped = threading.Event()
    written: list[list[str]] = [[], []]

    def write(which: int) -> None:
        number = 0
        while not stopped.is_set():
            written[which].append(f"{which}-{number}")
            append(logs[which], written[which][-1])
            number += 1
            time.sleep(0.01)

    threads = [threading.Thread(target=write, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(ids(made)) > 50)
    uri = "s3://data/predictions/m"
    cursor = Cursor().extended(uri, storage)
    with Supervisor(home)._rpc() as rpc:
        rpc.stopProcess("storage")
    eventually(lambda: logs[0].backlog("m").fault)
    waiting = logs[0].backlog("m").rows
    eventually(lambda: logs[0].backlog("m").rows > waiting)
    with Supervisor(home)._rpc() as rpc:
        rpc.startProcess("storage")
    eventually(lambda: not logs[0].backlog("m").fault, 120)
    merged = compact(made, "predictions", "m", few=2)
    assert merged >= 2
    time.sleep(1)
    stopped.set()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    everything = sorted([*written[0], *written[1]])
    assert sorted(ids(made)) == everything
    cursor = cursor.extended(uri, storage)
    assert sorted(cursor.read(uri, storage, cursor.rows).column("id").to_pylist()) == everything
    assert len(read_predictions(made, "m")) == len(everything)
