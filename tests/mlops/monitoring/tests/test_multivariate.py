"""Rows compared: columns that changed together, and only together."""

from __future__ import annotations

import numpy as np
import pytest

from blueprints.errors import UsageProblem
from mlops.monitoring import Profile, compare, compare_rows
from tests.mlops.monitoring.tests.tables import Columns


def rows_of(count: int, seed: int, correlation: float = 0.8) -> Columns:
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, count))
    return {
        "x": x,
        "y": np.exp(correlation * x + np.sqrt(1 - correlation**2) * noise),
        "z": rng.gamma(2, size=count),
        "word": rng.choice(["a", "b", "c"], count, p=[0.6, 0.3, 0.1]),
        "holes": np.where(rng.random(count) < 0.1, np.nan, rng.normal(size=count)),
    }


def test_a_correlation_that_flips_is_seen_by_all_three_though_every_column_alone_is_as_before() -> None:
    before, now = rows_of(4_000, 1), rows_of(1_500, 2, correlation=-0.8)
    assert compare(Profile.of(before), Profile.of(now)).found == ()
    findings = {each.test: each for each in compare_rows(before, now)}
    assert all(each.found for each in findings.values())
    assert set(findings) == {"pca", "classifier", "correlation"}
    assert "x and y go together otherwise: correlation -0.8" in findings["correlation"].sentence


def test_rows_without_a_change_are_quiet() -> None:
    alarms = [
        any(each.found for each in compare_rows(rows_of(1_500, 100 + seed), rows_of(700, 500 + seed)))
        for seed in range(25)
    ]
    assert sum(alarms) <= 2


def test_samples_that_share_too_little() -> None:
    with pytest.raises(UsageProblem, match="1 column is in both"):
        compare_rows({"x": [1.0], "y": [2.0]}, {"x": [1.0], "z": [3.0]})
    assert compare_rows(rows_of(20, 1), rows_of(20, 2)) == ()
