"""Find the Pulumi CLI: on PATH, in the private cache, by the official download, built from Go modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blueprints.errors import Problem
from stacks.engine.events import Event, Phase

#: The version we build and download; the Go module lists no versions, so it is named exactly.
VERSION = "3.259.0"
#: The oldest CLI found on PATH that is taken: native providers by path and event streams need it.
OLDEST = (3, 220, 0)

OnEvent = Callable[[Event], object]


@dataclass(frozen=True)
class EngineBinary:
    """A Pulumi CLI.

    Attributes:
        path: Absolute path of the executable.
        version: ``3.259.0``.
        source: ``path``, ``cache``, ``download`` or ``build``.
    """

    path: Path
    version: str
    source: str

    @property
    def folder(self) -> Path:
        """The folder of the executable; a language host of ours lies beside a CLI we built."""
        return self.path.parent


def silent(_: Event) -> None:
    """Listens to nothing."""


def cache_folder() -> Path:
    """Where Modelyard keeps CLIs: ``~/.cache/modelyard/pulumi``, or as the system has it."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen and Path(chosen).is_absolute():
        base = Path(chosen)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "modelyard" / "pulumi"


def installed(cache: Path | None = None) -> Path | None:
    """The CLI in the private cache; None when there is none."""
    folder = (cache or cache_folder()) / f"v{VERSION}"
    for path in (folder / "bin" / "pulumi", folder / "pulumi"):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def find_engine(on_event: OnEvent = silent) -> EngineBinary:
    """The CLI to use, got if need be.

    Raises:
        Problem: There is none and no way to get one; says what was tried.
    """
    tried: list[str] = []
    found = on_path(tried)
    if found is None:
        path = installed()
        if path is not None:
            found = EngineBinary(path, VERSION, "cache")
    if found is None:
        from stacks.toolchain.install import install

        found = install(cache_folder(), tried, on_event)
    if found.source != "path":
        from stacks.toolchain.hosts import write_language_host

        write_language_host(found.folder)
    return found


def on_path(tried: list[str]) -> EngineBinary | None:
    """A CLI on PATH that is new enough; what is wrong with it is added to ``tried``."""
    where = shutil.which("pulumi")
    if where is None:
        tried.append("PATH: no pulumi there")
        return None
    version = version_of(Path(where))
    if version is None or tuple(int(part) for part in version.split(".")) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        tried.append(f"PATH: {where} is {version or 'broken'}; {oldest} or later is needed")
        return None
    return EngineBinary(Path(where).absolute(), version, "path")


def version_of(path: Path) -> str | None:
    """The version the CLI says it is, ``3.259.0``; None when it does not run."""
    env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(
            [path, "version"], env=env, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v?(\d+\.\d+\.\d+)", done.stdout.strip())
    return match[1] if match and done.returncode == 0 else None


def entering(message: str, expected_seconds: float | None = None) -> Phase:
    """The event of a step of getting the engine."""
    return Phase("engine", message, expected_seconds)


def nothing_works(tried: list[str]) -> Problem:
    """There is no engine and no way to get one."""
    return Problem(
        "no Pulumi engine, and no way to get one: " + "; ".join(tried),
        where="engine",
        expected=f"Pulumi {'.'.join(map(str, OLDEST))} or later",
        todo="install Pulumi (https://www.pulumi.com/docs/install) or Go (https://go.dev/dl), "
        f"or put a pulumi executable at {cache_folder() / f'v{VERSION}' / 'pulumi'}",
    )
