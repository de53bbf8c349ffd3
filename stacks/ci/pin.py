"""Pin what a project's CI and spec name by a tag, and Modelyard itself: all of it, or nothing is written."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from blueprints.errors import ExitCode, Problem, UsageProblem
from stacks.ci import files, references, requirements
from stacks.ci.references import Reference
from stacks.ci.requirements import OwnPin
from stacks.ci.resolve import resolve
from stacks.disk import disk_problem, write_together
from stacks.project import Project


@dataclass(frozen=True)
class Pinned:
    """What was done.

    Attributes:
        digests: Reference -> digest, of those that were new.
        written: Files changed, relative to the project's folder where they lie in it.
        left: Why Modelyard itself has no hash; empty when it has.
    """

    digests: dict[Reference, str]
    written: tuple[Path, ...]
    left: str


def pin_project(project: Project, wheel: Path | None = None) -> Pinned:
    """Resolve and write every missing digest.

    Args:
        project: The project.
        wheel: An archive of Modelyard to take its own hash from.

    Raises:
        Problem: Something cannot be resolved or written; no file was changed.
    """
    digests = resolve(reference for _, reference in files.unpinned(project))
    texts: dict[Path, str] = {}
    for path in files.written_files(project):
        old = files.read(path)
        new = references.pin(old, digests)
        if new != old:
            texts[path] = new
    pins = project.root / requirements.name_in(project.root)
    left = ""
    if requirements.unpinned(pins) or (wheel and pins.is_file()):
        own = _own(files.read(pins), wheel)
        left = "" if own.sha256 else own.reason
        if own.sha256:
            texts[pins] = requirements.with_own(files.read(pins), own)
    elif wheel:
        raise UsageProblem("is not there, or names no modelyard", where=str(pins), todo="modelyard ci github")
    _write(project, texts)
    return Pinned(digests, tuple(texts), left)


def _write(project: Project, texts: dict[Path, str]) -> None:
    if not texts:
        return
    try:
        top = files.repository(project.root)
    except UsageProblem:
        top = project.root
    try:
        write_together(top, {str(path.relative_to(top)): text for path, text in texts.items()})
    except OSError as error:
        raise disk_problem(error, top) from None


def _own(old: str, wheel: Path | None) -> OwnPin:
    """The pin of Modelyard: of ``wheel``, as its installer recorded it, or of the archive an index has."""
    version = requirements.version_in(old) or ""
    if wheel is not None:
        return OwnPin(version, _hash(wheel, version))
    own = requirements.own_pin()
    if own.version != version:
        return replace(own, sha256=None, reason=f"the file names {version}, installed is {own.version}")
    return own if own.sha256 or own.editable else replace(own, sha256=_downloaded(version))


def _hash(wheel: Path, version: str) -> str:
    if not re.fullmatch(
        rf"modelyard-{re.escape(version)}(-[^-]+)+\.whl|modelyard-{re.escape(version)}\.tar\.gz", wheel.name
    ):
        raise UsageProblem(
            f"is no archive of modelyard {version}",
            where=str(wheel),
            expected=f"modelyard-{version}-….whl or modelyard-{version}.tar.gz",
        )
    try:
        return hashlib.sha256(wheel.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageProblem(error.strerror or "cannot be read", where=str(wheel), expected="a file") from None


def _downloaded(version: str) -> str:
    """The hash of the wheel that pip gets from whatever index it is set to."""
    with tempfile.TemporaryDirectory(prefix="modelyard-pin-") as folder:
        options = [
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
            "--dest",
            folder,
        ]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, f"modelyard=={version}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        found = list(Path(folder).glob("modelyard-*.whl"))
        if done.returncode or len(found) != 1:
            raise Problem(
                f"pip cannot get modelyard {version}, so its hash is not known and nothing was written",
                where="pin",
                expected="an index that has it",
                todo="modelyard pin --wheel FILE, or run it where pip reaches the index",
                code=ExitCode.RETRY,
            )
        return _hash(found[0], version)
