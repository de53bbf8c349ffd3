"""A whole environment by hand, under steady load: what deployments, rollbacks, changes of weight and kills
cost callers; and, for as long as asked, whether memory stays and no row is lost or doubled."""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import Any

import psutil

from mlops.serving.front.client import FrontClient
from mlops.serving.log.reader import read_predictions
from tests.mlops.serving.load import Load, steady
from tests.mlops.yard import until
from tests.real.yard import TOKEN, Models, RealYard, both_serve, opened

_SPEC = {"serving": {"trust_pickle": True, "isolation": "never", "log": {"commit_seconds": 0.5}}}
_MODEL = "sum"


def run(soak_minutes: float = 0.0) -> dict[str, Any]:
    """Figures by what they are of."""
    with opened(_SPEC) as yard:
        models = Models(yard, _MODEL)
        version = models.register()
        yard.tracking.set_alias(_MODEL, "champion", version)
        until(lambda: all(yard.state(_MODEL, each).champion == version for each in (1, 2)))
        both_serve(yard)
        answered: set[str] = set()
        found = _changes(yard, models, answered)
        if soak_minutes:
            found |= _soak(yard, soak_minutes, answered)
        found |= _rows(yard, answered)
        return found


def _load(yard: RealYard, name: str, pause: float = 0.01) -> Any:
    return steady(yard.url, TOKEN, _MODEL, 4, pause, name)


def _changes(yard: RealYard, models: Models, answered: set[str]) -> dict[str, Any]:
    """60 changes of weight, 5 deployments with their rollbacks, 3 kills, each counted by itself."""
    front, deal = FrontClient(yard.folder / "front"), random.Random(5)
    found: dict[str, Any] = {}
    took: list[float] = []

    def counted(what: str, running: Load, before: tuple[int, int]) -> None:
        requests, failed = running.answered.total() - before[0], len(running.failed) - before[1]
        found[what] = f"{failed} failed of {requests + failed}"

    with _load(yard, "changes") as running:
        time.sleep(1)
        before = running.answered.total(), len(running.failed)
        for _ in range(30):
            for number in (1, 2):
                front.weight(f"r{number}", deal.randint(1, 256))
            time.sleep(0.05)
        for number in (1, 2):
            front.weight(f"r{number}", 100)
        counted("60 changes of weight", running, before)
        before = running.answered.total(), len(running.failed)
        for _ in range(5):
            champion, version = yard.state(_MODEL).champion, models.register()
            yard.gateway.act(_MODEL, "deploy", version=version, strategy="canary:25@1h,100", by="benchmark")
            until(lambda: (rollout := yard.state(_MODEL).active) and rollout.loaded)
            yard.gateway.act(_MODEL, "promote", full=True, by="benchmark")
            time.sleep(0.5)
            begun = time.perf_counter()
            assert yard.gateway.act(_MODEL, "rollback", by="benchmark").champion == champion
            took.append(time.perf_counter() - begun)
        counted("5 deployments and 5 rollbacks", running, before)
        found["rollback, at the caller"] = f"median {statistics.median(took):.3f} s, worst {max(took):.3f} s"
        before = running.answered.total(), len(running.failed)
        for turn in range(3):
            with yard.replicas[turn % 2].down():
                time.sleep(1)
            both_serve(yard)
        counted("3 kill -9 of a replica", running, before)
    answered.update(running.ids)
    return found


def _soak(yard: RealYard, minutes: float, answered: set[str]) -> dict[str, Any]:
    """Half of what this machine can do, and what the replicas hold after a third and at the end."""
    end = time.monotonic() + minutes * 60
    seen: list[float] = []
    with _load(yard, "soak") as running:
        while time.monotonic() < end:
            time.sleep(min(10.0, minutes * 6))
            seen.append(_memory(yard))
            print(f"soak: {running.answered.total()} answered, {seen[-1]:.0f} MB", file=sys.stderr)
    answered.update(running.ids)
    third = seen[len(seen) // 3 :]
    grown = statistics.median(third[-3:]) - statistics.median(third[:3])
    held = f"{third[0]:.0f} MB after a third, {third[-1]:.0f} MB at the end ({grown:+.1f})"
    return {
        f"soak of {minutes:g} minutes": f"{len(running.failed)} failed of {running.answered.total()}",
        "memory of both replicas": held,
    }


def _memory(yard: RealYard) -> float:
    """MB that both replicas hold, pages that they share counted once."""
    total = 0
    for each in yard.replicas:
        assert each.process is not None
        total += psutil.Process(each.process.pid).memory_full_info().pss
    return total / 1e6


def _rows(yard: RealYard, answered: set[str]) -> dict[str, Any]:
    """Rows of the log's table against what was answered."""
    for _ in range(60):
        ids = read_predictions(yard.environment, _MODEL, columns=["version"]).column("id").to_pylist()
        missing = len(answered - set(ids))
        if not missing:
            break
        time.sleep(1)
    doubled = len(ids) - len(set(ids))
    return {"rows of the log": f"{missing} lost, {doubled} doubled of {len(answered)}"}
