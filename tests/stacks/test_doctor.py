"""The doctor: facts, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from blueprints.catalog import AWS, KUBERNETES, LOCAL
from blueprints.spec import EnvironmentSpec
from stacks import doctor
from stacks.project import Project


def test_every_failure_says_what_to_do(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())
    found = list(doctor.checks(project, LOCAL))
    assert {"python", "engine", "memory", "disk", "clock", "folder", "dev"} <= {each.name for each in found}
    assert all(each.todo for each in found if each.status != "ok")
    assert all(each.fact for each in found)


def test_a_readable_passphrase_is_found(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())
    project.passphrase_file.chmod(0o644)
    check = next(each for each in doctor.checks(project, LOCAL) if each.name == "folder")
    assert (check.status, check.fact) == ("failed", "others can read the passphrase")


def test_a_bad_spec_is_found(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())
    path = tmp_path / "yard" / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("blueprint", "bluprint"))
    check = next(each for each in doctor.checks(project, LOCAL) if each.name == "dev: spec")
    assert check.status == "failed"
    assert "bluprint" in check.fact


def test_cluster_and_account_are_looked_for_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)

    def status(blueprint: object, name: str) -> str:
        assert blueprint in (AWS, KUBERNETES)
        checks = doctor.needs(AWS if blueprint is AWS else KUBERNETES)
        return next(each.status for each in checks if each.name == name)

    assert status(KUBERNETES, "kubeconfig") == "failed"
    assert status(AWS, "aws credentials") == "failed"
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").touch()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert status(KUBERNETES, "kubeconfig") == "ok"
    assert status(AWS, "aws credentials") == "ok"


def test_a_live_environment_is_well(live: object) -> None:
    from tests.conftest import Live

    assert isinstance(live, Live)
    found = {each.name: each for each in doctor.checks(live.project, LOCAL)}
    for name in ("dev: supervisor", "dev: ports", "dev: mlflow"):
        assert found[name].status == "ok", found[name]
