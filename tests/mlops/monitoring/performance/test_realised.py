"""Labels that come late, twice, or for nobody; and when a window is judged."""

from __future__ import annotations

import numpy as np

from mlops.monitoring.performance.judge import Estimate, Floats
from mlops.monitoring.performance.metrics import metric
from mlops.monitoring.performance.realised import Joined, join, realised

FLOORS = {"accuracy": 0.02}


def good(rate: float = 0.9, rows: int = 2000) -> dict[str, Estimate]:
    right = np.arange(rows) < rate * rows
    return {"accuracy": metric("accuracy", right, np.ones(rows))}


def window(rate: float, seed: int, rows: int = 1000) -> tuple[Joined, Floats]:
    draw = np.random.default_rng(seed)
    right = (draw.random(rows) < rate).astype(float)
    ids = list(range(rows))
    joined = join(ids, np.arange(rows), ids, right, np.arange(rows) + 100, now=2000, delay=500)
    return joined, np.ones(rows)


def test_newest_label_counts_and_strangers_are_named() -> None:
    joined = join(
        ["a", "b", "c", "b"],
        [0, 1, 2, 3],
        ["a", "a", "x", "b", "c"],
        [0, 1, 1, 1, 1],
        [10, 20, 5, 6, 900],
        now=100,
        delay=50,
    )
    assert joined.labels[0] == 1
    assert np.isnan(joined.labels[1])
    assert joined.labels[3] == 1  # the newer of the two predictions
    assert np.isnan(joined.labels[2])  # its label comes after now
    assert (joined.rows, joined.unknown, joined.repeated_labels, joined.repeated_predictions) == (3, 1, 1, 1)
    assert joined.coverage == 2 / 3
    assert "unknown ids (x)" in joined.sentence()


def test_a_window_is_not_judged_before_its_labels_are_due() -> None:
    ids = list(range(1000))
    # Only the bad news has come yet.
    bad = join(ids, ids, ids[:500], np.zeros(500), np.full(500, 600), now=1200, delay=500)
    early = realised(bad, np.ones(1000), good(), FLOORS)
    assert not early.judged
    assert not early.findings
    assert "300 are not due yet" not in early.sentence
    assert "299 are not due yet" in early.sentence


def test_a_loss_is_found_and_none_is_not() -> None:
    lost = 0
    for seed in range(40):
        joined, scores = window(0.9, seed)
        lost += any(each.found for each in realised(joined, scores, good(), FLOORS).findings)
    assert lost <= 3
    joined, scores = window(0.84, 1)
    (finding,) = realised(joined, scores, good(), FLOORS).findings
    assert finding.found
    assert finding.severity == "page"
    assert "accuracy is 0.8" in finding.sentence


def test_a_loss_below_the_floor_is_not_found() -> None:
    joined, scores = window(0.89, 1, rows=1500)
    found = realised(joined, scores, good(rows=200_000), {"accuracy": 0.05}).findings
    assert not any(each.found for each in found)


def test_one_segment_is_found() -> None:
    draw = np.random.default_rng(5)
    segments = np.where(np.arange(4000) % 4 == 0, "region=EU", "region=US").astype(object)
    right = (draw.random(4000) < np.where(segments == "region=EU", 0.8, 0.91)).astype(float)
    ids = list(range(4000))
    joined = join(ids, ids, ids, right, ids, now=5000, delay=500)
    found = realised(joined, np.ones(4000), good(), FLOORS, segments=segments).findings
    assert {each.segment: each.found for each in found}["region=EU"]
    assert not {each.segment: each.found for each in found}["region=US"]


def test_few_labels_are_said() -> None:
    ids = list(range(1000))
    joined = join(ids, ids, ids[:300], np.ones(300), ids[:300], now=3000, delay=500)
    (finding,) = realised(joined, np.ones(1000), good(), FLOORS).findings
    assert "only 30% of the due rows have labels" in finding.sentence
