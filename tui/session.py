"""Session: one open project environment and the clients of its parts, for the commands and the console.

Clients are made on first use, once, under a lock (console workers are threads), and closed together. Nothing
here touches the network when it is opened: the first frame of the console must never wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from blueprints.errors import Problem, UsageProblem

if TYPE_CHECKING:
    from blueprints.environment import Environment
    from blueprints.spec import EnvironmentSpec
    from mlops.governance.audit import AuditEntry, AuditLog
    from mlops.monitoring.client import MonitorClient
    from mlops.serving.client import GatewayClient
    from mlops.tracking.client import TrackingClient
    from stacks.engine import Engine
    from stacks.engine.events import Event
    from stacks.project import Project
    from stacks.status import ServiceState

DEFAULT_ENVIRONMENT = "dev"
Client = TypeVar("Client")


def choose_environment(known: tuple[str, ...], asked: str | None) -> str:
    """The environment meant: the one asked for, the only one there is, or ``dev``.

    Raises:
        UsageProblem: The one asked for does not exist, or several do and none is called ``dev``.
    """
    if asked:
        if known and asked not in known:
            raise UsageProblem(
                f"no environment is called {asked!r}",
                where="--env",
                expected=" or ".join(known),
                todo=f"modelyard init --env {asked}",
            )
        return asked
    if len(known) == 1:
        return known[0]
    if not known or DEFAULT_ENVIRONMENT in known:
        return DEFAULT_ENVIRONMENT
    raise UsageProblem(
        "the project has several environments",
        where="--env",
        expected=" or ".join(known),
        todo="add --env NAME",
    )


class Session:
    """An open environment of a project.

    Attributes:
        project: The project folder.
        environment_name: The environment (Pulumi stack) chosen.
    """

    def __init__(self, project: Project, environment_name: str) -> None:
        self.project = project
        self.environment_name = environment_name
        self._lock = RLock()
        self._environment: Environment | None = None
        self._clients: dict[str, Any] = {}

    @classmethod
    def open(cls, start: Path, environment: str | None = None) -> Session:
        """The session of the project that holds ``start``.

        Raises:
            Problem: There is no project here or above, or it has no such environment.
        """
        from stacks.project import Project

        project = Project.find(start)
        return cls(project, choose_environment(project.environments(), environment))

    @property
    def title(self) -> str:
        """``project/environment``: how audit entries and messages name it."""
        return f"{self.project.name}/{self.environment_name}"

    def spec(self) -> EnvironmentSpec:
        """The spec as the project's files have it now."""
        return self.project.spec(self.environment_name)

    def engine(self, on_event: Callable[[Event], None] | None = None) -> Engine:
        """A new engine for one operation; ``on_event`` is called from the engine's thread."""
        from stacks.engine import Engine

        return Engine(self.project, self.environment_name, on_event=on_event or (lambda _event: None))

    def environment(self, again: bool = False) -> Environment:
        """What came up. Read from the stack's outputs once and kept; ``again`` reads it anew.

        Raises:
            Problem: Nothing is up.
        """
        with self._lock:
            if again or self._environment is None:
                found = self.engine().outputs()
                if found != self._environment:
                    self._close_clients()
                self._environment = found
            return self._environment

    def tracking(self) -> TrackingClient:
        """The client of the tracking server."""
        from mlops.tracking.client import TrackingClient

        return self._client("tracking", lambda: TrackingClient(self.environment().tracking))

    def gateway(self) -> GatewayClient:
        """The client of the gateway. Problem when the environment has none."""
        serving = self.environment().serving
        if serving is None:
            raise _off("serving")
        from mlops.serving.client import GatewayClient

        return self._client("gateway", lambda: GatewayClient(serving))

    def monitor(self) -> MonitorClient:
        """The client of the monitor. Problem when the environment has none."""
        monitoring = self.environment().monitoring
        if monitoring is None:
            raise _off("monitoring")
        from mlops.monitoring.client import MonitorClient

        return self._client("monitor", lambda: MonitorClient(monitoring))

    def audit(self) -> AuditLog:
        """The project's audit log."""
        from mlops.governance.audit import AuditLog

        return self._client("audit", lambda: AuditLog(self.project.audit_file))

    def record(self, action: str, *, target: str = "", source: str = "", **facts: Any) -> AuditEntry:
        """Append ``action`` to the audit log; returns when it is on disk.

        ``facts`` are ``before``, ``after`` and ``why``. The source is the command line, or CI where ``CI`` is
        set, unless given.
        """
        return self.audit().append(
            action, target or self.title, source=source or ("ci" if os.environ.get("CI") else "cli"), **facts
        )

    def services(self) -> tuple[ServiceState, ...]:
        """The state of every service, as the machine has it now."""
        from stacks.status import services

        return services(self.environment())

    def close(self) -> None:
        """Close every client. The session may be used again; it opens new ones."""
        with self._lock:
            self._close_clients()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _client(self, name: str, make: Callable[[], Client]) -> Client:
        with self._lock:
            if name not in self._clients:
                self._clients[name] = make()
            client: Client = self._clients[name]
            return client

    def _close_clients(self) -> None:
        for client in self._clients.values():
            close = getattr(client, "close", None)
            if close is not None:
                close()
        self._clients.clear()


def _off(layer: str) -> Problem:
    return Problem(
        f"this environment has no {layer}",
        where=f"{layer}.enabled",
        expected="true",
        todo=f"modelyard init --set {layer}.enabled=true, then modelyard up",
    )
