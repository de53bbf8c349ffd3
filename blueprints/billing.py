"""The words in which a bill is written: a resource as a preview has it, a charge, and the scene around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blueprints.layers import Layer

#: How a preview marks a value that is known only after the resource is made.
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unpriceable(Exception):  # noqa: N818 - a reason, not an error
    """This resource cannot be priced; the message says why."""


@dataclass(frozen=True)
class Resource:
    """A resource as a preview has it: type token, name, layer and input properties (camelCase)."""

    type: str
    name: str
    layer: Layer | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def get(self, *path: str) -> Any:
        """The input at ``path``, through blocks that may be lists of one; None when it is not given.

        Raises:
            Unpriceable: It is known only after ``up``.
        """
        value: Any = self.inputs
        for name in path:
            while isinstance(value, Sequence) and not isinstance(value, str) and value:
                value = value[0]
            value = value.get(name) if isinstance(value, Mapping) else None
            if value == _UNKNOWN:
                raise Unpriceable(f"{'.'.join(path)} is known only after up")
        return value

    def text(self, *path: str, default: str = "") -> str:
        """The input as text."""
        value = self.get(*path)
        return default if value is None else str(value)

    def number(self, *path: str, default: float) -> float:
        """The input as a number; AWS writes many of them as text.

        Raises:
            Unpriceable: It is no number of 0 or more.
        """
        value = self.get(*path)
        try:
            found = default if value is None else float(value)
        except (TypeError, ValueError):
            raise Unpriceable(f"{'.'.join(path)} is no number") from None
        if not 0 <= found < float("inf"):
            raise Unpriceable(f"{'.'.join(path)} is {found:g}, which is no amount")
        return found

    def items(self, *path: str) -> list[Any]:
        """The input as a list; empty when it is not given."""
        value = self.get(*path)
        if value is None:
            return []
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


@dataclass(frozen=True)
class Charge:
    """One line of a resource's bill.

    Attributes:
        what: In words: ``capacity units``.
        key: The price book's entry.
        low: Quantity a month, in the entry's unit, when unused.
        high: Quantity a month with the assumed use.
        shared: When set, ``high`` is the whole environment's, and the resources whose charges carry the same
            mark have an equal part of it each.
    """

    what: str
    key: str
    low: float
    high: float
    shared: str = ""


@dataclass(frozen=True)
class Scene:
    """What a rule may look at besides its resource: all of them, and the assumed use by name."""

    resources: tuple[Resource, ...]
    usage: Mapping[str, float]

    @property
    def hours(self) -> float:
        """Hours a month that things run."""
        return self.usage["hours"]

    def fixed(self, what: str, key: str, count: float = 1, *, hourly: bool = False) -> Charge:
        """A charge that does not depend on use: ``count`` a month, or an hour."""
        amount = count * self.hours if hourly else count
        return Charge(what, key, amount, amount)

    def used(self, what: str, key: str, use: str, per: float = 1, shared: str = "") -> Charge:
        """A charge for the use called ``use``, shared by everything with this key (or this ``shared``)."""
        return Charge(what, key, 0, self.usage[use] / per, shared=shared or key)

    def beside(self, resource: Resource, token: str) -> Resource | None:
        """The resource of type ``token`` that belongs to ``resource``: of the same name, or the only one of
        its layer. A preview does not carry which resource an unknown value comes from."""
        found = [each for each in self.resources if each.type == token]
        same = [each for each in found if each.name == resource.name]
        near = [each for each in found if each.layer is resource.layer]
        for choice in (same, near):
            if len(choice) == 1:
                return choice[0]
        return None
