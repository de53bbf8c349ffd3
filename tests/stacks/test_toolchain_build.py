"""The engine really built from Go modules; `make engine` runs this, 10 minutes of CPU."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stacks.engine import Engine, Event, Phase
from stacks.project import Project
from stacks.toolchain import find, find_engine, install


@pytest.mark.engine_build
@pytest.mark.timeout(3600)
def test_a_machine_that_reaches_only_go_modules_builds_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "on_path", lambda tried: None)
    monkeypatch.setattr(install, "_SCRIPT_URL", "http://127.0.0.1:9/install.sh")
    # The modules and compiled packages of this user stay where they are: only the engine is built anew.
    for name in ("GOMODCACHE", "GOCACHE"):
        known = subprocess.run(["go", "env", name], capture_output=True, text=True, check=True).stdout.strip()
        monkeypatch.setenv(name, known)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    events: list[Event] = []
    found = find_engine(events.append)
    assert (found.version, found.source) == (find.VERSION, "build")
    assert found.path.is_relative_to(tmp_path)
    assert os.access(found.folder / "pulumi-language-python", os.X_OK)
    assert any(isinstance(each, Phase) and "building Pulumi" in each.message for each in events)
    assert find_engine().source == "cache"
    # It runs a program: a preview of the default environment.
    from blueprints.spec import EnvironmentSpec

    project = Project.create(tmp_path / "yard", "yard", "dev", EnvironmentSpec())
    assert Engine(project, "dev").preview().changes > 20
