"""What may happen to a deployment, one thing at a time; test_rollout_stateful does it in any order."""

from __future__ import annotations

import pytest

from blueprints.errors import ExitCode, Problem
from mlops.serving.rollout import machine
from mlops.serving.rollout.state import Deployment, FlagRule, Flags, Verdict
from mlops.serving.rollout.strategy import Strategy, parse
from mlops.serving.rollout.weights import table

CANARY = parse("canary:10@1m,50@20n,100")
ROLLING = parse("rolling:10s")


def first(version: str = "1") -> Deployment:
    state = machine.deploy(Deployment(), version, CANARY, now=0, by="ann")
    return machine.loaded(state, version, now=1)


def rolling_out(strategy: Strategy | str = CANARY) -> Deployment:
    strategy = parse(strategy) if isinstance(strategy, str) else strategy
    return machine.loaded(machine.deploy(first(), "2", strategy, now=10, by="ann"), "2", now=20)


def all_of(strategy: Strategy, verdict: str, **other: str) -> tuple[Verdict, ...]:
    return tuple(
        Verdict.model_validate(
            {"gate": gate.name, "verdict": other.get(gate.name, verdict), "sentence": f"{gate.name} it is"}
        )
        for gate in strategy.gates
    )


def test_the_first_version_answers_once_it_is_loaded() -> None:
    state = machine.deploy(Deployment(), "1", CANARY, now=5, by="ann")
    assert state.champion is None
    assert table(state, 5).arms == ()
    assert table(state, 5).warm == ("1",)
    state = machine.loaded(state, "1", now=6)
    assert state.champion == "1"
    assert state.previous is None
    assert [event.by for event in state.events] == ["ann", "modelyard"]
    assert "nothing to compare it to" in state.events[-1].text
    assert state.revision == 2


def test_a_canary_goes_up_step_by_step_and_is_promoted() -> None:
    state = machine.deploy(first(), "2", CANARY, now=10, by="ann")
    assert table(state, 10).weight("2") == 0
    assert machine.tick(state, 1e6, all_of(CANARY, "pass"), 10**6) is state, "no step before it is loaded"
    state = machine.loaded(state, "2", now=20)
    assert table(state, 20).weight("2") == pytest.approx(0.1)
    passed = all_of(CANARY, "pass")
    early = machine.tick(state, 79, passed, 10**6)
    assert early.active
    assert early.active.step == 0, "a minute is not over"
    state = machine.tick(early, 80, passed, 0)
    assert table(state, 80).weight("2") == pytest.approx(0.5)
    assert state.active
    assert state.active.since == 80
    assert state.active.verdicts == (), "evidence of the step before says nothing of this one"
    few = machine.tick(state, 1e5, passed, 19)
    assert few.active, "not 20 requests yet"
    state = machine.tick(few, 1e5, passed, 20)
    assert (state.champion, state.previous, state.active) == ("2", "1", None)
    assert state.rollout
    assert (state.rollout.phase, state.rollout.reason) == ("done", "every gate passed")
    assert table(state, 1e5).warm == ("2", "1"), "the old version is kept warm"
    assert table(state, 1e5 + 3600).warm == ("2",), "for an hour"


def test_one_gate_without_a_verdict_holds_the_step() -> None:
    state = rolling_out()
    state = machine.tick(state, 1e6, all_of(CANARY, "pass", drift="inconclusive"), 10**6)
    assert state.active
    assert state.active.step == 0
    missing = all_of(CANARY, "pass")[:-1]
    state = machine.tick(state, 1e6, missing, 10**6)
    assert state.active
    assert state.active.step == 0
    assert machine.tick(state, 1e6, (), 10**6).active


def test_verdicts_of_another_rollout_are_refused() -> None:
    with pytest.raises(Problem, match="does not have: vibes"):
        machine.tick(rolling_out(), 1e6, [Verdict(gate="vibes", verdict="pass")], 5)


