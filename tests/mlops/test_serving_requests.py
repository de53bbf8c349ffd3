"""Bodies of requests."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.serving.requests import MAX_ROWS, BadRequestError, parse, score

_FORMS: list[dict[str, Any]] = [
    {"dataframe_split": {"columns": ["b", "a"], "data": [[3, 1], [4, 2]]}},
    {"dataframe_records": [{"a": 1, "b": 3, "z": 0}, {"a": 2, "b": 4}]},
    {"inputs": {"b": [3, 4], "a": [1, 2]}},
    {
        "inputs": [
            {"name": "a", "shape": [2, 1], "datatype": "FP64", "data": [1, 2]},
            {"name": "b", "shape": [2], "datatype": "FP64", "data": [3, 4]},
        ]
    },
]


@pytest.mark.parametrize("body", _FORMS)
def test_every_form_gives_the_columns_of_the_signature(body: dict[str, Any]) -> None:
    batch = parse(body, ("a", "b"))
    assert batch.columns == {"a": [1, 2], "b": [3, 4]}
    assert list(batch.columns) == ["a", "b"]
    assert len(set(batch.ids)) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], "JSON object"),
        ({}, "dataframe_split"),
        ({"inputs": 3}, "dataframe_split"),
        ({"inputs": {"a": [1]}}, "missing column b"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "differ in length"),
        ({"inputs": {"a": [], "b": []}}, "expected 1 to"),
        ({"inputs": {"a": [0] * (MAX_ROWS + 1), "b": [0] * (MAX_ROWS + 1)}}, "expected 1 to"),
        ({"inputs": {"a": [1], "b": [1]}, "parameters": {"ids": ["x", "y"]}}, "parameters.ids"),
        ({"inputs": {"a": [1], "b": [1]}, "parameters": [1]}, "parameters: expected"),
        ({"inputs": {"a": [1], "b": [1]}, "parameters": {"event_times": ["yesterday"]}}, "ISO 8601"),
        ({"inputs": [{"name": "a", "shape": [1, 2], "data": [1, 2]}]}, "expected shape"),
    ],
)
def test_bad_bodies_say_what_was_expected(body: Any, expected: str) -> None:
    with pytest.raises(BadRequestError, match=expected):
        parse(body, ("a", "b"))


def test_event_times_are_those_of_the_data() -> None:
    times = ["2013-04-01T05:00:00+00:00", "2013-04-01T05:00:00"]
    batch = parse({"inputs": {"a": [1, 2]}, "parameters": {"ids": [7, 8], "event_times": times}}, ("a",))
    assert batch.ids == ("7", "8")
    assert batch.event_times == (1_364_792_400_000_000,) * 2


@pytest.mark.parametrize(
    ("output", "expected"),
    [(0.25, 0.25), ([0.9, 0.1], 0.1), ([3.0], 3.0), ("late", None), ([1, 2, 3], None), (float("nan"), None)],
)
def test_score(output: Any, expected: float | None) -> None:
    assert score(output) == expected
