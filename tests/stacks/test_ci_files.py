"""The files of four platforms: valid by their schemas, never over a person's edit, all or nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from blueprints.errors import Problem, UsageProblem
from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from stacks.ci import files
from stacks.ci.render import Scope, render
from stacks.project import Project
from tests.servers import Answer, Request, serving

#: File -> how its schema is called, and what the schema's own tool needs to read it.
SCHEMAS = {
    ".github/workflows": ["vendor.github-workflows"],
    ".github/actions": ["vendor.github-actions"],
    ".gitlab": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    # The schema's patterns are not all valid in Unicode mode.
    ".azure-pipelines": [
        "vendor.azure-pipelines",
        "--data-transform",
        "azure-pipelines",
        "--regex-variant",
        "nonunicode",
    ],
}


def make(top: Path, folder: str = ".") -> Project:
    """A project with an environment of every sort: local, in the cloud, protected."""
    (top / ".git").mkdir(parents=True)
    project = Project.create(top / folder, "flights", "dev", EnvironmentSpec())
    project.write_spec("staging-eu", EnvironmentSpec(blueprint="aws"))
    project.write_spec("prod", assign(EnvironmentSpec(blueprint="aws"), ["protected=true"]))
    return project


def written(project: Project, platform: str) -> dict[str, str]:
    made = files.files(project, platform)
    files.write(project, made, force=False)
    return {each.path: each.text for each in made}


def check(path: Path, schema: list[str]) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("check-jsonschema")),
        "--builtin-schema",
        *schema,
        str(path),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("folder", [".", "infra/flights"])
@pytest.mark.parametrize("platform", ["github", "gitlab", "azure"])
def test_every_file_holds_by_the_schema_of_its_platform(tmp_path: Path, platform: str, folder: str) -> None:
    checked = 0
    for path in written(make(tmp_path, folder), platform):
        assert "@@" not in (tmp_path / path).read_text()
        for start, schema in SCHEMAS.items():
            if path.startswith(start) and path.endswith(".yml"):
                told = check(tmp_path / path, schema)
                assert told.returncode == 0, told.stdout[:2000]
                checked += 1
    assert checked == 2


def test_the_schemas_do_refuse(tmp_path: Path) -> None:
    """A check that passes everything shows nothing: one wrong key in each file is found."""
    for number, (start, right, wrong) in enumerate(
        [
            (".github/workflows", "runs-on:", "run-on:"),
            (".gitlab", "resource_group: ", "resource_group: [1] #"),
            (".azure-pipelines", "steps:", "stepps:"),
        ]
    ):
        platform = start.lstrip(".").split("/")[0].split("-")[0]
        project = make(tmp_path / str(number))
        path = next(
            tmp_path / str(number) / path for path in written(project, platform) if path.startswith(start)
        )
        path.write_text(path.read_text().replace(right, wrong))
        assert check(path, SCHEMAS[start]).returncode == 1


def test_the_jenkinsfile_parses_as_groovy_and_has_its_stages(tmp_path: Path) -> None:
    """Groovy by its grammar; that it is declarative pipeline is checked by structure only, not by Jenkins."""
    import tree_sitter
    import tree_sitter_groovy

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_groovy.language()))
    text = written(make(tmp_path), "jenkins")["Jenkinsfile"]
    assert not parser.parse(text.encode()).root_node.has_error
    for broken in (text.replace("stages {", "stages ", 1), text.replace("'''", "''", 1)):
        assert parser.parse(broken.encode()).root_node.has_error
    assert re.findall(r"stage\('([^']+)'\)", text) == [
        "install",
        *(
            stage
            for name in ("dev", "staging-eu", "prod")
            for stage in (name, f"preview {name}", f"up {name}", f"drift {name}")
        ),
    ]
    # What the three stages of an environment share is set once, around them.
    assert text.count("credentials('modelyard-passphrase-dev')") == 1
    assert text.count("credentials('modelyard-oidc-token')") == len(("staging-eu", "prod"))
    assert text.count("${env.WORKSPACE}/.venv/bin:${env.PATH}") == 1
    assert text.count("input {") == 1
    assert "lock('modelyard-flights')" in text


def test_github_never_runs_two_ups_at_once_and_asks_for_approval(tmp_path: Path) -> None:
    jobs = yaml.safe_load(written(make(tmp_path), "github")[".github/workflows/modelyard.yml"])["jobs"]
    up = jobs["up"]
    assert up["concurrency"] == {
        "group": "modelyard-up-${{ matrix.environment }}",
        "cancel-in-progress": False,
    }
    assert up["environment"] == "${{ matrix.environment }}"
    assert up["strategy"]["max-parallel"] == 1
    rows = up["strategy"]["matrix"]["include"]
    assert [row["environment"] for row in rows] == ["dev", "staging-eu", "prod"]
    assert [row["confirm"] for row in rows] == ["", "", "prod"]
    # A nightly check or a preview that waits for a reviewer would never run.
    assert "environment" not in jobs["preview"]
    assert "environment" not in jobs["drift"]


@pytest.mark.parametrize("platform", ["github", "gitlab", "azure", "jenkins"])
def test_every_night_each_environment_is_checked_and_the_monitor_told(tmp_path: Path, platform: str) -> None:
    text = "".join(written(make(tmp_path), platform).values())
    named = {"github": ['"$ENVIRONMENT"'], "gitlab": ['"$ENVIRONMENT"']}
    for name in named.get(platform, ["dev", "staging-eu", "prod"]):
        assert text.count(f"modelyard --env {name} drift --alert") == 1
    # One that drifted must not keep the next from being looked at.
    if platform == "github":
        jobs = yaml.safe_load((tmp_path / ".github/workflows/modelyard.yml").read_text())["jobs"]
        assert jobs["drift"]["strategy"]["fail-fast"] is False
    if platform == "jenkins":
        assert text.count("catchError(buildResult: 'FAILURE', stageResult: 'FAILURE')") == 3


@pytest.mark.parametrize("platform", ["github", "gitlab", "azure", "jenkins"])
def test_no_long_lived_key_and_no_moving_tag(tmp_path: Path, platform: str) -> None:
    text = "".join(written(make(tmp_path), platform).values())
    assert not re.search(r"(?i)access_key|secret_key|aws_session", text)
    tags = re.findall(r"(?m)uses: [^.]\S+@(\S+)", text)
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", tag) for tag in tags)
    assert bool(tags) is (platform == "github")
    assert not re.search(r"image: \S+:(latest|\d+)\s", text)


def test_identity_is_asked_for_only_where_there_is_a_cloud(tmp_path: Path) -> None:
    project = make(tmp_path)
    words = {
        "github": "id-token: write",
        "gitlab": "id_tokens",
        "azure": "OidcRequestUri",
        "jenkins": "AWS_ROLE_ARN",
    }
    for platform, word in words.items():
        assert word in "".join(written(project, platform).values())
    for name in ("staging-eu", "prod"):
        project.stack_file(name).unlink()
    for platform, word in words.items():
        assert word not in "".join(each.text for each in files.files(project, platform))


def test_azure_gets_its_identity_without_a_key(tmp_path: Path) -> None:
    """The shell of the step, with real curl against the platform's own kind of answer."""
    seen: list[Request] = []

    def platform(request: Request) -> Answer:
        seen.append(request)
        return Answer(200, {"oidcToken": "signed.by.azure"})

    setup = yaml.safe_load(written(make(tmp_path), "azure")[".azure-pipelines/modelyard-setup.yml"])
    [step] = next(value for each in setup["steps"] for key, value in each.items() if "parameters.role" in key)
    with serving(platform) as url:
        script = step["bash"]
        for name, value in {
            "$(System.OidcRequestUri)": f"{url}/oidctoken",
            "$(MODELYARD_CONNECTION)": "c1",
            "$(Agent.TempDirectory)": str(tmp_path),
            "${{ parameters.role }}": "arn:aws:iam::1:role/prod",
        }.items():
            script = script.replace(name, value)
        done = subprocess.run(
            ["bash", "-c", script],
            env={"PATH": os.environ["PATH"], "SYSTEM_ACCESSTOKEN": "job-token"},
            capture_output=True,
            text=True,
            check=True,
        )
    assert (tmp_path / "aws-token").read_text() == "signed.by.azure"
    assert f"variable=AWS_WEB_IDENTITY_TOKEN_FILE]{tmp_path}/aws-token" in done.stdout
    assert "variable=AWS_ROLE_ARN]arn:aws:iam::1:role/prod" in done.stdout
    assert (seen[0].method, seen[0].query["serviceConnectionId"]) == ("POST", "c1")
    assert seen[0].headers["authorization"] == "Bearer job-token"
    assert "job-token" not in done.stdout + done.stderr