def test_only_a_changed_judgement_is_a_new_revision() -> None:
    state = rolling_out()
    one = machine.tick(state, 30, all_of(CANARY, "pass", drift="inconclusive"), 5)
    assert one.revision == state.revision + 1
    assert one.events == state.events
    two = machine.tick(one, 32, all_of(CANARY, "pass", drift="inconclusive"), 9)
    assert two is one


@pytest.mark.parametrize("phase", ["stepping", "paused", "model frozen"])
def test_a_failed_gate_rolls_back_at_once_whatever_holds_the_rollout(phase: str) -> None:
    state = rolling_out()
    if phase == "paused":
        state = machine.pause(state, now=21, by="ann")
    if phase == "model frozen":
        state = machine.freeze(state, "Black Friday", now=21, by="ann")
    after = machine.tick(state, 22, all_of(CANARY, "pass", errors="fail"), 100)
    assert after.active is None
    assert table(after, 22).weight("1") == 1
    assert after.rollout
    assert after.rollout.phase == "failed"
    assert after.rollout.reason == "errors it is"


def test_time_stands_still_while_paused_or_frozen_but_a_person_may_go_on() -> None:
    passed = all_of(CANARY, "pass")
    paused = machine.pause(rolling_out(), now=21, by="ann", reason="lunch")
    later = machine.tick(paused, 1e6, passed, 10**6)
    assert later.active
    assert (later.active.phase, later.active.step, later.active.reason) == ("paused", 0, "lunch")
    with pytest.raises(Problem, match="paused already"):
        machine.pause(later, now=1e6, by="bob")
    resumed = machine.resume(later, now=1e6, by="bob")
    assert resumed.active
    assert (resumed.active.phase, resumed.active.since) == ("stepping", 1e6)
    frozen = machine.freeze(resumed, "audit", now=1e6, by="ann")
    held = machine.tick(frozen, 2e6, passed, 10**6)
    assert held.active
    assert held.active.step == 0
    with pytest.raises(Problem, match=r"frozen \(audit\)"):
        machine.promote(held, now=2e6, by="ann")
    free = machine.unfreeze(held, now=2e6, by="ann")
    assert machine.tick(free, 2e6, passed, 10**6).active != free.active


def test_a_person_may_promote_over_the_gates_and_that_is_recorded() -> None:
    state = machine.tick(rolling_out(), 30, all_of(CANARY, "pass", drift="inconclusive"), 5)
    step = machine.promote(state, now=31, by="ann")
    assert table(step, 31).weight("2") == pytest.approx(0.5)
    assert "promoted by ann without a pass of drift" in step.events[-1].text
    end = machine.promote(state, now=31, by="ann", full=True)
    assert (end.champion, end.previous) == ("2", "1")
    assert end.rollout
    assert end.rollout.reason == "promoted by ann without a pass of drift"
    loading = machine.deploy(first(), "2", CANARY, now=10, by="ann")
    with pytest.raises(Problem, match="not loaded yet") as caught:
        machine.promote(loading, now=11, by="ann")
    assert caught.value.code == ExitCode.RETRY


def test_two_deployments_at_once_are_refused() -> None:
    with pytest.raises(Problem, match="version 2 is being rolled out, one at a time"):
        machine.deploy(rolling_out(), "3", CANARY, now=30, by="bob")
    over = machine.rollback(rolling_out(), now=30, by="ann")
    assert machine.deploy(over, "3", CANARY, now=31, by="bob").active


def test_what_cannot_be_deployed() -> None:
    with pytest.raises(Problem, match="no version 9"):
        machine.deploy(first(), "9", CANARY, now=1, by="ann", versions={"1", "2"})
    with pytest.raises(Problem, match="the champion already"):
        machine.deploy(first(), "1", CANARY, now=1, by="ann")
    frozen = machine.freeze(first(), "audit", now=1, by="ann")
    with pytest.raises(Problem, match=r"frozen \(audit\): cannot deploy version 2"):
        machine.deploy(frozen, "2", CANARY, now=1, by="ann")
    with pytest.raises(Problem, match="needs a reason"):
        machine.freeze(first(), " ", now=1, by="ann")
    with pytest.raises(Problem, match="not frozen"):
        machine.unfreeze(first(), now=1, by="ann")


