"""Acts on a deployment, for the command line and the console alike: done one way, recorded one way.

An act that is not in the audit log did not go through here.
"""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blueprints.errors import Problem, UsageProblem

if TYPE_CHECKING:
    from mlops.serving.rollout.state import Deployment, Flags
    from mlops.tracking.entities import ModelVersion
    from tui.session import Session

#: Going back to what answered before, or holding still, never waits for a question.
UNASKED = frozenset({"rollback", "pause", "freeze"})


@dataclass(frozen=True)
class Done:
    """An act that was carried out.

    Attributes:
        model: Whose.
        after: The state now.
        seconds: How long it took, to the last replica that was told.
    """

    model: str
    after: Deployment
    seconds: float

    @property
    def said(self) -> str:
        """The sentence the gateway recorded of it."""
        return self.after.events[-1].text if self.after.events else ""

    def __str__(self) -> str:
        return f"{self.model}: {self.said} ({self.seconds * 1000:.0f} ms)"


def actor() -> str:
    """Who acts, as the state names them: ``ada@host``."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def act(
    session: Session, model: str, command: str, what: Mapping[str, Any], why: str, source: str = ""
) -> Done:
    """Do it on every replica, and record it.

    Args:
        session: The environment.
        model: Name of the registered model.
        command: ``deploy``, ``pause``, ``resume``, ``promote``, ``rollback``, ``freeze``, ``unfreeze``,
            ``shadow``, ``flag``.
        what: What the act takes: ``version``, ``strategy``, ``full``, ``flags``.
        why: The reason, for the audit log and, of a pause or a freeze, for others to read.
        source: ``console``; empty: the command line or CI.

    Raises:
        Problem: It is refused, in words, and nothing has changed.
    """
    before = state(session, model)
    began = time.monotonic()
    action = "flags" if command == "flag" else command
    after = session.gateway().act(model, action, by=actor(), why=why, **what)
    took = time.monotonic() - began
    session.record(
        f"deployment.{command}",
        target=f"{session.title}/{model}",
        source=source,
        before=told(before),
        after=told(after),
        why=why,
    )
    return Done(model, after, took)


def state(session: Session, model: str) -> Deployment | None:
    """The desired state of a model; None: nobody deployed it yet."""
    return next((each.desired for each in session.gateway().deployments() if each.model == model), None)


def told(state: Deployment | None) -> dict[str, Any]:
    """What of a state belongs in the audit log."""
    if state is None:
        return {}
    rollout = state.active
    return {
        "revision": state.revision,
        "champion": state.champion,
        "candidate": rollout.candidate if rollout else None,
        "strategy": rollout.strategy.to_text() if rollout else None,
        "step": rollout.step if rollout else None,
        "shadow": state.shadow,
        "frozen": state.frozen,
        "flags": state.flags.model_dump(mode="json"),
    }


def protected(session: Session) -> bool:
    """Whether an act takes the environment's name: as it was brought up, or as its spec has it now."""
    try:
        applied = session.environment().protected
    except Problem:
        applied = False
    return applied or session.spec().protected


def protected_by(session: Session) -> str:
    """The name that has to be typed before an act that is not :data:`UNASKED`; empty: none."""
    return session.environment_name if protected(session) else ""


@dataclass(frozen=True)
class Offer:
    """What a deployment of a model can choose from.

    Attributes:
        model: Name of the registered model.
        versions: Newest first.
        state: The desired state; an empty one when nobody deployed it yet.
        default: Text of the environment's own strategy.
        protected: The name to type; empty: none.
    """

    model: str
    versions: tuple[ModelVersion, ...]
    state: Deployment
    default: str
    protected: str

    @property
    def newest(self) -> str:
        """The version most likely meant: the newest that does not answer already."""
        others = [each.version for each in self.versions if each.version != self.state.champion]
        return others[0] if others else ""


def offer(session: Session, model: str) -> Offer:
    """Read what can be deployed. From the registry and the gateway: call it in a thread.

    Raises:
        Problem: One of them does not answer.
    """
    from mlops.serving.rollout.state import Deployment

    found = session.tracking().versions(model)
    return Offer(
        model,
        tuple(sorted(found, key=lambda each: int(each.version), reverse=True)),
        state(session, model) or Deployment(),
        session.spec().serving.strategy,
        protected_by(session),
    )


def changed_flags(flags: Flags, act: str, rule: str = "") -> Flags:
    """The flags after an act: ``on``, ``off``, ``add`` or ``remove`` a rule.

    Raises:
        UsageProblem: The rule is none, or none of theirs.
    """
    from mlops.serving.rollout.rules import EXPECTED, parse_rule, rule_text

    if act in ("on", "off"):
        return flags.but(on=act == "on")
    if not rule:
        raise UsageProblem(f"which rule to {act}?", where="flag", expected=EXPECTED)
    named = parse_rule(rule)
    rest = tuple(each for each in flags.rules if each != named)
    if act == "remove" and len(rest) == len(flags.rules):
        known = "; ".join(map(rule_text, flags.rules)) or "no rule at all"
        raise UsageProblem(f"no rule is {rule}", where="flag", expected=known)
    return flags.but(rules=(*rest, named) if act == "add" else rest)


def foreseen(
    state: Deployment, command: str, version: str = "", strategy: str = "", full: bool = False
) -> Deployment:
    """The state that an act would lead to, worked out here by the gateway's own rules; nothing is changed.

    Raises:
        Problem: The gateway would refuse it, in the words it would use.
    """
    from mlops.serving.rollout import machine
    from mlops.serving.rollout.strategy import parse

    now, by = time.time(), actor()
    match command:
        case "deploy":
            way = parse(strategy)
            # What can be measured is the gateway's to know; it says so when it is asked.
            sources = machine.ALWAYS | {gate.source for gate in way.gates}
            return machine.deploy(state, version, way, now=now, by=by, metrics=sources)
        case "promote":
            return machine.promote(state, now=now, by=by, full=full)
        case "rollback":
            return machine.rollback(state, now=now, by=by, to=version)
        case "shadow":
            return machine.set_shadow(state, version or None, now=now, by=by)
    raise ValueError(command)
