"""Get the Pulumi CLI into the private cache: the official download, or a build from pinned Go modules."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from blueprints.errors import Problem
from stacks.toolchain.find import (
    VERSION,
    EngineBinary,
    OnEvent,
    entering,
    installed,
    nothing_works,
    version_of,
)

#: CPU time of the build on two cores; a single progress line is worth it.
BUILD_SECONDS = 600.0
DOWNLOAD_SECONDS = 60.0
_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_SCRIPT_URL = "https://get.pulumi.com/install.sh"


def install(cache: Path, tried: list[str], on_event: OnEvent) -> EngineBinary:
    """Download or build the CLI; one process at a time, and never half of it.

    Raises:
        Problem: Neither works; says why.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache, on_event):
            path = installed(cache)
            if path is not None:
                return EngineBinary(path, VERSION, "cache")
            _clear_leftovers(cache)
            for get in (_download, _build):
                binary = get(cache, tried, on_event)
                if binary is not None:
                    return binary
    except OSError as error:
        tried.append(f"cache {cache}: {error.strerror or error}")
    raise nothing_works(tried)


@contextlib.contextmanager
def _lock(cache: Path, on_event: OnEvent) -> Iterator[None]:
    with (cache / "install.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            on_event(
                entering("another modelyard is getting the Pulumi engine, waiting for it", BUILD_SECONDS)
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear_leftovers(cache: Path) -> None:
    """Remove what an interrupted installation left; the lock says that nobody is at it."""
    for part in cache.glob(".part-*"):
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _staging(cache: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".part-", dir=cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(cache: Path, folder: Path) -> None:
    target = cache / f"v{VERSION}"
    if target.exists():
        shutil.rmtree(target)
    folder.chmod(0o755)
    folder.rename(target)


def _download(cache: Path, tried: list[str], on_event: OnEvent) -> EngineBinary | None:
    on_event(entering(f"downloading Pulumi {VERSION}", DOWNLOAD_SECONDS))
    try:
        # The installer below has no timeout of its own; behind a firewall that drops packets it would hang.
        with urllib.request.urlopen(_SCRIPT_URL, timeout=5) as answer:
            answer.read(1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        tried.append(f"official download: {getattr(error, 'reason', error)}")
        return None
    from pulumi.automation import PulumiCommand
    from semver import VersionInfo

    with _staging(cache) as folder:
        try:
            PulumiCommand.install(root=str(folder), version=VersionInfo.parse(VERSION))
        except (OSError, subprocess.SubprocessError) as error:
            output = (getattr(error, "output", b"") or b"").decode(errors="replace").strip()
            tried.append(f"official download: {output[-200:] or error}")
            return None
        _publish(cache, folder)
    return EngineBinary(cache / f"v{VERSION}" / "bin" / "pulumi", VERSION, "download")


def _build(cache: Path, tried: list[str], on_event: OnEvent) -> EngineBinary | None:
    go = shutil.which("go")
    if go is None:
        tried.append("build from Go modules: no go on PATH")
        return None
    with _staging(cache) as folder, tempfile.TemporaryDirectory(prefix="modelyard-build-") as scratch:
        module = Path(scratch)
        with as_file(files("stacks.toolchain") / "module") as source:
            for name in ("go.mod", "go.sum"):
                shutil.copyfile(source / name, module / name)
        fault = _run_build(go, module, folder / "pulumi", on_event)
        if fault:
            tried.append(f"build from Go modules: {fault}")
            return None
        if version_of(folder / "pulumi") != VERSION:
            tried.append("build from Go modules: the result does not run")
            return None
        _publish(cache, folder)
    return EngineBinary(cache / f"v{VERSION}" / "pulumi", VERSION, "build")


def _run_build(go: str, module: Path, output: Path, on_event: OnEvent) -> str:
    """Build; returns why not, or nothing."""
    stamp = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION}"
    command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
    command += ["-o", str(output), "-ldflags", f"-s -w {stamp}", _PACKAGE]
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    env.pop("GOFLAGS", None)
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=module,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                seconds = time.monotonic() - started
                on_event(
                    entering(
                        f"building Pulumi {VERSION} from Go modules, once: {seconds:.0f} s"
                        f" of about {BUILD_SECONDS:.0f} s",
                        max(0.0, BUILD_SECONDS - seconds),
                    )
                )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(0)
        lines = [line.strip() for line in log if not line.startswith("go: downloading")]
    if process.returncode == 0:
        return ""
    if any("no space left" in line for line in lines):
        raise Problem("the disk is full", where=str(output.parent), todo="free 3 GB, then run the same again")
    return " / ".join(lines[-3:]) or f"go ended with {process.returncode}"
