"""Resources: what each service uses and how it answers, judged against its own past and against limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from blueprints.environment import Environment
from blueprints.measures import ResourcesSpec
from mlops.monitoring.alerts import Alerts, Window
from mlops.monitoring.answers import Point
from mlops.monitoring.finding import Finding, Severity
from mlops.monitoring.service import series
from mlops.monitoring.service.usage import Counts, Reading, marked, quantile, read
from mlops.monitoring.timeseries.judge import Watched, judged

#: Of the gateway's requests in a period, below which their share of errors and their latency say nothing.
_LEAST_REQUESTS = 50
#: Share of the machine's memory below which the kernel may soon kill something.
_MEMORY_FREE = 0.05
#: A disk that is full in less time is worth a word; in a third of it, a page. Hours whose trend tells it.
_DISK_HOURS, _TREND_HOURS = 72.0, 24.0


@dataclass(frozen=True)
class _Kind:
    """A sort of measure: how it is said, and the deviation from its past below which none matters."""

    shown: Callable[[float], str]
    share: float = 0.5
    least: float = 0.0


#: By the last word of a name; its unit, too.
_KINDS = {
    "cpu": _Kind("{:.2f} cores".format, least=0.25),
    "memory": _Kind(lambda value: f"{value / 1e6:,.0f} MB", share=0.25, least=100e6),
    "answer": _Kind(lambda value: f"{value * 1e3:,.0f} ms", share=1.0, least=0.1),
    "p95": _Kind(lambda value: f"{value * 1e3:,.1f} ms", share=1.0, least=0.02),
}
_OF_SERVICES = (" cpu", " memory", " answer")
_UNITS = {
    "cpu": "cores", "memory": "bytes", "answer": "s", "p95": "s", "requests": "requests", "errors": "share",
    "free": "share",
}  # fmt: skip


def unit(name: str) -> str:
    """Of a resource."""
    return _UNITS.get(name.rpartition(" ")[2], "")


class Resources:
    """Measures at the end of each period, and tells the book.

    Args:
        clock: The time; UTC.
        reading: Reads everything; for tests.
    """

    def __init__(
        self,
        environment: Environment,
        spec: ResourcesSpec,
        book: Alerts,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        reading: Callable[[], Reading] | None = None,
    ) -> None:
        self._spec, self._book, self._clock = spec, book, clock
        folder = marked()
        self._read = reading or (lambda: read(environment, folder, self._ask_database))
        self._period = timedelta(minutes=spec.every_minutes)
        self._before: tuple[datetime, Reading] | None = None

    def look(self) -> None:
        """Nothing, until a period is over."""
        if not self._spec.enabled:
            return
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        end = epoch + (self._clock() - epoch) // self._period * self._period
        if self._before is not None and self._before[0] >= end:
            return
        now = self._read()
        before, self._before = self._before, (end, now)
        # A period in which this process did not run from begin to end is not measured.
        if before is not None and before[0] == end - self._period:
            self._judge(before[0], before[1], now)

    def _judge(self, start: datetime, before: Reading, now: Reading) -> None:
        points: list[Point] = []
        findings: list[Finding] = []
        since = start - timedelta(days=self._spec.history_days)
        for name, value in measures(before, now):
            past = series.of_metric(self._book.store, "", "resource", name, since)
            kind = _KINDS.get(name.rpartition(" ")[2])
            if kind is None:
                point = Point("", start, start + self._period, name, value, kind="resource")
            else:
                watched = Watched(
                    name, "resource", self._period, side="high", least=kind.share, shown=kind.shown,
                    severity="ticket", least_off=kind.least,
                )  # fmt: skip
                point, found = judged(watched, past, start, value)
                findings += found
            points.append(point)
            findings += self._limits(name, value, [*past, point])
        measured = {each.metric for each in points}
        # A service that is there no more uses nothing; too few requests, on the other hand, say nothing.
        self._book.end(
            "resource",
            lambda feature: feature.endswith(_OF_SERVICES) and feature not in measured,
            "it is not there any more",
        )
        window = Window("", "", start, start + self._period, 0, kind="resource")
        self._book.observe(
            self._book.policy.observations(findings, window),
            also=lambda connection: series.write(connection, "", points),
        )

    def _limits(self, name: str, value: float | None, past: list[Point]) -> Iterator[Finding]:
        """What is too much, whatever it was before."""
        if name == "disk free":
            assert value is not None
            yield _disk(value, self._spec.disk_free, past)
        elif name == "memory free":
            assert value is not None
            words = f"{value:.0%} of the machine's memory is free: the kernel kills what asks for more"
            yield _limit(name, value, 1 - value, 1 - _MEMORY_FREE, "page", words)
        elif name == "gateway errors" and value is not None:
            words = f"{value:.1%} of the gateway's requests failed"
            yield _limit(name, value, value, self._spec.errors, "page", words)
        elif name.endswith(" answer"):
            service = name.removesuffix(" answer")
            yield _limit(name, 0.0, float(value is None), 0.5, "page", f"{service} does not answer")

    def _ask_database(self) -> None:
        with self._book.store.reading() as connection:
            connection.execute(sa.select(1))


def measures(before: Reading, now: Reading) -> Iterator[tuple[str, float | None]]:
    """Name and value of everything that was measured between two readings; None: it did not answer."""
    seconds = max(1e-9, now.at - before.at)
    for service, processes in sorted(now.cpu.items()):
        known = before.cpu.get(service, {})
        # A process that is new began in this period; what one that ended used since is lost.
        used = sum(max(0.0, total - known.get(pid, 0.0)) for pid, total in processes.items())
        yield f"{service} cpu", used / seconds
    for service, memory in sorted(now.memory.items()):
        yield f"{service} memory", float(memory)
    for service, answer in sorted(now.answers.items()):
        yield f"{service} answer", None if math.isnan(answer) else answer
    requests = errors = 0.0
    buckets: dict[float, float] = {}
    for url, counts in now.gateways.items():
        # One that was not there before has counted for longer than this period.
        fresh = counts.since(before.gateways[url]) if url in before.gateways else Counts()
        requests, errors = requests + fresh.requests, errors + fresh.errors
        for bound, count in fresh.buckets.items():
            buckets[bound] = buckets.get(bound, 0.0) + count
    if now.gateways:
        yield "gateway requests", requests
    if requests >= _LEAST_REQUESTS:
        yield "gateway errors", errors / requests
        if (slow := quantile(buckets, 0.95)) is not None:
            yield "gateway p95", slow
    yield "disk free", now.disk_free
    yield "memory free", now.memory_free


def _disk(free: float, least: float, past: list[Point]) -> Finding:
    hours = _hours_left(past)
    words = f"{free:.0%} of the disk is free"
    if hours is not None and hours < _DISK_HOURS:
        words += f"; at this rate it is full in {hours:.0f} hours"
    used, floor = 1 - free, 1 - least
    soon = hours is not None and hours < _DISK_HOURS
    page = free < least / 2 or (hours is not None and hours < _DISK_HOURS / 3)
    finding = _limit("disk free", free, used, floor, "page" if page else "ticket", words)
    if soon and not finding.found:
        severity: Severity = "page" if page else "ticket"
        return Finding(
            "disk free", "resource", "trend", free, used, min(used, floor), 0.0, 0.0, True, severity, words
        )
    return finding


def _hours_left(past: list[Point]) -> float | None:
    """Until nothing is free, by the median of all slopes of the last day (Theil and Sen: Sen, Journal of the
    American Statistical Association 63, 1968); None: it does not shrink, or that is not certain."""
    known = [each for each in past if each.value is not None and each.end is not None]
    if not known:
        return None
    last = known[-1]
    assert last.end is not None
    assert last.value is not None
    recent = [e for e in known if e.end is not None and last.end - e.end <= timedelta(hours=_TREND_HOURS)]
    recent = recent[:: max(1, len(recent) // 100)]
    if len(recent) < 12:
        return None
    times = np.asarray([(each.end - last.end) / timedelta(hours=1) for each in recent])  # type: ignore[operator]
    values = np.asarray([each.value for each in recent], float)
    first, second = np.triu_indices(len(recent), 1)
    slopes = (values[second] - values[first]) / (times[second] - times[first])
    slope = float(np.median(slopes))
    # Nine slopes of ten go the same way, or it only comes and goes.
    if slope >= 0 or float(np.mean(slopes < 0)) < 0.9:
        return None
    return last.value / -slope


def _limit(
    name: str, value: float, effect: float, floor: float, severity: Severity, sentence: str
) -> Finding:
    found = effect > floor
    return Finding(
        name, "resource", "limit", value, effect, floor, float(not found), float(not found), found,
        severity if found else "none", sentence,
    )  # fmt: skip
