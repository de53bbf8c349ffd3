"""Distances of two distributions, and what chance alone makes of them.

A fixed threshold is wrong: with no drift at all PSI is about ``(1/n + 1/m) chi2(k - 1)``, so that 500
categories in 1,000 rows have a PSI of 0.5. Each distance here comes with the value that chance exceeds in 1
of 100 windows.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from mlops.monitoring.profile.columns import Floats, Ints
from mlops.monitoring.tests.tails import chi_squared_quantile

#: How often chance alone exceeds what is called chance.
TAIL = 0.01
_PATHS, _POINTS, _SEED = 500, 256, 20_240_517


def psi(first: Ints, second: Ints) -> tuple[float, float]:
    """Population stability index and its chance level. Half a row is added to each bin, or one empty bin
    would make it infinite.

    Sources: Siddiqi, "Credit Risk Scorecards" (2006); Yurdakul, Naranjo, "Statistical properties of the
    population stability index" (Journal of Risk Model Validation 14, 2020) for the distribution without
    drift.
    """
    p, q = _smoothed(first), _smoothed(second)
    return float(((q - p) * np.log(q / p)).sum()), _chance(first, second)


def jensen_shannon(first: Ints, second: Ints) -> tuple[float, float]:
    """Jensen-Shannon distance (root of the divergence, base 2, 0 to 1) and its chance level.

    Sources: Lin, "Divergence measures based on the Shannon entropy" (IEEE Transactions on Information Theory
    37, 1991); Endres, Schindelin (same, 49, 2003) for the root. For small differences its square is PSI / (8
    ln 2).
    """
    p, q = _shares(first), _shares(second)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.nan_to_num(p * np.log2(p / middle)) + np.nan_to_num(q * np.log2(q / middle))
    return math.sqrt(max(0.0, float(terms.sum()) / 2)), math.sqrt(_chance(first, second) / (8 * math.log(2)))


def hellinger(first: Ints, second: Ints) -> tuple[float, float]:
    """Hellinger distance (0 to 1) and its chance level; for small differences its square is PSI / 8.

    Source: Hellinger (Journal fuer die reine und angewandte Mathematik 136, 1909).
    """
    p, q = _shares(first), _shares(second)
    overlap = float(np.sqrt(p * q).sum())
    return math.sqrt(max(0.0, 1 - overlap)), math.sqrt(_chance(first, second) / 8)


def total_variation(first: Ints, second: Ints) -> tuple[float, float]:
    """Share of the rows that would have to change category, and its chance level: each share's difference is
    normal, and the sum of their sizes nearly so."""
    p, q = _shares(first), _shares(second)
    both = _shares(first + second)
    noise = _noise(first, second)
    sizes = np.sqrt(both * (1 - both)) * noise
    mean = float(sizes.sum()) * math.sqrt(2 / math.pi) / 2
    spread = math.sqrt(float((sizes**2).sum()) * (1 - 2 / math.pi)) / 2
    return float(np.abs(p - q).sum()) / 2, mean + 2.326 * spread


def wasserstein(middles: Floats, one: Floats, other: Floats, noise: float) -> tuple[float, float]:
    """First Wasserstein distance of two distribution functions at the same values, and its chance level: a
    quantile of the integral of a Brownian bridge over the reference's distribution, of seeded paths that all
    columns share.

    Sources: Vallender (Theory of Probability 18, 1974) for the integral; del Barrio, Gine, Matran, "Central
    limit theorems for the Wasserstein distance" (Annals of Probability 27, 1999) for its limit.

    Args:
        middles: Values, ascending, shape ``(k,)``.
        one, other: Distribution functions of the reference and the window there, shape ``(k,)``.
        noise: ``sqrt(1/n + 1/m)``.
    """
    if len(middles) < 2:
        return 0.0, 0.0
    gaps = np.diff(middles)
    points, paths = _bridges()
    weights = np.bincount(np.searchsorted(points, one[:-1] - 1e-12), gaps, len(points))[: len(points)]
    null = float(np.quantile(paths @ weights, 1 - TAIL)) * noise
    return float(np.abs(one - other)[:-1] @ gaps), null


@lru_cache(maxsize=1)
def _bridges() -> tuple[Floats, Floats]:
    # Points lie closer together near 0 and 1, where long tails have most of their length.
    points = (1 - np.cos(np.pi * np.arange(_POINTS + 1) / _POINTS)) / 2
    steps = np.random.default_rng(_SEED).normal(size=(_PATHS, _POINTS)) * np.sqrt(np.diff(points))
    walk = np.concatenate([np.zeros((_PATHS, 1)), np.cumsum(steps, axis=1)], axis=1)
    return points, np.abs(walk - walk[:, -1:] * points)


def _shares(counts: Ints) -> Floats:
    return np.asarray(counts / max(int(counts.sum()), 1), np.float64)


def _smoothed(counts: Ints) -> Floats:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)), np.float64)


def _noise(first: Ints, second: Ints) -> float:
    return math.sqrt(1 / max(int(first.sum()), 1) + 1 / max(int(second.sum()), 1))


def _chance(first: Ints, second: Ints) -> float:
    if len(first) < 2:
        return 0.0
    return _noise(first, second) ** 2 * chi_squared_quantile(TAIL, len(first) - 1)
