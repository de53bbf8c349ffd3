"""Rows as a body says them, not yet held against a signature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.serving.gateway.errors import MalformedError

_MOST_ID = 200


@dataclass(slots=True)
class Table:
    """One of ``flat`` and ``columns`` is set.

    Attributes:
        rows: How many; 0 or more.
        flat: Values row after row, ``width`` a row: a list or a one-dimensional array.
        names: Of the columns of ``flat``; None: they count by position.
        shape: Of a tensor with more than two axes; None otherwise.
        columns: Values by name, ``rows`` each.
        ids: An id a row, as the sender gave them, or None.
        event_times: µs since the epoch a row, or None.
    """

    rows: int
    flat: Any = None
    width: int = 0
    names: Sequence[str] | None = None
    shape: tuple[int, ...] | None = None
    columns: Mapping[str, Any] | None = None
    ids: Sequence[str] | None = None
    event_times: Sequence[int] | None = None


def add_parameters(table: Table, parameters: Any) -> None:
    """Set ``ids`` and ``event_times`` from the ``parameters`` of a JSON body.

    Raises:
        MalformedError: They do not fit the rows.
    """
    if not isinstance(parameters, dict):
        raise MalformedError("parameters: expected an object")
    ids = parameters.get("ids")
    if ids:
        table.ids = row_ids(ids, table.rows)
    times = parameters.get("event_times")
    if times:
        table.event_times = row_times(times, table.rows)


def row_ids(values: Any, rows: int) -> list[str]:
    """One id a row, as text.

    Raises:
        MalformedError: They are no texts or numbers, too long, or not as many as the rows.
    """
    _one_each(values, rows, "ids")
    found = []
    for index, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > _MOST_ID:
            raise MalformedError(
                f"parameters.ids, row {index}: expected a text of at most {_MOST_ID} characters"
            )
        found.append(str(value))
    return found


def row_times(values: Any, rows: int) -> list[int]:
    """One time a row, µs since the epoch.

    Raises:
        MalformedError: They are no ISO 8601 texts, or not as many as the rows.
    """
    _one_each(values, rows, "event_times")
    return [micros(value, f"parameters.event_times, row {index}") for index, value in enumerate(values)]


def _one_each(values: Any, rows: int, name: str) -> None:
    if not isinstance(values, list) or len(values) != rows:
        raise MalformedError(f"parameters.{name}: expected a list of {rows} values, one a row")


def micros(value: Any, where: str) -> int:
    """µs since the epoch of an ISO 8601 text (without a zone: UTC).

    Raises:
        MalformedError: It is none.
    """
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return math.floor(moment.timestamp() * 1_000_000)
    except (TypeError, ValueError, OverflowError):
        raise MalformedError(f"{where}: expected an ISO 8601 time") from None
