"""What a rule of the policy pack is: plain Python over plain property values, no Pulumi.

A rule is one small class in the module of its family. The pack (:mod:`stacks.policy.pack`) hands it the
resources of a preview or an update; the tests hand it the examples it carries itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


class Severity(StrEnum):
    """What a violation does: ``mandatory`` stops the operation, ``advisory`` warns."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


class Unknown:
    """A value that a preview cannot know yet. A rule never judges it: the update, where it is known, does."""

    def __repr__(self) -> str:
        return "known after apply"

    def __bool__(self) -> bool:
        return False


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Setting:
    """What a rule may know of the environment besides its resources.

    Attributes:
        protected: ``protected`` of the spec.
        allowed_hosts: ``tracking.allowed_hosts`` of the spec.
    """

    protected: bool = False
    allowed_hosts: tuple[str, ...] = ()


#: An environment like any other.
ANY = Setting()


@dataclass(frozen=True)
class Resource:
    """One resource as a rule sees it.

    Attributes:
        type: Pulumi's type token, ``aws:rds/instance:Instance``.
        name: The name the program gave it.
        props: Its properties by their wire names (``publiclyAccessible``), secrets in clear: a finding never
            repeats a value that may be one.
        urn: Pulumi's unique name; empty in examples.
        depends: URNs, or in examples names, of the resources it depends on.
    """

    type: str
    name: str
    props: Mapping[str, Any]
    urn: str = ""
    depends: frozenset[str] = field(default=frozenset())

    def get(self, path: str) -> Any:
        """The value at a dotted path of maps, lists by their number; None when there is none,
        :data:`UNKNOWN` when it or something on the way is not known yet."""
        value: Any = self.props
        for name in path.split("."):
            if value is UNKNOWN:
                return UNKNOWN
            if isinstance(value, Mapping):
                value = value.get(name)
            elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
                value = value[int(name)]
            else:
                return None
        return value

    def lacks(self, path: str, wanted: Any = True) -> bool:
        """Whether the value at ``path`` is known and not ``wanted``."""
        value = self.get(path)
        return value is not UNKNOWN and value != wanted

    def unsure(self, path: str) -> bool:
        """Whether the value at ``path``, or an item of the list there, is not known yet."""
        value = self.get(path)
        return value is UNKNOWN or (isinstance(value, list) and UNKNOWN in value)

    def empty(self, path: str) -> bool:
        """Whether the value at ``path`` is known and says nothing."""
        value = self.get(path)
        return value is not UNKNOWN and not value

    def maps(self, path: str) -> list[Mapping[str, Any]]:
        """The known maps in the list at ``path``; empty when it is none."""
        value = self.get(path)
        return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []

    def refers_to(self, other: Resource) -> bool:
        """Whether a property of this one is made of ``other``."""
        return bool(self.depends & {other.urn, other.name} - {""})


@dataclass(frozen=True)
class Example:
    """A stack that a rule judges: one of the two fixtures each rule carries."""

    resources: tuple[Resource, ...]
    setting: Setting = ANY


def example(type: str, /, *, _name: str = "it", _setting: Setting = ANY, **props: Any) -> Example:
    """The example of one resource called ``it``."""
    return Example((Resource(type, _name, props),), _setting)


class Rule:
    """A demand on every resource of some types.

    Attributes:
        id: What exceptions, messages and documents call it.
        severity: What a violation does.
        what: The demand, one sentence.
        why: What goes wrong without it.
        fix: What to do about a violation.
        types: The type tokens it looks at.
        fails, passes: A stack that violates it, and one that does not.
    """

    id: ClassVar[str]
    severity: ClassVar[Severity] = Severity.MANDATORY
    what: ClassVar[str]
    why: ClassVar[str]
    fix: ClassVar[str]
    types: ClassVar[frozenset[str]]
    fails: ClassVar[Example]
    passes: ClassVar[Example]

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        """A finding, a short phrase without secrets, for each thing about it that breaks the rule."""
        raise NotImplementedError

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[Resource, str]]:
        """``(resource, finding)`` over a whole stack."""
        for resource in resources:
            if resource.type in self.types:
                for finding in self.check(resource, setting):
                    yield resource, finding


class StackRule(Rule):
    """A demand on how resources of a stack go together; judged when all of them are known."""

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[Resource, str]]:
        """``(resource, finding)`` over a whole stack."""
        raise NotImplementedError
