"""Profiles as compact bytes, for a row of a database or a file; every field of a column survives."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from blueprints.errors import UsageProblem
from mlops.monitoring.profile import Categories, Numbers, Profile

SCHEMA = 1
_KINDS: Mapping[str, Any] = {"numbers": Numbers, "categories": Categories}


def to_bytes(profile: Profile) -> bytes:
    """The profile, compressed; the same profile gives the same bytes."""
    return zlib.compress(json.dumps(to_plain(profile), sort_keys=True).encode(), 6)


def from_bytes(data: bytes) -> Profile:
    """What :func:`to_bytes` made."""
    return from_plain(json.loads(zlib.decompress(data)))


def to_plain(profile: Profile) -> dict[str, Any]:
    """The profile as JSON types."""
    columns = {name: _column(column) for name, column in sorted(profile.columns.items())}
    return {"schema": SCHEMA, "rows": int(profile.rows), "columns": columns}


def from_plain(data: Mapping[str, Any]) -> Profile:
    """What :func:`to_plain` made.

    Raises:
        UsageProblem: It is not one, or of another release.
    """
    if data.get("schema") != SCHEMA:
        raise UsageProblem("the profile is of another release", expected=f"schema {SCHEMA}")
    columns = {}
    for name, kept in data["columns"].items():
        kind = _KINDS[kept["kind"]]
        known = {each.name for each in fields(kind)}
        columns[name] = kind(**{key: _value(each) for key, each in kept.items() if key in known})
    return Profile(data["rows"], columns)


def _column(column: Numbers | Categories) -> dict[str, Any]:
    kind = "numbers" if isinstance(column, Numbers) else "categories"
    return {"kind": kind} | {each.name: _plain(getattr(column, each.name)) for each in fields(column)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"integers": value.tolist()}
    if isinstance(value, Mapping):
        return {"counts": {str(key): int(each) for key, each in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_plain(each) for each in value]}
    return value.item() if isinstance(value, np.generic) else value


def _value(kept: Any) -> Any:
    if not isinstance(kept, dict):
        return kept
    ((kind, value),) = kept.items()
    if kind == "integers":
        return np.asarray(value, np.int64)
    return tuple(_value(each) for each in value) if kind == "tuple" else value
