"""Nothing that was acknowledged is lost, nothing is written twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import deltalake
import pytest

from blueprints.environment import Environment, StorageRef, TrackingRef
from mlops.serving.prediction_log import PredictionLog


def environment(folder: Path) -> Environment:
    """One whose data bucket is a folder."""
    return Environment(
        project="p",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url="http://127.0.0.1:9"),
        storage=StorageRef(kind="folder", buckets={"data": (folder / "data").as_uri()}),
        databases={},
    )


def row(number: int) -> dict[str, Any]:
    """One logged prediction."""
    return {"id": str(number), "time": number, "model": "m", "version": "1", "features": "{}", "score": 0.5}


def ids(folder: Path) -> list[str]:
    """Ids in the table, in order of numbers."""
    table = deltalake.DeltaTable((folder / "data" / "predictions" / "m").as_uri())
    found: list[str] = table.to_pyarrow_table().column("id").to_pylist()
    return sorted(found, key=int)


# Appends rows, says on its output which are acknowledged, while the thread commits as fast as it can.
_WRITER = """
import sys
from pathlib import Path
from tests.mlops.test_prediction_log import environment, row
from mlops.serving.prediction_log import PredictionLog
folder = Path(sys.argv[1])
log = PredictionLog(folder / "log", environment(folder), interval=0.01)
log.start()
number = int(sys.argv[2])
while True:
    log.append("predictions", "m", [row(number), row(number + 1)])
    number += 2
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """A writer is killed three times while it appends and commits; a fourth life finishes."""
    acknowledged = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), str(acknowledged)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        assert writer.stdout is not None
        # Until a commit happened, so that the kill falls between commits.
        table = tmp_path / "data" / "predictions" / "m" / "_delta_log"
        commits = len(list(table.glob("*.json")))
        for line in writer.stdout:
            acknowledged = int(line)
            if len(list(table.glob("*.json"))) > commits + 1:
                break
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout.read().splitlines():
            acknowledged = int(line)
        writer.wait()
        # What the kill left between the append and the line that says so may be there; nothing else.
        last = PredictionLog(tmp_path / "log", environment(tmp_path))
        last.flush()
        found = ids(tmp_path)
        assert len(found) == len(set(found))
        assert [int(each) for each in found] == list(range(len(found)))
        assert acknowledged <= len(found) <= acknowledged + 2
        acknowledged = len(found)


def test_a_commit_whose_segment_outlived_it_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the Delta commit and the deletion of the segment."""
    first = PredictionLog(tmp_path / "log", environment(tmp_path))
    first.append("predictions", "m", [row(1), row(2)])

    def die(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            first.flush()
    assert list((tmp_path / "log").glob("*/*/*.jsonl"))
    PredictionLog(tmp_path / "log", environment(tmp_path)).flush()
    assert ids(tmp_path) == ["1", "2"]
    assert not list((tmp_path / "log").glob("*/*/*.jsonl"))


def test_a_clock_set_back_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = PredictionLog(tmp_path / "log", environment(tmp_path))
    first.append("predictions", "m", [row(1)])
    first.flush()
    real = time.time
    monkeypatch.setattr("mlops.serving.prediction_log.time.time", lambda: real() - 86_400)
    second = PredictionLog(tmp_path / "log", environment(tmp_path))
    second.append("predictions", "m", [row(2)])
    second.flush()
    assert ids(tmp_path) == ["1", "2"]


def test_half_a_line_of_a_full_disk_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = PredictionLog(tmp_path / "log", environment(tmp_path))
    written.append("predictions", "m", [row(1)])
    real = os.write
    calls: list[int] = []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(descriptor)
        if len(calls) == 1:
            return real(descriptor, data[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            written.append("predictions", "m", [row(2)])
    written.append("predictions", "m", [row(3)])
    written.flush()
    assert ids(tmp_path) == ["1", "3"]


def test_half_a_line_of_a_killed_process_is_left_out(tmp_path: Path) -> None:
    first = PredictionLog(tmp_path / "log", environment(tmp_path))
    first.append("predictions", "m", [row(1)])
    (segment,) = (tmp_path / "log").glob("*/*/*.jsonl")
    with segment.open("a") as file:
        file.write('{"id":"2","ti')
    PredictionLog(tmp_path / "log", environment(tmp_path)).flush()
    assert ids(tmp_path) == ["1"]


def test_storage_that_is_away_is_a_fault_with_the_rows_waiting(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    written = PredictionLog(tmp_path / "log", environment(tmp_path), interval=0.01)
    written.append("predictions", "m", [row(1), row(2)])
    written.start()
    deadline = time.monotonic() + 20
    while not written.backlog("m").fault and time.monotonic() < deadline:
        time.sleep(0.02)
    assert written.backlog("m").rows == 2
    assert "storage" in written.backlog("m").fault
    (tmp_path / "data").unlink()
    written.close()
    assert ids(tmp_path) == ["1", "2"]
