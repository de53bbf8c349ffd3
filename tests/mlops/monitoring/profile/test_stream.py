"""Files are profiled as their rows are, in memory that does not grow with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from blueprints.errors import UsageProblem
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.stream import profile_of
from tests.mlops.monitoring.profile.parts import facts, table

NAMES = ["wide", "far", "word", "small"]
TABLE = table(3000).select(NAMES)
WHOLE = Profile.of(TABLE)
PEAK = """
import re, sys
from pathlib import Path
import deltalake, numpy, pyarrow.parquet, pyarrow.compute
from mlops.monitoring.profile.stream import profile_of
def peak():
    # getrusage would tell the peak of the process that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before = peak()
profile = profile_of(sys.argv[1])
print(profile.rows, round(peak() - before))
"""


def test_a_file_a_folder_and_a_delta_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.monitoring.profile.stream.BATCH", 700)
    pq.write_table(TABLE, tmp_path / "all.parquet", row_group_size=1000)
    (tmp_path / "folder" / "day=1").mkdir(parents=True)
    pq.write_table(TABLE.slice(0, 1300), tmp_path / "folder" / "day=1" / "a.parquet")
    pq.write_table(TABLE.slice(1300), tmp_path / "folder" / "b.parquet")
    delta = tmp_path / "delta"
    write_deltalake(delta, TABLE.slice(0, 5))
    write_deltalake(delta, TABLE.slice(0, 2000), mode="overwrite")
    write_deltalake(delta, TABLE.slice(2000), mode="append")
    for source in ("all.parquet", "folder", "delta"):
        for threads in (1, 2):
            found = profile_of(tmp_path / source, like=WHOLE, threads=threads)
            assert facts(found) == facts(WHOLE), source
    assert list(profile_of(tmp_path / "delta", columns=["far"]).columns) == ["far"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no Parquet here"):
        profile_of(tmp_path)
    pq.write_table(TABLE, tmp_path / "a.parquet")
    with pytest.raises(UsageProblem, match="no column nothing"):
        profile_of(tmp_path, columns=["nothing"])
    pq.write_table(TABLE.slice(0, 0), tmp_path / "a.parquet")
    with pytest.raises(UsageProblem, match="no rows"):
        profile_of(tmp_path / "a.parquet")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_memory_is_the_same_for_twenty_times_the_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    columns: dict[str, object] = {f"n{number}": random.normal(size=200_000) for number in range(4)}
    columns["c"] = pa.array(random.integers(0, 300, 200_000)).cast(pa.string())
    part = pa.table(columns)
    peaks = []
    for times in (1, 20):
        path = tmp_path / f"{times}.parquet"
        with pq.ParquetWriter(path, part.schema) as writer:
            for _ in range(times):
                writer.write_table(part)
        told = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True
        ).stdout.split()
        assert int(told[0]) == 200_000 * times
        peaks.append(int(told[1]))
    assert 0 < max(peaks) <= 100
    assert peaks[1] - peaks[0] <= 30
