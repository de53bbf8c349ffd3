"""Which version answers a request: one immutable table a state, a comparison a request.

The arm's name goes into the log and the evidence. Requests that a flag or the caller sent somewhere are
arms of their own, because those callers are no random sample and would spoil the comparison of champion and
candidate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from mlops.serving.rollout.state import Deployment, FlagRule
from mlops.serving.rollout.weights import CHAMPION, EXPLICIT, FLAG, PREVIOUS, SHADOW, Table, table

_WHOLE = 1 << 64


@dataclass(frozen=True, slots=True)
class Route:
    """The version that answers, and why: champion, canary, challenger, flag, explicit, previous, shadow."""

    version: str
    arm: str


class Router:
    """A compiled state. Never changes: a gateway swaps the whole object, which is one atomic assignment.

    Args:
        state: The desired state.
        ready: Versions that are loaded here. Others get nothing: the candidate's share stays with the
            champion, flags for it do not apply, and while the champion itself is not there, the version
            before it answers.
        now: Seconds since the epoch.
    """

    __slots__ = (
        "_candidate",
        "_champion",
        "_limit",
        "_ready",
        "_rules",
        "_seed",
        "_weight",
        "shadow",
        "table",
    )

    def __init__(self, state: Deployment, ready: Collection[str], now: float) -> None:
        self.table: Table = table(state, now)
        self._ready = frozenset(ready)
        self._champion = self._fallback(state)
        self._candidate = self._champion
        self._weight, self._limit = 0.0, 0
        for arm in self.table.arms[1:]:
            if arm.version in self._ready:
                self._candidate = Route(arm.version, arm.name)
                self._weight, self._limit = arm.weight, int(arm.weight * _WHOLE)
        # A keyed hash costs a block more per caller; a state that has already eaten the id costs a copy.
        rollout = state.active.id if state.active else ""
        self._seed = hashlib.blake2b(f"{rollout}\0".encode(), digest_size=8)
        rules = state.flags.rules if state.flags.on else ()
        self._rules = tuple(
            (rule.attribute, _test(rule), Route(rule.version, FLAG))
            for rule in rules
            if rule.version in self._ready
        )
        shadow = self.table.shadow
        self.shadow = Route(shadow, SHADOW) if shadow and shadow in self._ready else None

    def _fallback(self, state: Deployment) -> Route | None:
        if state.champion in self._ready:
            return Route(str(state.champion), CHAMPION)
        if state.champion and state.previous in self._ready:
            return Route(str(state.previous), PREVIOUS)
        return None

    def choose(self, key: str, attributes: Mapping[str, str], random: float) -> Route | None:
        """The version for a request; None: none is loaded.

        Args:
            key: Requests with the same key get the same arm, and a candidate whose share grows loses none of
                its callers. Empty: dealt by ``random``.
            attributes: Of the request, for flags.
            random: Uniform in [0, 1).
        """
        for attribute, test, route in self._rules:
            value = attributes.get(attribute)
            if value is not None and test(value):
                return route
        if not self._limit:
            return self._champion
        if not key:
            return self._candidate if random < self._weight else self._champion
        seed = self._seed.copy()
        seed.update(key.encode("utf-8", "surrogatepass"))
        return self._candidate if int.from_bytes(seed.digest()) < self._limit else self._champion

    def explicit(self, version: str) -> Route | None:
        """The route to a version that the caller named; None: it is not loaded here."""
        return Route(version, EXPLICIT) if version in self._ready else None


def _test(rule: FlagRule) -> Callable[[str], bool]:
    if rule.op == "prefix":
        prefix = rule.values[0]
        return lambda value: value.startswith(prefix)
    if rule.op == "percent":
        limit = int((rule.percent or 0.0) / 100 * _WHOLE)
        seed = hashlib.blake2b(f"{rule.attribute}\0{rule.version}\0".encode(), digest_size=8)

        def share(value: str) -> bool:
            state = seed.copy()
            state.update(value.encode("utf-8", "surrogatepass"))
            return int.from_bytes(state.digest()) < limit

        return share
    return frozenset(rule.values).__contains__
