"""A comparison as JSON, and the schema that it keeps to."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any, get_args

from mlops.monitoring.finding import Family, Severity
from mlops.monitoring.tests.comparison import Comparison

VERSION = 1

_NUMBER = {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_COUNT = {"type": "integer", "minimum": 0}
_DISTRIBUTION = {
    "type": "object",
    "required": ["labels", "shares"],
    "additionalProperties": False,
    "properties": {
        "labels": {"type": "array", "items": {"type": "string"}},
        "shares": {"type": "array", "items": _SHARE},
    },
}
_FINDING = {
    "column": {"type": "string"},
    "family": {"enum": list(get_args(Family))},
    "test": {"type": "string"},
    "statistic": _NUMBER,
    "effect": _NUMBER,
    "floor": _NUMBER,
    "p_value": _SHARE,
    "p_adjusted": _SHARE,
    "found": {"type": "boolean"},
    "severity": {"enum": list(get_args(Severity))},
    "sentence": {"type": "string"},
    "segment": {"type": "string"},
    "reference": _DISTRIBUTION,
    "current": _DISTRIBUTION,
    "importance": {"type": ["number", "null"]},
}
#: JSON schema of :func:`to_json`, draft 2020-12.
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Comparison of two profiles",
    "type": "object",
    "required": ["version", "reference_rows", "current_rows", "alpha", "problem", "findings"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": VERSION},
        "reference_rows": _COUNT,
        "current_rows": _COUNT,
        "alpha": _SHARE,
        "problem": {"type": "string"},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "required": list(_FINDING),
                "additionalProperties": False,
                "properties": _FINDING,
            },
        },
    },
}


def to_json(comparison: Comparison) -> str:
    """Every finding of a comparison, found or not; keeps to :data:`SCHEMA`."""
    findings = [
        {key: _finite(value) if isinstance(value, float) else value for key, value in asdict(finding).items()}
        for finding in comparison.findings
    ]
    return json.dumps(
        {
            "version": VERSION,
            "reference_rows": comparison.rows[0],
            "current_rows": comparison.rows[1],
            "alpha": comparison.alpha,
            "problem": comparison.problem,
            "findings": findings,
        },
        allow_nan=False,
    )


def _finite(value: float) -> float:
    # JSON has no infinity.
    return value if math.isfinite(value) else math.copysign(1.7976931348623157e308, value)
