"""What the monitor does with what it reads."""

from __future__ import annotations

import pyarrow as pa

from mlops.monitoring.service.labels import newest


def test_a_repeated_label_counts_once_and_a_corrected_one_as_corrected() -> None:
    rows = {"id": ["a", "b", "a", "c", "b"], "time": [1, 5, 2, 3, 4], "label": [0.0, 1.0, 1.0, 0.0, 0.0]}
    found = newest(pa.table(rows))
    assert dict(zip(found["id"].to_pylist(), found["label"].to_pylist(), strict=True)) == {
        "a": 1.0,
        "b": 1.0,
        "c": 0.0,
    }
