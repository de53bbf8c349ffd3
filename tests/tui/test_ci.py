"""``modelyard ci`` and ``modelyard pin`` on the command line."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tui.conftest import Modelyard

PLAN: dict[str, Any] = {
    "project": "flights",
    "environment": "dev",
    "dangerous": ["urn:main"],
    "steps": [
        {"urn": "urn:main", "type": "database", "name": "main", "layer": "database", "verb": "replace"}
    ],
}


@pytest.fixture
def repository(yard: Path) -> Path:
    """A fresh project at the top of a repository."""
    subprocess.run(["git", "init", "--quiet", str(yard)], check=True)
    return yard


def plan_file(tmp_path: Path, **more: Any) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**PLAN, **more}))
    return path


@pytest.mark.parametrize("platform", ["github", "gitlab", "azure", "jenkins"])
def test_dry_run_prints_and_writes_nothing(modelyard: Modelyard, repository: Path, platform: str) -> None:
    before = sorted(repository.iterdir())
    told = modelyard("-C", repository, "ci", platform, "--dry-run")
    assert told.code == 0
    assert "modelyard" in told.out
    assert "ci comment" in told.out
    assert sorted(repository.iterdir()) == before


def test_files_are_written_and_what_is_left_is_said(modelyard: Modelyard, repository: Path) -> None:
    told = modelyard("-C", repository, "ci", "github", "--json")
    document = json.loads(told.out)
    assert told.code == 0
    assert document["written"] == [".github/workflows/modelyard.yml", ".github/actions/modelyard/action.yml"]
    assert all((repository / path).read_text() == text for path, text in document["files"].items())
    assert "actions/checkout@v6.0.2" in document["unpinned"]
    assert "do: modelyard pin" in told.err
    assert "no hash for modelyard==" in told.err
    assert json.loads(modelyard("-C", repository, "ci", "github", "--json").out)["written"] == []


def test_a_file_edited_by_hand_needs_force(modelyard: Modelyard, repository: Path) -> None:
    modelyard("-C", repository, "ci", "jenkins")
    with (repository / "Jenkinsfile").open("a") as file:
        file.write("// mine\n")
    told = modelyard("-C", repository, "ci", "jenkins")
    assert told.code == 2
    assert "edited by hand" in told.err
    assert "--force" in told.err
    assert modelyard("-C", repository, "ci", "jenkins", "--force").code == 0
    assert "// mine" not in (repository / "Jenkinsfile").read_text()


def test_gitlab_says_which_line_to_add(modelyard: Modelyard, repository: Path) -> None:
    (repository / ".gitlab-ci.yml").write_text("build: {script: [make]}\n")
    assert '- local: "/.gitlab/modelyard.yml"' in modelyard("-C", repository, "ci", "gitlab").err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ci", "circle"], "github or gitlab or azure or jenkins"),
        (["ci"], "PLATFORM"),
        (["ci", "github", "plan.json"], "belong to comment"),
        (["ci", "comment", "/nowhere/plan.json"], "No such file"),
        (["ci", "post", "--force"], "takes no options"),
        (["pin", "--wheel", "/nowhere/modelyard-9-py3-none-any.whl"], "archive of modelyard"),
    ],
)
def test_bad_arguments(modelyard: Modelyard, repository: Path, words: list[str], expected: str) -> None:
    told = modelyard("-C", repository, *words)
    assert told.code == 2
    assert expected in told.err


def test_no_repository(modelyard: Modelyard, yard: Path) -> None:
    told = modelyard("-C", yard, "ci", "github")
    assert told.code == 2
    assert "no git repository" in told.err
    assert "git init" in told.err


def test_no_project(modelyard: Modelyard, tmp_path: Path) -> None:
    told = modelyard("-C", tmp_path, "ci", "github")
    assert told.code == 2
    assert "no Modelyard project here or above" in told.err


def test_a_plan_becomes_a_comment_from_a_file_or_stdin(
    modelyard: Modelyard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plan_file(tmp_path)
    told = modelyard("ci", "comment", path)
    assert told.code == 0
    assert told.out.startswith("<!-- modelyard flights/dev -->\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text()))
    assert modelyard("ci", "comment").out == told.out
    assert json.loads(modelyard("ci", "comment", path, "--json").out)["markdown"] == told.out


@pytest.mark.parametrize(
    ("more", "code"), [({}, 1), ({"dangerous": [], "steps": []}, 0), ({"error": "the engine failed"}, 1)]
)
def test_when_the_nightly_job_turns_red(
    modelyard: Modelyard, tmp_path: Path, more: dict[str, Any], code: int
) -> None:
    path = plan_file(tmp_path, **more)
    assert modelyard("ci", "comment", path).code == 0
    assert modelyard("ci", "comment", path, "--drift").code == code


@pytest.mark.parametrize(
    ("text", "expected"), [("", "is empty"), ("not json", "no JSON"), ("[]", "no JSON"), ("{}", "is no plan")]
)
def test_what_is_no_plan_is_refused(modelyard: Modelyard, tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    told = modelyard("ci", "comment", path)
    assert told.code == 2
    assert expected in told.err


def test_pin_without_a_network_names_everything_and_writes_nothing(
    modelyard: Modelyard, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modelyard("-C", repository, "ci", "github")
    monkeypatch.setenv("GITHUB_SERVER_URL", "file:///nowhere")
    before = {path: path.read_bytes() for path in repository.rglob("*.yml")}
    told = modelyard("-C", repository, "pin", "--json")
    assert told.code == 3
    assert json.loads(told.out)["error"].startswith("3 of 3 cannot be resolved, so nothing was written")
    assert {path: path.read_bytes() for path in repository.rglob("*.yml")} == before
    checked = modelyard("-C", repository, "pin", "--check", "--json")
    assert checked.code == 1
    assert {each["reference"].split("@")[0] for each in json.loads(checked.out)["unpinned"]} >= {
        "actions/checkout"
    }


def test_preview_of_a_protected_environment_warns_before_up_refuses(
    modelyard: Modelyard, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modelyard("-C", repository, "init", "--yes", "--set", "protected=true")
    modelyard("-C", repository, "ci", "github")
    told = modelyard("-C", repository, "preview")
    assert told.code == 0
    assert "△ up will be refused" in told.err
    assert "do: modelyard pin" in told.err
    monkeypatch.setenv("MODELYARD_CONFIRM", "dev")
    told = modelyard("-C", repository, "up", "--yes")
    assert told.code == 2
    assert "actions/checkout@v6.0.2" in told.err
