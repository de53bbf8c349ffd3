"""How a rollout moves on by itself: on to the next step, to its end, or back. Pure, as :mod:`.machine`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blueprints.errors import Problem
from mlops.serving.rollout.state import (
    MOST_EVENTS,
    Deployment,
    Event,
    Flags,
    Phase,
    Rollout,
    Verdict,
)
from mlops.serving.rollout.strategy import Step, duration

MACHINE = "modelyard"


def tick(
    state: Deployment,
    now: float,
    verdicts: Sequence[Verdict],
    requests: int = 0,
    *,
    by: str = MACHINE,
) -> Deployment:
    """Look at the rollout: roll back, freeze, step on, promote, or leave it.

    Args:
        verdicts: Of the present step, on evidence since ``rollout.since``; a gate without is inconclusive.
        requests: Of the candidate in this step.

    The same object comes back when no judgement changed; the figures alone are no reason to write.
    """
    rollout = state.active
    if not rollout or not rollout.loaded or rollout.phase == "frozen":
        return state
    given = {verdict.gate: verdict for verdict in verdicts}
    strangers = set(given) - {gate.name for gate in rollout.strategy.gates}
    if strangers:
        raise Problem(f"verdicts of gates that this rollout does not have: {', '.join(sorted(strangers))}")
    current = tuple(
        given.get(gate.name, Verdict(gate=gate.name, verdict="inconclusive", sentence="nothing measured yet"))
        for gate in rollout.strategy.gates
    )
    seen = rollout.but(verdicts=current)
    failed = [verdict for verdict in current if verdict.verdict == "fail"]
    if failed:
        return _fail(state, seen, now, by, "; ".join(each.sentence or each.gate for each in failed))
    after = None
    if rollout.phase != "paused" and state.frozen is None:
        after = _judge(state, seen, now, requests, by)
    if after is None and [each.verdict for each in current] != [each.verdict for each in rollout.verdicts]:
        after = state.model_copy(
            update={"revision": state.revision + 1, "updated": now, "by": by, "rollout": seen}
        )
    return after or state


def _judge(state: Deployment, rollout: Rollout, now: float, requests: int, by: str) -> Deployment | None:
    """What follows from verdicts none of which is a fail; None: wait."""
    strategy = rollout.strategy
    step = strategy.steps[rollout.step]
    waited = now - rollout.since - step.seconds
    ready = waited >= 0 and requests >= step.samples
    without = not_passed(rollout)
    proceeds = strategy.on_inconclusive == "proceed"
    if ready and (not without or proceeds):
        reason = f"no verdict of {without}, and rolling does not wait" if without else "every gate passed"
        if step.manual or strategy.kind == "shadow":
            return _hold(state, rollout, now, by, f"{reason}; a person decides")
        return advance(state, rollout, now, by, reason, full=False)
    if strategy.max_wait and waited >= strategy.max_wait:
        reason = f"still no verdict of {without or _missing(step)} after {duration(strategy.max_wait)}"
        if strategy.on_inconclusive == "rollback":
            return give_up(state, now, by, reason, rollout)
        return _hold(state, rollout, now, by, reason)
    return None


def _fail(state: Deployment, rollout: Rollout, now: float, by: str, reason: str) -> Deployment:
    if rollout.strategy.on_fail == "freeze":
        rollout = rollout.but(phase="frozen", reason=reason)
        text = f"rollout of version {rollout.candidate} frozen where it is: {reason}"
        return changed(state, now, by, text, rollout=rollout)
    return give_up(state, now, by, reason, rollout)


def _hold(state: Deployment, rollout: Rollout, now: float, by: str, reason: str) -> Deployment:
    rollout = rollout.but(phase="paused", reason=reason)
    return changed(state, now, by, f"rollout of version {rollout.candidate} waits: {reason}", rollout=rollout)


def advance(state: Deployment, rollout: Rollout, now: float, by: str, reason: str, full: bool) -> Deployment:
    """To the next step, or to the end."""
    steps = rollout.strategy.steps
    place = rollout.step + 1
    if full or place >= len(steps) or steps[place].weight == 100:
        return finish(state, rollout, now, by, reason)
    rollout = rollout.but(step=place, since=now, verdicts=(), reason=reason)
    rollout = rollout.but(phase=running_phase(rollout))
    return changed(
        state, now, by, f"version {rollout.candidate}: {whereabouts(rollout)}, {reason}", rollout=rollout
    )


def finish(state: Deployment, rollout: Rollout, now: float, by: str, reason: str) -> Deployment:
    """The candidate becomes the champion; the old one stays loaded for a while."""
    return changed(
        state,
        now,
        by,
        f"version {rollout.candidate} is the champion: {reason}",
        champion=rollout.candidate,
        previous=state.champion or state.previous,
        keep_until=now + rollout.strategy.keep_seconds if state.champion else state.keep_until,
        rollout=ended(rollout, "done", reason),
    )


def give_up(
    state: Deployment, now: float, by: str, reason: str, rollout: Rollout | None = None
) -> Deployment:
    """The rollout is over and its candidate gets nothing any more, not by a flag either."""
    rollout = rollout or state.active
    assert rollout is not None
    flags, dropped = flags_without(state.flags, rollout.candidate)
    text = f"rollout of version {rollout.candidate} is over: {reason}"
    # The reason may be cut to its length; that flags were dropped may not.
    text = text[: 239 - len(dropped)] + dropped
    return changed(state, now, by, text, rollout=ended(rollout, "failed", reason), flags=flags)


def ended(rollout: Rollout, phase: Phase, reason: str) -> Rollout:
    """The rollout, over."""
    return rollout.but(phase=phase, reason=reason)


def flags_without(flags: Flags, version: str) -> tuple[Flags, str]:
    """Flags without the rules for a version, and the words for an event."""
    rules = tuple(rule for rule in flags.rules if rule.version != version)
    gone = len(flags.rules) - len(rules)
    if not gone:
        return flags, ""
    return flags.but(rules=rules), f"; {gone} flag rules for {version} removed"


def running_phase(rollout: Rollout) -> Phase:
    """The phase of a rollout that nothing holds."""
    if not rollout.loaded:
        return "loading"
    return "comparing" if rollout.strategy.steps[rollout.step].weight == 0 else "stepping"


def whereabouts(rollout: Rollout) -> str:
    """What the candidate gets now, in words."""
    if not rollout.loaded:
        return "it is being loaded"
    if rollout.mirrored:
        return "it gets copies of the traffic"
    return f"it gets {rollout.weight * 100:g} % of the traffic"


def not_passed(rollout: Rollout) -> str:
    """Names of the gates that have not passed."""
    passed = {verdict.gate for verdict in rollout.verdicts if verdict.verdict == "pass"}
    return ", ".join(gate.name for gate in rollout.strategy.gates if gate.name not in passed)


def _missing(step: Step) -> str:
    return f"{step.samples} requests"


def changed(state: Deployment, now: float, by: str, text: str, **update: Any) -> Deployment:
    """The next state: what is different, and one event."""
    event = Event(at=now, by=by, text=text)
    data = {
        **dict(state),
        **update,
        "revision": state.revision + 1,
        "updated": now,
        "by": event.by,
        "events": (*state.events, event)[-MOST_EVENTS:],
    }
    return Deployment.model_validate(data)
