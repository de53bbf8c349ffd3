"""Logs of an environment's services."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from blueprints.environment import Environment
from blueprints.errors import UsageProblem
from stacks.local import logs as files


def tail(environment: Environment, service: str, lines: int = 200) -> list[str]:
    """The last lines of a service's log, oldest first.

    Raises:
        UsageProblem: There is no such service; names those that there are.
    """
    return files.last_lines(_path(environment, service), lines)


def follow(environment: Environment, service: str, stop: threading.Event) -> Iterator[str]:
    """Lines of a service's log as they come, until ``stop`` is set.

    Raises:
        UsageProblem: There is no such service; names those that there are.
    """
    return files.follow(_path(environment, service), stop)


def _path(environment: Environment, service: str) -> Path:
    known = {each.name: each.log for each in environment.services}
    if service not in known:
        raise UsageProblem(
            f"no service is called {service!r}", where="logs", expected=" or ".join(known) or "none is up"
        )
    return Path(known[service])
