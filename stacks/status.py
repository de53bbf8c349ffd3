"""How every service of an environment is, whatever target runs it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blueprints.environment import Environment, ServiceRef
from blueprints.layers import Layer
from stacks.local.health import Probe
from stacks.local.home import Home
from stacks.local.supervisor import ProcessState, Supervisor, memory_mb

State = Literal["running", "starting", "stopped", "failed", "unknown"]

_STATES: dict[str, State] = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "starting",
    "STOPPING": "stopped",
    "STOPPED": "stopped",
    "EXITED": "failed",
    "FATAL": "failed",
}


@dataclass(frozen=True)
class ServiceState:
    """One service as it is now.

    Attributes:
        state: What its process does.
        healthy: Whether it answers; None when there is nothing to ask.
        reason: A sentence when it is not well, else empty.
        pid: Process id, None when there is none or the target has none.
        uptime_seconds: Since its process started.
        memory_mb: Resident memory of its processes, MB.
    """

    name: str
    layer: Layer
    title: str
    state: State
    healthy: bool | None
    reason: str
    pid: int | None = None
    uptime_seconds: float | None = None
    memory_mb: float | None = None
    url: str = ""

    @property
    def well(self) -> bool:
        """Running, and answering when it can be asked."""
        return self.state == "running" and self.healthy is not False


def home_of(environment: Environment) -> Home:
    """The folder of an environment on this machine."""
    return Home(Path(environment.root) / ".modelyard" / environment.name)


def services(environment: Environment, timeout_seconds: float = 0.8) -> tuple[ServiceState, ...]:
    """Every service, asked side by side; a service that is down is a row, never an error."""
    states = Supervisor(home_of(environment)).states(timeout_seconds)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return tuple(
            pool.map(
                lambda service: _state(service, states.get(service.unit), bool(states), timeout_seconds),
                environment.services,
            )
        )


def _state(
    service: ServiceRef, process: ProcessState | None, supervised: bool, timeout: float
) -> ServiceState:
    fault = Probe(service.health).fault(timeout) if service.health else None
    healthy = None if fault is None else not fault
    if process is None:
        reason = (
            f"{service.title} is unknown to the supervisor. modelyard up puts it back."
            if supervised
            else f"The supervisor of {service.title} does not run. modelyard up starts it again."
        )
        return _row(service, "unknown" if supervised else "stopped", healthy, reason)
    state = _STATES.get(process.state, "unknown")
    return ServiceState(
        service.name,
        service.layer,
        service.title,
        state,
        healthy,
        _reason(service, state, process, fault),
        process.pid or None,
        process.seconds if process.pid else None,
        memory_mb(process.pid) if process.pid else None,
        service.url,
    )


def _row(service: ServiceRef, state: State, healthy: bool | None, reason: str) -> ServiceState:
    return ServiceState(service.name, service.layer, service.title, state, healthy, reason, url=service.url)


def _reason(service: ServiceRef, state: State, process: ProcessState, fault: str | None) -> str:
    if state == "running":
        return f"{service.title} runs and {fault}. modelyard logs {service.name}" if fault else ""
    if state == "starting":
        return f"{service.title} is starting ({process.words or process.state.lower()})."
    return f"{service.title} is not running: {process.words}. modelyard logs {service.name}"
