"""The policy pack with the real engine: our own operations, and plain ``pulumi``."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from blueprints.errors import ExitCode, Problem
from blueprints.keys import assign, validate
from blueprints.spec import EnvironmentSpec
from mlops.governance.audit import AuditLog
from stacks.engine import Engine, Verb
from stacks.engine.workspace import variables
from stacks.policy import pack_folder
from stacks.policy.catalog import BY_ID, RULES
from stacks.policy.exceptions import today
from stacks.policy.results import Verdict
from stacks.project import Project
from stacks.toolchain import find_engine
from tests.conftest import Live
from tests.extension import Installed
from tui.cli.main import main

RISKY = assign(EnvironmentSpec(), ["protected=yes", "storage.versioning=no"])
REASON = "copies go to the archive until it is moved"


def excepting(spec: EnvironmentSpec, rule: str, days: int) -> EnvironmentSpec:
    entry = {"rule": rule, "reason": REASON, "until": (today() + timedelta(days)).isoformat()}
    return validate({**spec.model_dump(mode="json"), "policy": {"exceptions": [entry]}})


@pytest.fixture
def spec_back(live: Live) -> Iterator[None]:
    """The live environment's spec as it was, afterwards."""
    before = live.project.spec("dev")
    yield
    live.project.write_spec("dev", before)


