"""Groups that came apart are found and named; that they always differed, or are small, is not held against a
model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops.monitoring.performance.fairness import by_group, compared, rates

#: Used for nothing else.
SEED = 2_920_000


def window(seed: int, rows: int, apart: float = 0.0, deaf: float = 0.0) -> Any:
    """About a seventh of the rows is group b: its scores are lower by ``apart``, and in a share of ``deaf``
    blind to the label."""
    random = np.random.default_rng(SEED + seed)
    group = np.where(random.random(rows) < 0.15, "b", "a")
    labels = (random.random(rows) < 0.4).astype(float)
    seen = np.where((group == "b") & (random.random(rows) < deaf), 0.0, labels)
    scores = np.clip(0.3 + 0.4 * seen + 0.2 * random.normal(size=rows) - apart * (group == "b"), 0, 1)
    places = {f"group={name}": np.flatnonzero(group == name) for name in ("a", "b")}
    return scores, labels, places


@pytest.fixture(scope="module")
def reference() -> Any:
    return by_group(*window(0, 20_000))


def test_counts_are_those_of_the_rows() -> None:
    made = rates(np.asarray([0.9, 0.2, 0.7, np.nan, 0.6]), np.asarray([1.0, 1.0, 0.0, 1.0, np.nan]))
    assert (made.selection, made.tpr, made.fpr) == ((3, 4), (1, 2), (1, 1))


def test_no_change_is_rarely_found(reference: Any) -> None:
    alarms = 0
    for seed in range(100):
        scores, labels, places = window(1000 + seed, 2000)
        found = compared(reference, by_group(scores, labels, places), True)
        found += compared(reference, by_group(scores, None, places), False)
        alarms += any(each.found for each in found)
    assert alarms <= 8


def test_a_group_that_is_selected_less_is_found_without_labels(reference: Any) -> None:
    hits = 0
    for seed in range(20):
        scores, _, places = window(2000 + seed, 2000, apart=0.2)
        found = {each.segment: each for each in compared(reference, by_group(scores, None, places), False)}
        hits += found["group=b"].found
    assert hits >= 19
    assert "below four fifths" in found["group=b"].sentence
    assert found["group=b"].column == "group"
    assert found["group=b"].test == "selection"


def test_a_group_whose_positives_are_missed_is_found_with_labels(reference: Any) -> None:
    scores, labels, places = window(3000, 4000, deaf=0.5)
    found = {(e.segment, e.test): e for e in compared(reference, by_group(scores, labels, places), True)}
    assert found["group=b", "tpr"].found
    assert not found["group=b", "fpr"].found
    assert "on the reference" in found["group=b", "tpr"].sentence


def test_a_difference_that_was_always_there_is_not_found() -> None:
    before = by_group(*window(4000, 20_000, apart=0.2))
    scores, labels, places = window(4001, 3000, apart=0.2)
    assert not any(each.found for each in compared(before, by_group(scores, labels, places), True))


def test_groups_that_came_closer_are_not_found() -> None:
    before = by_group(*window(6000, 20_000, apart=0.2))
    for apart in (0.0, -0.01):
        scores, _, places = window(6001, 3000, apart=apart)
        assert not any(each.found for each in compared(before, by_group(scores, None, places), False))


def test_a_small_group_is_named_and_not_judged(reference: Any) -> None:
    scores, _, places = window(5000, 100)
    few = {each.segment: each for each in compared(reference, by_group(scores, None, places), False)}[
        "group=b"
    ]
    assert not few.found
    assert "are too few to say" in few.sentence
