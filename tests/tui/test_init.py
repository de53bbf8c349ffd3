"""``modelyard init``: what is written, and what is refused with nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.governance.audit import AuditLog
from tests.tui.conftest import Modelyard


def test_a_fresh_project(modelyard: Modelyard, tmp_path: Path) -> None:
    folder = tmp_path / "Flight Delays"
    told = modelyard("-C", folder, "init", "--yes", "--set", "serving.replicas=2", "--json", "--why", "trial")
    document = json.loads(told.out)
    assert told.code == 0
    assert document["project"] == "flight-delays"
    assert document["environment"] == "dev"
    assert document["spec"]["serving"]["replicas"] == 2
    assert all((folder / name).is_file() for name in document["written"])
    entry = list(AuditLog(folder / ".modelyard" / "audit.jsonl").entries())[-1]
    assert (entry.action, entry.target, entry.why) == ("environment.init", "flight-delays/dev", "trial")


def test_again_changes_nothing(modelyard: Modelyard, yard: Path) -> None:
    before = {path: path.read_bytes() for path in yard.rglob("*") if path.is_file()}
    told = modelyard("-C", yard, "init", "--yes")
    assert told.code == 0
    assert "is a project already" in told.err
    assert {path: path.read_bytes() for path in yard.rglob("*") if path.is_file()} == before


def test_dry_run_writes_nothing(modelyard: Modelyard, tmp_path: Path) -> None:
    folder = tmp_path / "yard"
    told = modelyard("-C", folder, "init", "--dry-run")
    assert told.code == 0
    assert "--- Pulumi.yaml" in told.out
    assert not folder.exists()


def test_a_key_of_an_existing_project(modelyard: Modelyard, yard: Path) -> None:
    told = modelyard("-C", yard, "init", "--yes", "--set", "serving.replicas=3")
    assert told.code == 0
    assert "serving.replicas: 1 → 3" in told.err
    assert json.loads(modelyard("-C", yard, "init", "--json").out)["spec"]["serving"]["replicas"] == 3


def test_another_environment(modelyard: Modelyard, yard: Path) -> None:
    assert modelyard("-C", yard, "--env", "prod", "init", "--yes", "--set", "protected=true").code == 0
    assert (yard / "Pulumi.prod.yaml").is_file()
    assert (
        json.loads(modelyard("-C", yard, "init", "--env", "prod", "--json").out)["spec"]["protected"] is True
    )
    assert (
        json.loads(modelyard("-C", yard, "init", "--env", "dev", "--json").out)["spec"]["protected"] is False
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "serving.replica=2"], "serving.replicas"),
        (["--set", "serving.replicas=many"], "1 to 16"),
        (["--set", "serving.replicas"], "KEY=VALUE"),
        (["--set", "tracking.port=80"], "1024 to 65535"),
        (["--blueprint", "azure"], "local or kubernetes or aws"),
        (["--blueprint", "kubernetes"], "cannot build it yet"),
        (["--blueprint", "aws"], "cannot build it yet"),
        (["--set", "blueprint=aws"], "cannot build it yet"),
        (["--project", "Not A Name"], "lower-case"),
        (["--env", "Prod"], "lower-case"),
    ],
)
def test_bad_answers_write_nothing(
    modelyard: Modelyard, tmp_path: Path, words: list[str], expected: str
) -> None:
    folder = tmp_path / "yard"
    told = modelyard("-C", folder, "init", "--yes", *words)
    assert told.code in (1, 2)
    assert expected in told.err
    assert not folder.exists()
