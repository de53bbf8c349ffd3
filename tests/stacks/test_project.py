"""A project folder: whole or not at all, found from below, read back as written."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

import stacks.disk
from blueprints.errors import Problem, UsageProblem
from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from stacks.project import Project


def make(folder: Path, *assignments: str) -> Project:
    return Project.create(folder, "yard", "dev", assign(EnvironmentSpec(), assignments))


def test_what_was_written_is_found_from_below_and_read_back(tmp_path: Path) -> None:
    project = make(tmp_path / "yard", "serving.replicas=2")
    below = project.root / "a" / "b"
    below.mkdir(parents=True)
    assert Project.find(below) == project
    assert project.environments() == ("dev",)
    assert project.spec("dev").serving.replicas == 2
    text = (project.root / "Pulumi.dev.yaml").read_text()
    assert "replicas: 2" in text
    assert "workers" not in text
    assert project.backend_url == f"file://{project.root}/.modelyard/state"


def test_files_are_what_init_writes(tmp_path: Path) -> None:
    project = make(tmp_path / "yard")
    for name, text in Project.files("yard", "dev", EnvironmentSpec(), project.root).items():
        assert (project.root / name).read_text() == text


def test_the_passphrase_is_private_and_only_made_when_none_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make(tmp_path / "one")
    assert project.passphrase_file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "chosen")
    assert not make(tmp_path / "two").passphrase_file.exists()


def test_a_lost_passphrase_is_not_replaced(tmp_path: Path) -> None:
    project = make(tmp_path / "yard")
    with (project.root / "Pulumi.dev.yaml").open("a") as file:
        file.write("encryptionsalt: v1:abc\n")
    project.passphrase_file.unlink()
    with pytest.raises(Problem, match="passphrase"):
        project.prepare()
    assert not project.passphrase_file.exists()


def test_an_existing_project_is_refused_untouched(tmp_path: Path) -> None:
    project = make(tmp_path / "yard", "serving.replicas=2")
    with pytest.raises(UsageProblem, match="overwrites nothing"):
        make(tmp_path / "yard")
    assert project.spec("dev").serving.replicas == 2


def test_what_git_ignores_already_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.csv")
    make(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*.csv\n.modelyard/\n.venv/\n"


@pytest.mark.parametrize("written", [0, 1, 2, 3, 4])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    real, count = stacks.disk.write_file, [0]

    def full(path: Path, text: str, mode: int = 0o644) -> None:
        if count[0] == written:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        count[0] += 1
        real(path, text, mode)

    monkeypatch.setattr(stacks.disk, "write_file", full)
    for root in (tmp_path, tmp_path / "new" / "yard"):
        count[0] = 0
        with pytest.raises(Problem, match="disk is full"):
            make(root)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_no_project_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem) as caught:
        Project.find(tmp_path)
    assert "modelyard init" in caught.value.todo


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    project = make(tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  a: [1\n  b: 2\n")
    with pytest.raises(UsageProblem) as caught:
        project.spec("dev")
    assert "Pulumi.dev.yaml:3" in caught.value.where


@pytest.mark.parametrize(
    ("name", "content", "where", "what"),
    [
        ("Pulumi.yaml", b"\x00\xff\xfe", "Pulumi.yaml", "not text"),
        ("Pulumi.yaml", b"name: [", "Pulumi.yaml:", "not YAML"),
        ("Pulumi.yaml", b"- a", "Pulumi.yaml", "not a map"),
        ("Pulumi.yaml", b"", "Pulumi.yaml", "no name"),
        ("Pulumi.yaml", b"name: a b", "Pulumi.yaml name", "no project name"),
        ("Pulumi.dev.yaml", b"config: \xff", "Pulumi.dev.yaml", "not text"),
        ("Pulumi.dev.yaml", b"config: 5", "Pulumi.dev.yaml config", "no map"),
        ("Pulumi.dev.yaml", b"config: {modelyard:spec: 5}", "modelyard:spec", "no section"),
        ("Pulumi.dev.yaml", b"config: {modelyard:spec: []}", "modelyard:spec", "no section"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, where: str, what: str) -> None:
    make(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageProblem, match=what) as caught:
        Project.find(tmp_path).spec("dev")
    assert where in caught.value.where
    assert (tmp_path / name).read_bytes() == content


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    project = make(tmp_path)
    text = "config:\n  modelyard:spec:\n    serving:\n      replica: 2\n"
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(UsageProblem, match=r"serving\.replica"):
        project.spec("dev")


def test_an_unknown_environment_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem) as caught:
        make(tmp_path).spec("prod")
    assert "dev" in caught.value.expected


def test_writing_the_spec_keeps_other_config(tmp_path: Path) -> None:
    project = make(tmp_path)
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(path.read_text() + "  aws:region: eu-west-1\nencryptionsalt: v1:abc\n")
    project.write_spec("dev", assign(EnvironmentSpec(), ["tracking.workers=2"]))
    assert project.spec("dev").tracking.workers == 2
    assert "aws:region: eu-west-1" in path.read_text()
    assert "encryptionsalt: v1:abc" in path.read_text()


@pytest.mark.parametrize(
    ("name", "environment"), [("a b", "dev"), ("", "dev"), ("yard", "Dev"), ("yard", "bin")]
)
def test_bad_names_are_refused(tmp_path: Path, name: str, environment: str) -> None:
    with pytest.raises(UsageProblem):
        Project.create(tmp_path / "yard", name, environment, EnvironmentSpec())
    assert not (tmp_path / "yard").exists()


def test_importing_the_engine_loads_nothing_heavy() -> None:
    code = (
        "import sys, stacks.engine, stacks.project, stacks.toolchain, stacks.doctor;"
        "print(sorted({'pulumi', 'grpc', 'yaml', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