@pytest.mark.usefixtures("spec_back")
class TestLive:
    """On the default environment, which is up."""

    def test_the_local_environment_breaks_no_rule(self, live: Live) -> None:
        plan = live.engine.preview()
        assert [each.rule for each in plan.policy] == [rule.id for rule in RULES]
        assert {each.verdict for each in plan.policy} == {Verdict.PASSED}

    def test_a_broken_rule_stops_a_preview_with_rule_resource_why_and_what_to_do(self, live: Live) -> None:
        live.project.write_spec("dev", excepting(RISKY, "objects-versioned", -1))
        with pytest.raises(Problem, match="policy objects-versioned: versioned is false") as caught:
            live.engine.preview()
        problem, rule = caught.value, BY_ID["objects-versioned"]
        assert problem.where == "bucket artifacts-bucket"
        assert "data-bucket" in problem.what
        # An exception that is over no longer counts.
        assert f"its exception expired on {today() - timedelta(1)}" in problem.what
        assert rule.why in problem.expected
        assert rule.fix in problem.todo
        assert problem.code is ExitCode.FAILED

    def test_a_broken_rule_stops_an_up_before_the_resource_changes(self, live: Live) -> None:
        unsafe = assign(EnvironmentSpec(), ["tracking.allowed_hosts=*"])
        live.project.write_spec("dev", unsafe)
        with pytest.raises(Problem, match="policy mlflow-allowed-hosts") as caught:
            live.engine.up()
        assert caught.value.where == "service tracking"
        live.project.write_spec("dev", EnvironmentSpec())
        assert live.engine.preview().changes == 0

    def test_an_exception_for_no_rule_is_refused_before_anything(self, live: Live) -> None:
        live.project.write_spec("dev", excepting(RISKY, "object-versioned", 1))
        with pytest.raises(Problem, match="no rule is called 'object-versioned'") as caught:
            live.engine.preview()
        assert "objects-versioned" in caught.value.todo

    def test_an_exception_lets_it_pass_and_is_in_the_audit_log(
        self, live: Live, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MODELYARD_CONFIRM", "dev")
        live.project.write_spec("dev", excepting(RISKY, "objects-versioned", 1))
        log = AuditLog(live.project.audit_file)
        before = len(list(log.entries()))
        try:
            assert main(["-C", str(live.project.root), "up", "--yes"]) == 0
            told = capsys.readouterr()
            entries = list(log.entries())[before:]
            actions = [each.action for each in entries]
            assert actions == [
                *["policy.exception.used"] * 3,
                "environment.up.started",
                "environment.up.done",
            ]
            used = entries[0]
            assert used.after["rule"] == "objects-versioned"
            assert used.after["resource"] == "artifacts-bucket"
            assert used.why == REASON
            assert log.verify().sound
            assert f"policy ● {len(RULES)} rules, 1 excepted" in told.out
            assert REASON in told.out
        finally:
            live.project.write_spec("dev", EnvironmentSpec())
            live.engine.up()

    def test_plain_pulumi_judges_alike(self, live: Live) -> None:
        live.project.write_spec("dev", RISKY)
        stopped = pulumi(live.project, "preview")
        assert stopped.returncode != 0
        assert "objects-versioned" in stopped.stdout
        assert BY_ID["objects-versioned"].fix in stopped.stdout
        live.project.write_spec("dev", excepting(RISKY, "objects-versioned", 1))
        excepted = pulumi(live.project, "preview")
        assert excepted.returncode == 0, excepted.stdout + excepted.stderr
        assert REASON in excepted.stdout
        live.project.write_spec("dev", excepting(RISKY, "object-versioned", 1))
        unknown = pulumi(live.project, "preview")
        assert unknown.returncode != 0
        assert "no rule is called 'object-versioned'" in unknown.stdout + unknown.stderr


def pulumi(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """The plain CLI with the pack, as a person runs it: nothing of ours on PATH; ``Pulumi.yaml`` names it."""
    binary = find_engine()
    env = {**os.environ, **variables(project, binary)}
    del env["PULUMI_BACKEND_URL"]
    env["PATH"] = os.pathsep.join([str(binary.folder), "/usr/bin", "/bin"])
    return subprocess.run(
        [binary.path, *words, "--stack", "dev", "--non-interactive", "--policy-pack", str(pack_folder())],
        cwd=project.root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


PROGRAM = """\
import pulumi
from stacks.components.local.resources import Home

home = Home({folder!r})
pulumi.CustomResource(
    "modelyard:local:File",
    "accounts",
    {{"name": "basic_auth.ini", "text": "[mlflow]\\ndefault_permission = {permission}\\n"}},
    pulumi.ResourceOptions(provider=home),
)
"""


@pytest.fixture
def own(tmp_path: Path) -> Project:
    """A project with a program of its own."""
    project = Project.create(tmp_path / "own", "own", "dev", EnvironmentSpec())
    done = subprocess.run(
        [find_engine().path, "stack", "init", "dev", "--non-interactive"],
        cwd=project.root,
        env={**os.environ, **variables(project, find_engine())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return project


def test_any_program_is_judged_and_nothing_is_made(own: Project) -> None:
    made = own.folder("dev") / "config" / "basic_auth.ini"
    for permission in ("READ", "NO_PERMISSIONS"):
        text = PROGRAM.format(folder=str(own.folder("dev")), permission=permission)
        (own.root / "__main__.py").write_text(text)
        done = pulumi(own, "up", "--skip-preview", "--yes")
        good = permission == "NO_PERMISSIONS"
        assert (done.returncode == 0) is good, done.stdout + done.stderr
        assert made.exists() is good
        told = re.search(r"default_permission is READ", done.stdout)
        assert bool(told) is not good
    assert Engine(own, "dev").resources()
    assert Verb.CREATE not in {step.verb for step in Engine(own, "dev").refresh().steps}


FEW = """\
from stacks.policy.rule import StackRule, example


class FewFolders(StackRule):
    id = "example-few-folders"
    what = "A team has one folder on the share."
    why = "The share is small."
    fix = "Keep one."
    types = frozenset({"modelyard:local:DataFolder"})
    fails = example("modelyard:local:DataFolder")
    passes = example("modelyard:local:File")

    def findings(self, resources, setting):
        for each in [each for each in resources if each.type in self.types][1:]:
            yield each, "is one too many"


RULES = (FewFolders(),)
"""


def test_a_rule_over_the_whole_stack_stops_up_before_anything_is_made(
    installed: Installed, tmp_path: Path
) -> None:
    """The engine judges such a rule when the program has ended: early in a preview, late in an update. So
    every door previews first: here the command; tests/console have the guide and recovery."""
    (installed.site / "team_blueprint" / "rules.py").write_text(FEW)
    root = tmp_path / "yard"
    made = root / ".modelyard" / "dev" / "data"
    installed.json("-C", root, "init", "--blueprint", "example", "--yes")
    stopped = installed.json("-C", root, "up", "--yes", code=1)
    assert "policy example-few-folders: is one too many" in stopped["error"]
    assert not made.exists()

    program = (
        "from pathlib import Path; from stacks.engine import Engine; from stacks.project import Project\n"
        f"Engine(Project.find(Path({str(root)!r})), 'dev').up()"
    )
    late = installed.python("-c", program)
    assert late.returncode != 0
    assert "policy example-few-folders" in late.stderr
    # The engine itself is late. When it no longer is, the previews are for people only.
    assert len(list(made.glob("team-*"))) == 3
    # What is there already is no excuse, and it is taken down as ever.
    stopped = installed.json("-C", root, "up", "--yes", code=1)
    assert "policy example-few-folders" in stopped["error"]
    installed.json("-C", root, "destroy", "--yes", "--delete-data=dev")
    assert not made.exists()
