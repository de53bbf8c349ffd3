"""The gateway follows the registry: what it does with a version that does not load."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from blueprints.environment import TrackingRef
from mlops.serving import champions
from mlops.serving.champions import Champions
from mlops.tracking.entities import ModelVersion, RegisteredModel


def test_a_version_that_did_not_load_is_tried_again_but_not_at_every_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Champions(TrackingRef(url="http://127.0.0.1:1"), trust_pickle=False)
    version = ModelVersion("delay", "3", "run", "READY", None, (), {}, "", "")
    model = RegisteredModel("delay", "", None, None, {"champion": "3"})
    client = SimpleNamespace(models=lambda: (model,), version=lambda name, number: version)
    monkeypatch.setattr(made, "_client", client)
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep)
    monkeypatch.setattr(champions, "time", clock)
    seen: list[tuple[float, str]] = []
    away = [True]

    def load(version: ModelVersion, trust: bool) -> tuple[Any, tuple[str, ...]]:
        seen.append((now[0], made.loading))
        if away[0]:
            raise OSError("the storage does not answer")
        return object(), ("x",)

    monkeypatch.setattr(champions, "load", load)
    for _ in range(10):
        made.look()
        now[0] += 1
    # At once, after 2 s, after 4 s more; the next would be 8 s later.
    assert [at - 100 for at, _ in seen] == [0, 2, 6]
    assert {loading for _, loading in seen} == {"delay"}
    assert made.faults["delay"].reason == "the storage does not answer"
    away[0] = False
    now[0] += 10
    made.look()
    assert made.served["delay"].version == "3"
    assert (made.faults, made.loading) == ({}, "")
