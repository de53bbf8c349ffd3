"""The written CI files, step by step, on a real local environment: preview, comment, up, drift."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from stacks.ci import files
from stacks.engine import Engine
from stacks.local.home import Home
from stacks.local.supervisor import Supervisor
from stacks.project import Project
from tests.engine.ci_runner import Runner, ready
from tests.servers import PullRequest, serving
from tui.session import Session

#: Some twenty runs of the engine, each from a fresh interpreter as in CI.
pytestmark = pytest.mark.timeout(900)

#: With the monitor, which the nightly check reports to.
WATCHED = assign(EnvironmentSpec(), ["database.kind=sqlite"])
SECRET = "from-the-secret-store-of-ci"
MARKER = "<!-- modelyard flights/dev -->"


@pytest.fixture(scope="module")
def request_7() -> PullRequest:
    """The pull request, with what somebody said before."""
    return PullRequest(comments={1: "please have a look"})


@pytest.fixture(scope="module")
def runner(request_7: PullRequest) -> Iterator[Runner]:
    """A runner in a repository whose environment is not up yet; destroyed with its data at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-ci-") as folder,
        serving(request_7) as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", SECRET)
        top, work = Path(folder) / "repo", Path(folder) / "work"
        work.mkdir()
        subprocess.run(["git", "init", "--quiet", str(top)], check=True)
        project = Project.create(top, "flights", "dev", WATCHED)
        for platform in ("github", "gitlab"):
            files.write(project, files.files(project, platform), force=False)
        ready(top)
        try:
            yield Runner(top, work, url, SECRET)
        finally:
            Engine(project, "dev").destroy(delete_data=True)


def ours(request: PullRequest) -> list[str]:
    return [text for text in request.comments.values() if text.startswith(MARKER)]


def alerts(project: Project) -> dict[str, str]:
    """What the environment's monitor holds of the infrastructure: resource -> state."""
    with Session(project, "dev") as session:
        found = session.monitor().alerts()
    return {each.feature: each.state for each in found if each.kind == "infrastructure"}


def stop(runner: Runner, service: str) -> None:
    with Supervisor(Home(runner.top / ".modelyard" / "dev"))._rpc() as rpc:
        rpc.stopProcess(service)


def test_github_from_pull_request_to_drift(runner: Runner, request_7: PullRequest) -> None:
    job = runner.github("preview")
    assert job.code == 0, job.text
    [comment] = ours(request_7)
    assert "to create" in comment
    assert "service **storage**" in comment
    # The summary page shows the same.
    assert comment.strip() in job.text

    job = runner.github("up")
    assert job.code == 0, job.text
    job = runner.github("preview")
    assert job.code == 0, job.text
    # Still one comment: it was replaced, and now tells the new plan.
    [comment] = ours(request_7)
    assert "● nothing to change" in comment
    assert request_7.comments[1] == "please have a look"

    # What was asked for since, and is not up yet, is a plan and no drift.
    project = Project.find(runner.top)
    project.write_spec("dev", assign(WATCHED, ["storage.versioning=false"]))
    job = runner.github("drift")
    assert job.code == 0, job.text
    assert job.text.count("● the environment is as it was built") == 2, "in the log and on the summary page"
    assert alerts(project) == {}

    stop(runner, "storage")
    job = runner.github("drift")
    assert job.code == 1
    summary = job.text[job.text.index("### Drift of dev\n") :]
    assert "△ service storage  stopped" in summary
    assert "△ 1 differ from what was built. modelyard drift heal | adopt NAME | ignore NAME" in summary
    assert summary.count("```") == 2
    assert alerts(project) == {"service storage": "firing"}

    # The alert is resolved by the next night that finds all well.
    project.write_spec("dev", WATCHED)
    assert runner.github("up").code == 0
    assert runner.github("drift").code == 0
    assert alerts(project) == {"service storage": "resolved"}


def test_gitlab_from_merge_request_to_drift(runner: Runner, request_7: PullRequest) -> None:
    project = Project.find(runner.top)
    project.write_spec("dev", assign(WATCHED, ["storage.versioning=false"]))
    job = runner.gitlab("preview dev")
    assert job.code == 0, job.text
    [comment] = ours(request_7)
    assert "bucket **" in comment

    job = runner.gitlab("up dev")
    assert job.code == 0, job.text
    job = runner.gitlab("drift dev")
    assert job.code == 0, job.text
    assert "● the environment is as it was built" in job.text
    config = project.folder("dev") / "config" / "s3.json"
    good = config.read_text()
    config.write_text("{}")
    stop(runner, "monitor")
    job = runner.gitlab("drift dev")
    assert job.code == 1
    assert "△ file s3.json  edited: text" in job.text
    assert good not in job.text
    # A monitor that is down is drift itself; it hides nothing.
    assert "△ service monitor  stopped" in job.text
    assert "△ no alert was raised: " in job.text


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_a_preview_that_fails_is_told_in_the_comment_and_turns_the_job_red(
    runner: Runner, request_7: PullRequest, platform: str
) -> None:
    stack = runner.top / "Pulumi.dev.yaml"
    before = stack.read_text()
    stack.write_text(before.replace("database:", "databas:"))
    try:
        job = runner.github("preview") if platform == "github" else runner.gitlab("preview dev")
    finally:
        stack.write_text(before)
    assert job.code != 0
    [comment] = ours(request_7)
    assert "Modelyard preview failed · flights ▸ dev" in comment
    assert "did you mean" in comment
