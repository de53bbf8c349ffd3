"""Resources: real processes are measured, deviations and limits are told, restarts count nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydantic import SecretStr

from blueprints.environment import ServingRef
from blueprints.measures import ResourcesSpec
from mlops.monitoring.alerts import Alert, Alerts, AlertStore
from mlops.monitoring.service import usage
from mlops.monitoring.service.resources import Resources, measures
from mlops.monitoring.service.series import of_kind
from mlops.monitoring.service.usage import Counts, Reading, counted, quantile, read
from mlops.openmetrics import head
from mlops.serving.evidence import Evidence
from mlops.serving.gateway import metrics
from tests.mlops.serving.logs import environment
from tests.servers import Answer, Request, serving

NOW = datetime(2026, 9, 23, 10, tzinfo=UTC)
FIVE = timedelta(minutes=5)
USUAL = Reading(
    0.0, {"gateway": {1: 0.0}}, {"gateway": 300_000_000}, {"tracking": 0.004, "database": 0.001},
    {"a": Counts()}, 0.5, 0.6,
)  # fmt: skip


class Bench:
    """A machine that is as the test says, a period at a time."""

    def __init__(self, folder: Path, minutes: int = 5) -> None:
        self.minutes = minutes
        self.now, self.reading = NOW, USUAL
        self.random = np.random.default_rng(4_600_000)
        self.store = AlertStore(f"sqlite:///{folder / 'alerts.db'}")
        self.made = environment(folder)
        self.restart()

    def restart(self) -> None:
        book = Alerts(self.store, clock=lambda: self.now)
        self.resources = Resources(
            self.made,
            ResourcesSpec(every_minutes=self.minutes),
            book,
            lambda: self.now,
            reading=lambda: self.reading,
        )

    def go_on(self, periods: int, cores: float = 0.2, **changes: object) -> None:
        for _ in range(periods):
            self.now += timedelta(minutes=self.minutes)
            last, seconds = self.reading, 60 * self.minutes
            used = last.cpu["gateway"][1] + seconds * max(0.0, cores + float(self.random.normal(0, 0.02)))
            self.reading = replace(
                last, at=last.at + seconds, cpu={"gateway": {1: used}}, **changes  # type: ignore[arg-type]
            )  # fmt: skip
            self.resources.look()

    def firing(self) -> dict[str, Alert]:
        return {each.feature: each for each in self.store.alerts("firing")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_deviation_from_the_past_is_a_ticket_and_a_limit_a_page(bench: Bench) -> None:
    bench.go_on(80)
    assert bench.firing() == {}
    points = [each for _, each in of_kind(bench.store, "resource", 1000)]
    assert {each.metric for each in points} == {
        "gateway cpu", "gateway memory", "gateway requests", "tracking answer", "database answer",
        "disk free", "memory free",
    }  # fmt: skip
    cpu = [each for each in points if each.metric == "gateway cpu"]
    assert len(cpu) == 79, "the first look only begins"
    assert cpu[-1].expected == pytest.approx(0.2, abs=0.02)
    bench.go_on(4, cores=1.6)
    (alert,) = bench.firing().values()
    assert (alert.kind, alert.severity, alert.feature) == ("resource", "ticket", "gateway cpu")
    assert "gateway cpu is 1." in alert.summary
    assert "cores in the 5 minutes from Wed 23 Sep" in alert.summary
    bench.go_on(12)
    assert bench.firing() == {}
    bench.go_on(3, disk_free=0.07, answers={"tracking": float("nan"), "database": 0.001})
    firing = bench.firing()
    assert {name: each.severity for name, each in firing.items()} == {
        "disk free": "ticket", "tracking answer": "page",
    }  # fmt: skip
    assert firing["tracking answer"].summary == "tracking does not answer"
    assert firing["disk free"].summary.startswith("7% of the disk is free")
    bench.go_on(3, disk_free=0.03, memory_free=0.02, answers=USUAL.answers)
    firing = bench.firing()
    assert {name: each.severity for name, each in firing.items() if name != "tracking answer"} == {
        "disk free": "page", "memory free": "page",
    }  # fmt: skip


def test_a_service_that_is_gone_alerts_no_more(bench: Bench) -> None:
    bench.go_on(3, answers={"tracking": float("nan"), "database": 0.001})
    assert set(bench.firing()) == {"tracking answer"}
    bench.go_on(1, answers={"database": 0.001})
    assert bench.firing() == {}


def test_a_disk_that_fills_up_is_told_before_it_is_full(tmp_path: Path) -> None:
    bench = Bench(tmp_path, minutes=60)
    for hour in range(24 * 2):
        bench.go_on(1, disk_free=0.9 - hour * 0.012)
    alert = bench.firing()["disk free"]
    assert alert.severity == "ticket"
    assert "at this rate it is full in 2" in alert.summary
    bench.go_on(24, disk_free=0.9)
    assert "disk free" not in bench.firing()


def requests(bench: Bench) -> list[float | None]:
    """Of each period."""
    points = [each for _, each in of_kind(bench.store, "resource", 99)]
    return [each.value for each in points if each.metric == "gateway requests"]


def test_errors_of_the_gateway_count_once_whatever_restarts(bench: Bench) -> None:
    bench.go_on(3, gateways={"a": Counts(1000, 0, {0.01: 900.0, float("inf"): 1000.0})})
    for number in range(2, 6):
        total = 1000.0 * number
        bench.go_on(1, gateways={"a": Counts(total, 0.2 * total, {0.01: 0.9 * total, float("inf"): total})})
    alert = bench.firing()["gateway errors"]
    assert alert.severity == "page"
    assert alert.summary == "20.0% of the gateway's requests failed"
    # It began anew: its counts are smaller, and no period has less than nothing.
    bench.go_on(1, gateways={"a": Counts(100, 0, {0.01: 100.0, float("inf"): 100.0})})
    series = [
        each.value for _, each in of_kind(bench.store, "resource", 99) if each.metric == "gateway requests"
    ]
    assert series[-5:] == [1000, 1000, 1000, 1000, 100]
    # A monitor that was away measures nothing for that time, and no difference over it.
    before = len(series)
    bench.now += 10 * FIVE
    bench.restart()
    bench.go_on(2)
    series = [
        each.value for _, each in of_kind(bench.store, "resource", 99) if each.metric == "gateway requests"
    ]
    assert len(series) == before + 1


def test_processes_that_come_and_go() -> None:
    before = replace(USUAL, cpu={"gateway": {1: 10.0, 2: 50.0}})
    now = replace(USUAL, at=100.0, cpu={"gateway": {1: 30.0, 3: 5.0}, "new": {4: 1.0}})
    found = dict(measures(before, now))
    assert found["gateway cpu"] == pytest.approx(0.25)
    assert found["new cpu"] == pytest.approx(0.01)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the environment that computes, and one of another environment."""
    words = [sys.executable, "-c", "held = b'x' * 50_000_000\nwhile True: pass"]
    started = [
        subprocess.Popen(words, env={**os.environ, usage.MARKER: f"{tmp_path / name}"})
        for name in ("home/worker", "homes/other")
    ]
    yield started[0]
    for each in started:
        each.kill()
        each.wait()


