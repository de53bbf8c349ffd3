"""``python -m stacks.local.launch DEFINITION``: become a service.

The supervisor runs this instead of the service itself, for three things it cannot do: end what an earlier
life of the service left behind (workers of a killed parent hold the port), keep secrets out of every command
line and supervisor file, and step down from root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

from stacks.local.definition import Definition
from stacks.local.processes import MARKER, kill, marked

#: Nothing phones home. Every service gets these here, so that none can be forgotten.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}


def main(argv: list[str] | None = None) -> None:
    """Replace this process with the service that the definition file describes."""
    [path] = sys.argv[1:] if argv is None else argv
    definition = Definition.load(Path(path))
    left = kill(marked(definition.marker))
    if left:
        print(f"ended {left} processes of an earlier {definition.name}", file=sys.stderr, flush=True)  # noqa: T201
    env = {**os.environ, **QUIET, **definition.env, MARKER: definition.marker}
    command = list(definition.argv)
    if definition.user and os.geteuid() == 0:
        command = step_down(command, definition.user, [Path(definition.cwd or "/"), Path(command[0])])
        env["HOME"] = definition.cwd or "/"
    if definition.cwd and not (definition.user and os.geteuid() == 0):
        os.chdir(definition.cwd)
    os.execvpe(command[0], command, env)


def step_down(command: list[str], user: str, paths: list[Path]) -> list[str]:
    """``command`` as it must be run so that it runs as ``user`` and can still reach ``paths``.

    Where a folder above a path shuts others out (a home of root, a private temporary folder), the process is
    given the one capability that lets it walk through, and nothing else (Linux).

    Raises:
        PermissionError: The user cannot reach a path and this system has no way to let it.
    """
    tool = shutil.which("setpriv")
    group = pwd.getpwnam(user).pw_gid
    base = [tool or "", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    if tool is None:
        raise PermissionError(
            f"running {Path(command[0]).name} as {user} needs the setpriv command (package util-linux)"
        )
    if all(reachable(path, user) for path in paths):
        return [*base, "--", *command]
    # access(2), which PostgreSQL asks about its own programs, drops capabilities of an ordinary user unless
    # the no_setuid_fixup bit is set.
    walk = ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return [*base, *walk, "--", *command]


def reachable(path: Path, user: str) -> bool:
    """Whether ``user`` may walk through every folder above ``path``."""
    entry = pwd.getpwnam(user)
    for folder in path.resolve().parents:
        status = folder.stat()
        if status.st_uid == entry.pw_uid:
            allowed = status.st_mode & 0o100
        elif status.st_gid == entry.pw_gid:
            allowed = status.st_mode & 0o010
        else:
            allowed = status.st_mode & 0o001
        if not allowed:
            return False
    return True


if __name__ == "__main__":
    main()
