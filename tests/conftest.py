"""Fixtures shared by all tests: one live environment for the whole session."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from blueprints.environment import Environment
from blueprints.spec import EnvironmentSpec
from stacks.engine import Engine
from stacks.project import Project
from tests.extension import Installed, install


@dataclass(frozen=True)
class Live:
    """An environment that is up: real engine, real services."""

    project: Project
    environment: Environment
    engine: Engine


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """The default local environment, up for the session; destroyed with its data at the end."""
    with tempfile.TemporaryDirectory(prefix="modelyard-live-") as folder:
        project = Project.create(Path(folder) / "yard", "yard", "dev", EnvironmentSpec())
        engine = Engine(project, "dev")
        try:
            engine.up()
            yield Live(project, engine.outputs(), engine)
        finally:
            engine.destroy(delete_data=True)


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """The example package of another's blueprint."""
    return install(tmp_path / "site")
