"""The Deployments page on a real gateway under traffic: deploy, watch, promote, roll back by keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blueprints.spec import EnvironmentSpec
from mlops.governance.audit import AuditLog
from stacks.project import Project
from tests.console.test_console import go, text_of, until
from tests.mlops.serving.load import steady
from tests.mlops.serving.versions import register
from tests.mlops.yard import opened
from tests.mlops.yard import until as happens
from tui.app import ConsoleApp
from tui.screens.ask import AskScreen
from tui.screens.deploy import DeployScreen
from tui.session import Session

pytestmark = pytest.mark.timeout(600)
_SPEC = {"serving": {"trust_pickle": True, "isolation": "never", "log": {"commit_seconds": 0.5}}}


async def test_a_version_is_deployed_watched_promoted_and_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path / "p", "p", "dev", EnvironmentSpec())
    with opened(tmp_path, _SPEC) as yard, yard.serving(), Session.open(project.root) as session:
        register(yard)
        register(yard)
        yard.tracking.set_alias("sum", "champion", "1")
        happens(lambda: [each.state for each in yard.gateway.deployments()] == ["serving"])
        monkeypatch.setattr(Session, "environment", lambda self, again=False: yard.environment)
        serving = yard.environment.serving
        assert serving is not None
        app = ConsoleApp(session)
        with steady(serving.url, serving.token.get_secret_value(), "sum", clients=2, pause=0.02) as load:
            async with app.run_test(size=(200, 60)) as pilot:
                await go(pilot, "4")
                await until(pilot, lambda: "● sum" in text_of(app), seconds=30)
                await pilot.press("D")
                await until(pilot, lambda: isinstance(app.screen, DeployScreen), seconds=30)
                await pilot.press("tab", "tab", *"canary:50@1h,100")
                await until(pilot, lambda: "each" in text_of(app) or "for at least 1 h" in text_of(app))
                await pilot.press("enter")
                await until(pilot, lambda: "canary 50 % · step 1 of 2" in text_of(app), seconds=60)
                await pilot.press("enter")
                await until(
                    pilot,
                    lambda: re.search(r"● errors +pass", text_of(app)) is not None,
                    "a verdict on live traffic",
                    seconds=90,
                )
                shown = text_of(app)
                assert re.search(r"champion +canary", shown)
                assert re.search(r"canary +v2 █+", shown)
                await pilot.press("P")
                await until(pilot, lambda: isinstance(app.screen, AskScreen))
                await pilot.press("enter")
                await until(pilot, lambda: "● sum v2" in text_of(app), seconds=30)
                await pilot.press("R")
                await until(pilot, lambda: isinstance(app.screen, AskScreen))
                assert "v1 answers everything" in text_of(app)
                await pilot.press("enter")
                await until(pilot, lambda: "● sum v1" in text_of(app), seconds=30)
        assert load.failed == []
    acts = [(each.action, each.source) for each in AuditLog(project.audit_file).entries()]
    assert [act for act in acts if act[0].startswith("deployment.")] == [
        ("deployment.deploy", "console"),
        ("deployment.promote", "console"),
        ("deployment.rollback", "console"),
    ]
