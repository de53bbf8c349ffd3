"""Does a window differ from the reference? Tests per column, corrected together, gated by effect.

- numbers: Kolmogorov-Smirnov two-sample statistic on the profile's bins, with the asymptotic p-value of
  Smirnov (Annals of Mathematical Statistics 19, 1948); on bins it is conservative.
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
from dataclasses import replace

import numpy as np

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.finding import Family, Finding
from mlops.monitoring.profile import Categories, Column, Numbers, Profile
from mlops.monitoring.profile.columns import aligned

#: The least Kolmogorov-Smirnov distance, or total variation distance of categories, that is worth an alert.
MIN_EFFECT = 0.1
#: The least change in the share of missing values that is worth one.
MIN_MISSING = 0.05
_PICTURE = 12
_REST = "(other)"


def compare(
    reference: Profile,
    current: Profile,
    false_alarm_rate: float,
    prediction: str = "prediction",
    importance: Mapping[str, float] | None = None,
) -> tuple[Finding, ...]:
    """Every column of the window that the reference has.

    Args:
        reference: Of the model version that made the predictions.
        current: The window, made with ``like=reference``.
        false_alarm_rate: Highest share of undrifted windows with any drift finding, 0 to 1.
        prediction: The column that is the model's output.
        importance: Share of the output that each column explains.
    """
    raw: list[Finding] = []
    for name, before in reference.columns.items():
        now = current.columns.get(name)
        if now is None:
            continue
        raw.append(_missing(name, before, now))
        if type(before) is type(now):
            raw.append(_shape(name, before, now, "prediction" if name == prediction else "drift"))
    corrected = holm([each.p_value for each in raw])
    made = []
    for each, p_value in zip(raw, corrected, strict=True):
        found = p_value < false_alarm_rate and each.effect >= each.floor
        made.append(
            replace(
                each,
                p_adjusted=p_value,
                found=found,
                severity="ticket" if found else "none",
                importance=(importance or {}).get(each.column),
            )
        )
    return tuple(made)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def _shape(name: str, before: Column, now: Column, family: Family) -> Finding:
    if isinstance(before, Numbers) and isinstance(now, Numbers):
        bins, first, second = aligned(before, now)
        effect, p_value = kolmogorov_smirnov(first.tolist(), second.tolist())
        test, pictures = "ks", _numbers(before, now, bins, first, second)
    else:
        assert isinstance(before, Categories) and isinstance(now, Categories)
        names = sorted({*before.counts, *now.counts}, key=lambda each: -before.counts.get(each, 0))
        one, two = ([each.counts.get(name, 0) for name in names] for each in (before, now))
        effect, p_value = chi_squared(one, two)
        labels = [*names[: _PICTURE - 1], _REST] if len(names) > _PICTURE else names
        test, pictures = "chi2", (_picture(labels, one), _picture(labels, two))
    sentence = f"{name} differs from the reference by {effect:.2f} ({test})"
    return Finding(
        name, family, test, effect, effect, MIN_EFFECT, p_value, p_value, False, "none", sentence,
        reference=pictures[0], current=pictures[1],
    )  # fmt: skip


def _missing(name: str, before: Column, now: Column) -> Finding:
    one = before.missing / before.rows if before.rows else 0.0
    two = now.missing / now.rows if now.rows else 0.0
    p_value = two_proportions(before.missing, before.rows, now.missing, now.rows)
    labels = ("present", "missing")
    sentence = f"{name} is missing in {two:.1%} of rows, was {one:.1%}"
    return Finding(
        name, "missing", "missing", two, abs(two - one), MIN_MISSING, p_value, p_value, False, "none", sentence,
        reference=Distribution(labels, (1 - one, one)), current=Distribution(labels, (1 - two, two)),
    )  # fmt: skip


def _numbers(
    before: Numbers, now: Numbers, bins: object, first: object, second: object
) -> tuple[Distribution, Distribution]:
    """Shares in a dozen bins that hold about as many rows of the reference each."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    frame = replace(before, bins=np.asarray(bins, np.int64), counts=np.asarray(first, np.int64))
    low, _ = frame.edges()
    total = one.sum() or 1.0
    place = np.minimum((np.cumsum(one) - one) * _PICTURE / total, _PICTURE - 1).astype(int)
    kept, starts = np.unique(place, return_index=True)
    labels = tuple(f"from {low[start]:.4g}" for start in starts)
    shares = [[float(each[place == group].sum()) for group in kept] for each in (one, two)]
    return _picture(labels, shares[0]), _picture(labels, shares[1])


def _picture(labels: Sequence[str], counts: Sequence[float]) -> Distribution:
    folded = [*counts[: len(labels) - 1], sum(counts[len(labels) - 1 :])] if labels else []
    total = sum(folded)
    return Distribution(tuple(labels), tuple(each / total if total else 0.0 for each in folded))


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
