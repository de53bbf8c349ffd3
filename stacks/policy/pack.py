"""The pack: what it tells the engine of one operation's resources, exceptions of the spec heeded.

It reads the environment's spec from the configuration that the engine hands over, so that exceptions and
``protected`` count the same in the console, in CI and in plain ``pulumi preview --policy-pack``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.policy.catalog import RULES, rules_of
from stacks.policy.exceptions import Exceptions, exception_for
from stacks.policy.results import EXCEPTED, told, told_excepted
from stacks.policy.rule import Resource, Rule, Setting, Severity, StackRule

NAME = "modelyard"
_SPEC = "modelyard:spec"


@dataclass(frozen=True)
class Policy:
    """A rule as the engine knows it.

    Attributes:
        rule: The rule.
        exceptions: Of the spec.
        told_of: It reports what an exception lets pass, as advice; else it reports everything but that.
    """

    rule: Rule
    exceptions: Exceptions = ()
    told_of: bool = False

    @property
    def name(self) -> str:
        """What the engine calls it."""
        return f"{EXCEPTED}{self.rule.id}" if self.told_of else self.rule.id

    @property
    def severity(self) -> Severity:
        """What a finding does."""
        return Severity.ADVISORY if self.told_of else self.rule.severity

    @property
    def of_stack(self) -> bool:
        """Whether it is judged once, when all resources are known."""
        return isinstance(self.rule, StackRule)

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[str, str]]:
        """``(URN, message)`` for each finding that is its to report."""
        for resource, finding in self.rule.findings(resources, setting):
            current, expired = exception_for(self.rule.id, resource.name, self.exceptions)
            if self.told_of and current is not None:
                yield resource.urn, told_excepted(finding, current)
            elif not self.told_of and current is None:
                yield resource.urn, told(self.rule, finding, expired)


def policies(exceptions: Exceptions = (), rules: Iterable[Rule] = RULES) -> tuple[Policy, ...]:
    """A policy for each rule; one more for each rule with an exception, which tells of its use."""
    rules, excepted = tuple(rules), {each.rule for each in exceptions}
    found = [Policy(rule, exceptions) for rule in rules]
    return (*found, *(Policy(rule, exceptions, told_of=True) for rule in rules if rule.id in excepted))


def configured(config: str) -> tuple[Setting, tuple[Policy, ...]]:
    """What the spec makes of the pack. A spec that cannot be read says nothing: the program, which reads it
    too, stops the operation in words.

    Args:
        config: The stack's configuration, a JSON map of texts.
    """
    try:
        spec = json.loads(json.loads(config or "{}").get(_SPEC) or "{}")
        rules = _rules(str(spec.get("blueprint") or "local"))
    except (ValueError, AttributeError, TypeError):
        return Setting(), policies()
    try:
        hosts = (spec.get("tracking") or {}).get("allowed_hosts") or ()
        setting = Setting(spec.get("protected") is True, tuple(map(str, hosts)))
        raw = (spec.get("policy") or {}).get("exceptions") or ()
    except (AttributeError, TypeError):
        return Setting(), policies((), rules)
    return setting, policies(_exceptions(raw), rules)


def _rules(blueprint: str) -> tuple[Rule, ...]:
    """The rules of the blueprint; of one that is not there, the pack's."""
    from blueprints.errors import Problem

    try:
        return rules_of(blueprint)
    except Problem:
        return RULES


def _exceptions(raw: Any) -> Exceptions:
    if not raw:
        return ()
    # pydantic takes 0.1 s of CPU to import: only where there is something to validate.
    from blueprints.errors import Problem
    from blueprints.keys import validate

    try:
        return validate({"policy": {"exceptions": raw}}).policy.exceptions
    except Problem:
        return ()
