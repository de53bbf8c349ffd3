"""Change points: quiet without a change, there and in place with one, and nothing makes it fail."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mlops.monitoring.timeseries.change import CHANCE, changes

Floats = npt.NDArray[np.float64]

#: None of these seeds was used to choose a constant.
HELD_OUT = 7_300_000
KINDS = {"normal": 0.0, "t3": 0.0, "AR 0.5": 0.5, "AR 0.7": 0.7}


def noise(kind: str, count: int, seed: int) -> Floats:
    """``(count,)`` values of standard deviation 1."""
    random, phi = np.random.default_rng(HELD_OUT + seed), KINDS[kind]
    if kind == "t3":
        return random.standard_t(3, count) / math.sqrt(3)
    values = random.normal(size=count)
    for at in range(1, count):
        values[at] = phi * values[at - 1] + math.sqrt(1 - phi * phi) * values[at]
    return values


def step(kind: str, count: int, seed: int, size: float) -> tuple[Floats, int]:
    """A series with a step between a quarter and three quarters, and where it is."""
    at = int(np.random.default_rng(seed).integers(count // 4, 3 * count // 4))
    values = noise(kind, count, seed)
    values[at:] += size
    return values, at


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [100, 200, 500, 1000])
def test_no_change_is_found_where_there_is_none(kind: str, count: int) -> None:
    alarmed = [len(changes(noise(kind, count, seed))) > 0 for seed in range(100)]
    assert np.mean(alarmed) <= 0.05


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 1.0, 3.0])
def test_counts_of_rare_things_are_quiet(rate: float) -> None:
    # Of some rates half of the differences are 0: the noise has to be told by the others.
    draws = [np.random.default_rng(HELD_OUT + seed).poisson(rate, 365).astype(float) for seed in range(100)]
    assert np.mean([len(changes(each)) > 0 for each in draws]) <= 0.05


def test_a_rate_that_grows_is_found() -> None:
    near = []
    for seed in range(60):
        random = np.random.default_rng(HELD_OUT + seed)
        counts = np.concatenate([random.poisson(0.1, 100), random.poisson(3.0, 100)]).astype(float)
        near.append(any(abs(each.at - 100) <= 3 for each in changes(counts)))
    assert np.mean(near) >= 0.9


@pytest.mark.parametrize("count", [100, 300, 1000])
@pytest.mark.parametrize("kind", ["normal", "t3"])
def test_a_step_of_two_deviations_is_found_in_its_place(kind: str, count: int) -> None:
    near = []
    for seed in range(200):
        values, at = step(kind, count, seed, 2.0)
        near.append(any(abs(each.at - at) <= 3 for each in changes(values)))
    assert np.mean(near) >= 0.95


def test_a_step_in_correlated_values_is_found() -> None:
    found = [len(changes(step("AR 0.7", 500, seed, 2.0)[0])) > 0 for seed in range(60)]
    assert np.mean(found) >= 0.9


def test_many_large_steps_in_correlated_values_do_not_hide_each_other() -> None:
    levels = np.repeat([0, 1, 0, -1, 0, 1, 2, 1, 0, -1], 40) * 10.0
    for seed in range(10):
        found = [each.at for each in changes(levels + noise("AR 0.7", 400, seed))]
        assert len(found) == 9
        assert np.abs(np.asarray(found) - np.arange(40, 400, 40)).max() <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_outliers_are_no_change(kind: str) -> None:
    alarmed = []
    for seed in range(100):
        values, random = noise(kind, 400, seed), np.random.default_rng(seed)
        out = random.random(400) < 0.01
        values[out] += 10 * random.choice([-1, 1], out.sum())
        alarmed.append(len(changes(values)) > 0)
    assert np.mean(alarmed) <= 0.05


def test_a_step_is_found_among_outliers() -> None:
    near = []
    for seed in range(60):
        values, at = step("normal", 300, seed, 2.0)
        out = np.random.default_rng(seed).random(300) < 0.01
        values[out] += 10
        near.append(any(abs(each.at - at) <= 3 for each in changes(values)))
    assert np.mean(near) >= 0.9


def test_what_is_told_of_a_change() -> None:
    off = []
    for kind in ("normal", "AR 0.5"):
        for seed in range(60):
            values, _ = step(kind, 600, seed, 3.0)
            (change,) = changes(values)
            assert change.before == np.median(values[: change.at])
            assert change.after == np.median(values[change.at :])
            assert change.p_value <= CHANCE
            off.append((change.after - change.before - 3) / change.error)
    # The error is that of the difference of medians: of 120 differences their deviation is known to 7 %.
    assert 0.8 < np.std(off) < 1.25


def test_two_changes() -> None:
    values = noise("normal", 300, 1)
    values[100:150] += 4
    assert [each.at for each in changes(values)] == pytest.approx([100, 150], abs=2)


def test_values_that_are_missing_are_left_out() -> None:
    values, at = step("normal", 400, 5, 3.0)
    values[np.random.default_rng(1).random(400) < 0.2] = np.nan
    values[at : at + 4] = [np.nan, np.inf, -np.inf, np.nan]
    (change,) = changes(values)
    assert np.isfinite(values[change.at])
    assert abs(change.at - at) <= 7
    assert 2 < change.after - change.before < 4
    quiet = noise("normal", 400, 6)
    quiet[50:200] = np.nan
    assert changes(quiet) == ()


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [np.nan] * 100,
        [3.0] * 100,
        [0.0] * 100,
        [3.0] * 50 + [np.nan] + [3.0] * 50,
        [0.0] * 99 + [1e308],
        [0.0] * 7 + [9.0] * 8,
        [*range(15)],
    ],
)
def test_no_change_in_what_has_no_levels(values: list[float]) -> None:
    assert changes(np.asarray(values, float)) == ()


def test_a_clean_step_is_a_change_without_an_error() -> None:
    (change,) = changes(np.repeat([1.0, 2.0], 50))
    assert (change.at, change.before, change.after) == (50, 1.0, 2.0)
    assert change.error == change.p_value == 0


@settings(deadline=None, max_examples=60)
@given(
    seed=some.integers(0, 10_000),
    shift=some.floats(-1e6, 1e6),
    power=some.integers(-200, 200),
    sign=some.sampled_from([-1.0, 1.0]),
)
def test_units_do_not_matter(seed: int, shift: float, power: int, sign: float) -> None:
    values, _ = step("AR 0.5", 200, seed, 3.0)
    scale = sign * 10.0**power
    plain, other = changes(values), changes((values + shift) * scale)
    assert [each.at for each in plain] == [each.at for each in other]
    for one, two in zip(plain, other, strict=True):
        assert two.before / scale - shift == pytest.approx(one.before, abs=1e-6)
        assert two.after / scale - shift == pytest.approx(one.after, abs=1e-6)
        assert two.error == pytest.approx(one.error * abs(scale), rel=1e-5)
        assert two.p_value == pytest.approx(one.p_value, rel=1e-3, abs=1e-12)


@settings(deadline=None, max_examples=200)
@given(
    values=some.lists(some.floats() | some.sampled_from([0.0, 1.0, 1e308, -1e308, 5e-324]), max_size=60),
    least=some.integers(-1, 20),
)
def test_nothing_makes_it_fail(values: list[float], least: int) -> None:
    found = changes(np.asarray(values, float), least)
    edges = [0, *(each.at for each in found), len(values)]
    assert edges == sorted(edges)
    for each in found:
        assert each.before != each.after
        assert 0 <= each.p_value <= CHANCE
        assert each.error >= 0


def test_three_thousand_values_take_less_than_a_second() -> None:
    random = np.random.default_rng(2)
    for values in (random.normal(size=3000), np.arange(3000) + random.normal(size=3000)):
        began = time.process_time()
        changes(values)
        assert time.process_time() - began < 1