def test_gitlab_and_azure_bring_up_one_after_the_other(tmp_path: Path) -> None:
    project = make(tmp_path)
    gitlab = yaml.safe_load(written(project, "gitlab")[".gitlab/modelyard.yml"])
    for before, after in pairwise(["dev", "staging-eu", "prod"]):
        assert gitlab[f"up {after}"]["needs"] == [f"up {before}"]
        assert gitlab[f"up {after}"]["resource_group"] == f"modelyard-{after}"
    assert [gitlab[f"up {name}"]["rules"][0]["when"] for name in ("dev", "prod")] == ["on_success", "manual"]
    azure = yaml.safe_load(written(project, "azure")[".azure-pipelines/modelyard.yml"])
    stages = {stage["stage"]: stage for stage in azure["stages"]}
    assert stages["up_prod"]["dependsOn"] == ["up_staging_eu"]
    assert stages["up_prod"]["lockBehavior"] == "sequential"
    assert stages["up_prod"]["jobs"][0]["environment"] == "prod"


def test_writing_again_writes_nothing_and_follows_the_spec(tmp_path: Path) -> None:
    project = make(tmp_path)
    written(project, "github")
    assert files.write(project, files.files(project, "github"), force=False) == ()
    project.write_spec("qa", EnvironmentSpec())
    assert [each.state for each in files.files(project, "github")] == ["ours", "same"]
    assert files.write(project, files.files(project, "github"), force=False) == (
        ".github/workflows/modelyard.yml",
    )


