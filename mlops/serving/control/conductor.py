"""Keeps what a replica serves as the desired state says; on the one that leads, moves rollouts on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from blueprints.errors import ExitCode, Problem, UsageProblem
from mlops.serving.control.collector import Collector
from mlops.serving.control.desired import Desired, Moved
from mlops.serving.control.peers import Peers, Report
from mlops.serving.control.routing import Routing
from mlops.serving.evidence import Evidence
from mlops.serving.fleet import Fleet, Key
from mlops.serving.rollout import machine
from mlops.serving.rollout.state import Deployment, Flags, Verdict
from mlops.serving.rollout.strategy import Strategy, parse
from mlops.serving.rollout.weights import table
from mlops.serving.traffic import Lane, Traffic
from mlops.tracking.client import TrackingClient

log = logging.getLogger(__name__)
INTERVAL = 2.0
#: A rollback loads its version before traffic moves, at most this long.
_PRELOAD_SECONDS = 60.0
#: A version that could not be loaded this often ends its rollout: the storage may only have been away.
_ATTEMPTS = 3


class Judge(Protocol):
    """Says what the evidence of a step means."""

    def __call__(
        self, model: str, state: Deployment, evidence: Mapping[Lane, Evidence]
    ) -> tuple[list[Verdict], int]:
        """Verdicts of the gates of the active rollout, and the candidate's requests."""
        ...

    def metrics(self, model: str) -> Collection[str]:
        """What can be measured for a model, as :attr:`Gate.source` names it."""
        ...


@dataclass(frozen=True)
class Ended:
    """A rollout is over: what a person, the monitor and the registry should hear of it."""

    model: str
    before: Deployment
    after: Deployment
    evidence: Mapping[Lane, Evidence]


@dataclass(frozen=True)
class Replica:
    """Who this replica is among the others.

    Attributes:
        name: In reports.
        leads: It judges rollouts and writes the registry.
        default: The strategy of deployments that name none.
    """

    name: str
    leads: bool
    default: Strategy


@dataclass(frozen=True)
class Seen:
    """What the last look at the present step of a rollout saw: newer than the verdicts in the state, which is
    written only when a judgement changes.

    Attributes:
        step: Of which rollout and step.
        verdicts: One a gate.
        requests: Of the candidate since the step began.
    """

    step: str
    verdicts: tuple[Verdict, ...]
    requests: int


class Listener(Protocol):
    """Hears of rollouts that ended."""

    def tell(self, ended: Ended) -> None:
        """Take it; returns at once."""
        ...

    def go_on(self) -> None:
        """Pass on what was taken; may wait for others, must not raise."""
        ...


