"""The plan guard with the real engine: saved plans, protected environments, data at stake."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blueprints.errors import Problem
from blueprints.keys import assign
from mlops.governance.audit import AuditLog
from stacks.engine import Engine, Plan, Step, Verb
from stacks.engine.workspace import variables
from stacks.local.home import Home
from stacks.local.supervisor import Supervisor
from stacks.project import Project
from stacks.toolchain import find_engine
from tests.engine.conftest import SMALL
from tests.tui.conftest import Told, run_modelyard

BUCKETS = ("artifacts-bucket", "backups-bucket", "data-bucket")


@pytest.fixture(autouse=True)
def spec_as_before(small: Project) -> Iterator[None]:
    yield
    small.write_spec("dev", SMALL)


def modelyard(project: Project, capsys: pytest.CaptureFixture[str], *words: str | Path) -> Told:
    return run_modelyard(capsys, "-C", project.root, "--quiet", *words)


def test_a_saved_plan_is_applied_once(
    small: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.write_spec("dev", assign(SMALL, ['tracking.allowed_hosts=["one.example"]']))
    path = tmp_path / "plan.json"
    document = json.loads(modelyard(small, capsys, "--json", "preview", "--save", path).out)
    saved = json.loads(path.read_text())
    assert saved["digest"] == document["digest"]
    for secret in Home(small.folder("dev")).secrets.iterdir():
        assert secret.read_text() not in path.read_text()
    told = modelyard(small, capsys, "apply", path, "--yes")
    assert told.code == 0, told.err
    assert Engine(small, "dev").preview().unchanged
    # The state is another now.
    again = modelyard(small, capsys, "apply", path, "--yes")
    assert again.code == 1
    assert "the recorded state" in again.err
    assert AuditLog(small.audit_file).verify().sound


def test_a_plan_is_refused_when_what_it_was_made_from_changed(
    small: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = assign(SMALL, ['tracking.allowed_hosts=["two.example"]'])
    small.write_spec("dev", wanted)
    path = tmp_path / "plan.json"
    assert modelyard(small, capsys, "preview", "--save", path).code == 0

    small.write_spec("dev", assign(wanted, ["monitoring.window_rows=500"]))
    assert "the configuration" in modelyard(small, capsys, "apply", path, "--yes").err
    small.write_spec("dev", wanted)

    program = small.root / "__main__.py"
    text = program.read_text()
    program.write_text(text + "# another\n")
    assert "the program" in modelyard(small, capsys, "apply", path, "--yes").err
    program.write_text(text)

    with Supervisor(Home(small.folder("dev")))._rpc() as rpc:
        rpc.stopProcess("storage")
    told = modelyard(small, capsys, "apply", path, "--yes")
    assert told.code == 1
    assert "what is really there" in told.err
    assert Engine(small, "dev").applied() is not None
    Engine(small, "dev").up()


def test_an_up_refuses_a_plan_that_is_out_of_date(small: Project) -> None:
    engine = Engine(small, "dev")
    plan = engine.preview()
    small.write_spec("dev", assign(SMALL, ['tracking.allowed_hosts=["three.example"]']))
    with pytest.raises(Problem, match="the configuration"):
        engine.up(plan)
    assert engine.preview().changes == 1


def test_data_at_stake_wants_each_name(small: Project, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_spec("dev", assign(SMALL, ["storage.kind=folder"]))
    plan = Engine(small, "dev").preview()
    assert {step.name for step in plan.dangerous} == {*BUCKETS}
    told = modelyard(small, capsys, "up", "--yes")
    assert told.code == 2
    assert "--allow-replace artifacts-bucket" in told.err
    unknown = modelyard(small, capsys, "up", "--yes", "--allow-replace", "artifacts")
    assert "'artifacts'" in unknown.err
    assert "artifacts-bucket" in unknown.err
    words = [word for name in BUCKETS for word in ("--allow-replace", name)]
    assert modelyard(small, capsys, "up", "--yes", *words).code == 0
    small.write_spec("dev", SMALL)
    Engine(small, "dev").up()


def test_a_protected_environment_is_guarded_by_the_engine_itself(
    small: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.write_spec("dev", assign(SMALL, ["protected=yes"]))
    refused = modelyard(small, capsys, "up", "--yes")
    assert (refused.code, "MODELYARD_CONFIRM=dev" in refused.err) == (2, True)
    monkeypatch.setenv("MODELYARD_CONFIRM", "prod")
    assert "'prod' is not the name" in modelyard(small, capsys, "up").err
    monkeypatch.setenv("MODELYARD_CONFIRM", "dev")
    assert modelyard(small, capsys, "up").code == 0
    guarded = {each.name for each in Engine(small, "dev").resources() if each.protected}
    assert guarded >= {*BUCKETS, "sqlite-data"}

    # The engine does not even plan it, in whichever way it is asked.
    small.write_spec("dev", assign(SMALL, ["protected=yes", "storage.kind=folder"]))
    told = modelyard(small, capsys, "preview")
    assert told.code == 1
    assert "--allow-replace artifacts-bucket" in told.err
    binary = find_engine()
    plain = subprocess.run(
        [binary.path, "preview", "--stack", "dev", "--non-interactive"],
        cwd=small.root,
        env={**os.environ, **variables(small, binary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode != 0
    assert "protected" in plain.stdout + plain.stderr

    # Taking the protection off is a change of a protected environment.
    small.write_spec("dev", SMALL)
    monkeypatch.delenv("MODELYARD_CONFIRM")
    assert "is protected" in modelyard(small, capsys, "up", "--yes").err
    monkeypatch.setenv("MODELYARD_CONFIRM", "dev")
    assert modelyard(small, capsys, "up").code == 0
    assert not any(each.protected for each in Engine(small, "dev").resources())


def test_a_resource_with_data_may_move_to_another_layer(
    small: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stacks.components.local.resources import LayerComponent, _Local
    from stacks.local.kinds import STATEFUL, token

    made: dict[str, LayerComponent] = {}
    real = LayerComponent.__init__

    def remembered(self: LayerComponent, layer: str, home: object) -> None:
        real(self, layer, home)  # type: ignore[arg-type]
        made[layer] = self

    init = _Local.__init__

    def moved(self: _Local, name: str, inputs: object, parent: object, after: object = None) -> None:
        parent = made["network"] if token(self.kind) in STATEFUL else parent
        init(self, name, inputs, parent, after)  # type: ignore[arg-type]

    monkeypatch.setattr(LayerComponent, "__init__", remembered)
    monkeypatch.setattr(_Local, "__init__", moved)
    plan = Engine(small, "dev").preview()
    assert not plan.dangerous
    assert plan.changes == 0, [step for step in plan.steps if step.verb is not Verb.SAME]


def test_the_digest_tells_two_plans_apart() -> None:
    def plan(*details: tuple[str, str, str]) -> Plan:
        return Plan("p", "dev", (Step("urn", "file", "a", None, Verb.UPDATE, detail=details),), 1.0)

    assert plan(("text", "a", "b")).digest == plan(("text", "a", "b")).digest
    assert plan(("text", "a", "b")).digest != plan(("text", "a", "c")).digest


def test_only_what_ran_is_promoted(small: Project, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_spec("prod", assign(SMALL, ["serving.enabled=false", "tracking.workers=2"]))
    try:
        never = modelyard(small, capsys, "promote-env", "prod", "dev", "--yes")
        assert (never.code, "never brought up" in never.err) == (2, True)
        ahead = assign(SMALL, ["monitoring.window_rows=700"])
        small.write_spec("dev", ahead)
        told = modelyard(small, capsys, "promote-env", "dev", "prod", "--yes")
        assert (told.code, "monitoring.window_rows = 700" in told.err) == (2, True)
        Engine(small, "dev").up()
        differs = json.loads(modelyard(small, capsys, "--json", "diff", "dev", "prod").out)["differences"]
        assert {row["key"] for row in differs} == {"monitoring.window_rows", "tracking.workers"}
        done = modelyard(small, capsys, "promote-env", "dev", "prod", "--yes", "--why", "release 7")
        assert (done.code, "window_rows: 2000 → 700" in done.out) == (0, True)
        assert small.spec("prod") == ahead
        acts = [each for each in AuditLog(small.audit_file).entries() if each.action == "environment.promote"]
        assert [(act.target, act.why) for act in acts] == [("small/prod", "release 7")]
    finally:
        (small.root / "Pulumi.prod.yaml").unlink()