def test_rollback_from_a_candidate_from_a_champion_and_to_an_archived_version() -> None:
    state = machine.rollback(rolling_out(), now=30, by="ann")
    assert (state.champion, state.active, table(state, 30).weight("2")) == ("1", None, 0)
    done = machine.promote(rolling_out(), now=30, by="ann", full=True)
    back = machine.rollback(done, now=40, by="ann")
    assert (back.champion, back.previous) == ("1", "2")
    assert table(back, 40).warm == ("1", "2")
    old = machine.rollback(done, now=40, by="ann", to="7", versions={"1", "2", "7"})
    assert (old.champion, old.previous) == ("7", "2")
    with pytest.raises(Problem, match="no version 8"):
        machine.rollback(done, now=40, by="ann", to="8", versions={"1", "2", "7"})
    with pytest.raises(Problem, match="no earlier version"):
        machine.rollback(first(), now=40, by="ann")
    with pytest.raises(Problem, match="deployed yet"):
        machine.rollback(Deployment(), now=40, by="ann")
    with pytest.raises(Problem, match="champion already"):
        machine.rollback(first(), now=40, by="ann", to="1")
    with pytest.raises(Problem, match="being rolled out"):
        machine.rollback(rolling_out(), now=40, by="ann", to="2")


def test_a_frozen_model_still_rolls_back() -> None:
    for state in (rolling_out(), machine.promote(rolling_out(), now=30, by="ann", full=True)):
        frozen = machine.freeze(state, "audit", now=35, by="ann")
        assert machine.rollback(frozen, now=40, by="ann").champion == "1"
        assert machine.rollback(frozen, now=40, by="ann").frozen == "audit"


def test_a_rollback_in_the_middle_to_any_version_ends_the_rollout() -> None:
    state = machine.rollback(rolling_out(), now=30, by="ann", to="7")
    assert (state.champion, state.previous, state.active) == ("7", "1", None)
    assert state.rollout
    assert state.rollout.reason == "rolled back to 7 by ann"


def test_what_is_rolled_back_loses_its_flags() -> None:
    rules = tuple(
        FlagRule(attribute="plan", op="equals", values=(name,), version=version)
        for name, version in (("gold", "2"), ("silver", "1"))
    )
    state = machine.set_flags(rolling_out(), Flags(rules=rules), now=25, by="ann")
    after = machine.tick(state, 30, all_of(CANARY, "fail"), 100)
    assert [rule.version for rule in after.flags.rules] == ["1"]
    assert after.events[-1].text.endswith("1 flag rules for 2 removed")
    archived = machine.rollback(state, now=30, by="ann", to="7")
    assert archived.flags.rules == (), "neither the candidate nor the champion that was left keeps one"


def test_a_candidate_that_cannot_be_loaded_ends_the_rollout() -> None:
    state = machine.load_failed(
        machine.deploy(first(), "2", CANARY, now=10, by="ann"), "2", "its artifact is gone", now=11
    )
    assert state.active is None
    assert state.champion == "1"
    assert "its artifact is gone" in state.events[-1].text
    crashed = machine.load_failed(rolling_out("canary:25,100,fail=freeze"), "2", "it died 3 times", now=30)
    assert crashed.active is None
    assert machine.load_failed(crashed, "2", "again", now=31) is crashed
    assert machine.loaded(crashed, "2", now=31) is crashed
    assert machine.load_failed(rolling_out(), "9", "who", now=31).active


def test_blue_green_compares_copies_then_switches_and_keeps_the_old_one_warm() -> None:
    strategy = parse("blue-green:1m,keep=4h")
    state = rolling_out(strategy)
    assert state.active
    assert state.active.phase == "comparing"
    now = table(state, 20)
    assert (now.weight("2"), now.shadow) == (0, "2")
    done = machine.tick(state, 80, all_of(strategy, "pass"), 0)
    assert done.champion == "2"
    assert table(done, 80 + 4 * 3600 - 1).warm == ("2", "1")
    assert table(done, 80).shadow is None


