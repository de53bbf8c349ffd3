"""Which arm answers: the compiled states of all models, swapped whole."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from random import random

from mlops.serving.fleet import Key
from mlops.serving.gateway.ports import Choice, Refusal
from mlops.serving.rollout.router import Route, Router
from mlops.serving.rollout.state import Deployment
from mlops.serving.rows import Call, Runtime
from mlops.serving.shadow import Record, Shadow
from mlops.serving.traffic import Lane, Traffic


class _Model:
    """One model's router, and what its routes mean here."""

    __slots__ = ("_arms", "_model", "_runtimes", "_traffic", "router", "shadow")

    def __init__(
        self,
        model: str,
        router: Router,
        runtimes: Mapping[str, Runtime],
        traffic: Traffic,
        shadow: Shadow | None,
    ) -> None:
        self._model, self.router, self._runtimes, self._traffic = model, router, runtimes, traffic
        self.shadow = shadow
        self._arms: dict[Route, Choice] = {}

    def choice(self, route: Route) -> Choice:
        """The arm of a route, made when it is first taken."""
        found = self._arms.get(route)
        if found is None:
            lane = Lane(self._model, route.version, route.arm)
            mirror = self.shadow.mirror if self.shadow else None
            found = Choice(self._runtimes[route.version], route.arm, self._traffic.evidence(lane), mirror)
            self._arms[route] = found
        return found


class Routing:
    """Implements the gateway's ``Router``. Reading it is one look into a dictionary that never changes.

    Args:
        traffic: Where arms are counted.
        record: Writes the answers of shadows to the log.
    """

    def __init__(self, traffic: Traffic, record: Record) -> None:
        self._traffic, self._record = traffic, record
        self._models: Mapping[str, _Model] = {}
        self._shadows: dict[Key, Shadow] = {}
        #: Why models that are wanted have nobody to answer, by model.
        self.absent: Mapping[str, str] = {}
        self._fault = "the gateway has not looked at its models yet"
        self._blind = "it was not asked yet"

    def swap(
        self, states: Mapping[str, Deployment], loaded: Mapping[Key, Runtime], absent: Mapping[str, str]
    ) -> None:
        """Deal by these states from now on.

        Args:
            absent: Why a model has nobody to answer, for callers.
        """
        now = time.time()
        made: dict[str, _Model] = {}
        shadows: dict[Key, Shadow] = {}
        for model, state in states.items():
            runtimes = {version: each for (name, version), each in loaded.items() if name == model}
            router = Router(state, runtimes, now)
            shadow = None
            if router.shadow:
                key = (model, router.shadow.version)
                shadow = shadows[key] = self._shadow(key, runtimes[router.shadow.version])
            made[model] = _Model(model, router, runtimes, self._traffic, shadow)
        self._models, self._shadows, self.absent = made, shadows, absent

    def _shadow(self, key: Key, runtime: Runtime) -> Shadow:
        known = self._shadows.get(key)
        if known is not None and known.runtime is runtime:
            return known
        return Shadow(runtime, self._traffic.evidence(Lane(*key, "shadow")), self._record)

    def shadow(self, model: str) -> Shadow | None:
        """The shadow of a model, if it has one now."""
        entry = self._models.get(model)
        return entry.shadow if entry else None

    def choose(self, model: str, call: Call, version: str | None) -> Choice | Refusal:
        """The arm for a call; see the gateway's ``Router``."""
        entry = self._models.get(model)
        if entry is None:
            if self._blind:
                return Refusal(503, f"the registry is not reachable: {self._blind}")
            return Refusal(404, f"no model {model} has the alias champion; modelyard models")
        if version is None:
            route = entry.router.choose(call.key, call.attributes, random())
            if route is not None:
                return entry.choice(route)
            return Refusal(503, self.absent.get(model) or f"{model} is being loaded")
        route = entry.router.explicit(version)
        if route is None:
            return Refusal(404, f"version {version} of {model} is not served; modelyard deployments")
        return entry.choice(route)

    def served(self) -> Sequence[Choice]:
        """The champion of each model, and every other version that is loaded."""
        found = []
        for entry in self._models.values():
            first = entry.router.choose("", {}, 1.0)
            found += [entry.choice(first)] if first else []
            found += [entry.choice(route) for route in self._others(entry, first)]
        return found

    def _others(self, entry: _Model, first: Route | None) -> Collection[Route]:
        arms = [Route(arm.version, arm.name) for arm in entry.router.table.arms]
        if entry.router.shadow:
            arms.append(entry.router.shadow)
        ready = [route for route in arms if entry.router.explicit(route.version)]
        return [route for route in ready if not first or route.version != first.version]

    def settled(self, fault: str, blind: str) -> None:
        """What keeps this gateway from being ready, and from knowing every model; empty: nothing."""
        self._fault, self._blind = fault, blind

    def fault(self) -> str:
        """Why this gateway is not ready; empty: it is."""
        return self._fault
