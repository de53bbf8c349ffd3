"""Tests of two samples of numbers that use their order only, from counts in common bins; and the exact ones,
from the values themselves."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.columns import Floats
from mlops.monitoring.tests.histogram import Pair
from mlops.monitoring.tests.tails import kolmogorov, normal


def kolmogorov_smirnov(pair: Pair) -> tuple[float, float]:
    """``(distance, log p)``: Smirnov, "Table for estimating the goodness of fit" (Annals of Mathematical
    Statistics 19, 1948). On bins the p-value errs to the large side."""
    one, other = pair.cumulated
    distance = float(np.abs(one - other).max(initial=0.0))
    return distance, kolmogorov(distance / pair.noise)


def rank_tests(pair: Pair) -> tuple[tuple[float, float], tuple[float, float]]:
    """``(effect, log p)`` of Wilcoxon's test of location and of Mood's test of spread.

    Both compare the mean score of the window's rows with that of all rows: the rank, and its squared distance
    from the middle. Rows of one bin have the mean rank. The effect is the difference of the two samples' mean
    scores in standard deviations of the score, positive where the window is larger or wider.

    Sources: Wilcoxon (Biometrics 1, 1945); Mood, "On the asymptotic efficiency of certain nonparametric
    two-sample tests" (Annals of Mathematical Statistics 25, 1954); with ties as in Lehmann, "Nonparametrics"
    (1975).
    """
    both = (pair.first + pair.second).astype(float)
    total = both.sum()
    ranks = (np.cumsum(both) - both / 2) / total - 0.5
    return _linear(pair, ranks, both), _linear(pair, ranks * ranks, both)


def _linear(pair: Pair, scores: Floats, both: Floats) -> tuple[float, float]:
    total = pair.m + pair.n
    mean = float(scores @ both) / total
    variance = float(((scores - mean) ** 2) @ both) / (total - 1)
    if variance <= 1e-18:
        return 0.0, 0.0
    difference = float(scores @ pair.second) / pair.n - float(scores @ pair.first) / pair.m
    effect = difference / math.sqrt(variance)
    return effect, normal(effect / pair.noise)


def exact_kolmogorov_smirnov(reference: npt.ArrayLike, current: npt.ArrayLike) -> tuple[float, float]:
    """``(distance, asymptotic p-value)`` of the values themselves; missing ones are left out.

    Raises:
        UsageProblem: A sample has no value.
    """
    first, second = _sorted(reference), _sorted(current)
    values = np.concatenate([first, second])
    one = np.searchsorted(first, values, side="right") / len(first)
    other = np.searchsorted(second, values, side="right") / len(second)
    distance = float(np.abs(one - other).max())
    noise = math.sqrt(1 / len(first) + 1 / len(second))
    return distance, math.exp(kolmogorov(distance / noise))


def exact_wasserstein(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """First Wasserstein distance of the values themselves, in their unit; missing ones are left out.

    Raises:
        UsageProblem: A sample has no value.
    """
    first, second = _sorted(reference), _sorted(current)
    values = np.sort(np.concatenate([first, second]))
    one = np.searchsorted(first, values[:-1], side="right") / len(first)
    other = np.searchsorted(second, values[:-1], side="right") / len(second)
    return float(np.abs(one - other) @ np.diff(values))


def _sorted(values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, np.float64).ravel()
    array = np.sort(array[~np.isnan(array)])
    if not len(array):
        raise UsageProblem("a sample without a value has no distance", expected="at least one number")
    return array


def area(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive row scores above another, ties count half.

    Source: Mann, Whitney (Annals of Mathematical Statistics 18, 1947), by the rank sum.

    Args:
        scores, positive: Shapes ``(n,)``; at least one row of either kind.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    one, other = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - one * (one + 1) / 2) / (one * other))
