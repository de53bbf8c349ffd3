"""Deployments in every situation a page has to show; the entities are the real ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mlops.serving.client import Arm, Deployment
from mlops.serving.rollout import machine
from mlops.serving.rollout.rules import parse_rule
from mlops.serving.rollout.state import Deployment as Desired
from mlops.serving.rollout.state import Flags, Verdict
from mlops.serving.rollout.strategy import parse

_DAY = 86_400.0
_WHO = "ada@dune"
WAY = "canary:5@2m,10@2m,25@2m+500n,50@2m,100"


def arm(name: str, version: str, weight: float, requests: int = 1200, **more: object) -> Arm:
    """An arm that is well."""
    made = Arm(
        *(name, version, weight, "serving", "", "onnx", requests, requests * 3),
        *({"model": 2} if requests > 100 else {}, weight * 120, 1.04, 3.1, 7.9),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def deployed(model: str, desired: Desired, arms: tuple[Arm, ...], **more: object) -> Deployment:
    """A served model with these arms."""
    answering = [each for each in arms if each.name != "shadow"]
    made = Deployment(
        model=model,
        version=desired.champion or "",
        alias="champion",
        run_id="4f0c2a9be1d84c6f8a7f1f0f5c3e2b1a",
        state="serving",
        reason="",
        since=(datetime.now(UTC) - timedelta(days=3)).isoformat(),
        requests=sum(each.requests for each in answering),
        rows=sum(each.rows for each in answering),
        errors=sum(each.failed for each in answering),
        rate_per_second=sum(each.rate_per_second for each in answering),
        p50_ms=1.04,
        p95_ms=3.1,
        p99_ms=7.9,
        log_lag_rows=12,
        replicas=2,
        arms=arms,
        desired=desired,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def answering(version: str = "7", previous: str | None = "6") -> Desired:
    """A champion three days old."""
    now = time.time()
    first = machine.deploy(Desired(), previous or version, parse("rolling"), now=now - 9 * _DAY, by=_WHO)
    first = machine.loaded(first, previous or version, now=now - 9 * _DAY)
    if not previous:
        return first
    second = machine.deploy(first, version, parse("rolling"), now=now - 3 * _DAY, by=_WHO)
    second = machine.loaded(second, version, now=now - 3 * _DAY)
    return machine.promote(second, now=now - 3 * _DAY + 40, by=_WHO, full=True)


def champion(model: str = "delay") -> Deployment:
    """One version, nothing under way."""
    return deployed(model, answering(), (arm("champion", "7", 1.0, 41_802),))


def verdicts() -> tuple[Verdict, ...]:
    """Two passed, one has not enough, one is not measured."""
    return (
        Verdict(
            gate="errors",
            verdict="pass",
            value=0.0001,
            low=-0.004,
            high=0.011,
            tolerance=0.02,
            samples=388,
            sentence="errors: 0.03 % of 388 requests against 0.02 % of 1,164,"
            " worse by -0.4 % to 1.1 %, tolerated 2 %",
        ),
        Verdict(
            gate="latency",
            verdict="inconclusive",
            value=0.05,
            low=-0.21,
            high=0.62,
            tolerance=0.4,
            samples=388,
            needed=412,
            sentence="latency: 3.2 ms of 388 requests against 3.05 ms of 1,164, worse by -21 % to 62 %,"
            " tolerated 40 %; needs about 412 more",
        ),
        Verdict(
            gate="contract",
            verdict="pass",
            value=0.0,
            low=-0.006,
            high=0.009,
            tolerance=0.02,
            samples=388,
            sentence="contract: 0 % of 388 requests against 0 % of 1,164,"
            " worse by -0.6 % to 0.9 %, tolerated 2 %",
        ),
        Verdict(
            gate="drift",
            verdict="inconclusive",
            tolerance=0.2,
            sentence="drift: nothing measured of the candidate yet",
        ),
    )


def rolling_out(step: int = 2, strategy: str = WAY) -> Desired:
    """Version 8 at a step of a canary."""
    now = time.time()
    made = machine.deploy(answering(), "8", parse(strategy), now=now - 400, by="grace@hopper")
    made = machine.loaded(made, "8", now=now - 396)
    for at in range(step):
        made = machine.promote(made, now=now - 300 + 100 * at, by="grace@hopper")
    assert made.rollout is not None
    return made.but(rollout=made.rollout.but(verdicts=verdicts()))


def canary(model: str = "delay") -> Deployment:
    """In the middle: step 3 of 5."""
    arms = (
        arm("champion", "7", 0.75, 41_802),
        arm("canary", "8", 0.25, 388, errors={"model": 3, "contract": 1}, kind="native"),
    )
    return deployed(model, rolling_out(), arms, verdicts=verdicts(), step_requests=388)


def failed(model: str = "delay") -> Deployment:
    """A rollout that a gate sent back."""
    bad = verdicts()[1].but(
        verdict="fail",
        needed=None,
        value=4.2,
        low=2.9,
        high=5.8,
        sentence="latency: 16 ms of 388 requests against 3.05 ms of 1,164,"
        " worse by 290 % to 580 %, tolerated 40 %",
    )
    state = rolling_out(1)
    after = machine.tick(state, time.time() - 30, [verdicts()[0], bad, verdicts()[2], verdicts()[3]], 388)
    assert after.rollout is not None
    return deployed(model, after, (arm("champion", "7", 1.0, 41_802),), verdicts=after.rollout.verdicts)


def frozen(model: str = "delay") -> Deployment:
    """Frozen, with flags that are off."""
    flags = Flags(on=False, rules=(parse_rule("tier=gold,silver:6"), parse_rule("user%10:6")))
    state = machine.set_flags(answering(), flags, now=time.time() - 300, by=_WHO)
    state = machine.freeze(
        state, "audit week, ask ada before anything changes", now=time.time() - 200, by=_WHO
    )
    return deployed(
        model,
        state,
        (arm("champion", "7", 1.0, 41_802), arm("flag", "6", 0.0, 12)),
        state="degraded",
        reason="the prediction log does not reach its storage: 12 rows wait on this disk",
    )


def shadowed(model: str = "delay") -> Deployment:
    """A standing shadow beside flags."""
    state = machine.set_shadow(answering(), "9", now=time.time() - 300, by=_WHO)
    state = machine.set_flags(
        state, Flags(rules=(parse_rule("tier=gold:6"),)), now=time.time() - 200, by=_WHO
    )
    shadow = arm("shadow", "9", 0.0, 12_804, dropped=31, difference=0.0312, kind="isolated", errors={})
    return deployed(model, state, (arm("champion", "7", 1.0, 41_802), arm("flag", "6", 0.0, 12), shadow))


def first(model: str = "delay") -> Deployment:
    """The first version of a model, not loaded yet."""
    state = machine.deploy(Desired(), "1", parse("rolling"), now=time.time() - 5, by=_WHO)
    arms = (arm("candidate", "1", 0.0, 0, state="loading", kind=""),)
    return deployed(model, state, arms, version="1", state="loading", since="")


def sixteen() -> Iterator[Deployment]:
    """Sixteen models in all situations."""
    makers = (champion, canary, failed, frozen, shadowed, first)
    for at in range(16):
        yield makers[at % len(makers)](f"model-{at:02}-of-{('flights', 'claims', 'fraud')[at % 3]}")
