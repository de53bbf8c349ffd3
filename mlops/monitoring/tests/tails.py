"""Tails of the distributions that the tests need, as logarithms: a window of a million rows has p-values far
below the smallest float, and they still have to be told apart. Without SciPy, which takes longer to import
than the tests take to run."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
#: Above this many successes the hypergeometric distribution is taken as normal.
_EXACT = 4_000
_TINY = 1e-300


def normal(z: float) -> float:
    """Log of the two-sided tail of the standard normal distribution beyond ``|z|``."""
    x = abs(z) / math.sqrt(2)
    if x < 25:
        return math.log(max(math.erfc(x), _TINY))
    return -x * x - math.log(x * math.sqrt(math.pi)) + math.log1p(-0.5 / x**2 + 0.75 / x**4)


def z_of(log_p: float) -> float:
    """The ``z >= 0`` whose two-sided normal tail is ``exp(log_p)``."""
    if log_p > -500:
        p = min(1.0, math.exp(log_p))
        return 0.0 if p >= 1 else -_NORMAL.inv_cdf(p / 2)
    z = math.sqrt(-2 * log_p)
    for _ in range(4):
        tail = math.log(z * math.sqrt(math.pi / 2)) - math.log1p(-1 / z**2 + 3 / z**4)
        z = math.sqrt(-2 * (log_p + tail))
    return z


def student(t: float, freedom: float) -> float:
    """Log of the two-sided tail of Student's distribution: I(v / (v + t^2); v/2, 1/2)."""
    x = freedom / (freedom + t * t)
    return _log_beta_tail(x, freedom / 2, 0.5)


def _log_beta_tail(x: float, a: float, b: float) -> float:
    """Log of the regularised incomplete beta function by Lentz's continued fraction (Press et al., Numerical
    Recipes, 6.4)."""
    if x >= 1:
        return 0.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x > (a + 1) / (a + b + 2):
        other = math.exp(front) * _beta_fraction(1 - x, b, a) / b
        return math.log(max(1 - other, _TINY))
    return front + math.log(_beta_fraction(x, a, b) / a)


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or _TINY)
    h = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / ((1 + step * d) or _TINY)
            c = (1 + step / c) or _TINY
            h *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return h


def kolmogorov(x: float) -> float:
    """Log of the probability that Kolmogorov's limiting statistic exceeds ``x`` (Smirnov, Annals of
    Mathematical Statistics 19, 1948)."""
    if x < 0.2:
        return 0.0
    if x > 3:
        return math.log(2) - 2 * x * x
    terms = [2.0 * (-1.0) ** (k - 1) * math.exp(-2.0 * k * k * x * x) for k in range(1, 60)]
    return math.log(min(1.0, max(_TINY, math.fsum(terms))))


def chi_squared(statistic: float, freedom: int) -> float:
    """Log of the upper tail of the chi-squared distribution: the regularised incomplete gamma function
    Q(k/2, x/2), by series or continued fraction (Press et al., Numerical Recipes, 6.2)."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 0.0
    front = -x + a * math.log(x) - math.lgamma(a)
    if x < a + 1:
        term = total = 1 / a
        for n in range(1, 2_000):
            term *= x / (a + n)
            total += term
            if term < total * 1e-16:
                break
        return math.log(max(1 - total * math.exp(front), _TINY))
    b = x + 1 - a
    c, d = 1e300, 1 / b
    h = d
    for i in range(1, 2_000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b or _TINY)
        c = b + step / c or _TINY
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front + math.log(h)


@lru_cache(maxsize=4096)
def chi_squared_quantile(tail: float, freedom: int) -> float:
    """The value that chi-squared exceeds with probability ``tail``, by halving."""
    low, high = 0.0, freedom + 40 * math.sqrt(2 * freedom) + 40
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_squared(middle, freedom) > math.log(tail) else (low, middle)
    return high


def fisher(first: int, m: int, second: int, n: int) -> float:
    """Log of the two-sided p-value of Fisher's exact test of ``first`` of ``m`` against ``second`` of ``n``
    (Journal of the Royal Statistical Society 85, 1922); of the normal approximation where the counts are
    large."""
    total = first + second
    if m + n - total < total:
        first, second, total = m - first, n - second, m + n - total
    if not m or not n or not total:
        return 0.0
    if total > _EXACT:
        rate = total / (m + n)
        return normal((second / n - first / m) / math.sqrt(rate * (1 - rate) * (1 / n + 1 / m)))
    low, high = max(0, total - m), min(n, total)
    k = np.arange(low, high, dtype=float)
    steps = np.log(n - k) + np.log(total - k) - np.log(k + 1) - np.log(m - total + k + 1)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    top = logs.max()
    weights = np.exp(logs - top)
    as_rare = logs[logs <= logs[second - low] + 1e-9]
    peak = as_rare.max()
    inside = peak + math.log(np.exp(as_rare - peak).sum())
    return float(min(0.0, inside - top - math.log(weights.sum())))
