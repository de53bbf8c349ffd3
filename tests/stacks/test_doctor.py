"""The doctor: facts, and what to do."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from blueprints.catalog import AWS, KUBERNETES, LOCAL
from blueprints.spec import EnvironmentSpec
from stacks import doctor
from stacks.doctor import Check
from stacks.project import Project
from stacks.toolchain import find


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


def found(project: Project | None, name: str) -> Check:
    return next(each for each in doctor.checks(project, LOCAL) if each.name == name)


def test_too_little_disk_where_the_project_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())
    free = {str(project.root): 1_000_000}
    monkeypatch.setattr(
        "shutil.disk_usage", lambda folder: SimpleNamespace(free=free.get(str(folder), 10**12))
    )
    check = found(project, "disk")
    assert (check.status, check.fact) == ("failed", f"1 MB free at {project.root}")
    assert check.todo.startswith("free ")


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000_000))
    check = found(None, "memory")
    assert (check.status, check.fact) == ("warning", "100 MB free")
    assert "choose sqlite and folder" in check.todo


def test_a_clock_before_our_time_or_before_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())
    assert found(project, "clock").status == "ok"
    path = project.home / "state" / "dev.json"
    path.touch()
    os.utime(path, (time.time() + 3600,) * 2)
    check = found(project, "clock")
    assert (check.status, "earlier than dev.json" in check.fact) == ("failed", True)

    class Past(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Past:
            return cls(1970, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(doctor, "datetime", Past)
    check = found(None, "clock")
    assert (check.status, check.todo[:13]) == ("failed", "set the clock")


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(find, "cache_folder", lambda: tmp_path)
    check = found(None, "engine")
    assert (check.status, check.fact) == ("warning", "no Pulumi yet, and no Go")
    assert "it needs internet" in check.todo


def test_a_stranger_on_a_port_of_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check = doctor._ports("dev", {"tracking": f"[{port}]"}, tmp_path)
    assert check.status == "failed"
    assert f"tracking {port} is in use by" in check.fact
    assert f"pid {os.getpid()}" in check.fact
    assert check.todo == "end that process, then modelyard up"


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


def test_a_client_of_another_version_and_a_server_that_is_down(
    live: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import Live

    assert isinstance(live, Live)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.0.1")
    check = doctor._version_skew(live.project, "dev")
    assert check.status == "failed"
    assert check.fact.startswith("client 2.0.1, server 3.")
    assert "pip install 'mlflow==3." in check.todo
    monkeypatch.setattr(doctor, "_server_version", lambda tracking: ("", "does not answer"))
    check = doctor._version_skew(live.project, "dev")
    assert (check.status, check.todo) == ("failed", "modelyard logs tracking")
