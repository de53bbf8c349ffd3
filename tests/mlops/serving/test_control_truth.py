"""What became of predictions, read from real Delta tables: labels and business metrics by version and arm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from blueprints.environment import StorageRef
from blueprints.errors import ExitCode, Problem
from mlops.serving.control.truth import LoggedTruth
from mlops.serving.log import PredictionLog
from mlops.serving.rollout.state import Rollout
from mlops.serving.rollout.strategy import parse
from tests.mlops.serving.logs import append, environment, long_ago_and_lost

ARMS = {"champion": "1", "canary": "2"}


def rollout(since: float) -> Rollout:
    return Rollout(id="r", candidate="2", strategy=parse("canary:50,100"), since=since, started=since)


def test_labels_and_business_metrics_by_version_since_the_step_began(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    append(log, "before", score=0.0)
    since = time.time()
    append(log, "a", "b", version="1", score=0.5)
    append(log, "c", "d", "e", version="2", arm="canary", score=1.0)
    # Whoever named the version is no random sample of the traffic.
    append(log, "x", version="2", arm="explicit", score=0.0)
    log.label("m", ["before", "a", "b", "c", "d", "x"], [1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    log.label("m", ["a", "c", "e"], [10.0, 30.0, 50.0], name="sales")
    log.flush()
    truth = LoggedTruth(made)
    assert set(truth.metrics("m")) == {"performance", "business:sales"}
    found = truth.observed("m", rollout(since), ARMS)
    one, sales_one = found["1"]
    two, sales_two = found["2"]
    assert one is not None
    assert two is not None
    assert one.n == two.n == 2
    assert one.mean == pytest.approx(0.25)
    assert two.mean == pytest.approx(0.5)
    assert (sales_one["sales"].n, sales_one["sales"].mean) == (1, 10.0)
    assert (sales_two["sales"].n, sales_two["sales"].mean) == (2, 40.0)


def test_a_model_without_labels_measures_nothing_of_the_kind(tmp_path: Path) -> None:
    made = environment(tmp_path)
    truth = LoggedTruth(made)
    assert truth.metrics("m") == frozenset()
    found = truth.observed("m", rollout(0.0), ARMS)
    assert all(losses is None or losses.n == 0 for losses, _ in found.values())


def test_what_was_written_before_the_step_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.serving.control.truth.KEPT_SECONDS", 0.0)
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    append(log, "old")
    log.label("m", ["old"], [1.0])
    log.label("m", ["old"], [1.0], name="sales")
    log.flush()
    truth = LoggedTruth(made)
    assert set(truth.metrics("m")) == {"performance", "business:sales"}
    for kind in ("labels", "outcomes"):
        long_ago_and_lost(made, kind)
    since = time.time()
    append(log, "a", "b", score=0.5)
    # One of them names a moment long ago.
    log.label("m", ["a", "b"], [1.0, 1.0], times=[1_000_000, None])
    log.label("m", ["a"], [2.0], name="visits")
    log.flush()
    assert set(truth.metrics("m")) == {"performance", "business:sales", "business:visits"}
    losses, outcomes = truth.observed("m", rollout(since), ARMS)["1"]
    assert losses is not None
    assert (losses.n, outcomes["visits"].n) == (2, 1)


def test_a_storage_that_is_away_is_said_and_not_asked_at_every_look(tmp_path: Path) -> None:
    away = StorageRef.model_validate(
        {
            "kind": "s3",
            "buckets": {"data": "s3://data"},
            "endpoint_url": "http://127.0.0.1:9",
            "access_key": "a",
            "secret_key": "b",
        }
    )
    truth = LoggedTruth(environment(tmp_path, away))
    with pytest.raises(Problem, match="storage does not answer") as caught:
        truth.metrics("m")
    assert caught.value.code is ExitCode.RETRY
    begun = time.process_time()
    for _ in range(20):
        with pytest.raises(Problem):
            truth.metrics("m")
    assert time.process_time() - begun < 1.0
    assert truth.observed("m", rollout(0.0), ARMS) == {}