@pytest.mark.parametrize("platform", ["github", "gitlab", "azure", "jenkins"])
def test_an_edited_file_is_kept_unless_forced(tmp_path: Path, platform: str) -> None:
    project = make(tmp_path)
    path = tmp_path / next(iter(written(project, platform)))
    edited = path.read_text().replace("modelyard", "modelyard ", 9) + "\n"
    path.write_text(edited)
    with pytest.raises(UsageProblem, match="edited by hand") as caught:
        files.write(project, files.files(project, platform), force=False)
    assert caught.value.where == str(path.relative_to(tmp_path))
    assert path.read_text() == edited
    files.write(project, files.files(project, platform), force=True)
    assert path.read_text() != edited


def test_a_pipeline_that_is_there_already_stays(tmp_path: Path) -> None:
    project = make(tmp_path)
    (tmp_path / ".gitlab-ci.yml").write_text("build: {script: [make]}\n")
    assert ".gitlab-ci.yml" not in written(project, "gitlab")
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "build: {script: [make]}\n"


def test_a_project_deeper_in_the_repository_has_files_of_its_name(tmp_path: Path) -> None:
    project = make(tmp_path, "infra/flights")
    made = written(project, "github")
    assert set(made) == {
        ".github/workflows/modelyard-flights.yml",
        ".github/actions/modelyard-flights/action.yml",
    }
    workflow = yaml.safe_load(made[".github/workflows/modelyard-flights.yml"])
    assert workflow["defaults"]["run"]["working-directory"] == "infra/flights"
    assert "infra/flights/requirements.txt" in made[".github/actions/modelyard-flights/action.yml"]
    assert set(written(project, "jenkins")) == {"infra/flights/Jenkinsfile"}


def test_the_default_branch_is_the_remotes(tmp_path: Path) -> None:
    project = make(tmp_path)
    head = tmp_path / ".git/refs/remotes/origin/HEAD"
    head.parent.mkdir(parents=True)
    head.write_text("ref: refs/remotes/origin/trunk\n")
    workflow = yaml.load(
        written(project, "github")[".github/workflows/modelyard.yml"], Loader=yaml.BaseLoader
    )
    assert workflow["on"]["push"]["branches"] == ["trunk"]


def test_what_cannot_be_written_is_refused_with_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make(tmp_path)
    with pytest.raises(UsageProblem, match="no CI platform is called 'circle'"):
        files.files(project, "circle")
    project.stack_file("prod").write_text("config: {'modelyard:spec': {servin: 1}}\n")
    with pytest.raises(UsageProblem, match="servin"):
        files.files(project, "github")
    for name in project.environments():
        project.stack_file(name).unlink()
    with pytest.raises(UsageProblem, match="no environment"):
        files.files(project, "github")
    plain = Project.create(tmp_path.parent / f"{tmp_path.name}-plain", "plain", "dev", EnvironmentSpec())
    with pytest.raises(UsageProblem, match="no git repository"):
        files.files(plain, "github")
    assert not list(tmp_path.glob(".git*/*.yml"))


def test_a_disk_that_fails_leaves_no_file_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    made = files.files(project, "github")
    real, moves = Path.replace, [0]

    def full(self: Path, target: Path) -> Path:
        if str(target).startswith(str(tmp_path / ".github")) and ".modelyard-init-" in str(self):
            moves[0] += 1
            if moves[0] == 2:
                raise OSError(28, "No space left on device", str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Problem, match="disk is full"):
        files.write(project, made, force=False)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_template_with_a_mistake_is_not_rendered() -> None:
    scope = Scope({"a": "1"}, frozenset({"yes"}), (Scope({"b": "2"}), Scope({"b": "3"}, frozenset({"x"}))))
    text = "@@a@@\n# <each>\n- @@b@@\n  # <x>\n  more\n  # </x>\n# </each>\n# <not-yes>\nno\n# </not-yes>\n"
    assert render(text, scope) == "1\n- 2\n- 3\n  more\n"
    with pytest.raises(ValueError, match="no end"):
        render("# <yes>\n", scope)
    with pytest.raises(ValueError, match="nothing is called"):
        render("@@c@@\n", scope)


def test_json_of_a_schema_is_shipped_and_not_fetched() -> None:
    """The schemas come with the development tools: the tests need no network."""
    import check_jsonschema

    folder = Path(str(check_jsonschema.__file__)).parent / "builtin_schemas" / "vendor"
    loaded: dict[str, Any] = json.loads((folder / "github-workflows.json").read_text())
    assert loaded["properties"]["jobs"]