def test_what_is_measured_is_real(tmp_path: Path, busy: subprocess.Popen[bytes]) -> None:
    arms = {
        "1": Evidence(),
        "2": Evidence(),
    }
    for evidence in arms.values():
        for _ in range(100):
            evidence.answered(1, 0.003, [0.5])
        evidence.failed("model")
        evidence.failed("contract")
    text = "\n".join(_exposition(arms))

    def answer(request: Request) -> Answer:
        if request.path == "/metrics":
            assert request.headers["authorization"] == "Bearer secret"
            return Answer(body=text.encode())
        return Answer(503 if request.path == "/health" else 200, {})

    with serving(answer) as url:
        made = environment(tmp_path).model_copy(
            update={"serving": ServingRef(url=url, token=SecretStr("secret"), replicas=(url,))}
        )
        before = read(made, str(tmp_path / "home"), lambda: None)
        until = psutil.Process(busy.pid).cpu_times().user + 0.5
        while psutil.Process(busy.pid).cpu_times().user < until:
            time.sleep(0.05)
        now = read(made, str(tmp_path / "home"), lambda: None)
    found = dict(measures(before, now))
    assert set(now.cpu) == {"worker"}, "nothing of another environment"
    assert 0.1 < (found["worker cpu"] or 0) <= 1.2
    assert now.memory["worker"] > 50_000_000
    assert now.answers["tracking"] != now.answers["tracking"], "it does not answer"
    assert 0 < now.answers["gateway"] < 5
    counts = now.gateways[url]
    assert (counts.requests, counts.errors) == (204, 2)
    assert quantile(counts.buckets, 0.95) == pytest.approx(0.003, rel=0.5)
    assert 0 < now.disk_free < 1
    assert 0 < now.memory_free < 1


def _exposition(arms: dict[str, Evidence]) -> Iterator[str]:
    """As the gateway writes it."""
    from types import SimpleNamespace

    choices = [
        SimpleNamespace(runtime=SimpleNamespace(model='a"b', version=version), arm="champion", evidence=each)
        for version, each in arms.items()
    ]
    yield from metrics._arms(choices)  # type: ignore[arg-type]
    yield from head("other", "gauge", "Nothing of ours.")
    yield "# EOF"


def test_counts_of_no_requests_say_nothing() -> None:
    assert counted("") == Counts()
    assert quantile({}, 0.95) is None
    assert quantile({0.1: 0.0, float("inf"): 0.0}, 0.95) is None
    assert quantile({0.1: 1.0, float("inf"): 100.0}, 0.95) == 0.1
