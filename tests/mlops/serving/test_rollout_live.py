"""Rollouts on a real gateway, a real MLflow and real traffic: good versions arrive, bad ones go back."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from blueprints.errors import Problem
from mlops.monitoring.client import MonitorClient
from mlops.serving.control.telling import TAG
from tests.mlops.serving.load import Load, steady
from tests.mlops.serving.versions import MODEL, act, over, register, state
from tests.mlops.yard import Yard, opened, until

pytestmark = pytest.mark.timeout(600)
_SPEC = {
    "serving": {"trust_pickle": True, "isolation": "never", "log": {"commit_seconds": 0.5}},
    "monitoring": {"interval_seconds": 1},
}
#: Gates that some ten requests a second decide within a minute; the median, because one stalled request of a
#: busy machine sets the bound of the 95th percentile.
_CANARY = "canary:20,50,100,gates=errors:0.1+latency@p50:1.5+drift:0.35"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with opened(tmp_path_factory.mktemp("rollouts"), _SPEC) as made, made.serving(), made.monitoring():
        register(made)
        made.tracking.set_alias(MODEL, "champion", "1")
        until(lambda: state(made).champion == "1")
        yield made


@pytest.fixture
def load(yard: Yard) -> Iterator[Load]:
    serving = yard.environment.serving
    assert serving is not None
    with steady(serving.url, serving.token.get_secret_value(), MODEL) as made:
        yield made


def test_a_good_version_becomes_champion_by_itself_and_nothing_fails(yard: Yard, load: Load) -> None:
    version = register(yard)
    before = state(yard).champion
    act(yard, "deploy", version=version, strategy=_CANARY)
    after = over(yard)
    assert (after.champion, after.previous) == (version, before)
    assert after.rollout is not None
    assert {each.verdict for each in after.rollout.verdicts} == {"pass"}
    assert load.failed == []
    assert set(load.since(1.0)) == {version}
    # Plain MLflow clients see it, and the registry keeps the evidence.
    until(lambda: yard.tracking.model(MODEL).aliases["champion"] == version)
    until(
        lambda: json.loads(yard.tracking.version(MODEL, version).tags.get(TAG, "{}")).get("ended") == "done"
    )
    run = yard.tracking.version(MODEL, version).run_id
    document = json.loads(yard.tracking.artifact(run, f"modelyard/rollouts/{after.rollout.id}.json"))
    assert document["evidence"][f"{MODEL} {version} canary"]["requests"] > 50


@pytest.mark.parametrize(
    ("config", "gate"),
    [({"shift": 3.0}, "drift"), ({"sleep": 0.05}, "latency"), ({"crash": 0.5}, "errors")],
)
def test_a_bad_version_is_rolled_back_by_itself(
    yard: Yard, load: Load, config: dict[str, float], gate: str
) -> None:
    version, before = register(yard, **config), state(yard).champion
    act(yard, "deploy", version=version, strategy=_CANARY)
    after = over(yard)
    assert after.champion == before
    assert after.rollout is not None
    assert after.rollout.phase == "failed"
    assert gate in after.rollout.reason
    # Every failure was the candidate's own doing, and none comes after it has gone: what it had is answered.
    time.sleep(0.5)
    assert set(load.since(1.0)) == {before}
    failed = len(load.failed)
    time.sleep(1.0)
    assert len(load.failed) == failed
    if gate != "errors":
        assert load.failed == []
    monitoring = yard.environment.monitoring
    assert monitoring is not None
    alerts = until(lambda: [a for a in MonitorClient(monitoring).alerts("firing") if a.version == version])
    assert alerts[0].kind == "rollout"
    assert version in alerts[0].summary
    until(lambda: yard.tracking.model(MODEL).aliases.get("challenger") is None)
    assert yard.tracking.model(MODEL).aliases["champion"] == before


def test_low_traffic_neither_passes_nor_fails(yard: Yard) -> None:
    version = register(yard, crash=1.0)
    act(yard, "deploy", version=version, strategy=_CANARY)
    until(lambda: (rollout := state(yard).active) and rollout.loaded)
    for _ in range(10):
        with contextlib.suppress(Problem):
            yard.gateway.predict(MODEL, [{"x": 3.0, "y": 1.0}])
    time.sleep(5)
    rollout = state(yard).active
    assert rollout is not None
    assert {each.verdict for each in rollout.verdicts} == {"inconclusive"}
    assert act(yard, "rollback").active is None


def test_a_rollback_moves_all_traffic_within_a_second_also_to_a_version_long_gone(
    yard: Yard, load: Load
) -> None:
    first, second = state(yard).champion, register(yard)
    act(yard, "deploy", version=second, strategy="rolling")
    until(lambda: state(yard).champion == second)
    act(yard, "rollback")
    # What was being answered at that moment is finished.
    time.sleep(0.3)
    assert set(load.since(1.0)) == {first}
    if first == "1":
        first = register(yard)
        act(yard, "deploy", version=first, strategy="rolling")
        until(lambda: state(yard).champion == first)
    # A version that nobody may hold in memory any more comes from the disk.
    until(lambda: set(load.since(0.2)) == {first})
    act(yard, "rollback", version="1")
    assert state(yard).champion == "1"
    time.sleep(0.3)
    assert set(load.since(1.0)) == {"1"}
    assert load.failed == []


def test_an_alias_moved_by_hand_in_the_middle_ends_the_rollout_and_is_honoured(
    yard: Yard, load: Load
) -> None:
    candidate, other = register(yard), register(yard)
    act(yard, "deploy", version=candidate, strategy="canary:10@1h,100")
    until(lambda: (rollout := state(yard).active) and rollout.loaded)
    with pytest.raises(Problem, match="one at a time"):
        act(yard, "deploy", version=other, strategy="rolling")
    yard.tracking.set_alias(MODEL, "champion", other)
    until(lambda: state(yard).champion == other)
    assert any("alias champion was moved" in event.text for event in state(yard).events)
    assert set(load.since(1.0)) == {other}
    assert load.failed == []


def test_a_shadow_answers_nobody_and_is_recorded(yard: Yard, load: Load) -> None:
    import deltalake

    champion, version = state(yard).champion, register(yard, shift=1.0)
    act(yard, "shadow", version=version)
    until(
        lambda: any(arm.name == "shadow" and arm.requests > 20 for arm in yard.gateway.deployment(MODEL).arms)
    )
    assert set(load.since(1.0)) == {champion}
    arm = next(arm for arm in yard.gateway.deployment(MODEL).arms if arm.name == "shadow")
    assert arm.difference is not None
    assert arm.difference == pytest.approx(1.0, rel=0.2)
    table = (yard.folder / "data" / "shadow" / MODEL).as_uri()
    until(lambda: deltalake.DeltaTable.is_deltatable(table))
    act(yard, "shadow")
    assert load.failed == []


def test_flags_choose_the_version_and_their_switch_turns_them_off(yard: Yard) -> None:
    serving, champion, version = yard.environment.serving, state(yard).champion, register(yard, shift=5.0)
    assert serving is not None
    rules = [{"attribute": "tier", "op": "equals", "values": ["gold"], "version": version}]
    act(yard, "flags", flags={"rules": rules})

    def answers(**headers: str) -> str:
        found = httpx.post(
            f"{serving.url}/models/{MODEL}/invocations",
            json={"dataframe_records": [{"x": 1.0, "y": 1.0}]},
            headers={"Authorization": f"Bearer {serving.token.get_secret_value()}", **headers},
        )
        return str(found.json()["model_version"])

    until(lambda: answers(**{"x-modelyard-tier": "gold"}) == version)
    assert answers(**{"x-modelyard-tier": "silver"}) == champion
    act(yard, "flags", flags={"on": False, "rules": rules})
    assert answers(**{"x-modelyard-tier": "gold"}) == champion


def test_an_ab_test_is_won_by_the_metric_that_was_asked_for(yard: Yard) -> None:
    """Half of the keys to each; the challenger converts far better, and becomes champion."""
    serving, champion, version = yard.environment.serving, state(yard).champion, register(yard)
    assert serving is not None
    random = np.random.default_rng(3)
    numbers = itertools.count()
    with httpx.Client(headers={"Authorization": f"Bearer {serving.token.get_secret_value()}"}) as client:

        def convert(rows: int) -> None:
            """So many requests, and whether each converted."""
            ids, values = [], []
            for number in itertools.islice(numbers, rows):
                ids.append(f"ab-{number}")
                body = {"dataframe_records": [{"x": 1.5, "y": 1.0}], "parameters": {"ids": ids[-1:]}}
                headers = {"x-modelyard-key": f"visitor {number}"}
                answer = client.post(f"{serving.url}/models/{MODEL}/invocations", json=body, headers=headers)
                better = answer.json()["model_version"] == version
                values.append(float(random.random() < (0.8 if better else 0.2)))
            yard.gateway.label(MODEL, ids, values, name="conversion")

        def decided() -> bool:
            convert(100)
            return not state(yard).active

        strategy = "ab:50,metric=conversion"
        with pytest.raises(Problem, match="business:conversion"):
            act(yard, "deploy", version=version, strategy=strategy)
        convert(20)

        def begun() -> bool:
            with contextlib.suppress(Problem):
                act(yard, "deploy", version=version, strategy=strategy)
            return state(yard).active is not None

        # The table is there after the next commit, and known after the next look at it.
        until(begun)
        until(lambda: (rollout := state(yard).active) and rollout.loaded)
        until(decided, 180)
    after = state(yard)
    assert after.champion == version != champion
    assert after.rollout is not None
    assert {each.gate: each.verdict for each in after.rollout.verdicts}["better@conversion"] == "pass"
