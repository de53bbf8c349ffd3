"""Environments of isolated versions: which requirements are not met here, and a virtual environment that
meets them, built once per set of requirements."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from blueprints.errors import ExitCode, Problem
from mlops.serving.runtime.mlmodel import LoggedModel

log = logging.getLogger(__name__)
_DONE = "modelyard.json"
#: MLflow reads what older releases of it wrote.
_READS_OLDER = {"mlflow", "mlflow-skinny"}


def differing(model: LoggedModel) -> tuple[str, ...]:
    """Requirements of a model that are not met here, each with what is: ``numpy==1.26.4 (here 2.4.6)``.

    A pin is met by another patch release (same first two numbers): libraries that break their own files do
    so in minor releases, and a process per patch release would be one for nearly every version.
    """
    found = [said for line in model.requirements if (said := _unmet(line))]
    wanted, here = model.python.split(".")[:2], [str(each) for each in sys.version_info[:2]]
    if len(wanted) == 2 and wanted != here and "python_model" in model.flavors.get("python_function", {}):
        # cloudpickle writes byte code, which another minor release does not read.
        found.append(f"python {'.'.join(wanted)} (here {'.'.join(here)})")
    return tuple(found)


def _unmet(line: str) -> str:
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return f"{line} (not understood)"
    if wanted.marker is not None and not wanted.marker.evaluate():
        return ""
    if wanted.url:
        return f"{line} (from an address)"
    try:
        here = Version(importlib.metadata.version(wanted.name))
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return f"{line} (not here)"
    if wanted.specifier.contains(here, prereleases=True):
        return ""
    pins = [
        Version(each.version)
        for each in wanted.specifier
        if each.operator == "==" and "*" not in each.version
    ]
    older = wanted.name.lower() in _READS_OLDER and all(pin < here for pin in pins)
    near = all(pin.release[:2] == here.release[:2] for pin in pins)
    if pins and len(pins) == len(wanted.specifier) and (near or older):
        return ""
    return f"{line} (here {here})"


def without_secrets() -> dict[str, str]:
    """This process's environment variables for one that has no business with its credentials."""
    secret = ("MODELYARD_", "MLFLOW_", "AWS_", "PULUMI_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(secret)}


@dataclass
class Built:
    """An environment in use: no process of this machine removes it before :meth:`close`, or before the
    process that asked for it has ended."""

    python: Path
    _use: IO[str]

    def close(self) -> None:
        """It is not used any more."""
        self._use.close()


def built(
    model: LoggedModel,
    folder: Path,
    trusted: bool = False,
    seconds: float = 1200,
    keep_bytes: int = 20 * 1024**3,
) -> Built:
    """An environment with the model's requirements; made when it is not there. Takes from seconds to minutes:
    call it in a thread, before the version is to answer.

    Args:
        folder: Where environments are kept, one per set of requirements.
        trusted: Packages may be built from source, which runs code of theirs; else wheels only.
        seconds: A build may take.
        keep_bytes: Of all that stay; beyond, those that nobody uses go, the longest unused first.

    Raises:
        Problem: It cannot be built.
    """
    wanted = _requirements(model)
    version = ".".join((model.python or sys.version.split()[0]).split(".")[:2])
    key = hashlib.sha256("\n".join([version, *wanted]).encode()).hexdigest()[:16]
    made = folder / key
    folder.mkdir(parents=True, exist_ok=True)
    # Two replicas may want it at once; the second finds it done.
    with (folder / f".{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fresh = folder / f".{key}.building"
        here = (made / _DONE).is_file()
        if not here:
            for each in (fresh, made):
                shutil.rmtree(each, ignore_errors=True)
            _build(fresh, version, wanted, trusted, seconds)
            facts = {"python": version, "requirements": wanted, "bytes": _size(fresh)}
            (fresh / _DONE).write_text(json.dumps(facts))
            fresh.rename(made)
        os.utime(made / _DONE)
        use = (folder / f".{key}.used").open("w")
        fcntl.flock(use, fcntl.LOCK_SH)
    if not here:
        evict(folder, keep_bytes)
    return Built(made / "bin" / "python", use)


def evict(folder: Path, keep_bytes: int) -> list[str]:
    """Remove environments that no process uses, the longest unused first, until the rest takes ``keep_bytes``
    at most; and what builds and removals left behind that were killed. Returns the names of those removed."""
    kept = {made.parent: (made.stat().st_mtime, _bytes(made)) for made in folder.glob(f"*/{_DONE}")}
    total = sum(size for _, size in kept.values())
    gone: list[str] = []
    for made, (_, size) in sorted(kept.items(), key=lambda each: each[1]):
        if total <= keep_bytes:
            break
        if _remove(folder, made.name):
            total, gone = total - size, [*gone, made.name]
            log.info("environment %s removed: not in use, %.1f GB", made.name, size / 1024**3)
    if total > keep_bytes:
        log.warning("environments in use take %.1f GB, more than they should", total / 1024**3)
    for left in [*folder.glob(".*.building"), *folder.glob(".*.leaving")]:
        _remove(folder, left.name.split(".")[1], left)
    return gone


def _remove(folder: Path, key: str, left: Path | None = None) -> bool:
    """Remove an environment, or what is ``left`` of one, unless it is in use or being built."""
    with (folder / f".{key}.lock").open("w") as lock, (folder / f".{key}.used").open("w") as use:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if left is None:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        leaving = left or folder / f".{key}.leaving"
        if left is None:
            # At once out of the way: a half-removed environment must never be found.
            (folder / key).rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)
        return True


def _bytes(done: Path) -> int:
    try:
        return int(json.loads(done.read_text())["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return _size(done.parent)  # an earlier release did not write it down


def _size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(each.lstat().st_size for each in folder.rglob("*") if not each.is_dir())


def _requirements(model: LoggedModel) -> list[str]:
    lines = sorted(set(model.requirements))
    names = {line.split("=")[0].split("<")[0].split(">")[0].split("[")[0].strip().lower() for line in lines}
    if not names & _READS_OLDER:
        lines.append(f"mlflow=={importlib.metadata.version('mlflow')}")
    return lines


def _build(into: Path, version: str, requirements: list[str], trusted: bool, seconds: float) -> None:
    start = time.monotonic()
    wheels = [] if trusted else ["--only-binary", ":all:"]
    python = str(into / "bin" / "python")
    uv = _uv()
    if uv:
        steps = [
            [uv, "venv", "--quiet", "--relocatable", "--python", version, str(into)],
            [
                uv,
                "pip",
                "install",
                "--quiet",
                *wheels,
                "--python",
                python,
                "-r",
                str(into / "requirements.txt"),
            ],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", str(into)],
            [python, "-m", "pip", "install", "--quiet", *wheels, "-r", str(into / "requirements.txt")],
        ]
    for step in steps:
        if into.is_dir():
            (into / "requirements.txt").write_text("\n".join(requirements) + "\n")
        left = seconds - (time.monotonic() - start)
        try:
            done = subprocess.run(
                step,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=max(left, 1),
                check=False,
                env=without_secrets(),
            )
        except subprocess.TimeoutExpired:
            raise _cannot(f"it took more than {seconds:.0f} s", requirements) from None
        except OSError as error:
            raise _cannot(str(error), requirements) from error
        if done.returncode:
            said = [line.strip() for line in done.stderr.strip().splitlines() if line.strip()]
            raise _cannot(" ".join(said[-3:])[:400], requirements)
    log.info("environment of %d requirements built in %.0f s", len(requirements), time.monotonic() - start)


def _cannot(why: str, requirements: list[str]) -> Problem:
    return Problem(
        f"its environment cannot be built: {why}",
        where=", ".join(requirements[:4]),
        expected="requirements that can be installed on this machine, and an index that has them",
        code=ExitCode.RETRY,
    )


def _uv() -> str:
    """uv beside this Python or on the path; empty: pip builds."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv") or ""
