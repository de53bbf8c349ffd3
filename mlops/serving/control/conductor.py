"""Keeps what a replica serves as the desired state says; on the one that leads, moves rollouts on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from blueprints.errors import ExitCode, Problem
from mlops.serving.control.acts import Act, measurable, strategy_of
from mlops.serving.control.collector import Collector
from mlops.serving.control.desired import Desired, stamp
from mlops.serving.control.peers import Peers, Report
from mlops.serving.control.ports import Ended, Judge, Listener, Replica, Seen
from mlops.serving.control.routing import Routing
from mlops.serving.fleet import Fault, Fleet, Key
from mlops.serving.rollout import machine
from mlops.serving.rollout.state import Deployment, Verdict
from mlops.serving.rollout.weights import table
from mlops.serving.traffic import Traffic
from mlops.tracking.client import TrackingClient

log = logging.getLogger(__name__)
INTERVAL = 2.0
#: A rollback loads its version before traffic moves, at most this long.
_PRELOAD_SECONDS = 60.0
#: How long a version that was loaded ahead waits for the state that wants it.
_PRELOADED_SECONDS = 120.0
#: A version that could not be loaded this often ends its rollout: the storage may only have been away.
_ATTEMPTS = 3


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
        # Held from reading a state until its successor is kept, so that two acts at once do not both follow
        # from the same state; never while anything outside of this process is asked.
        self._acting = threading.RLock()
        self._applied: tuple[Any, ...] = ()
        self._preloading: dict[Key, float] = {}
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
        first = True
        while not self._stopping:
            try:
                if first:
                    # What was decided while this one was away may be known to the others only.
                    self._agree(self._peers.reports()[0], hand=False)
                    first = False
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
        others = self._collect()
        if self._replica.leads:
            self._lead(others)
        self._listener.go_on()

    def _collect(self) -> list[Report]:
        """What the replicas that this one knows have counted. One that does not lead remembers it, too: while
        the one that leads is away, a rollout may end here, and what it showed must be told."""
        others = self._peers.reports()[0]
        for report in [self.report(), *others]:
            self._collector.saw(report)
        for model, state in self._desired.states.items():
            if state.active:
                self._collector.since(model, _mark(state))
            else:
                self._collector.forget(model)
        return others

    def _sync(self) -> None:
        try:
            moved = self._desired.sync()
            if self.registry_fault:
                # What could not be fetched may be there again, too.
                self._fleet.hurry()
            self.registry_fault = ""
        except Problem as problem:
            self.registry_fault = problem.what
            return
        for each in moved:
            self._follow(each.model, each.version)

    def _follow(self, model: str, version: str | None) -> None:
        """A plain MLflow client moved the alias."""
        default = self._replica.default
        try:
            metrics = measurable(default, self._here(model), lambda: self._judge.metrics(model))
        except Problem as problem:
            log.warning("the alias of %s waits: %s", model, problem.what)
            return
        self._change(model, partial(self._honoured, model, version, metrics))

    def _honoured(
        self, model: str, version: str | None, metrics: Collection[str], state: Deployment
    ) -> Deployment:
        """The state after somebody moved the alias ``champion`` by hand."""
        after = machine.alias_moved(state, version, self._replica.default, now=time.time(), metrics=metrics)
        if after is state and (not state.active or state.active.candidate != version):
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
            soon = {key for key, until in self._preloading.items() if until > time.monotonic()}
            self._fleet.want(warm | soon)
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
        """Why this replica should get no traffic; empty: it should. A version that cannot be loaded anywhere
        is no reason, for the other models answer; one that only could not be fetched yet is: another replica
        may have it."""
        if not absent:
            if self.registry_fault:
                return f"the registry is not reachable: {self.registry_fault}"
            return "no model has the alias champion"
        return "; ".join(why for model, why in absent.items() if why and not self._hopeless(model))

    def _hopeless(self, model: str) -> bool:
        fault = self._fleet.faults.get((model, self._state(model).champion or ""))
        return fault is not None and fault.final

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
            {model: stamp(state) for model, state in self._desired.states.items()},
            {key: held for key, runtime in self._fleet.loaded.items() if (held := runtime.memory)},
        )

    def _lead(self, others: Sequence[Report]) -> None:
        self._agree(others)
        reports = [self.report(), *others]
        for model, state in self._desired.states.items():
            if not state.active:
                continue
            judged = self._judged(model, state)
            self._change(model, partial(self._moved_on, model, state, reports, judged))

    def _agree(self, reports: Sequence[Report], hand: bool = True) -> None:
        """Take over what others know and this replica does not, for it was away or hung; and hand them what
        they missed. The registry does the same, but may be away itself."""
        for report in reports:
            mine = {model: stamp(state) for model, state in self._desired.states.items()}
            for model, theirs in report.states.items():
                if theirs > mine.get(model, (0, 0.0)) and (state := self._peers.state(report.replica, model)):
                    self._put(model, state)
            for model, state in self._desired.states.items() if hand else ():
                if stamp(state) > report.states.get(model, (0, 0.0)):
                    self._peers.hand(report.replica, model, state)

    def _judged(self, model: str, state: Deployment) -> tuple[list[Verdict], int]:
        """May ask the storage, which may be away, so never while acts would wait for it."""
        if state.rollout is None or not state.rollout.loaded:
            return [], 0
        evidence = self._collector.since(model, _mark(state))
        verdicts, requests = self._judge(model, state, evidence, self._collector.memory(model))
        self._seen = {**self._seen, model: Seen(_mark(state), tuple(verdicts), requests)}
        return verdicts, requests

    def _moved_on(
        self,
        model: str,
        seen: Deployment,
        reports: Sequence[Report],
        judged: tuple[list[Verdict], int],
        state: Deployment,
    ) -> Deployment:
        rollout = state.active
        if rollout is None or state is not seen:
            # Somebody acted meanwhile: the verdicts are of a state that is no more.
            return state
        key = (model, rollout.candidate)
        faults = [report.faults[key] for report in reports if key in report.faults]
        if faults:
            return machine.load_failed(state, rollout.candidate, faults[0], now=time.time())
        if not rollout.loaded:
            if all(key in report.loaded for report in reports):
                return machine.loaded(state, rollout.candidate, now=time.time())
            return state
        return machine.tick(state, time.time(), *judged)

    def seen(self, model: str, state: Deployment) -> Seen | None:
        """The figures of the present step; None: no rollout, or this replica does not judge it (yet)."""
        found = self._seen.get(model)
        return found if found and state.active and found.step == _mark(state) else None

    def take_over(self, model: str, text: str) -> None:
        """Another replica's state.

        Raises:
            Problem: It cannot be read.
        """
        self._put(model, Deployment.from_tag(text))

    def _put(self, model: str, state: Deployment) -> None:
        with self._acting:
            if self._desired.put(model, state):
                self.refresh()

    def tag(self, model: str) -> str:
        """The state of a model, for another replica."""
        return self._state(model).to_tag()

    def act(self, model: str, action: str, what: Mapping[str, Any]) -> Deployment:
        """Change the desired state as a person asks; returns the new one, which is dealt by already.

        The replica that leads decides, whoever is asked, so that of two acts at once the second follows from
        the first or is refused. While it does not answer, any other does.

        Raises:
            Problem: It is refused, in words.
        """
        if not self._replica.leads and (done := self._peers.forward(model, action, what)):
            self._put(model, done)
            return done
        if action == "rollback":
            version = str(what.get("version") or "") or self._state(model).previous or ""
            if version and not (self._state(model).active and not what.get("version")):
                self._preload(model, version)
        return self._change(model, self._request(model, action, what).on)

    def _request(self, model: str, action: str, what: Mapping[str, Any]) -> Act:
        """Everything that an act depends on, asked before anything is locked."""
        strategy = strategy_of(what if action == "deploy" else {}, self._replica.default)
        # A rollback has just loaded its version, and must not wait for a registry that hangs.
        versions = self._versions(model) if action in ("deploy", "shadow", "flags") else None
        metrics: Collection[str] = ()
        if action == "deploy":
            metrics = measurable(strategy, self._here(model), lambda: self._judge.metrics(model))
        by, why = str(what.get("by") or "somebody"), str(what.get("why") or "")
        return Act(action, what, by, why, strategy, versions, metrics)

    def _here(self, model: str) -> Collection[str]:
        """What the gates can be told without asking anybody. A champion that shares the gateway's process has
        no memory of its own to compare with."""
        champion = self._fleet.loaded.get((model, self._state(model).champion or ""))
        apart = champion is not None and champion.kind == "isolated"
        return machine.GATEWAYS if apart else machine.ALWAYS

    def _versions(self, model: str) -> frozenset[str] | None:
        """The versions that the registry knows; None: it does not answer, and any is taken."""
        try:
            return frozenset(each.version for each in self._registry.versions(model))
        except Problem as problem:
            if problem.code is ExitCode.RETRY:
                return None
            raise

    def _preload(self, model: str, version: str) -> None:
        """Have a version loaded everywhere before traffic goes to it, for what answers now may be worse than
        nothing. A replica that cannot is no reason to keep the others from it."""
        elsewhere = self._peers.preload(model, version)
        self.preload(model, version)
        elsewhere()

    def preload(self, model: str, version: str) -> None:
        """Load a version here that no state wants yet; returns when it is.

        Raises:
            Problem: It cannot be loaded, or not soon.
        """
        key = (model, version)
        with self._acting:
            now = time.monotonic()
            self._preloading = {each: until for each, until in self._preloading.items() if until > now}
            self._preloading[key] = now + _PRELOADED_SECONDS
            self.refresh()
        if key in self._fleet.loaded:
            return
        self._fleet.retry(key)
        deadline = time.monotonic() + _PRELOAD_SECONDS
        fault = None
        while time.monotonic() < deadline and fault is None:
            if key in self._fleet.loaded:
                return
            fault = self._fleet.faults.get(key)
            time.sleep(0.01)
        with self._acting:
            self._preloading.pop(key, None)
        if fault:
            raise Problem(f"version {version} cannot be loaded: {fault.reason}", where=model)
        raise Problem(
            f"version {version} is not loaded after {_PRELOAD_SECONDS:.0f} s",
            where=model,
            code=ExitCode.RETRY,
        )


def _mark(state: Deployment) -> str:
    """Names a step of a rollout, for its evidence."""
    rollout = state.rollout
    return f"{rollout.id}:{rollout.step}:{rollout.since}" if rollout else ""


def _final(fault: Fault) -> bool:
    return fault.final or fault.attempts >= _ATTEMPTS
