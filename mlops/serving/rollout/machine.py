"""What may happen to a deployment: each function takes a state and returns the next one, or refuses.

Every function is pure; ``now`` is seconds since the epoch. A new state has ``revision`` + 1 and, but for mere
verdicts, one more event that names who did it. A refusal is a :class:`Problem` in one sentence, and nothing
has changed. What reports facts (:func:`loaded`, :func:`load_failed`, :func:`alias_moved`, :func:`tick`)
returns the very same object when there is nothing to do.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from blueprints.errors import ExitCode, Problem
from mlops.serving.rollout.progress import (
    MACHINE,
    advance,
    changed,
    ended,
    finish,
    flags_without,
    give_up,
    not_passed,
    running_phase,
    tick,
    whereabouts,
)
from mlops.serving.rollout.state import Deployment, Event, Flags, Rollout, rollout_id
from mlops.serving.rollout.strategy import Strategy

__all__ = [
    "ALWAYS",
    "GATEWAYS",
    "alias_moved",
    "deploy",
    "freeze",
    "load_failed",
    "loaded",
    "pause",
    "promote",
    "resume",
    "rollback",
    "set_flags",
    "set_shadow",
    "tick",
    "unfreeze",
]

#: What every gateway can tell about every model. Others depend on labels, business metrics, own processes.
ALWAYS = frozenset({"errors", "latency", "contract", "drift"})
#: What a gateway can tell without asking anybody; memory of versions with a process of their own only.
GATEWAYS = ALWAYS | {"memory"}
#: How long a champion that was rolled back stays loaded, seconds.
KEEP_AFTER_ROLLBACK = 3600.0
#: Characters: with these, the state fits its tag whatever else happens.
_MOST_FLAGS = 1_500
_MOST_STRATEGY = 600


def deploy(
    state: Deployment,
    version: str,
    strategy: Strategy,
    *,
    now: float,
    by: str,
    versions: Collection[str] | None = None,
    metrics: Collection[str] = ALWAYS,
    origin: str = "command",
) -> Deployment:
    """Begin to replace the champion by ``version``. It gets no traffic before :func:`loaded`.

    Args:
        versions: The versions the model has; None: not known, any is taken.
        metrics: What can be measured here, as :attr:`Gate.source` names it.
    """
    _refuse_deploy(state, version, strategy, versions, metrics)
    rollout = Rollout.model_validate(
        {
            "id": rollout_id(state.revision, version, now),
            "candidate": version,
            "strategy": strategy,
            "origin": origin,
            "by": by,
            "since": now,
            "started": now,
        }
    )
    text = f"version {version} is to replace {state.champion}: {strategy.to_text()}"
    if not state.champion:
        text = (
            f"version {version} is the first one: it answers once it is loaded, with nothing to compare it to"
        )
    update: dict[str, Any] = {"rollout": rollout}
    if state.shadow == version:
        update["shadow"] = None
        text += ", and is no standing shadow any more"
    return changed(state, now, by, text, **update)


def _refuse_deploy(
    state: Deployment,
    version: str,
    strategy: Strategy,
    versions: Collection[str] | None,
    metrics: Collection[str],
) -> None:
    _refuse_frozen(state, f"deploy version {version}")
    if state.active:
        raise _refusal(
            f"version {state.active.candidate} is being rolled out, one at a time",
            "wait, or modelyard promote or rollback first",
        )
    _refuse_unknown(version, versions)
    if version == state.champion:
        raise _refusal(f"version {version} is the champion already")
    if state.shadow not in (None, version) and strategy.mirrors:
        raise _refusal(
            f"version {state.shadow} gets the copies of the traffic that {strategy.kind} needs",
            "modelyard shadow off first",
        )
    size = len(strategy.to_text())
    if size > _MOST_STRATEGY:
        raise _refusal(f"the strategy takes {size} characters, the registry has room for {_MOST_STRATEGY}")
    if state.champion:
        _refuse_blind(strategy, metrics)


def loaded(state: Deployment, version: str, *, now: float, by: str = MACHINE) -> Deployment:
    """The candidate has passed readiness on every replica: its first step begins."""
    rollout = state.active
    if not rollout or rollout.candidate != version or rollout.loaded:
        return state
    rollout = rollout.but(loaded=True, since=now)
    if not state.champion:
        # A person may have paused it, but a model with no champion answers nobody: the pause is over.
        return finish(state, rollout, now, by, "the first version, with nothing to compare it to")
    if rollout.phase == "paused":
        return changed(state, now, by, f"version {version} is loaded, the rollout is paused", rollout=rollout)
    rollout = rollout.but(phase=running_phase(rollout))
    return changed(state, now, by, f"version {version} is loaded: {whereabouts(rollout)}", rollout=rollout)


def load_failed(state: Deployment, version: str, reason: str, *, now: float, by: str = MACHINE) -> Deployment:
    """The candidate cannot be loaded, or does not stay up: the rollout is over, whatever ``on_fail`` says,
    because a version that is not there can hold no traffic."""
    rollout = state.active
    if not rollout or rollout.candidate != version:
        return state
    return give_up(state, now, by, f"version {version} cannot be served: {reason}")


def pause(state: Deployment, *, now: float, by: str, reason: str = "") -> Deployment:
    """Hold the rollout where it is; its gates are judged all the same, and a failed one still counts."""
    rollout = _active(state, "pause")
    if rollout.phase in ("paused", "frozen"):
        raise _refusal(f"the rollout of version {rollout.candidate} is {rollout.phase} already")
    why = reason or f"paused by {by}"
    rollout = rollout.but(phase="paused", reason=why)
    return changed(state, now, by, f"rollout of version {rollout.candidate} paused: {why}", rollout=rollout)


def resume(state: Deployment, *, now: float, by: str) -> Deployment:
    """Go on from a pause, or in spite of a gate that froze the rollout. The step's evidence starts anew."""
    rollout = _active(state, "resume")
    if rollout.phase not in ("paused", "frozen"):
        raise _refusal(f"the rollout of version {rollout.candidate} is not paused")
    spite = f" in spite of: {rollout.reason}" if rollout.phase == "frozen" else ""
    rollout = rollout.but(phase=running_phase(rollout), since=now, reason="", verdicts=())
    return changed(
        state,
        now,
        by,
        f"rollout of version {rollout.candidate} goes on{spite}: {whereabouts(rollout)}",
        rollout=rollout,
    )


