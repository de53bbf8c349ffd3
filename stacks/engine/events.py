"""What an engine operation reports while it runs: typed, frozen, safe to hand to another thread."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from blueprints.layers import Layer
from stacks.engine.fingerprint import Fingerprint
from stacks.policy.results import PolicyResult

if TYPE_CHECKING:
    from blueprints.cost import Estimate


class Verb(StrEnum):
    """What the engine does with a resource; the symbol is how previews print it."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    SAME = "same"
    READ = "read"
    REFRESH = "refresh"

    @property
    def symbol(self) -> str:
        return {"create": "+", "update": "~", "replace": "±", "delete": "-", "refresh": "↻", "read": "<"}.get(
            self.value, " "
        )


@dataclass(frozen=True)
class Step:
    """One resource and what is planned for it or was done to it.

    Attributes:
        urn: Pulumi's unique name of the resource.
        type: Short type, ``service``, ``bucket``; ``component`` types are the layers themselves.
        name: Short name for people, ``tracking``, ``artifacts``.
        layer: The layer it belongs to; None for the stack itself and providers.
        verb: What happens to it.
        stateful: Whether replacing or deleting it can lose data.
        changed: Property paths that differ, for update and replace.
        because: The spec keys or the observed fact that explain the step, when known.
        detail: ``(property, before, after)`` for the detail pane; secrets are already masked.
    """

    urn: str
    type: str
    name: str
    layer: Layer | None
    verb: Verb
    stateful: bool = False
    changed: tuple[str, ...] = ()
    because: str = ""
    detail: tuple[tuple[str, str, str], ...] = ()

    @property
    def dangerous(self) -> bool:
        """A stateful resource that would be replaced or deleted."""
        return self.stateful and self.verb in (Verb.REPLACE, Verb.DELETE)


@dataclass(frozen=True)
class Planned:
    """A preview found ``step``."""

    step: Step


@dataclass(frozen=True)
class ResourceStarted:
    """Work on a resource began; ``expected_seconds`` comes from earlier runs (None: never seen)."""

    step: Step
    expected_seconds: float | None = None


@dataclass(frozen=True)
class ResourceFinished:
    """Work on a resource ended well after ``seconds``."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class ResourceFailed:
    """Work on a resource failed; the reason follows as a :class:`Diagnostic`."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class Diagnostic:
    """A message of the engine or of a resource. ``severity`` is ``info``, ``warning`` or ``error``."""

    severity: str
    message: str
    urn: str = ""


@dataclass(frozen=True)
class Phase:
    """The operation entered a new phase: ``engine`` (getting the CLI), ``waiting`` (for a lock),
    ``recovering``, ``preview``, ``refresh``, ``update``, ``destroy``. ``message`` is a sentence."""

    name: str
    message: str
    expected_seconds: float | None = None


Event: TypeAlias = Planned | ResourceStarted | ResourceFinished | ResourceFailed | Diagnostic | Phase


@dataclass(frozen=True)
class Plan:
    """What a preview found. ``steps`` are in tree order: by layer, components first; ``policy`` has a result
    for every rule."""

    project: str
    environment: str
    steps: tuple[Step, ...]
    seconds: float
    outputs_change: bool = False
    """Whether the stack's outputs would change: a key of the spec that no resource depends on does that."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """URL of each service by name, of those that are known before an ``up``."""
    fingerprint: Fingerprint | None = None
    """What the plan was made from; an ``up`` that is given the plan refuses when it has changed."""
    cost: Estimate | None = None
    """What a month would cost afterwards; None: nobody asked."""
    cost_before: Estimate | None = None
    """What it costs as recorded."""

    @property
    def digest(self) -> str:
        """SHA-256 of what would be done to every resource; the same plan has the same digest, whoever
        made it."""
        done = [
            [step.urn, step.verb.value, list(step.detail)] for step in self.steps if step.type != "component"
        ]
        return hashlib.sha256(json.dumps(sorted(done), ensure_ascii=False).encode()).hexdigest()

    policy: tuple[PolicyResult, ...] = ()

    def count(self, verb: Verb) -> int:
        """How many resources (not layers) the verb applies to."""
        return sum(step.verb is verb and step.type != "component" for step in self.steps)

    @property
    def changes(self) -> int:
        """How many resources would change."""
        return sum(
            step.verb not in (Verb.SAME, Verb.READ, Verb.REFRESH) and step.type != "component"
            for step in self.steps
        )

    @property
    def unchanged(self) -> bool:
        """Whether applying the plan would do nothing at all."""
        return not self.changes and not self.outputs_change

    @property
    def dangerous(self) -> tuple[Step, ...]:
        """Stateful resources that would be replaced or deleted."""
        return tuple(step for step in self.steps if step.dangerous)


@dataclass(frozen=True)
class Outcome:
    """How an ``up``, ``refresh`` or ``destroy`` ended (a failed one raises a Problem instead). The rules of
    the policy pack judge an ``up``; ``policy`` is empty for the others."""

    verb: str
    steps: tuple[Step, ...] = ()
    seconds: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = field(default=())
    urls: Mapping[str, str] = field(default_factory=dict)
    """URL of each service by name, after an ``up``."""
    policy: tuple[PolicyResult, ...] = ()

    def count(self, verb: Verb) -> int:
        """How many resources (not layers) the verb was applied to."""
        return sum(step.verb is verb and step.type != "component" for step in self.steps)

    @property
    def changes(self) -> int:
        """How many resources changed."""
        return sum(
            step.verb not in (Verb.SAME, Verb.READ, Verb.REFRESH) and step.type != "component"
            for step in self.steps
        )
