"""What was acknowledged is not lost, and not committed twice: kills, full disks, storage that is away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import pytest

from blueprints.environment import StorageRef
from mlops.serving.log import PredictionLog
from mlops.serving.rows import Call
from tests.mlops.serving.logs import append, environment, ids, rows

ROOT = Path(__file__).parents[3]


def eventually(holds: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def run_until_committed(folder: Path, first: int, storage: StorageRef | None) -> int:
    """A writer that is killed some commits later; returns the number after the last acknowledged one."""
    words = [sys.executable, "-m", "tests.mlops.serving.log_writer", str(folder), str(first)]
    if storage is not None:
        plain = storage.model_dump(mode="json") | {"secret_key": storage.secret_key.get_secret_value()}
        words.append(json.dumps(plain))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdout is not None
    acknowledged, begun = first, 0.0
    for line in process.stdout:
        acknowledged = int(line)
        begun = begun or time.monotonic()
        # Long enough for several commits; the kill falls anywhere in one or between two.
        if time.monotonic() - begun > 1.0 + (first % 7) / 10:
            break
    os.kill(process.pid, signal.SIGKILL)
    for line in process.stdout.read().splitlines():
        acknowledged = int(line)
    process.wait()
    return acknowledged


def kill_in_a_loop(folder: Path, storage: StorageRef | None, times: int) -> None:
    made = environment(folder, storage)
    first = 0
    for _ in range(times):
        acknowledged = run_until_committed(folder, first, storage)
        # What the kill left between the append and the line that says so may be there; nothing else.
        PredictionLog(folder / "log", made).flush()
        found = ids(made)
        assert found == [str(number) for number in range(len(found))]
        assert acknowledged <= len(found) <= acknowledged + 2
        assert len(found) > first
        first = len(found)
    assert not list((folder / "log").glob("*/*/*.jsonl"))


def test_kill_9_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    kill_in_a_loop(tmp_path, None, 4)


def test_a_commit_whose_segment_outlived_it_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the Delta commit and the deletion of the segment."""
    made = environment(tmp_path)
    first = PredictionLog(tmp_path / "log", made)
    append(first, "1", "2")

    def die(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            first.flush()
    assert list((tmp_path / "log").glob("*/*/*.jsonl"))
    PredictionLog(tmp_path / "log", made).flush()
    assert ids(made) == ["1", "2"]
    assert not list((tmp_path / "log").glob("*/*/*.jsonl"))


def test_a_commit_that_was_done_but_called_failed_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage takes the commit and the answer is lost; the same life tries again."""
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    append(log, "1")
    real = deltalake.write_deltalake

    def lost(*words: Any, **options: Any) -> None:
        real(*words, **options)
        raise OSError("connection reset")

    with monkeypatch.context() as patched:
        patched.setattr(deltalake, "write_deltalake", lost)
        with pytest.raises(OSError, match="reset"):
            log.flush()
    append(log, "2")
    log.flush()
    assert ids(made) == ["1", "2"]
    assert log.backlog("m").rows == 0


def test_a_clock_set_back_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = environment(tmp_path)
    first = PredictionLog(tmp_path / "log", made)
    append(first, "1")
    first.flush()
    real = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: real() - 86_400 * 10**9)
    second = PredictionLog(tmp_path / "log", made)
    append(second, "2")
    second.flush()
    assert ids(made) == ["1", "2"]


_FULL = """
import resource, signal, sys
from pathlib import Path
from mlops.serving.log import PredictionLog
from mlops.serving.rows import Call
from tests.mlops.serving.logs import append, environment, ids
folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
made = environment(folder)
log = PredictionLog(folder / "log", made)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1))
taken, number = [], 0
while number < 20:
    try:
        append(log, str(number))
        taken.append(str(number))
    except OSError:
        pass
    number += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, -1))
append(log, "after")
log.flush()
assert 0 < len(taken) < 19, taken
assert ids(made) == [*taken, "after"], (taken, ids(made))
"""


def test_a_full_disk_refuses_and_keeps_to_whole_lines(tmp_path: Path) -> None:
    """A real write that takes a part of a line: the limit of the file's size falls into it."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FULL), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_half_a_line_of_a_killed_process_is_left_out(tmp_path: Path) -> None:
    made = environment(tmp_path)
    append(PredictionLog(tmp_path / "log", made), "1")
    (segment,) = (tmp_path / "log").glob("*/*/*.jsonl")
    assert segment.stat().st_mode & 0o777 == 0o600
    with segment.open("a") as file:
        file.write('{"id":"2","ti')
    PredictionLog(tmp_path / "log", made).flush()
    assert ids(made) == ["1"]


def test_segments_of_the_release_before_are_moved(tmp_path: Path) -> None:
    from mlops.serving.prediction_log import PredictionLog as Before

    made = environment(tmp_path)
    before = Before(tmp_path / "log", made)
    old = {"id": "1", "time": 7, "event_time": None, "model": "m", "version": "1", "arm": "champion"}
    before.append("predictions", "m", [old | {"features": '{"x":1}', "prediction": "2", "score": 2.0}])
    before.append("labels", "m", [{"id": "1", "label": 3.0, "time": 8}])
    PredictionLog(tmp_path / "log", made).flush()
    (row,) = rows(made)
    assert (row["id"], row["features"], row["score"], row["caller"]) == ("1", '{"x":1}', 2.0, None)
    assert [row["label"] for row in rows(made, "labels")] == [3.0]


def test_storage_that_is_away_is_a_fault_with_the_rows_waiting(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made, interval=0.01)
    append(log, "1", "2")
    log.start()
    eventually(lambda: log.backlog("m").fault)
    # While nothing can be moved, what comes is added to few segments, not to one a try.
    for number in range(3, 50):
        append(log, str(number))
        time.sleep(0.005)
    assert log.backlog("m").rows == 49
    assert "storage" in log.backlog("m").fault
    assert len(list((tmp_path / "log").glob("*/*/*.jsonl"))) <= 2
    (tmp_path / "data").unlink()
    log.close()
    assert ids(made) == [str(number) for number in range(1, 50)]
    assert log.backlog("m").rows == 0


@pytest.mark.parametrize("kind", ["predictions", "failures"])
def test_a_table_that_cannot_be_written_does_not_hold_up_the_others(tmp_path: Path, kind: str) -> None:
    made = environment(tmp_path)
    (tmp_path / "data" / kind).mkdir(parents=True)
    (tmp_path / "data" / kind / "m").write_text("in the way")
    log = PredictionLog(tmp_path / "log", made)
    append(log, "1")
    log.label("m", ["1"], [1.0])
    log.fail("m", "1", "champion", Call("1"), "model", "it broke", 0.1)
    with pytest.raises(Exception, match=r"."):
        log.flush()
    (tmp_path / "data" / kind / "m").unlink()
    for other in {"predictions", "labels", "failures"} - {kind}:
        assert ids(made, other) == ["1"]
    log.flush()
    assert ids(made, kind) == ["1"]


def test_a_table_removed_by_hand_begins_anew(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    for number in range(3):
        append(log, str(number))
        log.flush()
    shutil.rmtree(tmp_path / "data")
    append(log, "3")
    log.flush()
    assert ids(made) == ["3"]
