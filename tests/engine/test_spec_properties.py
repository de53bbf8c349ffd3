"""Valid specs drawn over all keys preview on the real engine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from blueprints.keys import validate
from blueprints.spec import EnvironmentSpec
from stacks.engine import Engine
from stacks.project import Project
from tests.blueprints.strategies import specs


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.create(tmp_path_factory.mktemp("preview") / "yard", "yard", "dev", EnvironmentSpec())


@seed(4)
@settings(
    max_examples=8,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(data=specs())
def test_any_valid_spec_previews(project: Project, data: dict[str, Any]) -> None:
    if data.get("protected"):
        # A spec may be valid and against a rule: a protected environment keeps versions (objects-versioned).
        data.setdefault("storage", {})["versioning"] = True
    spec = validate(data)
    project.write_spec("dev", spec)
    plan = Engine(project, "dev").preview(over_budget=True)
    assert plan.changes > 5
