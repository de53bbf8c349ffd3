"""A version that eats memory harms itself: it has a process of its own, and its rollout goes back."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.mlops.serving.load import steady
from tests.mlops.serving.versions import MODEL, act, over, register, state
from tests.mlops.yard import opened, until

_SPEC = {"serving": {"trust_pickle": True, "memory_mb": 500, "log": {"commit_seconds": 0.5}}}


@pytest.mark.timeout(400)
def test_a_leaking_version_is_rolled_back_and_the_gateway_keeps_its_memory(tmp_path: Path) -> None:
    with opened(tmp_path, _SPEC) as yard, yard.serving() as gateway:
        register(yard)
        yard.tracking.set_alias(MODEL, "champion", "1")
        until(lambda: state(yard).champion == "1")
        version = register(yard, leak=40)
        serving = yard.environment.serving
        assert serving is not None
        with steady(serving.url, serving.token.get_secret_value(), MODEL, clients=2) as load:
            # What the first commits of the log import is in memory then.
            until(lambda: len(load.ids) > 100 and yard.gateway.deployment(MODEL).log_lag_rows < 50)
            load.since(3.0)
            before = psutil.Process(gateway.pid).memory_info().rss
            act(yard, "deploy", version=version, strategy="canary:50,100,gates=errors:0.1")
            after = over(yard, 200)
            assert after.champion == "1"
            assert after.rollout is not None
            assert after.rollout.phase == "failed"
            until(lambda: set(load.since(0.5)) == {"1"}, 20)
        arms = {arm.version: arm for arm in yard.gateway.deployment(MODEL).arms}
        assert arms["1"].kind == "isolated"
        assert arms["1"].failed == 0
        assert psutil.Process(gateway.pid).memory_info().rss - before < 100 * 1024 * 1024


@pytest.mark.timeout(400)
def test_the_memory_gate_tells_a_leak_from_a_steady_version_before_any_limit(tmp_path: Path) -> None:
    spec = {"serving": {**_SPEC["serving"], "memory_mb": 6000}}
    with opened(tmp_path, spec) as yard, yard.serving():
        register(yard)
        yard.tracking.set_alias(MODEL, "champion", "1")
        until(lambda: state(yard).champion == "1")
        serving = yard.environment.serving
        assert serving is not None
        with steady(serving.url, serving.token.get_secret_value(), MODEL, clients=2) as load:
            until(lambda: len(load.ids) > 50)
            act(yard, "deploy", version=register(yard), strategy="canary:50,100,gates=memory")
            good = over(yard, 200)
            assert good.champion == "2", good.rollout
            act(yard, "deploy", version=register(yard, leak=4), strategy="canary:50,100,gates=memory")
            bad = over(yard, 200)
        assert (bad.champion, bad.rollout and bad.rollout.phase) == ("2", "failed")
        assert bad.rollout is not None
        assert "memory: " in bad.rollout.reason, "the gate, not a death of the process"
        assert not load.failed
