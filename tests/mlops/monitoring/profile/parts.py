"""Tables for the tests of profiles, and what it means that two profiles are the same."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from mlops.monitoring.profile import Profile


def table(rows: int, seed: int = 0) -> pa.Table:
    """One column of each kind, with holes."""
    random = np.random.default_rng(seed)
    wide = random.normal(size=rows) * 10.0 ** random.integers(-20, 20, rows)
    wide[random.random(rows) < 0.05] = np.nan
    wide[random.random(rows) < 0.02] = np.inf
    wide[random.random(rows) < 0.02] = -np.inf
    start = datetime(2026, 5, 1, tzinfo=UTC)
    words = [None if value < 5 else f"word {value}" for value in random.integers(0, 200, rows)]
    return pa.table(
        {
            "wide": pa.array(wide),
            "far": pa.array(1e9 + random.normal(size=rows)),
            "small": pa.array(random.integers(-3, 9, rows), pa.int8(), mask=random.random(rows) < 0.1),
            "huge": pa.array((1 << 62) + random.integers(0, 1000, rows)),
            "price": pa.array([Decimal(int(cents)) / 100 for cents in random.integers(0, 9999, rows)]),
            "when": pa.array([start + timedelta(seconds=int(s)) for s in random.integers(0, 9999, rows)]),
            "flag": pa.array(random.random(rows) < 0.3),
            "word": pa.array(words, pa.string()),
            "code": pa.array(words, pa.string()).dictionary_encode(),
            "text": pa.array(
                [f"the {word} ran over {i} hills and then went on to the sea" for i, word in enumerate(words)]
            ),
            "id": pa.array([f"{value:040x}" for value in random.integers(0, 1 << 60, rows)]),
            "vector": pa.array(list(random.normal(size=(rows, 8))), pa.list_(pa.float32(), 8)),
            "nested": pa.array([{"a": 1}] * rows),
        }
    )


def facts(profile: Profile) -> dict[str, Any]:
    """All of a profile, to be compared with ``==``."""
    columns = {}
    for name, column in profile.columns.items():
        values = {field.name: getattr(column, field.name) for field in fields(column)}
        columns[name] = {
            key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in values.items()
        }
    return {"rows": profile.rows, "columns": columns}
