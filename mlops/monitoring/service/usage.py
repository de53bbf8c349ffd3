"""What the services of an environment use and how they answer, read at one moment."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from blueprints.environment import Environment

#: How the supervisor marks processes: ``FOLDER/NAME`` of the service.
MARKER = "MODELYARD_SERVICE"
#: Failures that are not the caller's.
_OURS = ("model", "busy", "deadline", "gateway")
_SAMPLE = re.compile(r"^(modelyard_\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TRIALS = 3
_TIMEOUT = 5.0


@dataclass(frozen=True)
class Counts:
    """Of one replica of the gateway since it began.

    Attributes:
        buckets: Answered requests within so many seconds, cumulative.
    """

    requests: float = 0.0
    errors: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)

    def since(self, before: Counts | None) -> Counts:
        """What came since; all of it where the replica began anew."""
        if before is None or before.requests > self.requests:
            return self
        return Counts(
            self.requests - before.requests,
            self.errors - before.errors,
            {bound: count - before.buckets.get(bound, 0.0) for bound, count in self.buckets.items()},
        )


@dataclass(frozen=True)
class Reading:
    """Everything at one moment.

    Attributes:
        at: Seconds of the monotonic clock.
        cpu: Seconds by service and process; a process that ended is missing.
        memory: Bytes by service, what processes share divided among them.
        answers: Seconds by service, the median of three trials; NaN: it did not answer.
        gateways: By replica.
        disk_free, memory_free: Shares of the machine's.
    """

    at: float
    cpu: Mapping[str, Mapping[int, float]]
    memory: Mapping[str, int]
    answers: Mapping[str, float]
    gateways: Mapping[str, Counts]
    disk_free: float
    memory_free: float


def marked(variables: Mapping[str, str] = os.environ) -> str:
    """The folder that marks this environment's processes; empty: this process carries no mark, as on a
    cluster, where the platform tells what a process uses."""
    return variables.get(MARKER, "").rpartition("/")[0]


def read(environment: Environment, folder: str, database: Callable[[], None]) -> Reading:
    """Read everything.

    Args:
        folder: As :func:`marked` says.
        database: Asks the database something that costs nothing.
    """
    cpu, memory = _processes(folder) if folder else ({}, {})
    disk = Path(environment.root or folder or "/")
    while not disk.exists():
        disk = disk.parent
    usage, machine = shutil.disk_usage(disk), psutil.virtual_memory()
    headers = {}
    replicas: tuple[str, ...] = ()
    if environment.serving is not None:
        headers = {"Authorization": f"Bearer {environment.serving.token.get_secret_value()}"}
        replicas = environment.serving.replicas or (environment.serving.url,)
    with httpx.Client(timeout=_TIMEOUT, trust_env=False, headers=headers) as client:
        counts = {url: found for url in replicas if (found := _gateway(client, url)) is not None}
    return Reading(
        time.monotonic(),
        cpu,
        memory,
        _answers(environment, database),
        counts,
        usage.free / usage.total if usage.total else 1.0,
        machine.available / machine.total,
    )


def _processes(folder: str) -> tuple[dict[str, dict[int, float]], dict[str, int]]:
    cpu: dict[str, dict[int, float]] = {}
    memory: dict[str, int] = {}
    marks: dict[int, str] = {}
    # The older first: what a process began is of the same service, though it may have overwritten its own
    # environment with a title, as PostgreSQL does.
    for process in sorted(psutil.process_iter(), key=_began):
        # One that ends meanwhile, or is not ours to see, counts for nothing.
        with suppress(psutil.Error, OSError):
            name = str(process.environ().get(MARKER, "")) or marks.get(process.ppid(), "")
            marks[process.pid] = name
            if not name.startswith(f"{folder}/"):
                continue
            service = name.removeprefix(f"{folder}/")
            times = process.cpu_times()
            cpu.setdefault(service, {})[process.pid] = times.user + times.system
            whole = process.memory_full_info()
            memory[service] = memory.get(service, 0) + int(getattr(whole, "pss", whole.rss))
    return cpu, memory


def _began(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.Error:
        return 0.0


def _answers(environment: Environment, database: Callable[[], None]) -> dict[str, float]:
    asked: dict[str, Callable[[], None]] = {"database": database}
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        urls = {"tracking": f"{environment.tracking.url}/health"}
        if environment.serving is not None:
            urls["gateway"] = f"{environment.serving.url}/v2/health/live"
        for name, url in urls.items():
            asked[name] = lambda url=url: client.get(url).raise_for_status()  # type: ignore[misc,assignment]
        return {name: _seconds(ask) for name, ask in asked.items()}


def _seconds(ask: Callable[[], None]) -> float:
    found = []
    for _ in range(_TRIALS):
        begun = time.monotonic()
        try:
            ask()
        except Exception:
            # Whatever it is: it did not answer.
            return float("nan")
        found.append(time.monotonic() - begun)
    return statistics.median(found)


def _gateway(client: httpx.Client, url: str) -> Counts | None:
    try:
        answer = client.get(f"{url}/metrics")
        answer.raise_for_status()
    except httpx.HTTPError:
        return None
    return counted(answer.text)


def counted(text: str) -> Counts:
    """The counts in a gateway's OpenMetrics, all arms together."""
    requests = errors = 0.0
    buckets: dict[float, float] = {}
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found is None:
            continue
        name, labels, value = found[1], dict(_LABEL.findall(found[2])), float(found[3])
        if name == "modelyard_requests_total":
            requests += value
        elif name == "modelyard_request_errors_total" and labels.get("reason") in _OURS:
            errors += value
        elif name == "modelyard_request_latency_seconds_bucket":
            bound = float(labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
    return Counts(requests, errors, buckets)


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Seconds that ``share`` of the answers took at most, on a line within its bucket; None: no answer."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted, lower, below = share * total, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if bound == float("inf"):
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * ((wanted - below) / inside if inside else 1.0)
        lower, below = bound, buckets[bound]
    return lower
