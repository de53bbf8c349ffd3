"""What a plan was made from: the recorded state, the configuration and the program, each as one digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from blueprints.catalog import catalog
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
        state=state_digest(resources),
        config=_digest([json.dumps(project.config(environment), sort_keys=True, default=str)]),
        program=_digest(_program(project, project.spec(environment).blueprint)),
    )


def state_digest(resources: Sequence[Mapping[str, Any]]) -> str:
    """The digest of the recorded resources alone."""
    return _digest([json.dumps(resources, sort_keys=True)])


def _program(project: Project, blueprint: str) -> Iterable[str]:
    yield version("pulumi")
    for path in (project.root / "Pulumi.yaml", project.root / "__main__.py"):
        yield path.read_text() if path.is_file() else ""
    for package in (*_PACKAGES, *_brought_by(blueprint)):
        found = find_spec(package)
        for folder in map(Path, found.submodule_search_locations or () if found else ()):
            for path in sorted(folder.rglob("*.py")):
                yield str(path.relative_to(folder.parent))
                yield path.read_text()


def _brought_by(blueprint: str) -> set[str]:
    """The package of a blueprint that is not ours."""
    known = catalog().get(blueprint)
    return {known.target.partition(".")[0]} - set(_PACKAGES) if known else set()


def _digest(parts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{len(part)}:".encode())
        found.update(part.encode())
    return found.hexdigest()
