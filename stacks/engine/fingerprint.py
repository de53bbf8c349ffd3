"""What a plan was made from: the recorded state, the configuration and the program, each as one digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stacks.project import Project

#: Packages whose code decides what a plan holds.
_PACKAGES = ("blueprints", "stacks")
_WORDS = {
    "state": "the recorded state (another operation ran)",
    "config": "the configuration of the environment",
    "program": "the program (the project's own, or the installed Modelyard)",
}


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 digests of what a plan was made from.

    Attributes:
        state: Every recorded resource.
        config: The ``config`` section of ``Pulumi.<env>.yaml``.
        program: The project's ``__main__.py`` and ``Pulumi.yaml``, and the code that builds environments.
    """

    state: str
    config: str
    program: str

    def differences(self, now: Fingerprint) -> tuple[str, ...]:
        """What has changed since, in words; empty: nothing."""
        before, after = asdict(self), asdict(now)
        return tuple(words for part, words in _WORDS.items() if before[part] != after[part])


def fingerprint(project: Project, environment: str, resources: Sequence[Mapping[str, Any]]) -> Fingerprint:
    """The fingerprint of an environment now; ``resources`` as the state records them."""
    return Fingerprint(
        state=_digest([json.dumps(resources, sort_keys=True)]),
        config=_digest([json.dumps(project.config(environment), sort_keys=True, default=str)]),
        program=_digest(_program(project)),
    )


def _program(project: Project) -> Iterable[str]:
    yield version("pulumi")
    for path in (project.root / "Pulumi.yaml", project.root / "__main__.py"):
        yield path.read_text() if path.is_file() else ""
    top = Path(__file__).parent.parent.parent
    for package in _PACKAGES:
        for path in sorted((top / package).rglob("*.py")):
            yield str(path.relative_to(top))
            yield path.read_text()


def _digest(parts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{len(part)}:".encode())
        found.update(part.encode())
    return found.hexdigest()