def test_shadow_ends_with_a_person() -> None:
    strategy = parse("shadow:1m")
    state = machine.tick(rolling_out(strategy), 80, all_of(strategy, "pass"), 0)
    assert state.champion == "1"
    assert state.active
    assert (state.active.phase, state.active.weight) == ("paused", 0)
    assert "a person decides" in state.active.reason
    assert table(state, 80).shadow == "2"
    assert machine.promote(state, now=90, by="ann").champion == "2"
    assert machine.tick(rolling_out(strategy), 80, all_of(strategy, "fail"), 0).active is None


def test_a_manual_step_waits_for_a_person() -> None:
    strategy = parse("canary:10@manual,50,100")
    state = machine.tick(rolling_out(strategy), 80, all_of(strategy, "pass"), 0)
    assert state.active
    assert state.active.phase == "paused"
    step = machine.promote(state, now=90, by="ann")
    assert step.active
    assert (step.active.phase, step.active.step) == ("stepping", 1)


def test_rolling_goes_on_without_a_verdict_and_says_so() -> None:
    state, now = rolling_out(ROLLING), 20.0
    for weight in (0.25, 0.5, 0.75):
        assert table(state, now).weight("2") == pytest.approx(weight)
        now += 10
        state = machine.tick(state, now, all_of(ROLLING, "inconclusive"), 0)
        assert "no verdict of errors, contract" in state.events[-1].text
    assert state.champion == "2"
    assert machine.tick(rolling_out(ROLLING), 30, all_of(ROLLING, "fail"), 5).champion == "1"


@pytest.mark.parametrize(("how", "phase"), [("pause", "paused"), ("rollback", "failed")])
def test_inconclusive_for_too_long_does_what_was_asked(how: str, phase: str) -> None:
    strategy = parse(f"canary:10@1m,100,inconclusive={how}:2h")
    unsure = all_of(strategy, "inconclusive")
    state = machine.tick(rolling_out(strategy), 20 + 60 + 7199, unsure, 0)
    assert state.active
    assert state.active.phase == "stepping"
    state = machine.tick(state, 20 + 60 + 7200, unsure, 0)
    assert state.rollout
    assert state.rollout.phase == phase
    assert "still no verdict of errors, latency, contract, drift after 2h" in state.rollout.reason
    assert state.champion == "1"


def test_waiting_is_the_default_for_ever() -> None:
    state = machine.tick(rolling_out(), 1e12, all_of(CANARY, "inconclusive"), 0)
    assert state.active
    assert state.active.phase == "stepping"


def test_an_alias_moved_by_hand_is_honoured_with_the_default_strategy() -> None:
    state = machine.alias_moved(first(), "2", ROLLING, now=10)
    assert state.active
    assert (state.active.candidate, state.active.strategy, state.active.origin) == ("2", ROLLING, "alias")
    assert state.champion == "1"
    assert machine.alias_moved(state, "2", ROLLING, now=12) is state
    assert machine.alias_moved(first(), "1", ROLLING, now=12) == first()
    assert machine.alias_moved(Deployment(), "1", ROLLING, now=1).active


def test_an_alias_moved_in_the_middle_ends_the_rollout_with_that_as_its_reason() -> None:
    state = machine.alias_moved(rolling_out(), "3", ROLLING, now=30)
    assert state.active
    assert state.active.candidate == "3"
    assert table(state, 30).weight("2") == 0
    assert "rollout of version 2 is over: the alias champion was moved to version 3" in state.events[-2].text
    same = machine.alias_moved(rolling_out(), "2", ROLLING, now=30)
    assert same.active
    assert (same.active.origin, same.active.strategy) == ("alias", ROLLING)


def test_an_alias_that_cannot_be_honoured_is_recorded_once_and_nothing_moves() -> None:
    frozen = machine.freeze(rolling_out(), "audit", now=25, by="ann")
    state = machine.alias_moved(frozen, "3", ROLLING, now=30)
    assert state.active == frozen.active
    assert "by hand, not honoured: the model is frozen (audit)" in state.events[-1].text
    assert machine.alias_moved(state, "3", ROLLING, now=32) is state
    gone = machine.alias_moved(first(), None, ROLLING, now=30)
    assert gone.champion == "1"
    assert "deleted by hand, not honoured" in gone.events[-1].text
    unknown = machine.alias_moved(rolling_out(), "9", ROLLING, now=30, versions={"1", "2"})
    assert unknown.active
    assert unknown.active.candidate == "2"


