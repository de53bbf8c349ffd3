"""Rows of the prediction log as columns of the kinds that the reference has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from mlops.monitoring.profile import Categories, Profile
from mlops.monitoring.service.reference import PREDICTION
from mlops.serving.log.policy import unseen

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Columns:
    """What rows hold.

    Attributes:
        table: Arrow table with the columns of the reference, and the model's output as ``prediction``.
        hidden: Columns that the log redacts: nothing can be said of them.
        absent: Columns of the reference that no row has.
        extra: Columns that the reference does not have.
        wrong: Values, by column, that are not of the column's kind; they count as missing.
    """

    table: Any
    hidden: frozenset[str]
    absent: frozenset[str]
    extra: frozenset[str]
    wrong: Mapping[str, int]


def columns(rows: Any, like: Profile) -> Columns:
    """Read rows of the log.

    Args:
        rows: Arrow table in the schema of ``predictions``, ``n`` rows.
        like: The reference's profile.
    """
    import pyarrow as pa

    features = [_object(text) for text in rows.column("features").to_pylist()]
    present = frozenset[str]().union(*features)
    made: dict[str, Any] = {}
    hidden, wrong = set[str](), dict[str, int]()
    for name, column in like.columns.items():
        if name == PREDICTION:
            made[name] = rows.column("score").combine_chunks()
            continue
        values = [row.get(name) for row in features]
        if unseen(values):
            hidden.add(name)
            continue
        if isinstance(column, Categories):
            made[name] = pa.array([_word(each) for each in values], pa.string())
        else:
            numbers, bad = _numbers(values)
            wrong |= {name: bad} if bad else {}
            made[name] = pa.array(numbers)
    known = frozenset(like.columns) - {PREDICTION}
    return Columns(
        pa.table(made),
        frozenset(hidden),
        known - present if features else frozenset(),
        present - known,
        wrong,
    )


def _object(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Of a release that wrote NaN as a word.
        found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _numbers(values: Sequence[Any]) -> tuple[Floats, int]:
    """As numbers, NaN where there is none, and how many were something else; shape ``(n,)``."""
    try:
        # All at once: None is NaN, and a text that is a number is one.
        made = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        made = np.empty((0, 0))
    if made.shape == (len(values),):
        return made, 0
    found = [_number(each) for each in values]
    bad = sum(each is None and value is not None for each, value in zip(found, values, strict=True))
    return np.asarray([math.nan if each is None else each for each in found], np.float64), bad


def _word(value: Any) -> str | None:
    if value is None or value != value:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
