"""Requests: from the bodies clients send, in MLflow's and the Open Inference Protocol's forms, to columns."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_ROWS = 50_000


class BadRequestError(Exception):
    """A request that cannot be served; the text is for its sender and names the column when there is one."""


@dataclass(frozen=True)
class Batch:
    """Rows to predict: equally long columns, an id and an event time (µs since the epoch, or None) a row."""

    columns: Mapping[str, list[Any]]
    ids: tuple[str, ...]
    event_times: tuple[int | None, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.ids)


def parse(body: Any, columns: Sequence[str]) -> Batch:
    """The rows of a body: ``dataframe_split``, ``dataframe_records``, ``inputs`` (a map of columns, or Open
    Inference Protocol tensors of shape [n] or [n, 1]). Optional ``parameters``: ``ids``, ``event_times``
    (ISO 8601), one each a row.

    Raises:
        BadRequestError: With what was expected.
    """
    if not isinstance(body, Mapping):
        raise BadRequestError("expected a JSON object")
    table = _ordered(_table(body), columns)
    lengths = {len(values) for values in table.values()}
    if len(lengths) > 1:
        raise BadRequestError(f"columns differ in length: {sorted(lengths)}")
    rows = lengths.pop() if lengths else 0
    if not 0 < rows <= MAX_ROWS:
        raise BadRequestError(f"expected 1 to {MAX_ROWS} rows, got {rows}")
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise BadRequestError("parameters: expected an object")
    ids = parameters.get("ids") or [uuid.uuid4().hex for _ in range(rows)]
    times = parameters.get("event_times") or [None] * rows
    for name, values in (("ids", ids), ("event_times", times)):
        if not isinstance(values, list) or len(values) != rows:
            raise BadRequestError(f"parameters.{name}: expected {rows} values")
    return Batch(table, tuple(str(each) for each in ids), tuple(micros(each) for each in times))


def _table(body: Mapping[str, Any]) -> dict[str, list[Any]]:
    try:
        if "dataframe_split" in body:
            split = body["dataframe_split"]
            return {
                str(name): [row[index] for row in split["data"]]
                for index, name in enumerate(split["columns"])
            }
        if "dataframe_records" in body:
            records = body["dataframe_records"]
            names = dict.fromkeys(key for record in records for key in record)
            return {str(name): [record.get(name) for record in records] for name in names}
        inputs = body["inputs"]
        if isinstance(inputs, Mapping):
            return {str(name): list(values) for name, values in inputs.items()}
        return {tensor["name"]: _flat(tensor) for tensor in inputs}
    except (KeyError, TypeError, IndexError, AttributeError):
        raise BadRequestError("expected dataframe_split, dataframe_records or inputs") from None


def _flat(tensor: Mapping[str, Any]) -> list[Any]:
    shape = tensor.get("shape", [len(tensor["data"])])
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise BadRequestError(f"{tensor['name']}: expected shape [n] or [n, 1], got {shape}")
    data = tensor["data"]
    return [row[0] if isinstance(row, list) else row for row in data]


def _ordered(table: dict[str, list[Any]], columns: Sequence[str]) -> dict[str, list[Any]]:
    """The signature's columns in its order; columns it does not know are left out."""
    if not columns:
        return table
    missing = [name for name in columns if name not in table]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise BadRequestError(f"missing column {', '.join(missing[:3])}{more}")
    return {name: table[name] for name in columns}


def micros(text: Any) -> int | None:
    """Microseconds since the epoch of an ISO 8601 time; without a zone it is UTC.

    Raises:
        BadRequestError: It is no time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise BadRequestError(f"expected an ISO 8601 time, got {str(text)[:40]!r}") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1e6)


def score(output: Any) -> float | None:
    """The one number that says what was predicted: a number itself, the second of two class probabilities;
    None for anything else."""
    if isinstance(output, list | tuple):
        output = output[1] if len(output) == 2 else output[0] if len(output) == 1 else None
    if isinstance(output, bool | int | float) and not math.isnan(output):
        return float(output)
    return None
