"""What a resource type of the provider is: its inputs, and how it meets the truth on this machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stacks.local.home import Home
from stacks.provider.values import UNKNOWN, Plain


@dataclass(frozen=True)
class Input:
    """One input property.

    Attributes:
        type: ``str``, ``int``, ``bool``, ``list`` or ``dict``.
        meaning: One sentence, for the schema.
        default: Its value when not given; :data:`REQUIRED` when it must be.
        replaces: A change needs a new resource.
        secret: Encrypted in the state.
    """

    type: type
    meaning: str
    default: Any = None
    replaces: bool = False
    secret: bool = False


class _Required:
    pass


REQUIRED = _Required()

_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a map"}


class Kind(ABC):
    """A resource type.

    Every operation may run again after a ``kill -9`` that struck between doing and recording, so ``create``
    adopts what is already there, and ids follow from the inputs.
    """

    name: ClassVar[str]
    inputs: ClassVar[Mapping[str, Input]]
    outputs: ClassVar[Mapping[str, Input]] = {}
    #: Outputs with the value a well resource shows; ``read`` reports the truth, a difference is drift.
    well: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, home: Home) -> None:
        self.home = home

    @classmethod
    def filled(cls, inputs: Plain) -> Plain:
        """``inputs`` with defaults for what was not given."""
        defaults = {
            key: each.default
            for key, each in cls.inputs.items()
            if each.default is not None and each.default is not REQUIRED
        }
        return defaults | {key: value for key, value in inputs.items() if value is not None}

    def check(self, inputs: Plain) -> list[tuple[str, str]]:
        """``(property, reason)`` of every bad input."""
        faults = []
        for key, value in inputs.items():
            if key not in self.inputs:
                faults.append((key, f"unknown property; expected one of {', '.join(self.inputs)}"))
            elif value is not UNKNOWN and value is not None and not _fits(value, self.inputs[key].type):
                faults.append((key, f"expected {_WORDS[self.inputs[key].type]}, got {type(value).__name__}"))
        for key, each in self.inputs.items():
            if each.default is REQUIRED and inputs.get(key) is None:
                faults.append((key, f"missing: {each.meaning}"))
        return faults or self.check_values(inputs)

    def check_values(self, inputs: Plain) -> list[tuple[str, str]]:
        """``(property, reason)`` of inputs whose type is right and whose value is not."""
        return []

    def changed(self, state: Plain, inputs: Plain) -> list[str]:
        """Properties in which the recorded state differs from what is wanted."""
        wanted = {key: inputs.get(key) for key in self.inputs}
        found = [key for key, value in wanted.items() if state.get(key) != value]
        found += [key for key, value in self.well.items() if key in state and state[key] != value]
        return found

    @classmethod
    def secrets(cls) -> set[str]:
        """Names of properties that are always secret."""
        return {key for key, each in {**cls.inputs, **cls.outputs}.items() if each.secret}

    @abstractmethod
    def id_of(self, inputs: Plain) -> str:
        """The resource's id, from its inputs alone."""

    @abstractmethod
    def create(self, inputs: Plain) -> Plain:
        """Make it or adopt it; returns the state."""

    @abstractmethod
    def read(self, state: Plain) -> Plain | None:
        """The state as it truly is now; None when the resource is gone."""

    def update(self, state: Plain, inputs: Plain) -> Plain:
        """Bring it to ``inputs``; returns the state. By default creating is idempotent and does it."""
        return self.create(inputs)

    @abstractmethod
    def delete(self, state: Plain) -> None:
        """Remove it; data stays (the engine removes data when asked for by name)."""


def _fits(value: Any, expected: type) -> bool:
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if expected is list:
        return isinstance(value, list | tuple)
    return isinstance(value, expected)
