"""The written CI files, step by step, on a real local environment: preview, comment, up, drift."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from blueprints.keys import assign
from stacks.ci import files
from stacks.engine import Engine
from stacks.local.home import Home
from stacks.local.supervisor import Supervisor
from stacks.project import Project
from tests.engine.ci_runner import Runner, ready
from tests.engine.conftest import SMALL
from tests.servers import PullRequest, serving

#: Some twenty runs of the engine, each from a fresh interpreter as in CI.
pytestmark = pytest.mark.timeout(900)

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
        project = Project.create(top, "flights", "dev", SMALL)
        for platform in ("github", "gitlab"):
            files.write(project, files.files(project, platform), force=False)
        ready(top)
        try:
            yield Runner(top, work, url, SECRET)
        finally:
            Engine(project, "dev").destroy(delete_data=True)


def ours(request: PullRequest) -> list[str]:
    return [text for text in request.comments.values() if text.startswith(MARKER)]


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

    assert runner.github("drift").code == 0
    stop(runner, "storage")
    job = runner.github("drift")
    assert job.code == 1
    assert "### Modelyard drift · flights ▸ dev" in job.text
    assert "| ~ update | service **storage** |" in job.text


def test_gitlab_from_merge_request_to_drift(runner: Runner, request_7: PullRequest) -> None:
    project = Project.find(runner.top)
    project.write_spec("dev", assign(SMALL, ["storage.versioning=false"]))
    job = runner.gitlab("preview dev")
    assert job.code == 0, job.text
    [comment] = ours(request_7)
    assert "bucket **" in comment

    job = runner.gitlab("up dev")
    assert job.code == 0, job.text
    config = project.folder("dev") / "config" / "s3.json"
    config.write_text("{}")
    job = runner.gitlab("drift dev")
    assert job.code == 1
    assert "**s3.json**" in job.text


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
