"""A plan in a file: reviewed now, applied later, and only if nothing it was made from has changed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blueprints.errors import Problem, UsageProblem
from stacks.disk import disk_problem, write_file
from stacks.engine.events import Plan
from stacks.engine.fingerprint import Fingerprint

_FORMAT = 1


@dataclass(frozen=True)
class SavedPlan:
    """What ``preview --save`` wrote.

    Attributes:
        project, environment: What it is a plan for.
        made: When, ISO 8601, UTC.
        fingerprint: What it was made from.
        digest: Of its steps; the same plan has the same digest.
        changes: How many resources it changes.
    """

    project: str
    environment: str
    made: str
    fingerprint: Fingerprint
    digest: str
    changes: int


def save(plan: Plan, path: Path) -> None:
    """Write a plan, whole or not at all; secrets in it are masked already.

    Raises:
        Problem: The file cannot be written.
    """
    assert plan.fingerprint is not None
    document: dict[str, Any] = {
        "modelyard-plan": _FORMAT,
        "project": plan.project,
        "environment": plan.environment,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": asdict(plan.fingerprint),
        "digest": plan.digest,
        "changes": plan.changes,
        "steps": [asdict(step) for step in plan.steps],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise disk_problem(error, path) from None


def load(path: Path) -> SavedPlan:
    """Read a plan.

    Raises:
        UsageProblem: There is none, or the file holds something else.
    """
    todo = "modelyard preview --save FILE writes one"
    try:
        data = json.loads(path.read_text())
        if data["modelyard-plan"] != _FORMAT:
            raise UsageProblem(
                f"is a plan of format {data['modelyard-plan']}",
                where=str(path),
                expected=f"format {_FORMAT}",
                todo=todo,
            )
        return SavedPlan(
            str(data["project"]),
            str(data["environment"]),
            str(data["made"]),
            Fingerprint(**data["fingerprint"]),
            str(data["digest"]),
            int(data["changes"]),
        )
    except OSError as error:
        words = (error.strerror or "no such file").lower()
        raise UsageProblem(f"cannot be read: {words}", where=str(path), todo=todo) from None
    except (ValueError, TypeError, KeyError):
        raise UsageProblem("holds no plan", where=str(path), todo=todo) from None


class StalePlan(Problem):
    """What a plan was made from has changed since."""


def stale(differences: tuple[str, ...], environment: str) -> Problem:
    """The plan no longer fits: what has changed since it was made."""
    return StalePlan(
        f"the plan is out of date: changed since it was made: {'; '.join(differences)}",
        where=f"environment {environment}",
        expected="what the plan was made from, unchanged",
        todo="look at a new plan: modelyard preview",
    )
