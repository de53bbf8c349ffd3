"""Feature flag rules as text: ``tier=gold:8``, ``tier=gold,silver:8``, ``user^=test-:8``, ``user%10:8``."""

from __future__ import annotations

import re

from pydantic import ValidationError

from blueprints.errors import UsageProblem
from mlops.serving.rollout.state import FlagRule

EXPECTED = "ATTRIBUTE=VALUE[,VALUE]:VERSION, ATTRIBUTE^=PREFIX:VERSION or ATTRIBUTE%PERCENT:VERSION"
_RULE = re.compile(r"(?P<attribute>[a-z0-9][a-z0-9_.-]*)(?P<op>\^=|=|%)(?P<values>.+):(?P<version>\w+)")


def parse_rule(text: str) -> FlagRule:
    """The rule that a text names.

    Raises:
        UsageProblem: It names none.
    """
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise UsageProblem(f"{text!r} is no rule", where="--rule", expected=EXPECTED)
    values = found["values"]
    data: dict[str, object] = {"op": "percent", "percent": values}
    if found["op"] == "^=":
        data = {"op": "prefix", "values": (values,)}
    elif found["op"] == "=":
        parts = tuple(values.split(","))
        data = {"op": "in" if len(parts) > 1 else "equals", "values": parts}
    try:
        return FlagRule.model_validate({**data, "attribute": found["attribute"], "version": found["version"]})
    except ValidationError as error:
        why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise UsageProblem(f"{text!r}: {why}", where="--rule", expected=EXPECTED) from None


def rule_text(rule: FlagRule) -> str:
    """What :func:`parse_rule` takes."""
    if rule.op == "percent":
        return f"{rule.attribute}%{rule.percent:g}:{rule.version}"
    sign = "^=" if rule.op == "prefix" else "="
    return f"{rule.attribute}{sign}{','.join(rule.values)}:{rule.version}"
