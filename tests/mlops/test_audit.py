"""The audit log keeps every act, and shows what was done to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from blueprints.errors import Problem
from mlops.governance.audit import AuditEntry, AuditLog


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(5):
        log.append("alias.set", f"model-{number}", before={"champion": "1"}, after={"champion": "2"}, why="r")
    return log


def _lines(log: AuditLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def _rewrite(log: AuditLog, lines: list[dict[str, Any]]) -> None:
    log.path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_acts_are_kept_in_order_and_sound(log: AuditLog) -> None:
    assert [entry.target for entry in log.entries()] == [f"model-{n}" for n in range(5)]
    assert [entry.number for entry in log.tail(2)] == [5, 4]
    report = log.verify()
    assert report.sound
    assert (report.entries, report.torn) == (5, 0)
    assert report.head == log.tail(1)[0].hash


@pytest.mark.parametrize("field", [field.name for field in fields(AuditEntry)])
def test_a_change_of_any_field_names_its_line(log: AuditLog, field: str) -> None:
    lines = _lines(log)
    lines[2][field] = 7 if field == "number" else "changed"
    _rewrite(log, lines)
    report = log.verify()
    assert "line 3" in report.fault
    assert report.entries == 2


@pytest.mark.parametrize(
    ("order", "line"),
    [([0, 1, 3, 4], 3), ([0, 2, 1, 3, 4], 2), ([0, 1, 1, 2, 3, 4], 3), ([1, 2, 3, 4], 1)],
    ids=["removed", "swapped", "doubled", "first removed"],
)
def test_lines_removed_or_moved_break_the_chain(log: AuditLog, order: list[int], line: int) -> None:
    lines = _lines(log)
    _rewrite(log, [lines[index] for index in order])
    assert f"line {line}" in log.verify().fault


def test_a_cut_end_is_seen_and_stays_seen_after_the_next_act(log: AuditLog) -> None:
    lines = _lines(log)
    _rewrite(log, lines[:3])
    assert log.verify().fault == "2 entries are missing after line 3"
    log.append("environment.up", "dev")
    report = log.verify()
    assert "2 entries up to number 5" in report.fault
    assert lines[4]["hash"] in report.fault
    assert [entry.action for entry in log.entries()][3:] == ["audit.entries_missing", "environment.up"]


def test_an_emptied_file_is_seen(log: AuditLog) -> None:
    log.path.unlink()
    assert log.verify().fault == "5 entries are missing after line 0"


def test_a_forged_end_without_the_head_is_seen(log: AuditLog) -> None:
    other = AuditLog(log.path.with_name("forged.jsonl"))
    other.path.write_bytes(log.path.read_bytes())
    other.append("model.promote", "forged")
    other.append("model.promote", "forged twice")
    log.path.write_bytes(other.path.read_bytes())
    assert "line 7" in log.verify().fault


def test_a_missing_or_damaged_head_is_told(log: AuditLog) -> None:
    head = log.path.with_name("audit.jsonl.head")
    head.write_text("damaged")
    assert "damaged" in log.verify().fault
    head.unlink()
    assert "missing" in log.verify().fault


def test_half_a_line_is_reported_then_set_aside(log: AuditLog) -> None:
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"number": 6, "time')
    report = log.verify()
    assert "line 6 is only half written" in report.fault
    assert report.entries == 5
    assert len(list(log.entries())) == 5
    log.append("environment.up", "dev")
    report = log.verify()
    assert report.sound
    assert (report.entries, report.torn) == (6, 1)
    assert log.path.with_name("audit.jsonl.torn").read_bytes() == b'{"number": 6, "time\n'


def test_nothing_is_chained_to_a_damaged_last_line(log: AuditLog) -> None:
    with log.path.open("a") as file:
        file.write("not json\n")
    with pytest.raises(Problem, match="last line is no audit entry"):
        log.append("environment.up", "dev")
    assert "line 6 is no audit entry" in log.verify().fault


def test_secrets_are_never_written(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append(
        "environment.up",
        "dev",
        before={"tracking": {"password": "hunter2", "port": 5000}},
        after=[{"serving_token": "hunter2"}, {"Secret_Key": ["hunter2"]}, {"api_key": "hunter2"}],
    )
    assert "hunter2" not in log.path.read_text()
    assert "5000" in log.path.read_text()


def test_values_that_json_does_not_know_keep_the_chain_whole(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    odd = {2: Path("/x"), 10: float("nan"), "set": {"a"}, "bytes \udcff": ("ü", None)}
    log.append("environment.up", "dev", before=odd, why="file \udcff")
    log.append("environment.up", "dev")
    assert log.verify().sound


def test_an_unwritable_place_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="not recorded"):
        AuditLog(tmp_path / "file" / "audit.jsonl").append("environment.up", "dev")


_WRITER = """
import sys
from pathlib import Path
from mlops.governance.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    log.append("test", f"{sys.argv[2]}-{number}")
    print(number, flush=True)
"""


def _writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    writers = [_writer(log.path, f"w{index}", 25) for index in range(4)]
    for writer in writers:
        # A reader between appends sees a whole chain, never a head ahead of its lines.
        assert not log.verify().fault
        writer.communicate()
        assert writer.returncode == 0
    assert {entry.target for entry in log.entries()} == {f"w{i}-{n}" for i in range(4) for n in range(25)}
    assert log.verify().sound


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for round_ in range(3):
        writer = _writer(log.path, f"r{round_}", 100_000)
        assert writer.stdout
        writer.stdout.readline()
        time.sleep(0.05 * round_)
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged = 1 + len(
            [line for line in writer.communicate()[0].splitlines(True) if line.endswith("\n")]
        )
        kept = sum(entry.target.startswith(f"r{round_}-") for entry in log.entries())
        # At most the one act that was being written when it died is there without its answer.
        assert acknowledged <= kept <= acknowledged + 1
        log.append("test", "after the crash")
        assert log.verify().sound
