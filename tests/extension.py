"""The example of another package's blueprint, installed as pip would, for whoever asks with the fixture
``installed``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "extension_example"


@dataclass(frozen=True)
class Installed:
    """A folder as pip fills it, on the path of the processes that this runs."""

    site: Path

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "tui.cli.main", *map(str, words))

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(self.site)}
        return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=False)

    def json(self, *words: str | Path, code: int = 0) -> Any:
        done = self("--json", *words)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.site / "team_blueprint" / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))


def install(site: Path) -> Installed:
    """The example package in ``site``, without any network."""
    shutil.copytree(EXAMPLE / "team_blueprint", site / "team_blueprint")
    about = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = site / f"team_blueprint-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in about["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points)
    return Installed(site)
