"""The conductor with small real parts: a registry over HTTP, a fleet that loads nothing, two replicas that
speak to each other over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from blueprints.errors import ExitCode, Problem
from mlops.serving.control.admin import Admin
from mlops.serving.control.conductor import Conductor
from mlops.serving.control.desired import Desired
from mlops.serving.control.peers import Peers
from mlops.serving.control.ports import Ended, Held, Replica
from mlops.serving.control.routing import Routing
from mlops.serving.evidence import Evidence
from mlops.serving.fleet import Fleet
from mlops.serving.gateway.ports import Choice
from mlops.serving.rollout.machine import ALWAYS
from mlops.serving.rollout.state import Deployment, Verdict
from mlops.serving.rollout.strategy import parse
from mlops.serving.rows import Call
from mlops.serving.traffic import Lane, Traffic
from stacks.components.local.serving import known
from tests.mlops.serving.control_parts import Loading, Registry, registry
from tests.mlops.yard import until
from tests.servers import Answer, Request, serving


@dataclass
class Said:
    """A judge that says what the test wants, and a listener that remembers."""

    verdicts: list[Verdict] = field(default_factory=list)
    waits: Callable[[], None] = lambda: None
    measured: Collection[str] = ALWAYS
    ended: list[Ended] = field(default_factory=list)

    def __call__(
        self, model: str, state: Deployment, evidence: Mapping[Lane, Evidence], memory: Mapping[str, Held]
    ) -> tuple[list[Verdict], int]:
        """The verdicts."""
        self.waits()
        return self.verdicts, 100

    def metrics(self, model: str) -> Collection[str]:
        """What can be measured."""
        self.waits()
        return self.measured

    def tell(self, ended: Ended) -> None:
        """Remember it."""
        self.ended.append(ended)

    def go_on(self) -> None:
        """Nobody waits."""


@dataclass
class Member:
    """One replica of a small gateway."""

    url: str
    conductor: Conductor
    desired: Desired
    fleet: Fleet
    routing: Routing
    loading: Loading
    said: Said
    up: bool = True

    def answers(self) -> str:
        """The version that answers."""
        choice = self.routing.choose("m", Call("1"), None)
        return getattr(getattr(choice, "runtime", None), "version", "")


@contextmanager
def gateway(folder: Path, away: Registry, replicas: int = 2) -> Iterator[list[Member]]:
    """Replicas that are not started: the test looks for them."""
    members: list[Member] = []
    with ExitStack() as stack:
        urls = [
            stack.enter_context(serving(lambda request, number=number: _answer(members[number], request)))  # type: ignore[misc]
            for number in range(replicas)
        ]
        for number, url in enumerate(urls):
            loading, said, traffic = Loading(), Said(), Traffic()
            fleet = Fleet(loading, changed=lambda number=number: members[number].conductor.changed())  # type: ignore[misc]
            desired = Desired(folder / f"r{number + 1}", away.client, writes=number == 0)
            routing = Routing(traffic, lambda *words: None)
            conductor = Conductor(
                Replica(f"replica {number + 1}", number == 0, parse("rolling")),
                away.client,
                desired,
                fleet,
                traffic,
                routing,
                Peers([each for each in known(number + 1, urls) if each != url], SecretStr("t")),
                said,
                said,
            )
            members.append(Member(url, conductor, desired, fleet, routing, loading, said))
            fleet.start()
            stack.callback(fleet.stop)
        yield members


def _answer(member: Member, request: Request) -> Answer:
    if not member.up:
        return Answer(503, {"error": "not there"})
    if request.path == "/v2/health/live":
        return Answer(body={})
    admin = Admin(member.conductor, lambda: [])
    scope = {"path": request.path, "method": request.method}
    import json

    body = json.dumps(request.data).encode() if request.data is not None else b""
    handler = admin.evidence if request.path == "/v2/evidence" else admin.deployments
    status, data = asyncio.run(handler(scope, body))
    return Answer(status, data)


@pytest.fixture
def away() -> Iterator[Registry]:
    with registry() as made:
        made.add("m", champion="1", versions=("1", "2", "3"))
        yield made


def look(*members: Member) -> bool:
    for each in members:
        each.conductor.look()
    return True


def running(member: Member) -> bool:
    """Whether a rollout is at its first step."""
    active = member.desired.states["m"].active
    return active is not None and active.loaded


def frozen(member: Member) -> str | None:
    """Why nothing may be deployed."""
    return member.desired.states["m"].frozen


def served(members: list[Member], version: str) -> None:
    """Until every replica answers with a version."""

    def well() -> bool:
        look(*members)
        return all(each.answers() == version for each in members)

    until(well, 20)


def test_a_version_takes_over_on_both_replicas_and_is_told(tmp_path: Path, away: Registry) -> None:
    with gateway(tmp_path, away) as members:
        served(members, "1")
        one, two = members
        one.conductor.act("m", "deploy", {"version": "2", "strategy": "canary:50,100", "by": "ann"})
        assert two.desired.states["m"].active is not None, "it was told before the command returned"
        gates = one.desired.states["m"].active.strategy.gates  # type: ignore[union-attr]
        one.said.verdicts = [Verdict(gate=gate.name, verdict="pass") for gate in gates]
        until(lambda: look(*members) and one.desired.states["m"].champion == "2", 20)
        assert [each.answers() for each in members] == ["2", "2"]
        assert one.said.ended[-1].after.champion == "2"
        until(lambda: look(*members) and away.state("m").champion == "2", 20)
        with pytest.raises(Problem, match="no version 9"):
            one.conductor.act("m", "deploy", {"version": "9"})


def test_a_failed_verdict_goes_back_by_itself(tmp_path: Path, away: Registry) -> None:
    with gateway(tmp_path, away) as members:
        served(members, "1")
        one = members[0]
        one.conductor.act("m", "deploy", {"version": "2", "strategy": "canary:50,100,gates=errors:0.1"})
        one.said.verdicts = [Verdict(gate="errors", verdict="fail", sentence="too many errors")]
        until(lambda: look(*members) and one.desired.states["m"].active is None, 20)
        state = one.desired.states["m"]
        assert (state.champion, state.active) == ("1", None)
        assert state.rollout is not None
        assert state.rollout.reason == "too many errors"


def test_a_rollback_waits_neither_for_a_hung_storage_nor_for_the_registry(
    tmp_path: Path, away: Registry
) -> None:
    """The verdicts of a rollout are being read from a storage that hangs, and the registry is away."""
    with gateway(tmp_path, away) as members:
        served(members, "1")
        one = members[0]
        one.conductor.act("m", "deploy", {"version": "2", "strategy": "canary:50@1h,100"})
        until(lambda: look(*members) and running(one), 20)
        hangs, asked = threading.Event(), threading.Event()

        def hang() -> None:
            asked.set()
            hangs.wait(30)

        one.said.waits = hang
        judging = threading.Thread(target=one.conductor.look)
        judging.start()
        assert asked.wait(10)
        away.status = 500
        begun = time.monotonic()
        assert one.conductor.act("m", "rollback", {"by": "ann"}).active is None
        assert time.monotonic() - begun < 5, "it waited for the storage"
        one.said.verdicts = [Verdict(gate="errors", verdict="pass")]
        revision = one.desired.states["m"].revision
        hangs.set()
        judging.join(20)
        assert one.desired.states["m"].revision == revision, "verdicts of what is no more change nothing"


def test_gates_that_need_no_storage_do_not_ask_it(tmp_path: Path, away: Registry) -> None:
    def away_too() -> None:
        raise Problem("the storage does not answer", code=ExitCode.RETRY)

    with gateway(tmp_path, away) as members:
        served(members, "1")
        one = members[0]
        one.said.waits = away_too
        with pytest.raises(Problem, match="storage does not answer"):
            one.conductor.act("m", "deploy", {"version": "2", "strategy": "ab:50,metric=sales"})
        assert one.conductor.act("m", "deploy", {"version": "2"}).active is not None


def test_memory_of_versions_that_share_the_process_is_not_a_gate(tmp_path: Path, away: Registry) -> None:
    memory = {"version": "2", "strategy": "canary:50,100,gates=errors+memory"}
    with gateway(tmp_path, away) as members:
        served(members, "1")
        one = members[0]
        with pytest.raises(Problem, match="versions with processes of their own"):
            one.conductor.act("m", "deploy", memory)
        one.fleet.loaded["m", "1"].kind = "isolated"
        assert one.conductor.act("m", "deploy", memory).active is not None


def test_an_act_while_the_leading_replica_is_away_reaches_it_without_the_registry(
    tmp_path: Path, away: Registry
) -> None:
    with gateway(tmp_path, away) as members:
        one, two = members
        served(members, "1")
        one.conductor.act("m", "deploy", {"version": "2", "strategy": "canary:50@1h,100"})
        until(lambda: look(*members) and running(one), 20)
        away.status, one.up = 500, False
        two.conductor.act("m", "rollback", {"by": "ann"})
        assert one.desired.states["m"].active is not None
        one.up = True
        look(one)
        assert one.conductor.tag("m") == two.conductor.tag("m")
        # And the other way round: a follower that hung is handed what it missed.
        two.up = False
        one.conductor.act("m", "freeze", {"why": "holidays"})
        two.up = True
        assert frozen(two) is None
        look(one)
        assert frozen(two) == "holidays"
        away.status = 200
        look(one)
        assert away.state("m").frozen == "holidays"


def test_what_a_rollout_showed_is_told_by_the_one_that_ended_it(tmp_path: Path, away: Registry) -> None:
    with gateway(tmp_path, away) as members:
        one, two = members
        served(members, "1")
        one.conductor.act("m", "deploy", {"version": "2", "strategy": "canary:50@1h,100"})
        until(lambda: look(*members) and running(two), 20)
        look(*members)
        for member in members:
            for number in range(50):
                choice = member.routing.choose("m", Call(str(number)), None)
                assert isinstance(choice, Choice)
                choice.evidence.answered(1, 0.001, [0.5])
        look(*members)
        one.up = False
        two.conductor.act("m", "rollback", {"by": "ann"})
        (ended,) = two.said.ended
        assert sum(each.requests for each in ended.evidence.values()) == 100
        assert sum(each.rows for lane, each in ended.evidence.items() if lane.version == "2") > 0


def test_what_one_follower_decided_alone_reaches_the_other_through_the_one_that_leads(
    tmp_path: Path, away: Registry
) -> None:
    with gateway(tmp_path, away, replicas=3) as members:
        one, two, three = members
        served(members, "1")
        # Followers know only the first, which is away, and so is the registry.
        away.status, one.up = 500, False
        two.conductor.act("m", "freeze", {"why": "holidays"})
        look(two, three)
        assert [frozen(each) for each in members] == [None, "holidays", None]
        one.up = True
        look(one)
        assert [frozen(each) for each in members] == ["holidays"] * 3


@pytest.mark.parametrize("asked", [(0, 0), (0, 1), (1, 1), (1, 2)])
def test_of_two_deployments_at_once_one_is_refused(
    tmp_path: Path, away: Registry, asked: tuple[int, int]
) -> None:
    with gateway(tmp_path, away, replicas=3) as members:
        served(members, "1")
        said: list[str] = []
        together = threading.Barrier(2)

        def deploy(member: Member, version: str) -> None:
            together.wait(10)
            try:
                member.conductor.act("m", "deploy", {"version": version, "strategy": "canary:50@1h,100"})
                said.append("")
            except Problem as problem:
                said.append(problem.what)

        clients = [
            threading.Thread(target=deploy, args=(members[replica], version))
            for replica, version in zip(asked, ("2", "3"), strict=True)
        ]
        for each in clients:
            each.start()
        for each in clients:
            each.join(20)
        assert sorted(said)[0] == ""
        assert "one at a time" in sorted(said)[1]
        assert len({each.conductor.tag("m") for each in members}) == 1


def test_a_rollback_has_its_version_loaded_everywhere_first(tmp_path: Path, away: Registry) -> None:
    with gateway(tmp_path, away) as members:
        one, two = members
        served(members, "1")
        gate = threading.Event()
        two.loading.gates = {("m", "3"): gate}
        acting = threading.Thread(target=one.conductor.act, args=("m", "rollback", {"version": "3"}))
        acting.start()
        until(lambda: ("m", "3") in two.loading.attempts, 10)
        assert one.desired.states["m"].champion == "1", "it waits until the other has it, too"
        gate.set()
        acting.join(20)
        assert [each.answers() for each in members] == ["3", "3"]
        one.loading.faults = {("m", "2"): Problem("no pickles here")}
        with pytest.raises(Problem, match="cannot be loaded: no pickles"):
            one.conductor.act("m", "rollback", {"version": "2"})


def test_a_replica_without_its_version_for_now_is_not_ready_one_with_a_bad_version_is(
    tmp_path: Path, away: Registry
) -> None:
    away.add("m", champion="1", tag=Deployment(revision=3, updated=1.0, champion="1").to_tag())
    with gateway(tmp_path, away, replicas=1) as (one,):
        one.loading.faults = {("m", "1"): Problem("the storage is away", code=ExitCode.RETRY)}
        until(lambda: look(one) and one.fleet.faults, 20)
        look(one)
        assert "cannot be served: the storage is away" in one.routing.fault()
        one.loading.faults = {("m", "1"): Problem("no pickles here")}
        one.fleet.hurry()
        until(lambda: look(one) and one.fleet.faults[("m", "1")].final, 20)
        look(one)
        assert one.routing.fault() == ""


def test_when_the_registry_is_back_what_could_not_be_fetched_is_tried_at_once(
    tmp_path: Path, away: Registry
) -> None:
    with gateway(tmp_path, away, replicas=1) as (one,):
        one.loading.faults = {("m", "1"): Problem("away", code=ExitCode.RETRY)}
        until(lambda: look(one) and one.fleet.faults, 20)
        away.status = 500
        look(one)
        assert one.conductor.registry_fault
        attempts = len(one.loading.attempts)
        one.loading.faults = {}
        away.status = 200
        look(one)
        until(lambda: len(one.loading.attempts) == attempts + 1, 1)