def promote(state: Deployment, *, now: float, by: str, full: bool = False) -> Deployment:
    """A person moves the rollout one step on, or to its end, whatever the gates say; recorded as such."""
    rollout = _active(state, "promote")
    _refuse_frozen(state, f"promote version {rollout.candidate}")
    if not rollout.loaded:
        raise _refusal(
            f"version {rollout.candidate} is not loaded yet, callers would wait for it",
            "try again in a moment",
            ExitCode.RETRY,
        )
    without = not_passed(rollout)
    reason = f"promoted by {by}" + (f" without a pass of {without}" if without else "")
    return advance(state, rollout, now, by, reason, full)


def rollback(
    state: Deployment, *, now: float, by: str, to: str = "", versions: Collection[str] | None = None
) -> Deployment:
    """All traffic back at once: from the candidate, or else from the champion to the one before, or to any
    version. Never refused because the model is frozen. Flag rules for what was rolled back go with it."""
    rollout = state.active
    if rollout and to == rollout.candidate:
        raise _refusal(f"version {to} is being rolled out, it is not what was before", "modelyard promote")
    if rollout and to in ("", state.champion):
        return give_up(state, now, by, f"rolled back by {by}")
    if not state.champion:
        raise _refusal("no version was deployed yet", "modelyard deploy")
    goal = to or state.previous
    if not goal:
        raise _refusal("there is no earlier version", "name one: modelyard rollback MODEL --to VERSION")
    if goal == state.champion:
        raise _refusal(f"version {goal} is the champion already")
    _refuse_unknown(goal, versions)
    left = state.champion
    flags, dropped = flags_without(state.flags, left)
    update: dict[str, Any] = {
        "champion": goal,
        "previous": left,
        "keep_until": now + KEEP_AFTER_ROLLBACK,
        "flags": flags,
    }
    text = f"rolled back from version {left} to {goal}{dropped}"
    if rollout:
        update["rollout"] = ended(rollout, "failed", f"rolled back to {goal} by {by}")
        text += f"; the rollout of version {rollout.candidate} is over"
        update["flags"], dropped = flags_without(flags, rollout.candidate)
        text += dropped
    if state.shadow == goal:
        update["shadow"] = None
    return changed(state, now, by, text, **update)


def freeze(state: Deployment, reason: str, *, now: float, by: str) -> Deployment:
    """Nothing is deployed or promoted until :func:`unfreeze`; a rollout holds its step. Rollbacks go on."""
    if not reason.strip():
        raise _refusal("a freeze needs a reason that others can read")
    reason = reason.strip()[:200]
    return changed(state, now, by, f"frozen: {reason}", frozen=reason)


def unfreeze(state: Deployment, *, now: float, by: str) -> Deployment:
    """Deployments and promotions are allowed again."""
    if state.frozen is None:
        raise _refusal("the model is not frozen")
    return changed(state, now, by, f"no longer frozen ({state.frozen})", frozen=None)


