"""Tables without drift, of many shapes; and the same with one thing changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.monitoring.profile import Profile

Columns = dict[str, Any]


def table(rows: int, seed: int, sets: int = 1) -> Columns:
    """``10 * sets`` columns of ``rows`` values."""
    rng = np.random.default_rng(seed)
    columns: Columns = {}
    for index in range(sets):
        columns |= {
            f"normal{index}": rng.normal(10, 2, rows),
            f"plain{index}": rng.normal(size=rows),
            f"wide{index}": rng.lognormal(0, 1.5, rows),
            f"gamma{index}": rng.gamma(2, 3, rows),
            f"count{index}": rng.poisson(3, rows).astype(float),
            f"spike{index}": np.where(rng.random(rows) < 0.7, 0.0, rng.exponential(5, rows)),
            f"holes{index}": np.where(rng.random(rows) < 0.05, np.nan, rng.uniform(size=rows)),
            f"few{index}": rng.choice([f"v{j}" for j in range(5)], rows),
            f"some{index}": rng.choice([f"v{j}" for j in range(40)], rows),
            f"many{index}": rng.zipf(1.4, rows).astype(str),
        }
    return columns


def profiled(rows: int, seed: int, like: Profile | None = None, sets: int = 1) -> Profile:
    """The profile of such a table."""
    return Profile.of(table(rows, seed, sets), like=like)
