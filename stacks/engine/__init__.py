"""The Pulumi engine, steered by typed calls and watched through typed events."""

from stacks.engine.engine import Engine
from stacks.engine.events import (
    Diagnostic,
    Event,
    Outcome,
    Phase,
    Plan,
    Planned,
    ResourceFailed,
    ResourceFinished,
    ResourceStarted,
    Step,
    Verb,
)
from stacks.engine.results import ResourceState

__all__ = [
    "Diagnostic",
    "Engine",
    "Event",
    "Outcome",
    "Phase",
    "Plan",
    "Planned",
    "ResourceFailed",
    "ResourceFinished",
    "ResourceStarted",
    "ResourceState",
    "Step",
    "Verb",
]
