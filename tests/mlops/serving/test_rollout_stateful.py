"""Whatever people, gates, clocks and MLflow clients do, in any order: what always holds of a deployment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from blueprints.errors import Problem
from mlops.serving.rollout import machine
from mlops.serving.rollout.router import Router
from mlops.serving.rollout.state import MOST_CHARACTERS, Deployment, FlagRule, Flags, Verdict
from mlops.serving.rollout.strategy import parse
from mlops.serving.rollout.weights import table

VERSIONS = ("1", "2", "3", "4")
WHO = st.sampled_from(["ann", "bob"])
VERSION = st.sampled_from([*VERSIONS, "9"])
STRATEGY = st.sampled_from(
    [
        parse(text)
        for text in (
            "canary:10@1m,50@20n,100",
            "canary:0@1m,25,75@manual,100,fail=freeze",
            "canary:25,100,inconclusive=rollback:1m",
            "canary:25,100,inconclusive=pause:1m",
            "blue-green:1m",
            "shadow:1m",
            "ab:50,metric=conversion",
            "rolling:10s",
        )
    ]
)
#: Mostly all gates pass but for one, which is where mistakes would be.
JUDGEMENTS = st.builds(
    lambda other, place: [other if n == place else "pass" for n in range(4)],
    st.sampled_from(["pass", "fail", "inconclusive", "missing"]),
    st.integers(0, 3),
)
METRICS = {*machine.ALWAYS, "business:conversion"}


class Deploying(RuleBasedStateMachine):
    """One model, and everybody who may do something to it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Deployment()
        self.now = 1_000_000.0

    def act(self, what: Callable[[], Deployment]) -> bool:
        """Do it or be refused; True: done. What holds of every change is checked here."""
        before = self.state
        snapshot = before.model_dump_json()
        after = before
        try:
            after = what()
        except Problem as problem:
            refusal = problem.what
        else:
            refusal = ""
        finally:
            assert before.model_dump_json() == snapshot, "a state never changes in place"
        if refusal:
            assert "\n" not in refusal
            return False
        if after is before:
            return True
        assert after.revision > before.revision
        assert after.champion or not before.champion, "champion always set once set"
        if before.champion != after.champion:
            self.champion_changed(before, after)
        self.state = after
        return True

    def champion_changed(self, before: Deployment, after: Deployment) -> None:
        if before.champion:
            assert after.previous == before.champion
            assert before.champion in table(after, self.now).warm, "the old version is kept warm"
        assert after.events[-1].text != before.events[-1].text or len(before.events) != len(after.events)
        assert after.champion is not None
        assert after.champion in after.events[-1].text

    @initialize(empty=st.sampled_from([False, False, False, True]))
    def begin(self, empty: bool) -> None:
        if not empty:
            self.deploy("1", parse("canary"), "ann")
            self.candidate_loaded()

    @precondition(lambda self: self.state.champion and not self.state.active and not self.state.frozen)
    @rule(version=st.sampled_from(VERSIONS), strategy=STRATEGY, by=WHO)
    def deploy_and_load(self, version: str, strategy: object, by: str) -> None:
        self.deploy(version, strategy, by)
        self.candidate_loaded()

    @rule(seconds=st.sampled_from([0.0, 2.0, 30.0, 61.0, 4000.0, -5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(version=VERSION, strategy=STRATEGY, by=WHO)
    def deploy(self, version: str, strategy: object, by: str) -> None:
        before = self.state
        done = self.act(
            lambda: machine.deploy(
                before,
                version,
                strategy,  # type: ignore[arg-type]
                now=self.now,
                by=by,
                versions=VERSIONS,
                metrics=METRICS,
            )
        )
        if done:
            assert before.frozen is None
            assert before.active is None
            assert version in VERSIONS
            assert table(self.state, self.now).weight(version) == 0, "no traffic before it is loaded"

    @rule(version=VERSION)
    def loaded(self, version: str) -> None:
        self.act(lambda: machine.loaded(self.state, version, now=self.now))

    @rule()
    def candidate_loaded(self) -> None:
        if self.state.active:
            self.loaded(self.state.active.candidate)

    @rule(version=VERSION)
    def load_failed(self, version: str) -> None:
        candidate = self.state.active.candidate if self.state.active else ""
        self.act(lambda: machine.load_failed(self.state, version, "no such file", now=self.now))
        if candidate == version:
            self.nothing_left_of(version)

    @precondition(lambda self: self.state.active)
    @rule(by=WHO)
    def pause(self, by: str) -> None:
        self.act(lambda: machine.pause(self.state, now=self.now, by=by))

    @precondition(lambda self: self.state.active)
    @rule(by=WHO)
    def resume(self, by: str) -> None:
        self.act(lambda: machine.resume(self.state, now=self.now, by=by))

    @rule(by=WHO, full=st.booleans())
    def promote(self, by: str, full: bool) -> None:
        before = self.state
        if self.act(lambda: machine.promote(before, now=self.now, by=by, full=full)):
            assert before.frozen is None
            assert f"promoted by {by}" in self.state.events[-1].text, (
                "a person's promotion is recorded as one"
            )

    @rule(by=WHO, to=st.one_of(st.just(""), VERSION))
    def rollback(self, by: str, to: str) -> None:
        before = self.state
        done = self.act(lambda: machine.rollback(before, now=self.now, by=by, to=to, versions=VERSIONS))
        if done and before.active:
            self.nothing_left_of(before.active.candidate)
        possible = before.active or (before.champion and before.previous)
        assert done or to or not possible, "a rollback to what was before is never refused, frozen or not"

    def nothing_left_of(self, version: str) -> None:
        assert self.state.active is None
        if version == self.state.champion:
            return
        assert table(self.state, self.now).weight(version) == 0
        assert all(each.version != version for each in self.state.flags.rules)
        router = Router(self.state, VERSIONS, self.now)
        for n in range(20):
            route = router.choose(f"caller-{n}", {"plan": "gold"}, n / 20)
            assert route is None or route.version != version

    @precondition(lambda self: self.state.active and not self.state.frozen)
    @rule(by=WHO)
    def freeze(self, by: str) -> None:
        self.act(lambda: machine.freeze(self.state, "audit", now=self.now, by=by))

    @precondition(lambda self: self.state.frozen)
    @rule(by=WHO)
    def unfreeze(self, by: str) -> None:
        self.act(lambda: machine.unfreeze(self.state, now=self.now, by=by))

    @rule(by=WHO, version=st.one_of(st.none(), VERSION))
    def shadow(self, by: str, version: str | None) -> None:
        self.act(lambda: machine.set_shadow(self.state, version, now=self.now, by=by, versions=VERSIONS))

    @rule(by=WHO, version=VERSION, on=st.booleans())
    def flag(self, by: str, version: str, on: bool) -> None:
        flags = Flags(
            on=on, rules=(FlagRule(attribute="plan", op="equals", values=("gold",), version=version),)
        )
        self.act(lambda: machine.set_flags(self.state, flags, now=self.now, by=by, versions=VERSIONS))

    @rule(version=st.one_of(st.none(), VERSION), strategy=STRATEGY)
    def alias(self, version: str | None, strategy: object) -> None:
        before = self.state
        self.act(
            lambda: machine.alias_moved(
                before,
                version,
                strategy,  # type: ignore[arg-type]
                now=self.now,
                versions=VERSIONS,
                metrics=METRICS,
            )
        )
        assert self.state.champion == before.champion
        if before.active and self.state.active != before.active:
            texts = [event.text for event in self.state.events[-2:]]
            assert "the alias champion was moved" in texts[0], "the rollout ended with a recorded reason"
            assert table(self.state, self.now).weight(before.active.candidate) == 0

    @precondition(lambda self: self.state.active)
    @rule(
        judgements=JUDGEMENTS,
        requests=st.sampled_from([0, 19, 20, 10**6]),
        seconds=st.sampled_from([0.0, 2.0, 61.0, -5.0]),
    )
    def tick(self, judgements: list[str], requests: int, seconds: float) -> None:
        self.now += seconds
        self.look(judgements, requests)

    @precondition(lambda self: self.state.active)
    @rule()
    def good_tick(self) -> None:
        self.now += 61
        self.look(["pass"] * 4, 10**6)

    def look(self, judgements: list[str], requests: int) -> None:
        before = self.state
        rollout = before.active
        gates = rollout.strategy.gates if rollout else ()
        said = {gate.name: judgement for gate, judgement in zip(gates, judgements, strict=False)}
        verdicts = [
            Verdict.model_validate({"gate": name, "verdict": judgement, "sentence": f"{name} {judgement}"})
            for name, judgement in said.items()
            if judgement != "missing"
        ]
        assert self.act(lambda: machine.tick(before, self.now, verdicts, requests))
        after = self.state
        if not rollout or not rollout.loaded or rollout.phase == "frozen":
            assert after == before
            return
        if "fail" in said.values():
            self.failed_in_the_same_tick(after, rollout.strategy.on_fail, rollout.candidate)
            return
        passed = all(judgement == "pass" for judgement in said.values())
        moved = after.champion != before.champion or (after.active and after.active.step > rollout.step)
        if moved:
            self.moved_for_a_reason(before, passed)
        if not passed and after.rollout and after.rollout.phase == "failed":
            assert rollout.strategy.on_inconclusive == "rollback", "inconclusive never fails by itself"

    def failed_in_the_same_tick(self, after: Deployment, on_fail: str, candidate: str) -> None:
        if on_fail == "freeze":
            assert after.active
            assert after.active.phase == "frozen"
        else:
            self.nothing_left_of(candidate)
            assert "fail" in after.events[-1].text

    def moved_for_a_reason(self, before: Deployment, passed: bool) -> None:
        rollout = before.active
        assert rollout
        assert before.frozen is None
        assert rollout.phase in ("comparing", "stepping")
        step = rollout.strategy.steps[rollout.step]
        assert not step.manual
        assert self.now - rollout.since >= step.seconds
        assert self.now >= rollout.since
        if rollout.strategy.kind == "rolling":
            assert passed or "no verdict of" in self.state.events[-1].text
        else:
            assert passed, "no step and no promotion without a pass of every gate"

    @invariant()
    def weights_sum_to_one(self) -> None:
        now = table(self.state, self.now)
        assert bool(now.arms) == (self.state.champion is not None)
        if now.arms:
            assert sum(arm.weight for arm in now.arms) == pytest.approx(1)
            assert all(0 <= arm.weight <= 1 for arm in now.arms)
            assert now.arms[0].version == self.state.champion
        assert {arm.version for arm in now.arms} <= set(now.warm)
        assert now.shadow is None or now.shadow in now.warm
        assert now.shadow is None or now.shadow != self.state.champion

    @invariant()
    def no_traffic_before_loaded(self) -> None:
        rollout = self.state.active
        if rollout and not rollout.loaded:
            assert table(self.state, self.now).weight(rollout.candidate) == 0
            assert table(self.state, self.now).shadow != rollout.candidate

    @invariant()
    def fits_its_tag(self) -> None:
        text = self.state.to_tag()
        assert len(text) <= MOST_CHARACTERS
        back = Deployment.from_tag(text)
        assert back.model_copy(update={"events": ()}) == self.state.model_copy(update={"events": ()})
        assert back.events == self.state.events[len(self.state.events) - len(back.events) :]


TestDeploying = Deploying.TestCase
TestDeploying.settings = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
