"""Many tests at once: p-values combined within a column and corrected over all columns of a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Correction = Literal["bh", "holm", "bonferroni"]


def adjusted(p_values: Sequence[float], how: Correction) -> list[float]:
    """Adjusted p-values, in the order given.

    Sources: Benjamini, Hochberg, "Controlling the false discovery rate" (Journal of the Royal Statistical
    Society B 57, 1995), which with no true difference at all is the test of Simes (Biometrika 73, 1986) and
    so bounds the share of quiet windows with any finding; Holm, "A simple sequentially rejective multiple
    test procedure" (Scandinavian Journal of Statistics 6, 1979).
    """
    count = len(p_values)
    if how == "bonferroni":
        return [min(1.0, p * count) for p in p_values]
    order = sorted(range(count), key=lambda index: p_values[index])
    result = [1.0] * count
    if how == "holm":
        highest = 0.0
        for rank, index in enumerate(order):
            highest = max(highest, min(1.0, p_values[index] * (count - rank)))
            result[index] = highest
        return result
    lowest = 1.0
    for rank in range(count, 0, -1):
        index = order[rank - 1]
        lowest = min(lowest, p_values[index] * count / rank)
        result[index] = lowest
    return result


def combined(p_values: Sequence[float]) -> float:
    """One p-value of several dependent ones: the Cauchy combination, whose small values hold under any
    correlation.

    Source: Liu, Xie, "Cauchy combination test" (Journal of the American Statistical Association 115, 2020).
    """
    if len(p_values) == 1:
        return p_values[0]
    least = min(p_values)
    if least < 1e-14:
        # tan((1/2 - p) pi) is 1 / (p pi) here, and would overflow.
        return min(1.0, len(p_values) * least)
    # A p-value of 1 (tests on counts have them) must not outvote the others with minus infinity.
    mean = sum(math.tan((0.5 - min(p, 0.99)) * math.pi) for p in p_values) / len(p_values)
    return 0.5 - math.atan(mean) / math.pi if mean < 1e6 else 1 / (mean * math.pi)
