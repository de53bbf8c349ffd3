"""What the log costs: microseconds of CPU, and memory that does not grow while the storage is away."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil

from mlops.serving.log import PredictionLog
from mlops.serving.rows import Batch, Call, Outputs
from mlops.serving.signature import Column, Signature
from tests.mlops.serving.logs import environment

WIDE = Signature(tuple(Column(f"feature_{number}", "double") for number in range(20)))
CALL = Call("request", caller="team", trace="4bf92f3577b34da6a3ce929d0e0e4736")


def sent(rows: int) -> tuple[Batch, Outputs]:
    matrix = np.random.default_rng(1).standard_normal((rows, 20))
    return Batch(WIDE, rows, matrix, None, [f"id-{row}" for row in range(rows)]), Outputs(matrix[:, 0].copy())


def test_an_append_costs_microseconds(tmp_path: Path) -> None:
    """One row of 20 numbers: 5 us when the machine is ours; the bound leaves room for those who share it."""
    log = PredictionLog(tmp_path / "log", environment(tmp_path))
    for rows, most in ((1, 20.0), (100, 5.0)):
        batch, outputs = sent(rows)
        best = float("inf")
        for _ in range(20):
            begun = time.thread_time()
            for _ in range(100):
                log.append("m", "3", "champion", CALL, batch, outputs, 0.001)
            best = min(best, (time.thread_time() - begun) / 100 / rows * 1e6)
        print(f"{rows} rows a request: {best:.2f} us of CPU a row")  # noqa: T201
        assert best < most


def test_a_flush_costs_microseconds_a_row(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", environment(tmp_path))
    batch, outputs = sent(100)
    best = float("inf")
    for _ in range(4):
        for _ in range(200):
            log.append("m", "3", "champion", CALL, batch, outputs, 0.001)
        begun = time.process_time()
        log.flush()
        best = min(best, (time.process_time() - begun) / 20_000 * 1e6)
    print(f"flush: {best:.2f} us of CPU a row")  # noqa: T201
    assert best < 60


def test_memory_is_flat_while_the_storage_is_away(tmp_path: Path) -> None:
    """100 MB of rows wait on the disk, and leave it in pieces."""
    (tmp_path / "data").write_text("in the way")
    log = PredictionLog(tmp_path / "log", environment(tmp_path), interval=0.05)
    log.start()
    batch, outputs = sent(100)
    for _ in range(50):
        log.append("m", "3", "champion", CALL, batch, outputs, 0.001)
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(1600):
        log.append("m", "3", "champion", CALL, batch, outputs, 0.001)
    assert sum(path.stat().st_size for path in (tmp_path / "log").rglob("*.jsonl")) > 80e6
    assert log.backlog("m").rows == 165_000
    away = process.memory_info().rss - before
    (tmp_path / "data").unlink()
    log.close()
    assert log.backlog("m").rows == 0
    back = process.memory_info().rss - before
    print(f"memory: +{away / 1e6:.0f} MB while away, +{back / 1e6:.0f} MB after moving all")  # noqa: T201
    assert away < 30e6
    assert back < 500e6