def set_shadow(
    state: Deployment,
    version: str | None,
    *,
    now: float,
    by: str,
    versions: Collection[str] | None = None,
) -> Deployment:
    """Give copies of all traffic to ``version`` until told otherwise; None: to nobody."""
    if version is None:
        if state.shadow is None:
            raise _refusal("there is no shadow")
        return changed(state, now, by, f"version {state.shadow} gets no more copies", shadow=None)
    _refuse_unknown(version, versions)
    if not state.champion or version == state.champion:
        what = f"version {version} is the champion" if state.champion else "no version answers yet"
        raise _refusal(f"{what}, a shadow runs beside one")
    if state.active and (state.active.candidate == version or state.active.strategy.mirrors):
        raise _refusal(
            f"version {state.active.candidate} is being rolled out and is what the copies are for",
            "wait until the rollout is over",
        )
    return changed(state, now, by, f"version {version} gets copies of the traffic", shadow=version)


def set_flags(
    state: Deployment,
    flags: Flags,
    *,
    now: float,
    by: str,
    versions: Collection[str] | None = None,
) -> Deployment:
    """Set the rules by which attributes of a request choose the version, and their switch."""
    if not state.champion:
        raise _refusal("no version answers yet, flags choose between versions", "modelyard deploy")
    if flags.on and flags != state.flags:
        _refuse_frozen(state, "turn flags on or change their rules")
    for rule in flags.rules:
        _refuse_unknown(rule.version, versions)
    data = flags.model_dump(mode="json", exclude_defaults=True)
    size = len(json.dumps(data, separators=(",", ":"), ensure_ascii=False))
    if size > _MOST_FLAGS:
        raise _refusal(f"the rules take {size} characters, the registry has room for {_MOST_FLAGS}")
    text = f"flags {'on' if flags.on else 'off'}, {len(flags.rules)} rules"
    return changed(state, now, by, text, flags=flags)


def alias_moved(
    state: Deployment,
    version: str | None,
    default: Strategy,
    *,
    now: float,
    by: str = "an MLflow client",
    versions: Collection[str] | None = None,
    metrics: Collection[str] = ALWAYS,
) -> Deployment:
    """A plain MLflow client moved the alias ``champion``: honoured with the default strategy.

    A rollout in progress ends, with that as its reason. What cannot be honoured (a frozen model, an unknown
    version, the alias deleted) is recorded; the caller puts the alias back to ``champion``.
    """
    rollout = state.active
    if version == state.champion or (rollout and rollout.origin == "alias" and rollout.candidate == version):
        return state
    what = (
        f"the alias champion was moved to version {version}" if version else "the alias champion was deleted"
    )
    try:
        if not version:
            raise _refusal("a model keeps its champion")
        _refuse_frozen(state, f"deploy version {version}")
        free = give_up(state, now, by, what) if rollout else state
        after = deploy(
            free, version, default, now=now, by=by, versions=versions, metrics=metrics, origin="alias"
        )
    except Problem as problem:
        text = f"{what} by hand, not honoured: {problem.what}"
        # The same look every 2 s must not fill the events with one sentence.
        repeated = bool(state.events) and state.events[-1].text == Event(at=now, by=by, text=text).text
        return state if repeated else changed(state, now, by, text)
    return after


def _active(state: Deployment, verb: str) -> Rollout:
    if not state.active:
        raise _refusal(f"there is no rollout to {verb}", "modelyard deploy MODEL@VERSION")
    return state.active


def _refuse_frozen(state: Deployment, what: str) -> None:
    if state.frozen is not None:
        raise _refusal(
            f"the model is frozen ({state.frozen}): cannot {what}", "modelyard unfreeze, when it may be"
        )


def _refuse_unknown(version: str, versions: Collection[str] | None) -> None:
    if versions is not None and version not in versions:
        raise _refusal(f"the model has no version {version}", "modelyard models")


def _refuse_blind(strategy: Strategy, metrics: Collection[str]) -> None:
    blind = [gate for gate in strategy.gates if gate.source not in metrics]
    if blind:
        names = ", ".join(f"{gate.name} (needs {_NEEDS.get(gate.source, gate.source)})" for gate in blind)
        raise _refusal(
            f"nothing here measures what these gates ask: {names}",
            f"choose gates that can be decided: {', '.join(sorted(metrics))}",
        )


_NEEDS = {"memory": "versions with processes of their own, serving.isolation"}


def _refusal(what: str, todo: str = "", code: ExitCode = ExitCode.FAILED) -> Problem:
    return Problem(what, todo=todo, code=code)
