"""What the client makes of several replicas' rows."""

from __future__ import annotations

import time
from typing import Any

from mlops.serving.client import _summed
from mlops.serving.rollout import machine
from mlops.serving.rollout.state import Deployment, Verdict
from mlops.serving.rollout.strategy import parse


def rolling() -> Deployment:
    """Version 2 beside version 1, its first step begun."""
    now = time.time()
    first = machine.loaded(machine.deploy(Deployment(), "1", parse("rolling"), now=now, by="a"), "1", now=now)
    second = machine.deploy(first, "2", parse("canary"), now=now + 1, by="a")
    return machine.loaded(second, "2", now=now + 2)


def row(state: Deployment, **more: Any) -> dict[str, Any]:
    """A replica's row without arms."""
    return {
        **{"model": "m", "version": "1", "run_id": "", "since": "", "state": "serving", "reason": ""},
        **{"arms": [], "log_lag_rows": 0, "desired": state.model_dump(mode="json", exclude_defaults=True)},
        **more,
    }


def test_the_figures_of_the_step_are_those_of_the_replica_that_judges() -> None:
    seen = Verdict(gate="errors", verdict="inconclusive", needed=12, samples=38)
    step = {"requests": 38, "verdicts": [seen.model_dump(mode="json")]}
    state = rolling()
    found = _summed([row(state, step=None), row(state, step=step)])
    assert (found.verdicts, found.step_requests) == ((seen,), 38)


def test_figures_of_another_step_are_not_taken() -> None:
    before = rolling()
    after = machine.promote(before, now=time.time() + 5, by="a")
    old = {"requests": 900, "verdicts": []}
    found = _summed([row(before, step=old), row(after, step=None)])
    assert (found.verdicts, found.step_requests) == ((), None)


def test_a_gateway_that_hands_out_no_figures_leaves_those_of_the_state() -> None:
    state = rolling()
    assert state.rollout is not None
    kept = Verdict(gate="errors", verdict="pass")
    state = state.but(rollout=state.rollout.but(verdicts=(kept,)))
    found = _summed([row(state)])
    assert (found.verdicts, found.step_requests) == ((kept,), None)
