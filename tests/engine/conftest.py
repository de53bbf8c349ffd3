"""A small environment of the engine tests' own: they kill, lock and break it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from stacks.engine import Engine
from stacks.local.processes import marker_of
from stacks.project import Project

#: Light parts, so that breaking it often stays quick: S3 only, as a plain process.
SMALL = assign(
    EnvironmentSpec(), ["database.kind=sqlite", "serving.enabled=false", "monitoring.enabled=false"]
)


@pytest.fixture(scope="module")
def small() -> Iterator[Project]:
    """A project that is up with the light parts; destroyed with its data at the end."""
    with tempfile.TemporaryDirectory(prefix="modelyard-engine-") as folder:
        project = Project.create(Path(folder) / "small", "small", "dev", SMALL)
        try:
            Engine(project, "dev").up()
            yield project
        finally:
            Engine(project, "dev").destroy(delete_data=True)


def parent_marker(process: psutil.Process) -> str:
    try:
        return marker_of(psutil.Process(process.ppid()))
    except psutil.Error:
        return ""


def services(project: Project) -> Counter[str]:
    """How many process families run for each service: the children of the supervisor."""
    found: Counter[str] = Counter()
    for process in psutil.process_iter():
        mark = marker_of(process)
        if mark.startswith(f"{project.folder('dev')}/") and parent_marker(process) != mark:
            found[mark.rsplit("/", 1)[1]] += 1
    return found
