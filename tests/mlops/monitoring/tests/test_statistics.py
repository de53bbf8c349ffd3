"""Each statistic against SciPy's, or against its own distribution by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from mlops.monitoring.profile import Categories, Numbers, Profile
from mlops.monitoring.tests import distances, exact_kolmogorov_smirnov, exact_wasserstein, tails
from mlops.monitoring.tests.correction import adjusted, combined
from mlops.monitoring.tests.histogram import Pair
from mlops.monitoring.tests.ranks import kolmogorov_smirnov, rank_tests

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("ties", [False, True])
def test_exact_distances_equal_scipys(ties: bool) -> None:
    one, other = RNG.normal(size=3_000), RNG.normal(0.1, 1.2, 1_234)
    if ties:
        one, other = np.round(one, 1), np.round(other, 1)
    distance, p_value = exact_kolmogorov_smirnov([*one, math.nan], other)
    theirs = stats.ks_2samp(one, other, method="asymp")
    assert distance == pytest.approx(theirs.statistic, abs=1e-12)
    assert 0 < p_value < 1
    assert exact_wasserstein(one, other) == pytest.approx(stats.wasserstein_distance(one, other), abs=1e-12)


def test_tails_are_scipys_where_those_still_have_digits() -> None:
    for z in (0.0, 0.5, 3.0, 12.0, 36.0):
        assert tails.normal(z) == pytest.approx(math.log(2) + special.log_ndtr(-z), rel=1e-9, abs=1e-12)
        assert tails.z_of(tails.normal(z)) == pytest.approx(z, abs=1e-6)
    assert tails.z_of(tails.normal(100)) == pytest.approx(100, rel=1e-6)
    for x, k in ((0.5, 1), (3.0, 3), (40.0, 10), (500.0, 400), (900.0, 20)):
        assert tails.chi_squared(x, k) == pytest.approx(stats.chi2.logsf(x, k), rel=1e-7, abs=1e-10)
        tail = stats.chi2.sf(x, k)
        if tail > 1e-12:
            assert tails.chi_squared_quantile(tail, k) == pytest.approx(x, rel=1e-6)
    for t, v in ((0.1, 3), (2.0, 7), (5.0, 19), (30.0, 29)):
        assert tails.student(t, v) == pytest.approx(math.log(2) + stats.t.logsf(t, v), rel=1e-8)
    for x in (0.3, 0.9, 1.7, 4.0):
        assert tails.kolmogorov(x) == pytest.approx(math.log(special.kolmogorov(x)), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "counts", [(3, 400, 9, 300), (0, 20_000, 2, 500), (390, 400, 280, 300), (0, 50, 0, 50)]
)
def test_fishers_exact_test_is_scipys(counts: tuple[int, int, int, int]) -> None:
    a, m, b, n = counts
    theirs = stats.fisher_exact([[a, m - a], [b, n - b]]).pvalue
    assert math.exp(tails.fisher(a, m, b, n)) == pytest.approx(theirs, rel=1e-6)


def test_ranks_and_distances_from_counts_are_those_of_the_values_to_the_width_of_a_bin() -> None:
    one, other = RNG.gamma(2, size=8_000), RNG.gamma(2.3, size=2_000)
    columns = [Profile.of({"x": each}).columns["x"] for each in (one, other)]
    assert isinstance(columns[0], Numbers)
    assert isinstance(columns[1], Numbers)
    pair = Pair.of(columns[0], columns[1])
    distance, _ = kolmogorov_smirnov(pair)
    assert distance == pytest.approx(stats.ks_2samp(one, other).statistic, abs=4e-3)
    (_, location), (_, spread) = rank_tests(pair)
    # SciPy corrects for continuity, and Mood's there has the moments of the exact scores.
    assert location == pytest.approx(math.log(stats.mannwhitneyu(one, other).pvalue), rel=0.01)
    assert spread == pytest.approx(math.log(stats.mood(one, other).pvalue), abs=0.05)
    moved, _ = distances.wasserstein(pair.middles, *pair.cumulated, pair.noise)
    assert moved == pytest.approx(stats.wasserstein_distance(one, other), rel=0.02)


def test_what_chance_reaches_is_what_it_reaches() -> None:
    """Each distance's chance level is exceeded in about 1 of 100 windows, whatever the rows and bins."""
    reference = RNG.lognormal(size=20_000)
    column = Profile.of({"x": reference}).columns["x"]
    assert isinstance(column, Numbers)
    exceeded = dict.fromkeys(("psi", "jensen_shannon", "hellinger", "wasserstein", "tv"), 0)
    windows = 300
    for _ in range(windows):
        window = Profile.of({"x": RNG.lognormal(size=800)}).columns["x"]
        assert isinstance(window, Numbers)
        pair = Pair.of(column, window)
        groups = pair.grouped(20)
        for test, (value, chance) in {
            "psi": distances.psi(*groups),
            "jensen_shannon": distances.jensen_shannon(*groups),
            "hellinger": distances.hellinger(*groups),
            "tv": distances.total_variation(*groups),
            "wasserstein": distances.wasserstein(pair.middles, *pair.cumulated, pair.noise),
        }.items():
            exceeded[test] += value > chance
    # 3 expected; 12 or more have a chance below one in ten thousand.
    assert max(exceeded.values()) < 12, exceeded


def test_corrections() -> None:
    p_values = [0.01, 0.04, 0.03, 0.5]
    assert adjusted(p_values, "bh") == pytest.approx(stats.false_discovery_control(p_values))
    assert adjusted(p_values, "holm") == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert adjusted(p_values, "bonferroni") == pytest.approx([0.04, 0.16, 0.12, 1.0])
    assert combined([0.02]) == 0.02
    assert combined([1e-9, 1.0, 0.4]) == pytest.approx(3e-9, rel=0.01)
    assert combined([0.03, 0.03, 0.03]) == pytest.approx(0.03)
    assert combined([1e-200, 1.0]) == pytest.approx(2e-200)


def test_categories_have_the_total_variation_of_their_shares() -> None:
    one, other = Categories(10, 0, {"a": 6, "b": 4}), Categories(10, 0, {"a": 3, "b": 7})
    counts = [np.array([each.counts[name] for name in "ab"]) for each in (one, other)]
    assert distances.total_variation(counts[0], counts[1])[0] == pytest.approx(0.3)
