"""Infrastructure drift: what is really there, against what the last ``up`` recorded.

What the spec now asks for plays no part: a changed wish is a plan, not drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from blueprints.layers import Layer
from stacks.engine.events import Plan, Step, Verb
from stacks.engine.results import ResourceState
from stacks.local.home import Home
from stacks.local.strays import strays
from stacks.local.supervisor import Supervisor

if TYPE_CHECKING:
    from blueprints.spec import DriftIgnore

_RUNNING = ("RUNNING", "STARTING")


class Change(StrEnum):
    """How a resource differs from its record."""

    EDITED = "edited"
    DELETED = "deleted"
    STOPPED = "stopped"
    ADDED = "added"


@dataclass(frozen=True)
class Drift:
    """One resource that is not as recorded, or one that nobody recorded.

    Attributes:
        urn: Pulumi's unique name; empty for what was added.
        type: Short type: ``service``, ``bucket``, ``file``.
        name: Short name.
        layer: The layer it belongs to; None for what was added.
        change: How it differs.
        properties: What was edited.
        detail: ``(property, recorded, true)``, secrets masked.
        stateful: Whether data may be lost with it.
        how: How it was found, one sentence.
        ignored: Why it does not count for now, and until when; empty: it counts.
    """

    urn: str
    type: str
    name: str
    layer: Layer | None
    change: Change
    properties: tuple[str, ...] = ()
    detail: tuple[tuple[str, str, str], ...] = ()
    stateful: bool = False
    how: str = ""
    ignored: str = ""

    @property
    def title(self) -> str:
        """``service tracking``."""
        return f"{self.type} {self.name}"

    @property
    def words(self) -> str:
        """``edited: argv, running``."""
        return f"{self.change.value}: {', '.join(self.properties)}" if self.properties else self.change.value

    @property
    def severity(self) -> str:
        """``page`` when data may be gone, else ``ticket``."""
        return "page" if self.stateful and self.change is Change.DELETED else "ticket"


@dataclass(frozen=True)
class DriftReport:
    """What differs, what counts first; and the plan that would heal what the engine can."""

    drifts: tuple[Drift, ...]
    plan: Plan

    @property
    def counted(self) -> tuple[Drift, ...]:
        """What is not ignored."""
        return tuple(each for each in self.drifts if not each.ignored)


def classified(
    found: Iterable[Step], recorded: Sequence[ResourceState], home: Home, ignore: Sequence[DriftIgnore]
) -> tuple[Drift, ...]:
    """The drift behind what a refresh found, and what it cannot find: things that no resource owns.

    Args:
        found: ``Watcher.found``.
        recorded: Every recorded resource.
        home: The environment's folder.
        ignore: Entries of the spec.
    """
    running = {name for name, each in Supervisor(home).states().items() if each.state in _RUNNING}
    drifts = [_drift(step, running) for step in found]
    owned = {kind: {each.name for each in recorded if each.type == kind} for kind in ("service", "file")}
    drifts += [
        Drift("", each.kind, each.name, None, Change.ADDED, how=each.how)
        for each in strays(home, owned["service"], owned["file"])
    ]
    judged = [replace(each, ignored=_ignored(each, ignore)) for each in drifts]
    return tuple(sorted(judged, key=lambda each: (bool(each.ignored), each.severity, each.type, each.name)))


def _drift(step: Step, running: set[str]) -> Drift:
    drift = Drift(
        step.urn, step.type, step.name, step.layer, Change.EDITED, step.changed, step.detail, step.stateful
    )
    if step.verb is Verb.DELETE:
        gone = "the provider no longer finds it"
        return replace(drift, change=Change.DELETED, properties=(), detail=(), how=gone)
    if step.changed != ("running",):
        return replace(drift, how="the provider finds other values")
    if step.name in running:
        return replace(drift, how="it runs, but its definition is not the one that up wrote")
    how = "it does not answer" if step.type == "supervisor" else "its supervisor does not run it"
    return replace(drift, change=Change.STOPPED, properties=(), how=how)


def _ignored(drift: Drift, ignore: Sequence[DriftIgnore]) -> str:
    day = today()
    fitting = [each for each in ignore if each.resource == drift.name and each.until >= day]
    last = max(fitting, key=lambda each: each.until, default=None)
    return f"ignored until {last.until}: {last.reason}" if last else ""


def today() -> date:
    """The day by which entries expire, UTC."""
    from stacks.policy.exceptions import today as policy_today

    return policy_today()
