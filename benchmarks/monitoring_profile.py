"""Profiles: one pass, ten thousand rows more, memory, and how far all that is from reading the numbers once.

A million rows of 40 numbers (normal, lognormal, gamma, ties) and 10 words of 20 to 1000 categories; figures
are medians of CPU seconds of this process (user and system, all threads).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS, MORE = 1_000_000, 10_000
_PEAK = """
import re, sys
from pathlib import Path
import deltalake, numpy, pyarrow.parquet, pyarrow.compute
from mlops.monitoring.profile.stream import profile_of
def peak():
    # getrusage would tell the peak of the process that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before = peak()
assert profile_of(sys.argv[1]).rows == int(sys.argv[2])
print(peak() - before)
"""


def table(rows: int, seed: int = 0, numbers: int = 40, words: int = 10) -> Any:
    """The table that is profiled."""
    import pyarrow as pa

    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for number in range(numbers):
        shape = number % 4
        if shape == 0:
            columns[f"n{number:02}"] = random.normal(size=rows)
        elif shape == 1:
            columns[f"n{number:02}"] = random.lognormal(size=rows)
        elif shape == 2:
            columns[f"n{number:02}"] = random.gamma(2.0, size=rows)
        else:
            columns[f"n{number:02}"] = np.round(random.normal(size=rows), 1)
    for number, levels in enumerate(np.geomspace(20, 1000, words).astype(int)):
        codes = pa.array(random.integers(0, levels, rows).astype(np.int32))
        columns[f"c{number:02}"] = pa.DictionaryArray.from_arrays(codes, [f"word {n}" for n in range(levels)])
    return pa.table(columns)


def cpu(task: Callable[[], object], times: int) -> float:
    """Median CPU seconds of ``task``."""
    took = []
    for _ in range(times):
        start = time.process_time()
        task()
        took.append(time.process_time() - start)
    return statistics.median(took)


def speed(folder: Path, times: int) -> dict[str, float]:
    """CPU seconds of one pass from Arrow and from Parquet, and of what reads the same numbers once."""
    import pyarrow.parquet as pq

    from mlops.monitoring.profile import Profile
    from mlops.monitoring.profile.stream import profile_of

    data = table(ROWS)
    path = folder / "million.parquet"
    pq.write_table(data, path)
    arrays = [data[f"n{number:02}"].to_numpy() for number in range(40)]
    whole = Profile.of(data)
    more = table(MORE, seed=1)
    figures = {
        "one pass from Arrow, CPU s": cpu(lambda: Profile.of(data), times),
        "one pass from Parquet, CPU s": cpu(lambda: profile_of(path), times),
        "np.sum of its 40 numbers, CPU s": cpu(lambda: [each.sum() for each in arrays], times),
        "10,000 rows more, CPU ms": 1000 * cpu(lambda: whole + Profile.of(more, whole), 3 * times),
    }
    sums = figures["np.sum of its 40 numbers, CPU s"]
    figures["one pass from Arrow, times np.sum"] = figures["one pass from Arrow, CPU s"] / sums
    return figures


def memory(folder: Path, rows: tuple[int, ...]) -> dict[str, float]:
    """Peak of a process that profiles a Parquet file of 50 columns, MB over what it imports."""
    import pyarrow.parquet as pq

    part = table(200_000)
    figures = {}
    for count in rows:
        path = folder / f"{count}.parquet"
        with pq.ParquetWriter(path, part.schema) as writer:
            for _ in range(count // 200_000):
                writer.write_table(part)
        words = [sys.executable, "-c", _PEAK, str(path), str(count)]
        told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        figures[f"peak over imports at {count:,} rows, MB"] = float(told)
        path.unlink()
    return figures
