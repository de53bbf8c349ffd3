"""Runs the shell steps of a written GitHub workflow or GitLab pipeline as the platform would.

Only the platform itself is replaced: its expressions and variables are filled in, its own actions are left
out, and its API is a small server. Every ``run`` and ``script`` is the written text in a real bash.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Job:
    """How a job ended: its exit code and everything it wrote (log, and the summary page of GitHub)."""

    code: int
    text: str


@dataclass(frozen=True)
class Runner:
    """A runner in the checkout ``top``.

    Attributes:
        top: The repository.
        work: The runner's own folder.
        api: Base URL of the platform's API.
        secret: What the CI's secret store holds for the passphrase.
    """

    top: Path
    work: Path
    api: str
    secret: str

    def github(self, name: str) -> Job:
        """Run the job ``name`` of the workflow, every row of its matrix, every step until one fails."""
        job = yaml.safe_load((self.top / ".github/workflows/modelyard.yml").read_text())["jobs"][name]
        files = {key: self.work / key.lower() for key in ("GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
        log, code = "", 0
        for row in job["strategy"]["matrix"]["include"]:
            for path in files.values():
                path.write_text("")
            job_env = self._base("GITHUB_ACTIONS", {key: str(path) for key, path in files.items()})
            job_env |= {
                "GITHUB_REF": "refs/pull/7/merge",
                "GITHUB_REPOSITORY": "team/flights",
                "GITHUB_API_URL": self.api,
                "GITHUB_SHA": "c0ffee",
                "RUNNER_TEMP": str(self.work),
                **self._filled(job.get("env", {}), row),
            }
            failed = 0
            for step in self._steps(job["steps"]):
                if failed and "!cancelled()" not in str(step.get("if", "")):
                    continue
                job_env["PATH"] = os.pathsep.join(
                    [*files["GITHUB_PATH"].read_text().split(), os.environ["PATH"]]
                )
                done = self._bash(step["run"], {**job_env, **self._filled(step.get("env", {}), row)})
                log += done.text
                failed = failed or done.code
            log += files["GITHUB_STEP_SUMMARY"].read_text()
            code = code or failed
        return Job(code, log)

    def gitlab(self, name: str) -> Job:
        """Run the job ``name`` of the pipeline: ``before_script`` and ``script`` in one shell."""
        jobs = yaml.safe_load((self.top / ".gitlab/modelyard.yml").read_text())
        job = _extended(jobs, jobs[name])
        given = {
            "CI_PROJECT_DIR": str(self.top),
            "CI_API_V4_URL": self.api,
            "CI_PROJECT_ID": "42",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_COMMIT_SHA": "c0ffee",
            "GITLAB_TOKEN": "t0ken",
            "MODELYARD_PASSPHRASE_DEV": self.secret,
        }
        filled = {
            key: re.sub(r"\$(\w+)", lambda found: given[found[1]], str(value))
            for key, value in job["variables"].items()
        }
        # The engine is in the cache of this machine already; the pipeline's own cache starts empty.
        filled.pop("XDG_CACHE_HOME")
        env = self._base("GITLAB_CI", {**given, **filled})
        return self._bash("\n".join([*job["before_script"], *job["script"]]), env)

    def _steps(self, steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Those with a shell, an action of the repository unfolded; what others wrote is the platform's."""
        for step in steps:
            if "run" in step:
                yield step
            elif str(step["uses"]).startswith("./"):
                action = yaml.safe_load((self.top / step["uses"] / "action.yml").read_text())
                yield from self._steps(action["runs"]["steps"])

    def _filled(self, values: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, str]:
        """Expressions of GitHub filled in; one that is not known fails the test."""
        known = {f"matrix.{key}": str(value) for key, value in row.items()}
        known["github.token"] = "t0ken"
        known["secrets[format('MODELYARD_PASSPHRASE_{0}', matrix.key)]"] = self.secret
        return {
            key: re.sub(r"\$\{\{ (.+?) \}\}", lambda found: known[found[1]], str(value))
            for key, value in values.items()
        }

    def _base(self, platform: str, more: Mapping[str, str]) -> dict[str, str]:
        kept = {
            key: os.environ[key] for key in ("PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR") if key in os.environ
        }
        return {**kept, platform: "true", "CI": "true", **more}

    def _bash(self, script: str, env: Mapping[str, str]) -> Job:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.top,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert self.secret not in done.stdout
        assert "t0ken" not in done.stdout
        return Job(done.returncode, done.stdout)


def ready(top: Path) -> None:
    """The virtual environment that the install step fills, filled: pip then finds everything in place."""
    (top / ".venv").symlink_to(Path(sys.prefix))


def _extended(jobs: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """``extends`` as GitLab merges it: maps by key, anything else replaced."""
    if "extends" not in job:
        return dict(job)
    return _merged(_extended(jobs, jobs[job["extends"]]), job)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = _merged(below[key], above[key])
    return both
