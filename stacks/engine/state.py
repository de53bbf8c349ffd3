"""The recorded state of an environment, read without starting the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from blueprints.errors import Problem, UsageProblem
from stacks.engine import naming
from stacks.engine.results import Applied, ResourceState
from stacks.local.kinds import STATEFUL


def recorded(checkpoint: Path) -> list[dict[str, Any]]:
    """Resources of a checkpoint file as Pulumi stores them; empty when there is none.

    Raises:
        Problem: The file is damaged.
    """
    try:
        data = json.loads(checkpoint.read_text())
        latest = (data.get("checkpoint") or {}).get("latest") or {}
        return list(latest.get("resources") or [])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, AttributeError):
        raise damaged(checkpoint) from None


def damaged(checkpoint: Path) -> Problem:
    """The recorded state cannot be read."""
    return Problem(
        "the recorded state is damaged",
        where=str(checkpoint),
        todo="modelyard up: it goes on from the backup, or says what to do",
    )


def resource_states(resources: list[dict[str, Any]]) -> tuple[ResourceState, ...]:
    """Resources as people read them: the stack's own entry and providers left out, secrets masked."""
    return tuple(
        _state(each)
        for each in resources
        if not naming.is_plumbing(str(each.get("type", ""))) and not each.get("delete")
    )


def applied(resources: list[dict[str, Any]]) -> Applied | None:
    """What the stack's own outputs say of the last ``up``; None when they say nothing that can be read."""
    # Pydantic is a large part of what a first frame would pay for.
    from blueprints import keys

    stack = next((each for each in resources if each.get("type") == naming.STACK), {})
    outputs = stack.get("outputs") or {}
    try:
        return Applied(keys.validate(outputs["spec"]), str(outputs["modelyard"]))
    except (KeyError, UsageProblem):
        return None


def _state(data: Mapping[str, Any]) -> ResourceState:
    urn, token = str(data["urn"]), str(data["type"])
    hidden = set(data.get("additionalSecretOutputs") or ())
    outputs = tuple(
        (key, naming.MASK if key in hidden else text) for key, text in naming.properties(data.get("outputs"))
    )
    return ResourceState(
        urn=urn,
        type=naming.type_of(token),
        name=naming.name_of(urn),
        layer=naming.layer_of(urn),
        parent=str(data.get("parent", "")),
        id=str(data.get("id", "")),
        inputs=naming.properties(data.get("inputs")),
        outputs=outputs,
        created=_time(data.get("created")),
        modified=_time(data.get("modified")),
        stateful=token in STATEFUL,
        protected=bool(data.get("protect")),
    )


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
