"""The intervals hold at all looks together, and are not so wide that they decide nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.serving.rollout import sequential
from tests.mlops.serving.rollout_figures import say

ALPHA = 0.1


def _ever_outside(paths: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    return float(((paths < low) | (paths > high)).any(axis=1).mean())


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3, 0.95])
def test_the_true_rate_is_inside_at_every_look_but_for_alpha(rate: float) -> None:
    rng = np.random.default_rng(1)
    looks = np.arange(1, 2001)
    sums = (rng.random((2000, 2000)) < rate).cumsum(axis=1)
    missed = np.zeros(len(sums), bool)
    for column, trials in enumerate(looks):
        # The interval misses exactly where the wealth against the truth is past the limit.
        counts, which = np.unique(sums[:, column], return_inverse=True)
        past = [
            sequential.evidence_against(float(s), float(trials), rate) >= math.log(1 / ALPHA) for s in counts
        ]
        missed |= np.array(past)[which]
    say(f"rate {rate}: missed at any of 2,000 looks in {missed.mean():.3f} of 2,000 runs, alpha {ALPHA}")
    assert missed.mean() <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 2000)


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (0, 500), (3, 500), (250, 500), (500, 500), (7.5, 33.3)]
)
def test_the_interval_ends_where_the_wealth_reaches_the_limit(successes: float, trials: float) -> None:
    low, high = sequential.bernoulli(successes, trials, ALPHA)
    assert 0 <= low <= successes / trials <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert sequential.evidence_against(successes, trials, end) == pytest.approx(
                math.log(1 / ALPHA), abs=1e-3
            )


def test_nothing_seen_is_nothing_known() -> None:
    assert sequential.bernoulli(0, 0, ALPHA) == (0.0, 1.0)
    assert sequential.difference((0, 0), (0, 0), ALPHA) == (-1.0, 1.0)
    assert sequential.dkw(0, ALPHA) == 1.0
    assert math.isinf(sequential.mean_radius(0, 1.0, ALPHA))
    assert sequential.contrast((0, 0, 0), (5, 1, 1), 1, ALPHA) == (-math.inf, math.inf)


def test_the_true_quantile_lies_between_the_ranks_at_every_look() -> None:
    rng = np.random.default_rng(2)
    share, runs, length = 0.95, 1000, 1500
    below = (rng.random((runs, length)) < share).cumsum(axis=1)
    low, high = np.array([sequential.quantile_ranks(n, share, ALPHA) for n in range(1, length + 1)]).T
    missed = _ever_outside(below.astype(float), low, high)
    say(f"p95: missed at any of {length} looks in {missed:.3f} of {runs} runs, alpha {ALPHA}")
    assert missed <= ALPHA + 0.03


def test_the_band_around_a_distribution_holds_everywhere_at_every_look() -> None:
    rng = np.random.default_rng(3)
    runs, length, grid = 400, 1500, np.linspace(0, 1, 51)[1:-1]
    radius = np.array([sequential.dkw(n, ALPHA, 50) for n in range(1, length + 1)])
    missed = 0
    for _ in range(runs):
        share = (rng.random(length)[:, None] <= grid).cumsum(axis=0) / np.arange(1, length + 1)[:, None]
        missed += bool((np.abs(share - grid).max(axis=1) > radius).any())
    say(f"distribution: missed at any look in {missed / runs:.3f} of {runs} runs, alpha {ALPHA}")
    assert missed / runs <= ALPHA


def test_the_constant_of_the_band_is_that_of_the_paper() -> None:
    # The paper's rounded form: 0.85 sqrt((log log(e t) + 0.8 log(1612 / alpha)) / t).
    for alpha in (0.1, 0.05, 0.01, 0.001):
        stated = 0.85 * math.sqrt((math.log(math.log(math.e * 1000)) + 0.8 * math.log(1612 / alpha)) / 1000)
        assert sequential.dkw(1000, alpha) == pytest.approx(stated, rel=0.03)
        assert sequential.dkw(1000, alpha) <= stated


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_the_difference_of_two_means_holds_at_every_look(weight: float) -> None:
    rng = np.random.default_rng(4)
    runs, length, first = 500, 4000, 100
    missed = 0
    for _ in range(runs):
        dealt = rng.random(length) < weight
        values = rng.exponential(1.0, length)
        n1, n0 = dealt.cumsum(), (~dealt).cumsum()
        s1, s0 = (values * dealt).cumsum(), (values * ~dealt).cumsum()
        q1, q0 = (values**2 * dealt).cumsum(), (values**2 * ~dealt).cumsum()
        for look in range(0, length, 20):
            if min(n1[look], n0[look]) < first:
                continue
            m1, m0 = s1[look] / n1[look], s0[look] / n0[look]
            low, high = sequential.contrast(
                (n1[look], m1, q1[look] / n1[look] - m1**2),
                (n0[look], m0, q0[look] / n0[look] - m0**2),
                1.0,
                ALPHA,
            )
            if low > 0 or high < 0:
                missed += 1
                break
    say(f"means, weight {weight}: missed at any look in {missed / runs:.3f} of {runs} runs, alpha {ALPHA}")
    assert missed / runs <= ALPHA
