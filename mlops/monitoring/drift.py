"""Does a window differ from the reference? Tests per feature, corrected together, gated by effect.

- numbers: Kolmogorov-Smirnov two-sample statistic on the reference's quantile bins, with the asymptotic
  p-value of Smirnov (Annals of Mathematical Statistics 19, 1948); on bins it is conservative.
- categories: Pearson's chi-squared for two samples (Phil. Mag. 50, 1900), cells whose expected count is under
  5 pooled (Cochran, Biometrics 10, 1954).
- missing values: two-proportion z test.

P-values of all tests of a window are corrected with Holm's step-down procedure (Scandinavian Journal of
Statistics 6, 1979), so that the share of quiet windows with any alarm stays below the rate asked for. A
difference must also be large enough to matter: big windows make any trifle significant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.reference import (
    FeatureReference,
    Reference,
    as_numbers,
    as_words,
    count_numbers,
    count_words,
)

Kind = Literal["drift", "missing"]

#: The least Kolmogorov-Smirnov distance, or total variation distance of categories, that is worth an alert.
MIN_EFFECT = 0.1
#: The least change in the share of missing values that is worth one.
MIN_MISSING = 0.05


@dataclass(frozen=True)
class Finding:
    """One test of one feature in one window.

    Attributes:
        statistic: ``ks``, ``chi2`` or ``missing``.
        effect: Size of the difference, 0 to 1: KS distance, total variation, change of the missing share.
        p_value: Corrected for all tests of the window.
        drifted: Significant and large enough.
    """

    feature: str
    kind: Kind
    statistic: str
    effect: float
    threshold: float
    p_value: float
    drifted: bool
    reference: Distribution
    current: Distribution


def compare(
    reference: Reference, columns: Mapping[str, Sequence[Any]], false_alarm_rate: float
) -> tuple[Finding, ...]:
    """Every feature of the reference against the window's column of that name.

    Args:
        reference: Of the model version that made the predictions.
        columns: ``n`` values each; a feature without a column counts as all missing.
        false_alarm_rate: Highest share of undrifted windows with any drift finding, 0 to 1.
    """
    rows = max((len(values) for values in columns.values()), default=0)
    raw: list[tuple[Finding, float]] = []
    for name, feature in reference.features.items():
        values = columns.get(name, [None] * rows)
        raw += [_missing(name, feature, values), _shape(name, feature, values)]
    corrected = holm([p for _, p in raw])
    return tuple(
        Finding(
            each.feature,
            each.kind,
            each.statistic,
            each.effect,
            each.threshold,
            p,
            p < false_alarm_rate and each.effect >= each.threshold,
            each.reference,
            each.current,
        )
        for (each, _), p in zip(raw, corrected, strict=True)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def counts_of(feature: FeatureReference, values: Sequence[Any]) -> tuple[tuple[int, ...], int]:
    """``(counts in the reference's bins or categories, missing)`` of a column."""
    if feature.kind == "number":
        numbers = as_numbers(values)
        if numbers is None:
            # Words where numbers were: nothing of it can be placed in a bin.
            return (0,) * len(feature.counts), len(values)
        return count_numbers(numbers, feature.edges), int(np.isnan(numbers).sum())
    words, missing = as_words(values)
    return count_words(words, feature.labels), missing


def _shape(name: str, feature: FeatureReference, values: Sequence[Any]) -> tuple[Finding, float]:
    counts, _ = counts_of(feature, values)
    if feature.kind == "number":
        effect, p_value = kolmogorov_smirnov(feature.counts, counts)
        statistic = "ks"
    else:
        effect, p_value = chi_squared(feature.counts, counts)
        statistic = "chi2"
    labels = feature.labels or _bin_labels(feature.edges)
    finding = Finding(
        name,
        "drift",
        statistic,
        effect,
        MIN_EFFECT,
        p_value,
        False,
        Distribution(labels, _shares(feature.counts)),
        Distribution(labels, _shares(counts)),
    )
    return finding, p_value


def _missing(name: str, feature: FeatureReference, values: Sequence[Any]) -> tuple[Finding, float]:
    _, missing = counts_of(feature, values)
    before = feature.missing / feature.rows if feature.rows else 0.0
    now = missing / len(values) if len(values) else 0.0
    p_value = two_proportions(feature.missing, feature.rows, missing, len(values))
    labels = ("present", "missing")
    finding = Finding(
        name,
        "missing",
        "missing",
        abs(now - before),
        MIN_MISSING,
        p_value,
        False,
        Distribution(labels, (1 - before, before)),
        Distribution(labels, (1 - now, now)),
    )
    return finding, p_value


def kolmogorov_smirnov(first: Sequence[int], second: Sequence[int]) -> tuple[float, float]:
    """``(distance, p-value)`` of two samples counted in the same ordered bins."""
    n, m = sum(first), sum(second)
    if not n or not m:
        return 0.0, 1.0
    distance = float(np.max(np.abs(np.cumsum(first) / n - np.cumsum(second) / m)))
    return distance, kolmogorov_tail(distance * math.sqrt(n * m / (n + m)))


def kolmogorov_tail(x: float) -> float:
    """Probability that Kolmogorov's limiting statistic exceeds ``x``."""
    if x < 0.2:
        return 1.0
    terms = [2.0 * (-1.0) ** (k - 1) * math.exp(-2.0 * k * k * x * x) for k in range(1, 101)]
    return float(min(1.0, max(0.0, math.fsum(terms))))


def chi_squared(first: Sequence[int], second: Sequence[int]) -> tuple[float, float]:
    """``(total variation distance, p-value)`` of two samples counted in the same categories."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    n, m = a.sum(), b.sum()
    if not n or not m:
        return 0.0, 1.0
    distance = float(np.abs(a / n - b / m).sum() / 2)
    expected = (a + b) * min(n, m) / (n + m)
    rare = expected < 5
    if rare.sum() > 1:
        a = np.append(a[~rare], a[rare].sum())
        b = np.append(b[~rare], b[rare].sum())
    seen = (a + b) > 0
    a, b = a[seen], b[seen]
    if len(a) < 2:
        return distance, 1.0
    pooled = (a + b) / (n + m)
    statistic = float((((a - n * pooled) ** 2) / (n * pooled) + ((b - m * pooled) ** 2) / (m * pooled)).sum())
    return distance, chi_squared_tail(statistic, len(a) - 1)


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """Upper tail of the chi-squared distribution: the regularised incomplete gamma function Q(k/2, x/2), by
    series or continued fraction (Press et al., Numerical Recipes, 6.2)."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for n in range(1, 1000):
            term *= x / (a + n)
            total += term
            if term < total * 1e-16:
                break
        return max(0.0, 1 - total * front)
    b = x + 1 - a
    c, d = 1e300, 1 / b
    h = d
    for i in range(1, 1000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b or 1e-300)
        c = b + step / c or 1e-300
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * h


def two_proportions(first: int, n: int, second: int, m: int) -> float:
    """Two-sided p-value of the pooled two-proportion z test."""
    if not n or not m:
        return 1.0
    pooled = (first + second) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    if variance <= 0:
        return 1.0
    return math.erfc(abs(first / n - second / m) / math.sqrt(2 * variance))


def _bin_labels(edges: Sequence[float]) -> tuple[str, ...]:
    if not edges:
        return ("all",)
    shown = [f"{edge:.4g}" for edge in edges]
    return (
        f"< {shown[0]}",
        *(f"{low} – {high}" for low, high in pairwise(shown)),
        f"≥ {shown[-1]}",
    )


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = sum(counts)
    return tuple(count / total if total else 0.0 for count in counts)
