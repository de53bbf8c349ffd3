"""True labels by prediction id, whenever they become known."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlops.serving.gateway.errors import MalformedError
from mlops.serving.gateway.table import micros, row_ids
from mlops.serving.log.segments import model_name_fault

_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,59}")


class Labels(NamedTuple):
    """Labels of a model's predictions; ``times``: µs since the epoch; ``name``: ``label``, or that of a
    business metric."""

    model: str
    ids: list[str]
    labels: list[float]
    times: list[int]
    name: str


def read_labels(document: Mapping[str, Any], most: int) -> Labels:
    """``{model, ids, labels, times?, name?}``; a time is ISO 8601 or null: now.

    Raises:
        MalformedError: With what was expected.
    """
    model, ids, values = document.get("model"), document.get("ids"), document.get("labels")
    if not isinstance(model, str) or not model or not isinstance(ids, list) or not isinstance(values, list):
        raise MalformedError("expected model, ids and labels")
    if fault := model_name_fault(model):
        raise MalformedError(f"model: {fault}")
    name = document.get("name") or "label"
    if not isinstance(name, str) or not _METRIC.fullmatch(name):
        raise MalformedError("name: expected letters, digits and _ . / -, 60 at most, a letter first")
    times = document.get("times") or [None] * len(ids)
    if not isinstance(times, list) or not len(ids) == len(values) == len(times):
        raise MalformedError("ids, labels and times differ in length")
    if not 0 < len(ids) <= most:
        raise MalformedError(f"expected 1 to {most} labels, got {len(ids)}")
    labels = [_number(value, index) for index, value in enumerate(values)]
    now = int(time.time() * 1_000_000)
    moments = [
        now if each is None else micros(each, f"times, row {index}") for index, each in enumerate(times)
    ]
    return Labels(model, row_ids(ids, len(ids)), labels, moments, name)


def _number(value: Any, index: int) -> float:
    # true and false are what a classifier's labels often are.
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise MalformedError(f"labels, row {index}: expected a number")
