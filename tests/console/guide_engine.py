"""A stand-in for the engine in tests of the guide's steps: the same interface and events, no processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import ClassVar

from blueprints.cost import Estimate
from blueprints.errors import ExitCode, Problem
from blueprints.layers import Layer
from stacks.engine.events import (
    Diagnostic,
    Event,
    Outcome,
    Phase,
    Plan,
    ResourceFailed,
    ResourceFinished,
    ResourceStarted,
    Step,
    Verb,
)
from stacks.policy.results import PolicyResult
from stacks.project import Project


def step(kind: str, name: str, layer: Layer, verb: Verb = Verb.CREATE, stateful: bool = False) -> Step:
    """A step as the engine reports it."""
    urn = f"urn:pulumi:dev::yard::modelyard:local:{kind}::{name}"
    detail = (("name", "", name), ("port", "", "a free one, kept"))
    return Step(urn, kind, name, layer, verb, stateful, because=f"{layer}.kind", detail=detail)


STEPS = (
    step("secret", "tracking-password", Layer.ACCESS),
    step("port", "tracking-port", Layer.NETWORK),
    step("cluster", "postgres", Layer.DATABASE, stateful=True),
    step("database", "tracking", Layer.DATABASE, stateful=True),
    step("bucket", "artifacts", Layer.STORAGE, stateful=True),
    step("bucket", "data", Layer.STORAGE, stateful=True),
    step("service", "tracking", Layer.TRACKING),
    step("service", "gateway", Layer.SERVING),
    step("service", "monitor", Layer.MONITORING),
)


class FakeEngine:
    """Plans and "builds" :data:`STEPS`; holds before the step named ``hold`` until ``release`` is set."""

    plan: ClassVar[tuple[Step, ...]] = STEPS
    cost: ClassVar[Estimate | None] = None
    policy: ClassVar[tuple[PolicyResult, ...]] = ()
    hold: ClassVar[str] = ""
    fail: ClassVar[str] = ""
    preview_problem: ClassVar[Problem | None] = None
    release: ClassVar[threading.Event] = threading.Event()
    holding: ClassVar[threading.Event] = threading.Event()
    calls: ClassVar[list[str]] = []

    @classmethod
    def reset(cls) -> None:
        """As new."""
        cls.policy = ()
        cls.plan, cls.hold, cls.fail, cls.preview_problem, cls.calls = STEPS, "", "", None, []
        cls.cost = None
        cls.release, cls.holding = threading.Event(), threading.Event()

    def __init__(self, project: Project, environment: str, on_event: Callable[[Event], object]) -> None:
        self.project, self.environment, self.say = project, environment, on_event
        self.cancelled = threading.Event()

    def preview(self) -> Plan:
        """The plan, or the problem that was set."""
        self.calls.append("preview")
        self.say(Phase("preview", "looking at what is there and what would change", 3.0))
        if self.preview_problem is not None:
            raise self.preview_problem
        return Plan(self.project.name, self.environment, self.plan, 0.1, cost=self.cost, policy=self.policy)

    def up(self, plan: Plan | None = None) -> Outcome:
        """Every step, one after the other."""
        self.calls.append("up")
        self.say(Phase("update", "bringing the environment up", 12.0))
        for one in self.plan:
            self.say(ResourceStarted(one, 4.0))
            if one.name == self.hold:
                self.holding.set()
                # Bounded: a test that fails while we hold must end, not hang on this thread.
                deadline = time.monotonic() + 20
                while not self.release.wait(0.02) and time.monotonic() < deadline:
                    if self.cancelled.is_set():
                        raise Problem("it was cancelled", todo="modelyard up", code=ExitCode.INTERRUPTED)
            if one.name == self.fail:
                self.say(ResourceFailed(one, 1.0))
                self.say(Diagnostic("error", "port 5000 is in use by postgres, pid 812", one.urn))
                raise Problem(
                    "port 5000 is in use by postgres, pid 812",
                    where=f"service {one.name}",
                    todo="end that process, then press r",
                )
            self.say(ResourceFinished(one, 0.4))
        return Outcome("up", self.plan, 2.0)

    def cancel(self) -> None:
        """Stop at the next chance."""
        self.calls.append("cancel")
        self.cancelled.set()
