"""Valid specs over all keys, and single-key corruptions of them, for property tests.

Values come from each key's own declaration (type, choices, bounds), so a new key is covered when it is added.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from hypothesis import strategies as st

from blueprints.keys import Key, keys

#: Key -> its values, where the declaration does not say all.
_NAMES = st.from_regex(re.compile(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", re.ASCII), fullmatch=True)
_FOR_A_WHILE = {
    "reason": st.sampled_from(["a test", "до завтра", "x: y # z"]),
    "until": st.dates(date(2026, 1, 1), date(2030, 1, 1)).map(date.isoformat),
}
_EXCEPTIONS = st.fixed_dictionaries(
    {
        "rule": st.just("local-loopback-only"),
        "resource": st.sampled_from(["", "tracking"]),
        **_FOR_A_WHILE,
    }
)
_IGNORED = st.fixed_dictionaries({"resource": st.sampled_from(["tracking", "s3.json"]), **_FOR_A_WHILE})
_ROUTES = st.fixed_dictionaries(
    {"name": _NAMES, "kind": st.just("slack"), "url": st.sampled_from(["env:HOOK", "file:/run/secrets/hook"])}
)
_KPIS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["revenue", "orders_a_day"]),
        "function": st.just("shop.kpis:revenue"),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
        "side": st.sampled_from(["both", "low", "high"]),
    }
)
_OWN: dict[str, st.SearchStrategy[Any]] = {
    "blueprint": st.just("local"),
    "cost.region": st.sampled_from(["us-east-1", "eu-central-1", "ap-southeast-2"]),
    "tracking.allowed_hosts": st.lists(
        st.sampled_from(["a.example", "b.example:8443", "*.c.example"]), max_size=3, unique=True
    ),
    "promotion.accepts_from": st.lists(_NAMES, max_size=3, unique=True),
    "promotion.keep": st.lists(st.sampled_from(["*.port", "serving.*", "tracking.workers"]), max_size=3),
    "serving.strategy": st.sampled_from(["rolling", "canary 5% 25% 50%, each 10m", "blue-green keep=24h"]),
    "serving.log.redact": st.lists(st.sampled_from(["email", "name:hash", "Straße 1"]), max_size=3),
    "policy.exceptions": st.lists(_EXCEPTIONS, max_size=2),
    "drift.ignore": st.lists(_IGNORED, max_size=2),
    "monitoring.kpis": st.lists(_KPIS, max_size=2, unique_by=lambda kpi: kpi["name"]),
    "monitoring.alerts.rules": st.lists(
        st.fixed_dictionaries({"families": st.just(["drift"]), "notify": st.sampled_from(["page", "none"])}),
        max_size=2,
    ),
    "monitoring.alerts.routes": st.lists(_ROUTES, max_size=2, unique_by=lambda route: route["name"]),
    "monitoring.alerts.sources": st.lists(st.fixed_dictionaries({"name": _NAMES}), max_size=2),
}
#: What a number may be where its key names no upper bound.
_MOST = 1e9


def _values(key: Key) -> st.SearchStrategy[Any]:
    if key.path in _OWN:
        return _OWN[key.path]
    if key.choices:
        return st.sampled_from(key.choices)
    if key.type == "yes or no":
        return st.just(False) if key.path == "orchestration.enabled" else st.booleans()
    numbers = [float(text.replace(" ", "")) for text in re.findall(r"\d[\d .]*\d|\d", key.bounds)]
    low, high = (numbers[0], numbers[1]) if len(numbers) > 1 else (numbers[0] if numbers else 0, _MOST)
    strict = "more than" in key.bounds
    if key.type == "whole number":
        found: st.SearchStrategy[Any] = st.integers(int(low), int(high))
    else:
        found = st.floats(low, high, exclude_min=strict, exclude_max="less than" in key.bounds)
    return st.none() | found if key.default is None else found


def _whole(values: dict[str, Any]) -> dict[str, Any]:
    """Flat keys as the nested spec, with what keys demand of each other."""
    ports = [path for path, value in values.items() if path.endswith(".port") and value is not None]
    for number, path in enumerate(ports):
        values[path] = 1024 + (values[path] + number * 9973) % 60000
    if len({values[path] for path in ports}) < len(ports):
        values |= dict.fromkeys(ports)
    if not values.get("serving.enabled", True):
        values["monitoring.enabled"] = False
    elif values.get("monitoring.enabled", True):
        values |= {"serving.enabled": True, "serving.log.enabled": True}
    data: dict[str, Any] = {}
    for path, value in values.items():
        *parents, leaf = path.split(".")
        target = data
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return data


def specs() -> st.SearchStrategy[dict[str, Any]]:
    """Any valid spec as plain data: every key may be left out, or have any value it allows."""
    each = {key.path: _values(key) for key in keys()}
    return st.fixed_dictionaries({}, optional=each).map(_whole)


def corruptions(key: Key) -> list[Any]:
    """Values that the key does not allow, one of each kind: another type, outside its bounds, no choice."""
    found: list[Any] = [{"nested": 1}]
    if key.type != "list":
        found.append(["a", "list"])
    if key.default is not None:
        found.append(None)
    if key.choices:
        found += ["no-such-choice", ""]
    if key.type in ("whole number", "number"):
        found += ["many", "1 000", float("nan"), float("inf")]
    if key.type == "whole number":
        found.append(1.5)
    if key.type == "yes or no":
        found += ["perhaps", 2]
    if key.type == "list":
        found += ["a,b", 7]
    if key.type == "text":
        found += [7, True]
    numbers = [float(text.replace(" ", "")) for text in re.findall(r"\d[\d .]*\d|\d", key.bounds)]
    if numbers and key.type in ("whole number", "number"):
        found.append(numbers[0] if "more than" in key.bounds else numbers[0] - 1)
    if len(numbers) > 1:
        found.append(numbers[1] if "less than" in key.bounds else numbers[1] + 1)
    return found
