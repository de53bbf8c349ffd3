"""``pulumi-analyzer-policy-modelyard``: the rules, served to the engine by pulumi-policy.

The engine starts it in the pack's folder with its own address, once for an operation, and ends it. It reads
the environment's spec from the configuration that the engine hands over, so that exceptions and
``protected`` count the same in the console, in CI and in plain ``pulumi preview --policy-pack``.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy import policy as sdk
from pulumi_policy.deserialize import deserialize_properties
from pulumi_policy.proxy import UnknownValueError

from stacks.local.processes import end_with_parent
from stacks.policy.catalog import RULES, rules_of
from stacks.policy.exceptions import Exceptions, exception_for
from stacks.policy.results import EXCEPTED, told, told_excepted
from stacks.policy.rule import UNKNOWN, Resource, Rule, Setting, Severity, StackRule

_SPEC = "modelyard:spec"


def main() -> None:
    """Serve the pack until the engine is done with us."""
    end_with_parent()
    # The engine reads our port from the first line; pulumi-policy writes it and does not flush.
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), write_through=True)
    _read_properties_once()
    config = os.environ.get("PULUMI_CONFIG", "")
    setting, exceptions = configured(config)
    PolicyPack("modelyard", policies(setting, exceptions, rules(config)))


def rules(config: str) -> tuple[Rule, ...]:
    """The rules of the blueprint that the spec names. One that is not there has the pack's: the program stops
    the operation in words."""
    from blueprints.errors import Problem

    try:
        spec = json.loads(json.loads(config or "{}").get(_SPEC) or "{}")
        return rules_of(str(spec.get("blueprint") or "local"))
    except (ValueError, AttributeError, TypeError, Problem):
        return RULES


def _read_properties_once() -> None:
    """pulumi-policy (1.21) turns a resource's properties into Python anew for every rule, and for each rule
    over the stack all of them again: a third of what the pack cost a preview of 500 resources."""
    names = vars(sdk)
    names["json_format"] = SimpleNamespace(MessageToDict=_remembering(json_format.MessageToDict))
    names["deserialize_properties"] = _remembering(deserialize_properties)


def _remembering(convert: Callable[..., Any]) -> Callable[..., Any]:
    # The object is kept with its result, so that no other one is given its id. An operation has few of them,
    # and the process ends with it.
    known: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def once(value: Any, *how: bool) -> Any:
        key = (id(value), *how)
        if key not in known:
            known[key] = (value, convert(value, *how))
        return known[key][1]

    return once


def configured(config: str) -> tuple[Setting, Exceptions]:
    """What the spec says to the rules. ``config`` is the stack's configuration, a JSON map of texts. A spec
    that cannot be read says nothing: the program, which reads it too, stops the operation in words."""
    try:
        spec = json.loads(json.loads(config or "{}").get(_SPEC) or "{}")
        hosts = (spec.get("tracking") or {}).get("allowed_hosts") or ()
        setting = Setting(spec.get("protected") is True, tuple(map(str, hosts)))
        raw = (spec.get("policy") or {}).get("exceptions") or ()
    except (ValueError, AttributeError, TypeError):
        return Setting(), ()
    if not raw:
        return setting, ()
    # pydantic takes 0.1 s of CPU to import: only where there is something to validate.
    from blueprints.errors import Problem
    from blueprints.keys import validate

    try:
        return setting, validate({"policy": {"exceptions": raw}}).policy.exceptions
    except Problem:
        return setting, ()


def policies(setting: Setting, exceptions: Exceptions, rules: Sequence[Rule] = RULES) -> list[Policy]:
    """A policy for each rule; one more for each rule with an exception, which tells of its use."""
    excepted = {each.rule for each in exceptions}
    found = [_policy(rule, setting, exceptions, told_of=False) for rule in rules]
    return found + [_policy(rule, setting, exceptions, told_of=True) for rule in rules if rule.id in excepted]


def _policy(rule: Rule, setting: Setting, exceptions: Exceptions, *, told_of: bool) -> Policy:
    """``told_of``: report what an exception lets pass, as advice; else report everything but that."""

    def report(resource: Resource, finding: str, say: ReportViolation) -> None:
        current, expired = exception_for(rule.id, resource.name, exceptions)
        if told_of and current is not None:
            say(told_excepted(finding, current), resource.urn)
        elif not told_of and current is None:
            say(told(rule, finding, expired), resource.urn)

    def of_resource(args: ResourceValidationArgs, say: ReportViolation) -> None:
        if args.resource_type in rule.types:
            resource = Resource(args.resource_type, args.name, _map(args.props), args.urn)
            for finding in rule.check(resource, setting):
                report(resource, finding, say)

    def of_stack(args: StackValidationArgs, say: ReportViolation) -> None:
        for resource, finding in rule.findings(_resources(args), setting):
            report(resource, finding, say)

    advisory = told_of or rule.severity is Severity.ADVISORY
    level = EnforcementLevel.ADVISORY if advisory else EnforcementLevel.MANDATORY
    name = f"{EXCEPTED}{rule.id}" if told_of else rule.id
    if isinstance(rule, StackRule):
        return StackValidationPolicy(name, rule.what, of_stack, level)
    return ResourceValidationPolicy(name, rule.what, of_resource, level)


def _resources(args: StackValidationArgs) -> list[Resource]:
    return [
        Resource(
            each.resource_type,
            each.name,
            _map(each.props),
            each.urn,
            frozenset(other.urn for other in each.dependencies),
        )
        for each in args.resources
    ]


def _map(properties: Mapping[str, Any]) -> dict[str, Any]:
    """pulumi-policy's proxies as plain data; what is not known becomes :data:`UNKNOWN`."""
    return {key: _item(properties, key) for key in properties}


def _item(values: Any, key: Any) -> Any:
    try:
        value = values[key]
    except UnknownValueError:
        return UNKNOWN
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_item(value, at) for at in range(len(value))]
    # Wire numbers are floats.
    return int(value) if isinstance(value, float) and value.is_integer() else value


if __name__ == "__main__":
    main()
