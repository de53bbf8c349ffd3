"""Quiet where nothing changed, also where rows are not independent; a small version of
benchmarks/monitoring_accuracy.py, with bounds that a right monitor misses once in ten thousand runs."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from blueprints.errors import UsageProblem
from mlops.monitoring import Baseline, Finding, Persistence, Profile, Seasonal, compare, persistent
from tests.mlops.monitoring.tests.tables import profiled


def _most(rate: float, count: int) -> int:
    """The least number of alarms that has a chance below 1e-4 at this rate."""
    from scipy import stats

    return int(stats.binom.isf(1e-4, count, rate)) + 1


@pytest.mark.parametrize(("reference", "rows"), [(20_000, 500), (1_000, 500), (1_000, 10_000)])
def test_windows_without_drift_are_quiet(reference: int, rows: int) -> None:
    alarms = 0
    for seed in range(30):
        known = profiled(reference, 1_000 + seed, sets=2)
        alarms += bool(compare(known, profiled(rows, 5_000 + seed, like=known, sets=2)).found)
    assert alarms < _most(0.02, 30)


def _series(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    columns = {}
    for index in range(6):
        noise, values, last = rng.normal(size=rows), np.empty(rows), 0.0
        for row in range(rows):
            last = values[row] = 0.9 * last + noise[row]
        columns[f"x{index}"] = values
    return columns


def test_a_baseline_keeps_dependent_rows_quiet_and_still_sees_a_real_change() -> None:
    rng = np.random.default_rng(4)
    first = Profile.of(_series(rng, 400))
    blocks = [first] + [Profile.of(_series(rng, 400), like=first) for _ in range(29)]
    whole = blocks[0]
    for block in blocks[1:]:
        whole = whole + block
    baseline = Baseline.of(blocks)
    assert baseline.inflation["x0", "wilcoxon"] > 5
    naive = quiet = 0
    for _ in range(20):
        window = Profile.of(_series(rng, 400), like=whole)
        naive += bool(compare(whole, window).found)
        quiet += bool(compare(whole, window, baseline=baseline).found)
    assert naive > 10
    assert quiet < _most(0.03, 20)
    moved = _series(rng, 400)
    moved["x3"] = moved["x3"] + 8
    assert {
        each.column for each in compare(whole, Profile.of(moved, like=whole), baseline=baseline).found
    } == {"x3"}
    with pytest.raises(UsageProblem, match="3 windows"):
        Baseline.of(blocks[:3])


def test_a_weekend_is_compared_with_weekends() -> None:
    rng = np.random.default_rng(5)
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    days = [begin + datetime.timedelta(days=index) for index in range(70)]

    def day(moment: datetime.datetime, extra: float = 0.0) -> Profile:
        level = (3.0 if moment.weekday() >= 5 else 0.0) + rng.normal(0, 0.1) + extra
        return Profile.of({"demand": rng.normal(level, 1, 500)})

    reference = Seasonal.of((moment, day(moment)) for moment in days)
    saturday = begin + datetime.timedelta(days=75)
    known, usual = reference.at(saturday)
    assert usual is not None
    assert compare(reference.whole, day(saturday)).found != ()
    assert compare(known, day(saturday), baseline=usual).found == ()
    assert compare(known, day(saturday, extra=1.5), baseline=usual).found != ()
    assert reference.at(begin + datetime.timedelta(hours=5)) == (reference.whole, None)


def test_two_of_three() -> None:
    def finding(column: str, found: bool, family: str = "drift", test: str = "ks") -> Finding:
        return Finding(column, family, test, 0, 0, 0, 0, 0, found, "none", "")  # type: ignore[arg-type]

    bad, good = [finding("x", True)], [finding("x", False)]
    other = [finding("x", True, test="mood")]
    assert persistent([bad, good, other]) == tuple(other)
    assert persistent([bad, bad, good]) == ()
    assert Persistence().keys([bad, bad, good]) == {("x", "drift", "")}
    assert persistent([bad, good, good, bad]) == ()
    assert persistent([bad, [finding("x", True, "missing")]]) == ()
    assert persistent([bad, [finding("y", True)]]) == ()
    assert persistent([]) == ()
    with pytest.raises(UsageProblem):
        Persistence(3, 2)
