"""Seasonal baselines: quiet on series without a change, whatever their season and noise; loud on a change.

Seeds here were used for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.monitoring.timeseries.baseline import DAY, LEAST, Baseline

HOUR = 3600
#: A Monday, 00:00 UTC.
MONDAY = 1_789_948_800
PAST = 28 * 24
Floats = npt.NDArray[np.float64]


def times(number: int) -> npt.NDArray[np.int64]:
    return MONDAY + np.arange(number, dtype=np.int64) * HOUR


def day_and_week(t: npt.NDArray[np.int64]) -> Floats:
    """Busy at 14:00, half as busy on weekends."""
    hours, weekend = t % DAY / HOUR, (t // DAY + 3) % 7 >= 5
    return np.asarray(100 * (0.15 + np.exp(-(((hours - 14) / 5) ** 2))) * np.where(weekend, 0.5, 1.0))


def autocorrelated(random: np.random.Generator, number: int, phi: float) -> Floats:
    found = np.zeros(number)
    for at, step in enumerate(random.normal(size=number)):
        found[at] = phi * found[at - 1] + step
    return found


Make = Callable[[np.random.Generator, npt.NDArray[np.int64]], Floats]
SERIES: dict[str, Make] = {
    "normal": lambda r, t: r.normal(100, 10, len(t)),
    "counts": lambda r, t: r.poisson(day_and_week(t)).astype(float),
    "few counts": lambda r, t: r.poisson(day_and_week(t) / 25).astype(float),
    "growing sales": lambda r, t: (
        day_and_week(t) * np.exp(r.normal(0, 0.15, len(t))) * (1 + 0.005 * (t - t[0]) / DAY)
    ),
    "autocorrelated": lambda r, t: 100 + 5 * autocorrelated(r, len(t), 0.8),
    "autocorrelated sales": lambda r, t: day_and_week(t) * np.exp(0.1 * autocorrelated(r, len(t), 0.8)),
    "heavy tails": lambda r, t: 100 + 10 * r.standard_t(3, len(t)),
    "shares": lambda r, t: r.binomial(200, 0.05, len(t)) / 200,
    "below zero": lambda r, t: day_and_week(t) - 50 + r.normal(0, 5, len(t)),
}


def bad(t: npt.NDArray[np.int64], values: Floats) -> list[bool]:
    """Whether each value after the first 28 days is unusual, of what came in the 28 days before it."""
    return [unusual(t[at : PAST + at], values[at : PAST + at], int(t[PAST + at]), values[PAST + at])
            for at in range(len(values) - PAST)]  # fmt: skip


def unusual(t: npt.NDArray[np.int64], past: Floats, moment: int, value: float) -> bool:
    found = Baseline(t, past, HOUR).expect(moment, value)
    assert found is not None
    return found.p_value <= 0.001 or found.day_p_value <= 0.0005


def persistent(seen: list[bool]) -> Iterator[bool]:
    """2 of 3."""
    for at in range(len(seen)):
        yield sum(seen[max(0, at - 2) : at + 1]) >= 2


def test_series_without_a_change_are_quiet() -> None:
    """In nine kinds of series, over 108 days of hours."""
    looks = singles = alarms = 0
    for number, make in enumerate(SERIES.values()):
        for seed in range(4):
            random = np.random.default_rng(4_100_000 + 100 * number + seed)
            t = times(PAST + 3 * 24)
            seen = bad(t, make(random, t))
            looks, singles = looks + len(seen), singles + sum(seen)
            alarms += any(persistent(seen))
    assert singles / looks <= 0.01
    assert alarms <= 2, "of 36 stretches of three days"


@pytest.mark.parametrize(
    ("name", "factor", "hours"),
    [
        ("normal", 0.5, 3), ("normal", 0.8, 24), ("counts", 0.5, 6), ("counts", 0.0, 2), ("counts", 0.75, 24),
        ("growing sales", 0.5, 6), ("growing sales", 1.6, 8), ("autocorrelated", 0.5, 3), ("shares", 0.0, 12),
        ("heavy tails", 0.5, 14),
    ],
)  # fmt: skip
def test_a_change_is_found(name: str, factor: float, hours: int) -> None:
    """Persistently within so many hours, for 18 of 20 series."""
    found = 0
    for seed in range(20):
        random = np.random.default_rng(4_200_000 + seed)
        # It begins at 10 in the morning of a weekday.
        t = times(PAST + 10 + hours)
        values = SERIES[name](random, t)
        values[PAST + 10 :] *= factor
        found += any(persistent(bad(t[10:], values[10:])))
    assert found >= 18


def test_the_season_is_found_and_so_is_its_absence() -> None:
    random = np.random.default_rng(4_300_000)
    t = times(PAST)
    weekly = day_and_week(t) + 60 * ((t // DAY + 3) % 7 == 2) + random.normal(0, 3, PAST)
    daily = np.sin(t / DAY * 2 * np.pi) * 10 + random.normal(0, 1, PAST)
    found = {
        name: Baseline(t, values, HOUR).expect(int(t[-1]) + HOUR, 0.0)
        for name, values in {
            "": random.normal(size=PAST),
            "day": daily,
            "workday": SERIES["counts"](random, t),
            "week": weekly,
        }.items()
    }
    assert [each and each.season for each in found.values()] == list(found)


def test_an_outage_of_last_week_does_not_hide_the_next() -> None:
    random = np.random.default_rng(4_400_000)
    t = times(PAST)
    values = SERIES["counts"](random, t)
    values[-7 * 24 + 10 : -7 * 24 + 20] = 0
    usual = values > 0
    moment = int(t[-1]) + 14 * HOUR
    found = Baseline(t, values, HOUR, usual).expect(moment, 20.0)
    assert found is not None
    assert 90 < found.expected < 140
    assert found.p_value < 0.001


def test_little_known_and_odd_values() -> None:
    t = times(60)
    assert Baseline(t[: LEAST - 1], np.ones(LEAST - 1), HOUR).expect(int(t[30]), 1.0) is None
    gaps = np.where(np.arange(60) % 2, np.nan, 5.0)
    found = Baseline(t, gaps, HOUR).expect(int(t[-1]) + HOUR, 5.0)
    assert found is not None
    assert (found.expected, found.learnt, found.p_value) == (5.0, 30, 1.0)
    changed = Baseline(t, np.full(60, 5.0), HOUR).expect(int(t[-1]) + HOUR, 5.1)
    assert changed is not None
    assert changed.p_value < 0.001
    nothing = Baseline(t, np.full(60, 5.0), HOUR).expect(int(t[-1]) + HOUR, float("nan"))
    assert nothing is not None
    assert nothing.p_value == 1.0


def test_only_the_side_that_is_bad_counts() -> None:
    random = np.random.default_rng(4_500_000)
    t = times(PAST)
    baseline = Baseline(t, random.normal(100, 5, PAST), HOUR)
    for value, side, small in (
        (50, "low", True),
        (50, "high", False),
        (150, "high", True),
        (150, "low", False),
    ):
        found = baseline.expect(int(t[-1]) + HOUR, value, side=side)
        assert found is not None
        assert (found.p_value < 0.001) is small


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=200),
    st.sampled_from([60, HOUR, DAY, 7 * DAY]),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_no_series_is_too_odd(values: list[float], period: int, value: float) -> None:
    t = MONDAY + np.arange(len(values), dtype=np.int64) * period
    found = Baseline(t, np.asarray(values), period).expect(int(t[-1]) + period, value)
    if found is not None:
        assert 0 <= found.p_value <= 1
        assert found.low <= found.expected <= found.high


def test_a_change_of_level_is_told_and_its_absence_too() -> None:
    """30 % less for five days, in series whose hours stray little enough; and none where there is none."""
    clear = ("normal", "growing sales", "autocorrelated", "heavy tails")
    told = found = 0
    for number, (name, make) in enumerate(SERIES.items()):
        for seed in range(10):
            random = np.random.default_rng(4_750_000 + 100 * number + seed)
            t = times(PAST)
            told += Baseline(t, make(random, t), HOUR).step() is not None
            if name in clear:
                values = make(random, t)
                values[-5 * 24 :] *= 0.7
                step = Baseline(t, values, HOUR).step()
                found += step is not None and abs(step.moment - t[-5 * 24]) <= 12 * HOUR
    assert told <= 2, "of 90"
    assert found >= 36, "of 40"
