"""Two columns of numbers on common bins: what the tests of numbers stand on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.profile.columns import Floats, Ints, Numbers, aligned

_PICTURE = 12


@dataclass(frozen=True, eq=False)
class Pair:
    """A reference and a current column, bin by bin.

    Attributes:
        low, high: Edges of each bin in the column's unit, ascending, shapes ``(k,)``.
        first, second: Rows of the reference and of the window in each, shapes ``(k,)``.
    """

    low: Floats
    high: Floats
    first: Ints
    second: Ints

    @classmethod
    def of(cls, reference: Numbers, current: Numbers) -> Pair:
        """Bins of both; a window that was counted in other units is counted again by the middles of its
        bins."""
        bins, first, second = aligned(reference, current)
        frame = replace(reference, bins=bins, counts=first, level=max(reference.level, current.level))
        low, high = frame.edges()
        return cls(_bounded(low), _bounded(high), first, second)

    @property
    def m(self) -> int:
        """Finite rows of the reference."""
        return int(self.first.sum())

    @property
    def n(self) -> int:
        """Finite rows of the window."""
        return int(self.second.sum())

    @property
    def noise(self) -> float:
        """``sqrt(1/n + 1/m)``: what every difference of two samples shrinks with."""
        return float(np.sqrt(1 / max(self.n, 1) + 1 / max(self.m, 1)))

    @cached_property
    def middles(self) -> Floats:
        """Value that stands for each bin."""
        return np.asarray(self.low / 2 + self.high / 2, np.float64)

    @cached_property
    def cumulated(self) -> tuple[Floats, Floats]:
        """Distribution functions of both at the upper edges."""
        return np.cumsum(self.first) / max(self.m, 1), np.cumsum(self.second) / max(self.n, 1)

    def quantiles(self, shares: Floats) -> tuple[Floats, Floats]:
        """Quantiles of both at ``shares``, ascending within (0, 1)."""
        one, other = self.cumulated
        last = len(self.middles) - 1
        return (
            self.middles[np.minimum(np.searchsorted(one, shares - 1e-12), last)],
            self.middles[np.minimum(np.searchsorted(other, shares - 1e-12), last)],
        )

    @cached_property
    def scale(self) -> float:
        """Standard deviation of the reference by its quartiles (IQR / 1.349), which a few wild values do not
        move; by its moments where the quartiles are one value; 1 of a constant."""
        low, high = self.quantiles(np.array([0.25, 0.75]))[0]
        if high - low > 2 * _width(self, low):
            return float(high - low) / 1.349
        weights = self.first / max(self.m, 1)
        mean = float(self.middles @ weights)
        deviation = float(np.sqrt(((self.middles - mean) ** 2) @ weights))
        return deviation if deviation > 2 * _width(self, mean) else abs(mean) or 1.0

    def grouped(self, groups: int) -> tuple[Ints, Ints]:
        """Rows of both in ``groups`` or fewer intervals of equal counts of the reference."""
        ranks = (np.cumsum(self.first) - self.first / 2) / max(self.m, 1)
        place = np.minimum((ranks * groups).astype(np.int64), groups - 1)
        one = np.bincount(place, self.first, groups).astype(np.int64)
        other = np.bincount(place, self.second, groups).astype(np.int64)
        kept = (one + other) > 0
        return one[kept], other[kept]

    def pictures(self) -> tuple[Distribution, Distribution]:
        """About 12 equal intervals between the 1 % and 99 % points of both, the outer ones open."""
        if not self.m + self.n:
            return Distribution((), ()), Distribution((), ())
        both = np.cumsum(self.first / max(self.m, 1) + self.second / max(self.n, 1))
        both = both / both[-1]
        start, stop = self.middles[np.searchsorted(both, [0.01, 0.99])]
        if stop <= start:
            start, stop = self.low[0], self.high[-1]
        edges = np.linspace(start, stop, _PICTURE + 1)
        place = np.clip(np.searchsorted(edges, self.middles, side="right") - 1, 0, _PICTURE - 1)
        labels = tuple(f"{edge:.4g}" for edge in edges[:-1])
        one = np.bincount(place, self.first, _PICTURE) / max(self.m, 1)
        other = np.bincount(place, self.second, _PICTURE) / max(self.n, 1)
        return Distribution(labels, tuple(one.tolist())), Distribution(labels, tuple(other.tolist()))


def _bounded(edges: Floats) -> Floats:
    # Differences and squares of these are still floats.
    return np.clip(np.nan_to_num(edges), -1e150, 1e150)


def _width(pair: Pair, value: float) -> float:
    index = int(np.clip(np.searchsorted(pair.middles, value), 0, len(pair.middles) - 1))
    return float(pair.high[index] - pair.low[index])
