"""Has the unit of a column changed? Seconds for minutes, grams for kilograms, Kelvin for Celsius."""

from __future__ import annotations

import math

import numpy as np

from mlops.monitoring.profile.columns import Floats
from mlops.monitoring.tests.histogram import Pair
from mlops.monitoring.tests.outcome import Outcome
from mlops.monitoring.tests.rules import Rules

_FACTORS = (10.0, 24.0, 60.0, 100.0, 1_000.0, 3_600.0, 86_400.0, 1e6, 1e9)
_SHARES = np.array([0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95])
#: Quantiles agree on a factor when their ratios differ by less than this, in powers of ten.
_AGREE = 0.12


def unit_tests(name: str, pair: Pair, rules: Rules) -> list[Outcome]:
    """Whether all quantiles changed by one factor, or by one offset. The p-value is that of the shape: a
    change of unit changes the distribution, and the quantiles say in which way."""
    before, after = pair.quantiles(_SHARES)
    factor = _factor(before, after)
    size = abs(math.log10(factor)) if factor else 0.0
    word = "larger" if factor > 1 else "smaller"
    times = f"{max(factor, 1 / factor):,.0f}" if factor else "1"
    offset = _offset(before, after, pair) if not factor else 0.0
    return [
        Outcome("unit", "quality", factor or 1.0, size, rules.floor("unit"),
                f"{name} is about {times} times {word}: a change of unit?"),
        Outcome("offset", "quality", offset, abs(offset) / pair.scale, rules.floor("offset"),
                f"{name} is {abs(offset):,.4g} {'higher' if offset > 0 else 'lower'} throughout with the "
                "same spread: a change of unit or origin?"),
    ]  # fmt: skip


def _factor(before: Floats, after: Floats) -> float:
    """The common factor of all quantiles that lie far enough from zero to have one; 0: there is none."""
    largest = float(np.abs(before).max())
    usable = np.abs(before) > 0.2 * largest
    if largest == 0 or usable.sum() < 3 or (after[usable] == 0).any():
        return 0.0
    if (np.sign(after[usable]) != np.sign(before[usable])).any():
        return 0.0
    logs = np.log10(np.abs(after[usable])) - np.log10(np.abs(before[usable]))
    middle = float(np.median(logs))
    if np.abs(logs - middle).max() > _AGREE:
        return 0.0
    for known in _FACTORS:
        for sign in (1, -1):
            if abs(middle - sign * math.log10(known)) < _AGREE / 2:
                return float(known**sign)
    return 0.0


def _offset(before: Floats, after: Floats, pair: Pair) -> float:
    differences = after - before
    # Far from zero the bins are wide, and no quantile is known better than its bin.
    bins = np.minimum(np.searchsorted(pair.middles, after), len(pair.middles) - 1)
    blur = float((pair.high - pair.low)[bins].max())
    if float(differences.max() - differences.min()) > 0.5 * pair.scale + blur:
        return 0.0
    return float(np.median(differences))
