"""What this machine has and lacks: each check is a fact and, when it fails, what to do."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from blueprints.catalog import Blueprint, Need
from blueprints.environment import TrackingRef
from blueprints.errors import Problem
from stacks.project import Project

Status = Literal["ok", "warning", "failed"]
#: No release of ours is older; a clock before it is wrong, and TLS and signatures would fail by it.
_OLDEST_YEAR = 2026


@dataclass(frozen=True)
class Check:
    """One fact about this machine.

    Attributes:
        name: What was looked at.
        status: ``ok``, ``warning`` (it works, with less) or ``failed``.
        fact: What was found.
        todo: What to do about it; empty when it is well.
    """

    name: str
    status: Status
    fact: str
    todo: str = ""


def needs(blueprint: Blueprint, folder: Path | None = None) -> tuple[Check, ...]:
    """What the blueprint needs of this machine, by looking at files and variables only: never the network.

    Args:
        folder: Where the environment's data will lie; None: the current folder.
    """
    return tuple(_need(need, amount, folder or Path.cwd()) for need, amount in blueprint.needs.items())


def _need(need: Need, amount: int, folder: Path) -> Check:
    if need is Need.MEMORY:
        return _memory(amount)
    if need is Need.DISK:
        return _disk(folder, amount)
    simple = {
        Need.PYTHON: _python,
        Need.ENGINE: _engine,
        Need.KUBECONFIG: _kubeconfig,
        Need.AWS_CREDENTIALS: _aws,
    }
    return simple[need]()


def checks(project: Project | None, blueprint: Blueprint) -> Iterator[Check]:
    """Every check, one by one, the machine first, then each environment of the project."""
    yield from needs(blueprint, project.root if project else None)
    yield _clock(project)
    if project is None:
        yield Check("project", "warning", "no project here", "modelyard init")
        return
    yield _permission(project)
    for environment in project.environments():
        yield from _environment(project, environment)


def _python() -> Check:
    # An older one cannot install the package, let alone run this.
    return Check("python", "ok", f"Python {sys.version.split()[0]} at {sys.executable}")


def _engine() -> Check:
    from stacks.toolchain.find import VERSION, installed, on_path

    tried: list[str] = []
    found = on_path(tried)
    if found is not None:
        return Check("engine", "ok", f"Pulumi {found.version} at {found.path}")
    path = installed()
    if path is not None:
        return Check("engine", "ok", f"Pulumi {VERSION} at {path}")
    if shutil.which("go"):
        return Check(
            "engine", "warning", "no Pulumi yet", "the first up downloads it, or builds it in 10 min"
        )
    return Check(
        "engine", "warning", "no Pulumi yet, and no Go", "the first up downloads it; it needs internet"
    )


def _memory(least_mb: int) -> Check:
    import psutil

    free = psutil.virtual_memory().available / 1e6
    fact = f"{free:,.0f} MB free"
    if free < least_mb:
        return Check(
            "memory", "warning", fact, f"free {least_mb - free:,.0f} MB, or choose sqlite and folder"
        )
    return Check("memory", "ok", fact)


def _disk(folder: Path, least_mb: int) -> Check:
    free = shutil.disk_usage(folder).free / 1e6
    fact = f"{free:,.0f} MB free at {folder}"
    if free < least_mb:
        return Check("disk", "failed", fact, f"free {least_mb - free:,.0f} MB there")
    return Check("disk", "ok", fact)


def _kubeconfig() -> Check:
    chosen = os.environ.get("KUBECONFIG", "")
    paths = [Path(part) for part in chosen.split(os.pathsep) if part] or [Path.home() / ".kube" / "config"]
    for path in paths:
        if path.is_file():
            return Check("kubeconfig", "ok", str(path))
    return Check("kubeconfig", "failed", "no kubeconfig found", "set KUBECONFIG, or write ~/.kube/config")


def _aws() -> Check:
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return Check("aws credentials", "ok", "in the environment")
    if os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") or os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return Check("aws credentials", "ok", "by role")
    for variable, name in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        path = Path(os.environ.get(variable) or Path.home() / ".aws" / name)
        if path.is_file():
            return Check("aws credentials", "ok", str(path))
    return Check("aws credentials", "failed", "none found", "aws configure sso, or set AWS_PROFILE")


def _clock(project: Project | None) -> Check:
    now = datetime.now(UTC)
    fact = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    if now.year < _OLDEST_YEAR:
        return Check("clock", "failed", fact, "set the clock: certificates and signatures depend on it")
    state = project.state_folder if project else None
    if state is not None:
        ahead = [path for path in state.rglob("*.json") if path.stat().st_mtime > time.time() + 60]
        if ahead:
            todo = "set the clock; it has gone back since"
            return Check("clock", "failed", f"{fact}, earlier than {ahead[0].name} was written", todo)
    return Check("clock", "ok", fact)


def _permission(project: Project) -> Check:
    for folder in (project.root, project.home):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            return Check("folder", "failed", f"cannot write to {folder}", "give yourself access to it")
    if project.passphrase_file.exists() and project.passphrase_file.stat().st_mode & 0o077:
        todo = f"chmod 600 {project.passphrase_file}"
        return Check("folder", "failed", "others can read the passphrase", todo)
    return Check("folder", "ok", str(project.root))


def _environment(project: Project, environment: str) -> Iterator[Check]:
    from stacks.engine import Engine
    from stacks.local.home import Home
    from stacks.local.supervisor import Supervisor

    part = "spec"
    try:
        spec = project.spec(environment)
        part = "state"
        resources = Engine(project, environment).resources()
    except Problem as problem:
        todo = problem.todo or problem.expected
        yield Check(f"{environment}: {part}", "failed", f"{problem.where}: {problem.what}", todo)
        return
    if not any(each.type == "supervisor" for each in resources):
        yield Check(environment, "ok", f"{spec.blueprint}, not up")
        return
    if Supervisor(Home(project.folder(environment))).alive():
        yield Check(f"{environment}: supervisor", "ok", "answers")
    else:
        yield Check(f"{environment}: supervisor", "failed", "does not answer", "modelyard up")
    ports = {each.name: dict(each.outputs).get("numbers", "") for each in resources if each.type == "port"}
    yield _ports(environment, ports, project.folder(environment))
    yield _version_skew(project, environment)


def _ports(environment: str, ports: dict[str, str], folder: Path) -> Check:
    """Whether somebody else sits on a port of ours."""
    import json

    import psutil

    from stacks.local.ports import describe_holder, holder
    from stacks.local.processes import MARKER

    for name, text in ports.items():
        for port in json.loads(text or "[]"):
            process = holder(port)
            if process is None:
                continue
            try:
                ours = process.environ().get(MARKER, "").startswith(f"{folder}/")
            except (psutil.Error, OSError):
                ours = False
            if not ours:
                fact = f"{name} {port} is in use by {describe_holder(port)}"
                return Check(f"{environment}: ports", "failed", fact, "end that process, then modelyard up")
    return Check(f"{environment}: ports", "ok", f"{len(ports)} kept, none taken by others")


def _version_skew(project: Project, environment: str) -> Check:
    """MLflow changes its REST surface between minor versions: client and server must agree."""
    from importlib.metadata import version

    from stacks.engine import Engine

    name, client = f"{environment}: mlflow", version("mlflow")
    try:
        tracking = Engine(project, environment).outputs().tracking
    except Problem as problem:
        return Check(name, "failed", problem.what, problem.todo or "modelyard up")
    server, fault = _server_version(tracking)
    if fault:
        return Check(name, "failed", f"the server at {tracking.url} {fault}", "modelyard logs tracking")
    if server.split(".")[:2] != client.split(".")[:2]:
        todo = f"pip install 'mlflow=={server}', or modelyard up to restart the server with {client}"
        return Check(name, "failed", f"client {client}, server {server}", todo)
    return Check(name, "ok", f"client {client}, server {server}")


def _server_version(tracking: TrackingRef) -> tuple[str, str]:
    """``(version, "")`` of a running server, or ``("", why not)``."""
    import base64
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{tracking.url}/version")
    pair = f"{tracking.username}:{tracking.password.get_secret_value()}"
    request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    # Loopback needs no proxy, and a corporate one set in the environment would swallow the question.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=3) as answer:
            return answer.read(64).decode().strip(), ""
    except urllib.error.HTTPError as error:
        return "", f"answers {error.code}"
    except (urllib.error.URLError, OSError, ValueError):
        return "", "does not answer"
