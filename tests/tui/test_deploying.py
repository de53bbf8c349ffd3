"""The acts on a deployment from the command line, on a real gateway and a real MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blueprints.spec import EnvironmentSpec
from mlops.governance.audit import AuditEntry, AuditLog
from mlops.serving.rollout.state import Deployment
from stacks.project import Project
from tests.mlops.serving.versions import register
from tests.mlops.yard import Yard, opened, until
from tests.tui.conftest import Modelyard
from tui.session import Session

pytestmark = pytest.mark.timeout(600)
_MODEL = "sum"
_SPEC = {"serving": {"trust_pickle": True, "isolation": "never", "log": {"commit_seconds": 0.5}}}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """MLflow and one gateway with three versions, the first one the champion."""
    with opened(tmp_path_factory.mktemp("deploying"), _SPEC) as made, made.serving():
        for shift in (0.0, 0.0, 1.0):
            register(made, shift=shift)
        made.tracking.set_alias(_MODEL, "champion", "1")
        until(lambda: desired(made).champion == "1")
        until(lambda: made.gateway.deployment(_MODEL).state == "serving")
        yield made


@pytest.fixture
def project(tmp_path: Path, services: Yard, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose environment is the yard's."""
    made = Project.create(tmp_path / "p", "p", "dev", EnvironmentSpec())
    monkeypatch.setattr(Session, "environment", lambda self, again=False: services.environment)
    return made


def desired(yard: Yard) -> Deployment:
    """The desired state, as the gateway says it."""
    found = [each.desired for each in yard.gateway.deployments() if each.model == _MODEL]
    return found[0] if found else Deployment()


def last(project: Project) -> AuditEntry:
    """The newest audit entry."""
    return AuditLog(project.audit_file).tail(1)[0]


def document(modelyard: Modelyard, project: Project, *words: str) -> Any:
    """The JSON document of a command that has to succeed."""
    told = modelyard("-C", project.root, "--json", *words)
    assert told.code == 0, told.err + told.out
    return json.loads(told.out)


def test_a_canary_is_paused_resumed_promoted_and_recorded(
    modelyard: Modelyard, project: Project, services: Yard
) -> None:
    root, way = project.root, "canary:10@1h,50@200n,100"
    told = modelyard("-C", root, "deploy", "sum@2", "--strategy", way, "--why", "better")
    assert told.code == 0, told.err
    assert "sum: version 2 is to replace 1: canary:10@1h,50@200n,100" in told.err
    entry = last(project)
    assert (entry.action, entry.target, entry.why) == ("deployment.deploy", "p/dev/sum", "better")
    assert (entry.before["candidate"], entry.after["candidate"]) == (None, "2")
    until(lambda: (rollout := desired(services).active) and rollout.loaded)
    again = modelyard("-C", root, "deploy", "sum@3")
    assert again.code == 1
    assert "version 2 is being rolled out, one at a time" in again.err
    assert last(project) == entry  # what was refused is no act
    assert document(modelyard, project, "pause", _MODEL)["deployment"]["rollout"]["phase"] == "paused"
    assert modelyard("-C", root, "resume", _MODEL).code == 0
    shown = modelyard("-C", root, "deployments").out
    assert [line.split()[1:4] for line in shown.splitlines()[1:3]] == [
        ["champion", "1", "90"],
        ["canary", "2", "10"],
    ]
    assert "sum: v2 canary 10 % · step 1 of 3 · " in shown
    assert modelyard("-C", root, "promote", _MODEL).code == 0
    until(lambda: services.gateway.deployment(_MODEL).verdicts)
    one = modelyard("-C", root, "deployments", _MODEL).out
    assert "● 1  10 % · for at least 1 h" in one
    assert "◐ 2  50 % · for at least 200 requests" in one
    assert "◐  errors" in one
    assert document(modelyard, project, "promote", _MODEL, "--full")["deployment"]["champion"] == "2"
    assert last(project).after["champion"] == "2"


def test_a_rollback_goes_to_the_version_before_and_to_any(
    modelyard: Modelyard, project: Project, services: Yard
) -> None:
    before = desired(services)
    assert before.previous
    told = modelyard("-C", project.root, "rollback", _MODEL, "--why", "wrong")
    assert told.code == 0, told.err
    assert f"rolled back from version {before.champion} to {before.previous}" in told.err
    assert (last(project).action, last(project).after["champion"]) == (
        "deployment.rollback",
        before.previous,
    )
    assert document(modelyard, project, "rollback", _MODEL, "--to", "3")["deployment"]["champion"] == "3"
    refused = modelyard("-C", project.root, "rollback", _MODEL, "--to", "99")
    assert (refused.code, "version 99 cannot be loaded" in refused.err) == (1, True)


def test_flags_are_added_listed_switched_and_removed(
    modelyard: Modelyard, project: Project, services: Yard
) -> None:
    root = project.root
    assert modelyard("-C", root, "flag", _MODEL, "add", "tier=gold:1").code == 0
    assert desired(services).flags.versions == ("1",)
    assert document(modelyard, project, "flag", _MODEL) == {
        "model": _MODEL,
        "on": True,
        "rules": ["tier=gold:1"],
    }
    assert modelyard("-C", root, "flag", _MODEL, "off").code == 0
    assert not desired(services).flags.on
    wrong = modelyard("-C", root, "flag", _MODEL, "remove", "tier=silver:1")
    assert (wrong.code, "tier=gold:1" in wrong.err) == (2, True)
    assert modelyard("-C", root, "flag", _MODEL, "remove", "tier=gold:1").code == 0
    assert desired(services).flags.rules == ()
    assert last(project).action == "deployment.flag"


def test_a_shadow_comes_and_goes(modelyard: Modelyard, project: Project, services: Yard) -> None:
    champion = desired(services).champion
    other = "1" if champion != "1" else "2"
    assert document(modelyard, project, "shadow", _MODEL, other)["deployment"]["shadow"] == other
    until(lambda: any(arm.name == "shadow" for arm in services.gateway.deployment(_MODEL).arms))
    assert f"sum: shadow v{other} (0 copies dropped" in modelyard("-C", project.root, "deployments").out
    assert modelyard("-C", project.root, "shadow", _MODEL, "off").code == 0
    assert desired(services).shadow is None


def test_a_frozen_model_is_not_deployed_but_rolled_back(
    modelyard: Modelyard, project: Project, services: Yard
) -> None:
    root = project.root
    bare = modelyard("-C", root, "freeze", _MODEL)
    assert (bare.code, "needs a reason" in bare.err) == (1, True)
    assert modelyard("-C", root, "freeze", _MODEL, "--why", "audit week").code == 0
    assert last(project).after["frozen"] == "audit week"
    champion = desired(services).champion
    other = "1" if champion != "1" else "2"
    refused = modelyard("-C", root, "deploy", f"{_MODEL}@{other}")
    assert (refused.code, "frozen (audit week)" in refused.err) == (1, True)
    assert "sum: frozen (audit week)" in modelyard("-C", root, "deployments").out
    assert modelyard("-C", root, "rollback", _MODEL, "--to", other).code == 0
    assert modelyard("-C", root, "unfreeze", _MODEL).code == 0
    assert desired(services).frozen is None


def test_an_unknown_model_names_the_known(modelyard: Modelyard, project: Project) -> None:
    told = modelyard("-C", project.root, "deployments", "no-such")
    assert (told.code, "expected: sum" in told.err or "sum" in told.err) == (2, True)
    wrong = modelyard("-C", project.root, "deploy", "sum")
    assert (wrong.code, "MODEL@VERSION" in wrong.err) == (2, True)
