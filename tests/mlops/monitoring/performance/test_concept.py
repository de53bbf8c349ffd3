"""A changed concept is found on the stream of errors; no change is not; what is kept goes on exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.monitoring.performance.concept import classic
from mlops.monitoring.performance.concept.rise import LENGTHS, RateRise
from mlops.monitoring.performance.concept.watch import ConceptWatch

#: Used for nothing else.
SEED = 2_810_000


def errors(seed: int, *parts: tuple[int, float]) -> Any:
    """Errors 0 or 1: so many rows at each rate."""
    random = np.random.default_rng(SEED + seed)
    return np.concatenate([(random.random(rows) < rate).astype(float) for rows, rate in parts])


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_no_change_is_no_alarm_at_any_error_rate(rate: float) -> None:
    # One in 200,000 rows is accepted: in 40 streams of 10,000 about 2 of them.
    alarmed = sum(RateRise(200_000).update(errors(seed, (10_000, rate))) is not None for seed in range(40))
    assert alarmed <= 6


@pytest.mark.parametrize(
    ("before", "after", "most"), [(0.02, 0.5, 30), (0.1, 0.2, 500), (0.3, 0.5, 200), (0.1, 0.15, 1600)]
)
def test_a_rise_is_found_soon_and_dated(before: float, after: float, most: int) -> None:
    found = [RateRise().update(errors(100 + seed, (4000, before), (4000, after))) for seed in range(20)]
    delays = [each.row - 4000 for each in found if each is not None]
    assert len(delays) >= 19
    assert np.median(delays) <= most
    began = [each.row - each.length for each in found if each is not None]
    assert np.median(np.abs(np.asarray(began) - 4000)) <= most / 2
    rates = [(each.before, each.after) for each in found if each is not None]
    assert np.median([low for low, _ in rates]) == pytest.approx(before, rel=0.3)


def test_no_errors_are_no_alarm_however_short_the_run_length() -> None:
    assert RateRise(100).update(np.zeros(20_000)) is None


def test_a_fall_is_no_alarm() -> None:
    assert RateRise().update(errors(300, (4000, 0.3), (4000, 0.1))) is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=12), st.integers(0, 1000))
def test_it_makes_no_difference_in_what_portions_errors_come(portions: list[int], seed: int) -> None:
    stream = errors(400 + seed, (sum(portions) // 2, 0.05), (sum(portions) - sum(portions) // 2, 0.3))
    whole, parted, at, found = RateRise(1000), RateRise(1000), 0, None
    for size in portions:
        parted = RateRise.from_text(parted.to_text())
        found = found or parted.update(stream[at : at + size])
        at += size
    assert whole.update(stream) == found
    assert LENGTHS[0] == 4


def test_more_rows_than_are_held_are_still_counted() -> None:
    made = RateRise()
    stream = errors(500, (30_000, 0.05), (2000, 0.12))
    found = made.update(stream)
    assert found is not None
    assert 30_000 < found.row < 31_000
    assert found.before == pytest.approx(0.05, abs=0.005)


# What river 0.23.0 tells of the same stream, the first alarm of each (benchmarks/monitoring_concept.py
# compares them whole); KSWIN draws its own samples there.
@pytest.mark.parametrize(
    ("detector", "first"),
    [
        (classic.ADWIN(), 3168),
        (classic.PageHinkley(), 3276),
        (classic.DDM(), 251),
        (classic.HDDMA(), 3153),
        (classic.HDDMW(), 3168),
    ],
)
def test_detectors_of_the_literature_are_those_of_river(detector: Any, first: int) -> None:
    stream = errors(600, (3000, 0.1), (3000, 0.3))
    assert next(at for at, error in enumerate(stream, start=1) if detector.update(error)) == first


def test_kswin_finds_a_jump() -> None:
    detector = classic.KSWIN()
    stream = errors(700, (1000, 0.02), (200, 0.9))
    assert 1000 < next(at for at, error in enumerate(stream, start=1) if detector.update(error)) < 1040


def labelled(random: np.random.Generator, rows: int, concept: float) -> tuple[Any, Any]:
    x = random.normal(size=rows)
    return 1 / (1 + np.exp(-3 * x)), (random.random(rows) < 1 / (1 + np.exp(-3 * concept * x))).astype(float)


def test_the_watch_holds_what_it_found_until_it_is_over_and_survives_restarts() -> None:
    random = np.random.default_rng(SEED + 800)
    watch = ConceptWatch("1")
    seen = []
    for concept in [1.0] * 10 + [-0.5] * 4 + [1.0] * 3:
        watch = ConceptWatch.from_text(watch.to_text())
        finding = watch.update(*labelled(random, 400, concept), "classification")
        assert finding is not None
        seen.append(finding.found)
    assert seen == [False] * 10 + [True] * 4 + [False] * 3
    assert finding is not None
    assert "as before" in finding.sentence


def test_numbers_are_watched_by_losses_that_were_rare() -> None:
    random = np.random.default_rng(SEED + 900)
    watch = ConceptWatch("1")
    true = random.normal(size=100)
    assert watch.update(true + random.normal(size=100), true, "regression") is None, "too few yet"
    for scale, found in ((1.0, False), (1.0, False), (1.6, True), (1.6, True)):
        true = random.normal(size=1000)
        finding = watch.update(true + scale * random.normal(size=1000), true, "regression")
        assert finding is not None
        assert finding.found is found
    assert finding is not None
    assert "the concept changed about" in finding.sentence