class Conductor:
    """One loop, every 2 s, and acts in between.

    Args:
        pin: Called with all versions that must stay on this disk.
    """

    def __init__(
        self,
        replica: Replica,
        registry: TrackingClient,
        desired: Desired,
        fleet: Fleet,
        traffic: Traffic,
        routing: Routing,
        peers: Peers,
        judge: Judge,
        listener: Listener,
        pin: Callable[[Collection[Key]], None] = lambda keys: None,
    ) -> None:
        self._replica, self._registry, self._desired = replica, registry, desired
        self._fleet, self._traffic, self._routing, self._peers = fleet, traffic, routing, peers
        self._judge, self._listener, self._pin = judge, listener, pin
        self._collector = Collector()
        self._seen: Mapping[str, Seen] = {}
        self._acting = threading.RLock()
        self._applied: tuple[Any, ...] = ()
        self._preloading: set[Key] = set()
        self._wake = threading.Event()
        self._stopping = False
        self.registry_fault = "the registry was not asked yet"
        self._thread = threading.Thread(target=self._work, name="conductor", daemon=True)

    def start(self) -> None:
        """Begin with what this disk knows, then follow the registry."""
        self.refresh()
        self._thread.start()

    def changed(self) -> None:
        """The fleet has loaded a version, or could not: deal by it, and do not wait for the next look."""
        self.refresh()
        self._wake.set()

    def stop(self) -> None:
        """Stop following."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while not self._stopping:
            try:
                self.look()
            except Exception:
                # One look may fail for a reason nobody foresaw; the next comes in 2 s.
                log.exception("looking at the deployments failed")
            self._wake.wait(INTERVAL)
            self._wake.clear()

    def look(self) -> None:
        """One round."""
        self._sync()
        self.refresh()
        self._traffic.remember()
        if self._replica.leads:
            self._lead()
        self._listener.go_on()

    def _sync(self) -> None:
        try:
            moved = self._desired.sync()
            self.registry_fault = ""
        except Problem as problem:
            self.registry_fault = problem.what
            return
        for each in moved:
            self._change(each.model, partial(self._honoured, each))

    def _honoured(self, moved: Moved, state: Deployment) -> Deployment:
        """The state after somebody moved the alias ``champion`` by hand."""
        after = machine.alias_moved(
            state,
            moved.version,
            self._replica.default,
            now=time.time(),
            metrics=self._judge.metrics(moved.model),
        )
        if after is state and (not state.active or state.active.candidate != moved.version):
            # It is not honoured, which was said before: a new revision puts the alias back to what answers.
            after = state.but(revision=state.revision + 1, updated=time.time())
        return after

    def _state(self, model: str) -> Deployment:
        return self._desired.states.get(model) or Deployment()

    def _change(self, model: str, step: Callable[[Deployment], Deployment]) -> Deployment:
        """Make what ``step`` returns the desired state, here at once, then everywhere; returns it."""
        with self._acting:
            before = self._state(model)
            after = step(before)
            if after is before or not self._desired.put(model, after):
                return before
            self.refresh()
        self._peers.tell(model, after)
        if before.active and not after.active:
            evidence = self._collector.since(model, _mark(before))
            self._collector.forget(model)
            self._listener.tell(Ended(model, before, after, evidence))
        self._wake.set()
        return after

    def refresh(self) -> None:
        """Load what the states want, and deal by them."""
        with self._acting:
            states, now = self._desired.states, time.time()
            warm = {(model, each) for model, state in states.items() for each in table(state, now).warm}
            self._fleet.want(warm | self._preloading)
            # A rollback must find its version here even when the registry is away.
            self._pin(
                {*warm, *((model, state.previous) for model, state in states.items() if state.previous)}
            )
            loaded = self._fleet.loaded
            absent = {model: self._absence(model, state) for model, state in states.items()}
            key = (states, loaded, absent)
            if key != self._applied:
                self._routing.swap(states, loaded, absent)
                self._applied = key
            self._routing.settled(self._unready(absent), self.registry_fault)

    def _unready(self, absent: Mapping[str, str]) -> str:
        """Why this replica should get no traffic; empty: it should. A model whose version cannot be loaded is
        no reason: the others answer."""
        if not absent:
            if self.registry_fault:
                return f"the registry is not reachable: {self.registry_fault}"
            return "no model has the alias champion"
        return "; ".join(why for why in absent.values() if why.endswith("being loaded"))

    def _absence(self, model: str, state: Deployment) -> str:
        champion = state.champion or (state.active.candidate if state.active else "")
        if not champion or (model, champion) in self._fleet.loaded:
            return ""
        fault = self._fleet.faults.get((model, champion))
        if fault:
            return f"{model} version {champion} cannot be served: {fault.reason}"
        return f"{model} version {champion} is being loaded"

    def report(self) -> Report:
        """What this replica has."""
        faults = {key: fault.reason for key, fault in self._fleet.faults.items() if _final(fault)}
        return Report(
            self._replica.name,
            self._traffic.boot,
            self._traffic.copied(),
            frozenset(self._fleet.loaded),
            faults,
        )

    def _lead(self) -> None:
        reports = [self.report(), *self._peers.reports()[0]]
        for report in reports:
            self._collector.saw(report)
        for model, state in self._desired.states.items():
            if not state.active:
                continue
            self._change(model, partial(self._moved_on, model, reports))

    def _moved_on(self, model: str, reports: list[Report], state: Deployment) -> Deployment:
        rollout = state.active
        if rollout is None:
            return state
        key = (model, rollout.candidate)
        faults = [report.faults[key] for report in reports if key in report.faults]
        if faults:
            return machine.load_failed(state, rollout.candidate, faults[0], now=time.time())
        if not rollout.loaded:
            if all(key in report.loaded for report in reports):
                return machine.loaded(state, rollout.candidate, now=time.time())
            return state
        evidence = self._collector.since(model, _mark(state))
        verdicts, requests = self._judge(model, state, evidence)
        self._seen = {**self._seen, model: Seen(_mark(state), tuple(verdicts), requests)}
        return machine.tick(state, time.time(), verdicts, requests)

    def seen(self, model: str, state: Deployment) -> Seen | None:
        """The figures of the present step; None: no rollout, or this replica does not judge it (yet)."""
        found = self._seen.get(model)
        return found if found and state.active and found.step == _mark(state) else None

    def take_over(self, model: str, text: str) -> None:
        """Another replica's state.

        Raises:
            Problem: It cannot be read.
        """
        if self._desired.put(model, Deployment.from_tag(text)):
            self.refresh()

    def act(self, model: str, action: str, what: Mapping[str, Any]) -> Deployment:
        """Change the desired state as a person asks; returns the new one, which is dealt by already.

        Raises:
            Problem: It is refused, in words.
        """
        by, why = str(what.get("by") or "somebody"), str(what.get("why") or "")
        versions = self._versions(model)
        goal = str(what.get("version") or "")
        if action == "rollback":
            self._preload(model, goal or self._state(model).previous or "")
        try:
            return self._change(
                model, lambda state: self._next(model, action, state, what, by, why, versions)
            )
        finally:
            self._preloading.clear()

    def _next(
        self,
        model: str,
        action: str,
        state: Deployment,
        what: Mapping[str, Any],
        by: str,
        why: str,
        versions: Collection[str] | None,
    ) -> Deployment:
        now, version = time.time(), str(what.get("version") or "")
        if action == "deploy":
            text = str(what.get("strategy") or "")
            strategy = parse(text) if text else self._replica.default
            metrics = self._judge.metrics(model)
            return machine.deploy(
                state, version, strategy, now=now, by=by, versions=versions, metrics=metrics
            )
        if action == "pause":
            return machine.pause(state, now=now, by=by, reason=why)
        if action == "resume":
            return machine.resume(state, now=now, by=by)
        if action == "promote":
            return machine.promote(state, now=now, by=by, full=bool(what.get("full")))
        if action == "rollback":
            return machine.rollback(state, now=now, by=by, to=version, versions=versions)
        if action == "freeze":
            return machine.freeze(state, why, now=now, by=by)
        if action == "unfreeze":
            return machine.unfreeze(state, now=now, by=by)
        if action == "shadow":
            return machine.set_shadow(state, version or None, now=now, by=by, versions=versions)
        if action == "flags":
            flags = Flags.model_validate(what.get("flags"))
            return machine.set_flags(state, flags, now=now, by=by, versions=versions)
        raise UsageProblem(f"no action is called {action!r}", where="deployments")

    def _versions(self, model: str) -> frozenset[str] | None:
        """The versions that the registry knows; None: it does not answer, and any is taken."""
        try:
            return frozenset(each.version for each in self._registry.versions(model))
        except Problem as problem:
            if problem.code is ExitCode.RETRY:
                return None
            raise

    def _preload(self, model: str, version: str) -> None:
        """Have a version loaded before traffic goes to it, for what answers now may be worse than nothing."""
        key = (model, version)
        if not version or key in self._fleet.loaded:
            return
        self._preloading.add(key)
        self.refresh()
        self._fleet.retry(key)
        deadline = time.monotonic() + _PRELOAD_SECONDS
        while time.monotonic() < deadline:
            if key in self._fleet.loaded:
                return
            if fault := self._fleet.faults.get(key):
                self._preloading.discard(key)
                raise Problem(f"version {version} cannot be loaded: {fault.reason}", where=model)
            time.sleep(0.01)
        self._preloading.discard(key)
        raise Problem(
            f"version {version} is not loaded after {_PRELOAD_SECONDS:.0f} s",
            where=model,
            code=ExitCode.RETRY,
        )


def _mark(state: Deployment) -> str:
    """Names a step of a rollout, for its evidence."""
    rollout = state.rollout
    return f"{rollout.id}:{rollout.step}:{rollout.since}" if rollout else ""


def _final(fault: Any) -> bool:
    return bool(fault.final) or fault.attempts >= _ATTEMPTS
