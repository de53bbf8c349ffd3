"""Real MLflow on real PostgreSQL and S3, two replicas behind HAProxy, under load, while each of them is
killed (``kill -9``) and stopped (SIGSTOP) in turn: nobody who was answered is missing from the log, rollbacks
move traffic, rollouts go on."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from blueprints.errors import Problem
from mlops.monitoring.client import MonitorClient
from mlops.serving.log.reader import read_predictions
from mlops.serving.rollout.state import Deployment
from tests.mlops.serving.load import Load, steady
from tests.mlops.yard import until
from tests.real.yard import TOKEN, Models, RealYard, both_serve, opened

pytestmark = pytest.mark.timeout(300)
_MODEL = "sum"
_SPEC = {
    "serving": {"trust_pickle": True, "isolation": "never", "log": {"commit_seconds": 0.5}},
    "monitoring": {"interval_seconds": 1},
}
_CANARY = "canary:20,50,100,gates=errors:0.1+latency:1.5+drift:0.35"
#: Answered ids of all loads of this file.
_ANSWERED: set[str] = set()


@pytest.fixture(scope="module")
def yard() -> Iterator[RealYard]:
    with opened(_SPEC) as made:
        yield made


@pytest.fixture(scope="module")
def models(yard: RealYard) -> Models:
    made = Models(yard, _MODEL)
    version = made.register()
    yard.tracking.set_alias(_MODEL, "champion", version)
    until(lambda: all(yard.state(_MODEL, each).champion == version for each in (1, 2)))
    until(lambda: yard.gateway.predict(_MODEL, [{"x": 1.0, "y": 1.0}]))
    return made


#: Callers at once. A replica that is killed may cost each one request: what the dead process had not read,
#: its kernel answers with a reset, and HAProxy repeats what was closed but not what was reset.
_CALLERS = 4


@contextmanager
def load(yard: RealYard, name: str, pause: float = 0.02) -> Iterator[Load]:
    with steady(yard.url, TOKEN, _MODEL, _CALLERS, pause, name) as made:
        yield made
    _ANSWERED.update(made.ids)
    say(f"{name}: {len(made.ids)} answered, {len(made.failed)} failed {made.failed[:3]}")


def say(text: str) -> None:
    """A figure for who runs this with ``-s``."""
    sys.stderr.write(f"{text}\n")


def answers_within_a_second(running: Load, version: str) -> None:
    """From then on nobody else does; what was in flight is answered by whom it went to."""
    time.sleep(1.0)
    assert set(running.since(0.7)) == {version}


def goes_on(running: Load) -> None:
    """Until some more requests are answered."""
    before = running.answered.total()
    until(lambda: running.answered.total() > before + 20)


def act(yard: RealYard, action: str, **what: Any) -> Deployment:
    return yard.gateway.act(_MODEL, action, by="ann@host", **what)


def settled(yard: RealYard, seconds: float = 90) -> Deployment:
    """The state once the rollout has ended, the same on both replicas."""

    def over() -> Deployment | None:
        one, two = (yard.state(_MODEL, each) for each in (1, 2))
        return one if not one.active and one.revision == two.revision else None

    found: Deployment = until(over, seconds)
    return found


def becomes(yard: RealYard, version: str) -> None:
    """Make a version the champion, by hand."""
    act(yard, "deploy", version=version, strategy="canary:50@1h,100")
    until(lambda: (rollout := yard.state(_MODEL).active) and rollout.loaded)
    assert act(yard, "promote", full=True).champion == version


def test_what_is_killed_and_stopped_in_turn_costs_no_answer(yard: RealYard, models: Models) -> None:
    for service in (yard.mlflow, yard.storage, yard.database):
        with load(yard, service.name) as running:
            with service.stopped():
                time.sleep(1.5)
            time.sleep(0.5)
            with service.down():
                time.sleep(1.5)
            assert running.answered.total() > 50
        assert running.failed == []
    for number, service in enumerate(yard.replicas, start=1):
        both_serve(yard)
        with load(yard, service.name) as running:
            with service.stopped():
                time.sleep(1.5)
            time.sleep(0.5)
            with service.down():
                time.sleep(1)
            both_serve(yard)
            goes_on(running)
        assert len(running.failed) <= _CALLERS, (number, running.failed)


def test_a_rollback_needs_no_registry_and_reaches_it_later(yard: RealYard, models: Models) -> None:
    first, second = str(yard.state(_MODEL).champion), models.register()
    becomes(yard, second)
    with load(yard, "rollback-hung") as running, yard.mlflow.stopped():
        # It hangs: the worse case, for whoever asks it waits.
        goes_on(running)
        started = time.monotonic()
        act(yard, "rollback")
        took = time.monotonic() - started
        answers_within_a_second(running, first)
    say(f"rollback with MLflow hung: {took:.2f} s at the gateway")
    assert took < 5
    assert running.failed == []
    until(lambda: yard.tracking.model(_MODEL).aliases["champion"] == first)
    with load(yard, "rollback-down") as running, yard.mlflow.down():
        started = time.monotonic()
        act(yard, "rollback", version=second)
        took = time.monotonic() - started
        answers_within_a_second(running, second)
        # The one that leads dies as well and comes back with what was decided.
        with yard.replicas[0].down():
            act(yard, "rollback", version=first)
            answers_within_a_second(running, first)
        until(lambda: yard.state(_MODEL, 1).champion == first)
    say(f"rollback with MLflow down: {took:.2f} s at the gateway")
    assert took < 5
    assert len(running.failed) <= _CALLERS
    until(lambda: yard.tracking.model(_MODEL).aliases["champion"] == first)
    both_serve(yard)


def test_a_rollback_to_a_version_long_gone_moves_both_replicas_at_once(
    yard: RealYard, models: Models
) -> None:
    """Nobody holds it in memory, and MLflow hangs: it comes from the disks of both."""
    before = yard.state(_MODEL).champion
    for replica in (1, 2):
        folder = yard.folder / f"gateway-{replica}" / "versions" / _MODEL
        until(lambda folder=folder: (folder / "1" / "manifest.json").exists())  # type: ignore[misc]
    becomes(yard, models.register())
    for each in yard.replicas:
        # A new life holds the champion and the one before it, no others.
        each.end()
        each.start()
        both_serve(yard)
    goal = "1" if before != "1" else "2"
    with load(yard, "archived") as running, yard.mlflow.stopped():
        goes_on(running)
        started = time.monotonic()
        act(yard, "rollback", version=goal)
        took = time.monotonic() - started
        answers_within_a_second(running, goal)
    say(f"rollback to an archived version with MLflow hung: {took:.2f} s at the gateway")
    assert running.failed == []


def test_a_gateway_starts_from_its_disk_and_notices_damage(yard: RealYard, models: Models) -> None:
    champion = settled(yard).champion
    replica = yard.replicas[1]
    with yard.mlflow.down(), yard.storage.down():
        with load(yard, "blind") as running:
            replica.kill()
            replica.start()
            client = yard.client(2)
            until(lambda: client.predict(_MODEL, [{"x": 1.0, "y": 2.0}]) == [3.0], 60)
        assert len(running.failed) <= _CALLERS
        replica.kill()
        entry = yard.folder / "gateway-2" / "versions" / _MODEL / str(champion)
        victim = next(each for each in (entry / "model").rglob("*.py"))
        victim.write_text(victim.read_text().replace("model_input", "model_inputs"))
        with load(yard, "damaged") as running:
            replica.start()
            until(lambda: "cannot be served" in reason(yard, 2), 60)
            assert "damaged in the cache" in replica.log.read_text()
            goes_on(running)
        # The other answers; the damaged one says why it does not, and is not asked.
        assert running.failed == []
    # It fetches the files again by itself.
    until(lambda: client.predict(_MODEL, [{"x": 1.0, "y": 2.0}]) == [3.0], 120)
    both_serve(yard)


def reason(yard: RealYard, replica: int) -> str:
    """Why the model is not well at one replica."""
    return next((each.reason for each in yard.client(replica).deployments()), "")


def test_a_deployment_while_the_storage_is_away_ends_in_words(yard: RealYard, models: Models) -> None:
    champion = settled(yard).champion
    # Files of its own: what was registered twice may be cached.
    version = models.register("bad")
    with load(yard, "away") as running:
        with yard.storage.down():
            with pytest.raises(Problem, match="storage does not answer"):
                act(yard, "deploy", version=version, strategy="ab:50,metric=sales")
            act(yard, "deploy", version=version, strategy=_CANARY)
            after = settled(yard, 110)
        assert after.champion == champion
        assert after.rollout is not None
        assert after.rollout.phase == "failed"
        assert "cannot be served" in after.rollout.reason
    assert running.failed == []


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_a_canary_goes_on_when_the_leading_replica_dies(yard: RealYard, models: Models, kind: str) -> None:
    champion, version = settled(yard).champion, models.register(kind)
    with load(yard, f"canary-{kind}", 0.005) as running:
        act(yard, "deploy", version=version, strategy=_CANARY)
        until(lambda: running.answered[version] > 0)
        with yard.replicas[0].down():
            assert set(running.since(1.0)) <= {str(champion), version}
        after = settled(yard)
    assert len(running.failed) <= _CALLERS
    assert after.rollout is not None
    if kind == "good":
        assert after.champion == version
    else:
        assert (after.champion, after.rollout.phase) == (champion, "failed")
        assert "drift" in after.rollout.reason
        assert yard.environment.monitoring is not None
        monitor = MonitorClient(yard.environment.monitoring)
        until(lambda: [each for each in monitor.alerts("firing") if each.version == version])
    until(lambda: yard.tracking.model(_MODEL).aliases["champion"] == after.champion)


def test_of_two_deployments_at_once_one_is_refused(yard: RealYard, models: Models) -> None:
    settled(yard)
    versions = [models.register(), models.register()]
    said: list[str] = []

    def deploy(replica: int, version: str) -> None:
        try:
            yard.client(replica).act(_MODEL, "deploy", version=version, strategy="canary:10@1h,100")
            said.append("taken")
        except Problem as problem:
            said.append(problem.what)

    clients = [
        threading.Thread(target=deploy, args=(replica, version))
        for replica, version in zip((1, 2), versions, strict=True)
    ]
    for each in clients:
        each.start()
    for each in clients:
        each.join(60)
    assert sorted(said, key=lambda each: each != "taken")[0] == "taken"
    assert sum("one at a time" in each for each in said) == 1, said
    assert yard.state(_MODEL, 1).revision == yard.state(_MODEL, 2).revision
    act(yard, "rollback")


def test_a_replica_asked_to_end_under_load_fails_nobody(yard: RealYard, models: Models) -> None:
    settled(yard)
    both_serve(yard)
    with load(yard, "drain", 0.005) as running:
        for each in yard.replicas:
            assert each.end() == 0
            goes_on(running)
            each.start()
            both_serve(yard)
    assert running.failed == []


def test_flips_deployments_rollbacks_and_kills_in_a_row(yard: RealYard, models: Models) -> None:
    """60 changes of weight, 5 deployments, 5 rollbacks, 3 ``kill -9``."""
    from mlops.serving.front.client import FrontClient

    deal, front = random.Random(5), FrontClient(yard.folder / "front")
    settled(yard)
    both_serve(yard)
    with load(yard, "row") as running:
        for turn in range(5):
            before, version = yard.state(_MODEL).champion, models.register()
            act(yard, "deploy", version=version, strategy="canary:5@1h,25@1h,50@1h,75@1h,100")
            until(lambda: (rollout := yard.state(_MODEL).active) and rollout.loaded)
            for _ in range(3):
                act(yard, "promote")
            act(yard, "promote", full=True)
            for _ in range(8):
                front.weight(f"r{deal.randint(1, 2)}", deal.randint(1, 256))
                time.sleep(0.02)
            assert act(yard, "rollback").champion == before
            if turn < 3:
                victim = yard.replicas[turn % 2]
                victim.kill()
                goes_on(running)
                victim.start()
                both_serve(yard)
        for number in (1, 2):
            front.weight(f"r{number}", 100)
    assert len(running.failed) <= 3 * _CALLERS


def test_nothing_that_was_answered_is_missing_or_doubled(yard: RealYard, models: Models) -> None:
    """Over everything that happened above."""

    def missing() -> set[str]:
        rows = read_predictions(yard.environment, _MODEL, columns=["version"])
        ids = rows.column("id").to_pylist()
        assert len(ids) == len(set(ids))
        return _ANSWERED - set(ids)

    until(lambda: not missing(), 60)
    say(f"{len(_ANSWERED)} rows answered, none missing, none doubled")