def test_standing_shadow() -> None:
    state = machine.set_shadow(first(), "5", now=5, by="ann")
    assert (table(state, 5).shadow, table(state, 5).warm) == ("5", ("1", "5"))
    with pytest.raises(Problem, match="gets the copies"):
        machine.deploy(state, "2", parse("blue-green"), now=6, by="ann")
    both = machine.loaded(machine.deploy(state, "2", CANARY, now=6, by="ann"), "2", now=7)
    assert (table(both, 7).shadow, table(both, 7).weight("2")) == ("5", 0.1)
    promoted = machine.deploy(state, "5", CANARY, now=6, by="ann")
    assert promoted.shadow is None
    assert "no standing shadow" in promoted.events[-1].text
    assert machine.set_shadow(state, None, now=8, by="ann").shadow is None
    assert machine.rollback(state, now=8, by="ann", to="5").shadow is None
    for bad, version, word in [
        (first(), "1", "is the champion"),
        (Deployment(), "1", "no version answers"),
        (both, "2", "being rolled out"),
        (rolling_out("shadow:1h"), "5", "being rolled out"),
        (first(), None, "no shadow"),
    ]:
        with pytest.raises(Problem, match=word):
            machine.set_shadow(bad, version, now=9, by="ann")
    with pytest.raises(Problem, match="no version 6"):
        machine.set_shadow(first(), "6", now=9, by="ann", versions={"1"})


def test_flags_are_checked() -> None:
    rule = FlagRule(attribute="plan", op="equals", values=("gold",), version="2")
    flags = Flags(rules=(rule,))
    with pytest.raises(Problem, match="no version answers yet"):
        machine.set_flags(Deployment(), flags, now=1, by="ann")
    with pytest.raises(Problem, match="no version 2"):
        machine.set_flags(first(), flags, now=1, by="ann", versions={"1"})
    long = FlagRule(
        attribute="plan", op="in", values=tuple(f"customer-{n:030}" for n in range(40)), version="2"
    )
    with pytest.raises(Problem, match="the registry has room for"):
        machine.set_flags(first(), Flags(rules=(long,)), now=1, by="ann")
    state = machine.set_flags(first(), flags, now=1, by="ann")
    assert table(state, 1).warm == ("1", "2")
    frozen = machine.freeze(state, "audit", now=2, by="ann")
    with pytest.raises(Problem, match="frozen"):
        machine.set_flags(frozen, Flags(), now=3, by="ann")
    off = machine.set_flags(frozen, Flags(on=False, rules=(rule,)), now=3, by="ann")
    assert table(off, 3).warm == ("1",), "the off switch works in a freeze, too"


@pytest.mark.parametrize(
    "fields",
    [
        {"op": "equals", "values": ()},
        {"op": "equals", "values": ("a", "b")},
        {"op": "percent", "values": ("a",), "percent": 5},
        {"op": "percent"},
        {"op": "in", "values": ("a",), "percent": 5},
        {"op": "near", "values": ("a",)},
        {"op": "equals", "values": ("a",), "attribute": "Plan"},
        {"op": "equals", "values": ("a",), "colour": "red"},
    ],
)
def test_a_flag_rule_that_means_nothing_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        FlagRule.model_validate({"attribute": "plan", "version": "2", **fields})


def test_nothing_to_do_is_refused_in_a_sentence() -> None:
    for act in (machine.pause, machine.resume, machine.promote):
        with pytest.raises(Problem, match="there is no rollout"):
            act(first(), now=1, by="ann")
    with pytest.raises(Problem, match="not paused"):
        machine.resume(rolling_out(), now=30, by="ann")
    assert machine.tick(first(), 1e9, ()) == first()
