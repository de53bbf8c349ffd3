"""Rows of the log as columns: whatever a value is, it is what one by one it would be."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mlops.monitoring.profile import Profile
from mlops.monitoring.service.rows import _number, columns

REFERENCE = Profile.of({"x": np.arange(10.0), "prediction": np.arange(10.0)})
_VALUES = st.one_of(
    st.none(), st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.text(max_size=4),
    st.sampled_from(["1.5", "-2e3", "nan", "inf"]), st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.just("a"), st.integers(0, 3), max_size=1),
)  # fmt: skip


def read(values: list[Any]) -> Any:
    table = pa.table({"features": [json.dumps({"x": each}) for each in values], "score": [0.5] * len(values)})
    return columns(table, REFERENCE)


@given(st.lists(_VALUES, min_size=1, max_size=8))
def test_values_are_numbers_or_missing_and_the_wrong_ones_counted(values: list[Any]) -> None:
    found = read(values)
    if "x" in found.hidden:
        return
    known = [_number(each) for each in values]
    expected = np.array([np.nan if each is None else each for each in known], float)
    np.testing.assert_array_equal(found.table["x"].to_numpy(), expected)
    bad = sum(each is None and value is not None for each, value in zip(known, values, strict=True))
    assert found.wrong.get("x", 0) == bad


def test_rows_of_lists_are_no_numbers() -> None:
    found = read([[1, 2], [3, 4]])
    assert found.wrong == {"x": 2}
    assert np.isnan(found.table["x"].to_numpy()).all()
