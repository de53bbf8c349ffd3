"""Exit codes and words of everything that can go wrong before an environment is up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tui.conftest import Modelyard
from tui.cli.main import COMMANDS
from tui.cli.output import plain


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["statu"], "did you mean modelyard status?"),
        (["up", "--nonsense"], "--nonsense"),
        (["runs", "--limit", "many"], "--limit"),
        (["logs"], "SERVICE"),
        (["status", "--", "ls"], "unexpected arguments after --"),
    ],
)
def test_usage_is_refused_in_words(modelyard: Modelyard, words: list[str], expected: str) -> None:
    told = modelyard(*words)
    assert told.code == 2
    assert expected in told.err
    assert told.out == ""


def test_usage_fault_as_json(modelyard: Modelyard) -> None:
    told = modelyard("up", "--nonsense", "--json")
    document = json.loads(told.out)
    assert told.code == document["exit"] == 2
    assert "--nonsense" in document["error"]


#: Commands that need no project, or arguments of their own first.
_WITHOUT = {
    "apply",
    "blueprint",
    "ci",
    "demo",
    "diff",
    "doctor",
    "exec",
    "init",
    "logs",
    "policy",
    "promote-env",
}


#: What a command wants to hear before it looks for a project.
_WORDS = {
    "deploy": ["delay@2"],
    "shadow": ["delay", "2"],
    **{name: ["delay"] for name in ("flag", "freeze", "pause", "promote", "resume", "rollback", "unfreeze")},
}


@pytest.mark.parametrize(
    "command",
    sorted(set(COMMANDS) - _WITHOUT),
)
def test_without_a_project_each_command_says_so(modelyard: Modelyard, tmp_path: Path, command: str) -> None:
    told = modelyard("-C", tmp_path, command, *_WORDS.get(command, ()), "--json")
    document = json.loads(told.out)
    assert told.code == 2
    assert "project" in document["error"]
    assert "modelyard init" in document["do"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_usage_fault_of_each_command_is_one_document(modelyard: Modelyard, command: str) -> None:
    told = modelyard("--json", command, "--no-such-option", "x")
    document = json.loads(told.out)
    assert told.code == document["exit"] == 2
    assert document["where"].startswith("modelyard")


@pytest.mark.parametrize("command", ["outputs", "status", "runs", "models", "deployments", "alerts", "env"])
def test_before_up_each_command_says_so(modelyard: Modelyard, yard: Path, command: str) -> None:
    told = modelyard(command, "-C", yard)
    assert told.code in (1, 2)
    assert "modelyard" in told.err
    assert "up" in told.err
    assert "Traceback" not in told.err


def test_unknown_environment_names_the_known(modelyard: Modelyard, yard: Path) -> None:
    told = modelyard("-C", yard, "--env", "prod", "status")
    assert told.code == 2
    assert "'prod'" in told.err
    assert "dev" in told.err


def test_an_internal_fault_goes_to_a_file(modelyard: Modelyard, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.cli.commands import doctor

    def broken(*_: object) -> int:
        raise RuntimeError("the secret is hunter2")

    monkeypatch.setattr(doctor, "run", broken)
    told = modelyard("doctor")
    assert told.code == 1
    assert "internal fault (RuntimeError)" in told.err
    assert "Traceback" not in told.err
    assert "hunter2" not in told.err
    report = Path(told.err.split("with the file ")[1].strip())
    assert "in broken" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0
    report.unlink()


def test_an_interrupt_is_130(modelyard: Modelyard, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.cli.commands import doctor

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", interrupted)
    assert modelyard("doctor").code == 130


def test_a_reader_that_goes_away_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli.main", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_up_without_a_terminal_needs_yes(modelyard: Modelyard, yard: Path) -> None:
    told = modelyard("-C", yard, "up")
    assert told.code == 2
    assert "modelyard up --yes" in told.err
    assert not (yard / ".modelyard" / "dev" / "data").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["destroy"], "dev"),
        (["destroy", "--yes", "--delete-data"], "--delete-data=dev"),
        (["destroy", "--yes", "--delete-data=prod"], "'prod' is not the name"),
    ],
)
def test_destroy_wants_the_name(modelyard: Modelyard, yard: Path, words: list[str], expected: str) -> None:
    told = modelyard("-C", yard, *words)
    assert told.code == 2
    assert expected in told.err


def test_a_protected_environment_wants_its_name(modelyard: Modelyard, yard: Path) -> None:
    assert modelyard("-C", yard, "init", "--set", "protected=true", "--yes").code == 0
    for words in (["up", "--yes"], ["destroy", "--yes"]):
        told = modelyard("-C", yard, *words)
        assert told.code == 2
        assert "protected" in told.err
        assert "MODELYARD_CONFIRM=dev" in told.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "missing.parquet", "--target", "y", "--time", "t"], "no such file"),
        (["--target", "y"], "--data FILE"),
    ],
)
def test_demo_refuses_half_a_table(
    modelyard: Modelyard, tmp_path: Path, words: list[str], expected: str
) -> None:
    told = modelyard("-C", tmp_path, "demo", *words)
    assert told.code == 2
    assert expected in told.err


def test_json_has_no_nan() -> None:
    assert plain({"auc": float("nan"), "loss": float("inf"), "n": 1}) == {"auc": None, "loss": None, "n": 1}
