"""What a person may ask of a deployment, by the name of the action."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from blueprints.errors import UsageProblem
from mlops.serving.rollout import machine
from mlops.serving.rollout.state import Deployment, Flags
from mlops.serving.rollout.strategy import Strategy, parse


@dataclass(frozen=True)
class Act:
    """An action with everything that had to be asked of others, so that what follows waits for nobody.

    Attributes:
        what: What came with it: ``version``, ``strategy``, ``flags``, ``full``.
        strategy: Of a deployment.
        versions: The versions of the model; None: the registry does not answer, and any is taken.
        metrics: What can be measured for the model.
    """

    action: str
    what: Mapping[str, Any]
    by: str
    why: str
    strategy: Strategy
    versions: Collection[str] | None
    metrics: Collection[str]

    @property
    def version(self) -> str:
        """The version that was named; empty: none."""
        return str(self.what.get("version") or "")

    def on(self, state: Deployment) -> Deployment:
        """The state that follows.

        Raises:
            Problem: It is refused, in words.
        """
        if self.action not in _ACTIONS:
            raise UsageProblem(f"no action is called {self.action!r}", where="deployments")
        return _ACTIONS[self.action](state, self, time.time())


def measurable(
    strategy: Strategy, here: Collection[str], metrics: Callable[[], Collection[str]]
) -> Collection[str]:
    """What a strategy's gates may count on; the storage is asked only when they need what is in it, because
    it may be away.

    Args:
        here: What the gateway itself can tell of the champion.
        metrics: What the storage has, too.
    """
    if all(gate.source in machine.GATEWAYS for gate in strategy.gates):
        return here
    return {*here, *metrics()}


def strategy_of(what: Mapping[str, Any], default: Strategy) -> Strategy:
    """The strategy that was named.

    Raises:
        Problem: It is none.
    """
    text = str(what.get("strategy") or "")
    return parse(text) if text else default


def _deploy(state: Deployment, act: Act, now: float) -> Deployment:
    return machine.deploy(
        state, act.version, act.strategy, now=now, by=act.by, versions=act.versions, metrics=act.metrics
    )


def _shadow(state: Deployment, act: Act, now: float) -> Deployment:
    return machine.set_shadow(state, act.version or None, now=now, by=act.by, versions=act.versions)


def _flags(state: Deployment, act: Act, now: float) -> Deployment:
    flags = Flags.model_validate(act.what.get("flags"))
    return machine.set_flags(state, flags, now=now, by=act.by, versions=act.versions)


_ACTIONS: Mapping[str, Callable[[Deployment, Act, float], Deployment]] = {
    "deploy": _deploy,
    "pause": lambda state, act, now: machine.pause(state, now=now, by=act.by, reason=act.why),
    "resume": lambda state, act, now: machine.resume(state, now=now, by=act.by),
    "promote": lambda state, act, now: machine.promote(
        state, now=now, by=act.by, full=bool(act.what.get("full"))
    ),
    "rollback": lambda state, act, now: machine.rollback(
        state, now=now, by=act.by, to=act.version, versions=act.versions
    ),
    "freeze": lambda state, act, now: machine.freeze(state, act.why, now=now, by=act.by),
    "unfreeze": lambda state, act, now: machine.unfreeze(state, now=now, by=act.by),
    "shadow": _shadow,
    "flags": _flags,
}
