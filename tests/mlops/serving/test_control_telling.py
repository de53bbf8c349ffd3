"""Who does not answer hears of a rollout later, and holds nobody up meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from blueprints.environment import DatabaseRef, MonitoringRef, TrackingRef
from mlops.serving.control.ports import Ended
from mlops.serving.control.telling import TAG, Teller
from mlops.serving.rollout import machine
from mlops.serving.rollout.progress import MACHINE
from mlops.serving.rollout.state import Deployment, Verdict
from mlops.serving.rollout.strategy import parse
from mlops.tracking.client import TrackingClient
from tests.servers import Answer, Request, serving


@dataclass
class Others:
    """Registry and monitor in one, and what they were asked."""

    down: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    alerts: list[Any] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Answer:
        """Take it, or be away."""
        whom = "monitor" if request.path.startswith("/observations") else "registry"
        self.asked.append(whom)
        if whom in self.down or ("storage" in self.down and request.method == "PUT"):
            return Answer(503 if whom == "monitor" else 500, {})
        if whom == "monitor":
            self.alerts.append(request.data)
        elif "set-tag" in request.path:
            self.tags[request.data["key"]] = request.data["value"]
        elif request.method == "PUT":
            self.documents.append(request.path)
        version = {"name": "m", "version": "2", "run_id": "run", "creation_timestamp": 0}
        run = {"info": {"artifact_uri": "mlflow-artifacts:/1/run/artifacts"}}
        return Answer(body={"model_version": version, "run": run})


@contextmanager
def telling() -> Iterator[tuple[Others, Teller]]:
    others = Others()
    with serving(others.answer) as url:
        database = DatabaseRef.model_validate({"name": "d", "url": "sqlite://"})
        monitoring = MonitoringRef.model_validate({"url": url, "token": "t", "database": database})
        yield others, Teller(TrackingClient(TrackingRef(url=url)), monitoring)


def ended(by: str = MACHINE, bad: bool = True) -> Ended:
    """A rollout of version 2 that is over."""
    champion = Deployment(revision=1, updated=1.0, champion="1")
    begun = machine.deploy(champion, "2", parse("canary:50,100,gates=errors:0.1"), now=2.0, by="ann")
    running = machine.loaded(begun, "2", now=3.0)
    if by != MACHINE:
        return Ended("m", running, machine.rollback(running, now=4.0, by=by), {})
    verdict = Verdict(gate="errors", verdict="fail" if bad else "pass", sentence="it is what it is")
    after = running
    while after.active:
        after = machine.tick(after, after.updated + 1.0, [verdict], 1000)
    return Ended("m", running, after, {})


def test_the_monitor_hears_of_it_when_it_is_back_and_the_registry_at_once() -> None:
    with telling() as (others, teller):
        others.down = {"monitor"}
        teller.tell(ended())
        teller.go_on()
        assert json.loads(others.tags[TAG])["ended"] == "failed"
        assert len(others.documents) == 1
        assert others.alerts == []
        others.down = set()
        teller.go_on()
        assert others.alerts[0]["version"] == "2"
        assert others.alerts[0]["bad"] is True
        asked = len(others.asked)
        teller.go_on()
        assert len(others.asked) == asked, "nothing is told twice"


def test_whoever_is_away_is_asked_once_a_round() -> None:
    with telling() as (others, teller):
        others.down = {"registry", "monitor"}
        for _ in range(20):
            teller.tell(ended())
        teller.go_on()
        assert sorted(others.asked) == ["monitor", "registry"]
        others.down = set()
        teller.go_on()
        assert len(others.alerts) == 20


def test_the_evidence_waits_for_a_storage_that_is_away() -> None:
    with telling() as (others, teller):
        others.down = {"storage"}
        teller.tell(ended())
        teller.go_on()
        assert TAG in others.tags
        assert others.documents == []
        others.down = set()
        teller.go_on()
        assert len(others.documents) == 1


def test_a_person_who_rolled_back_is_not_alerted_of_it() -> None:
    with telling() as (others, teller):
        teller.tell(ended(by="ann"))
        teller.tell(ended(bad=False))
        teller.go_on()
        assert [each["bad"] for each in others.alerts] == [False]
