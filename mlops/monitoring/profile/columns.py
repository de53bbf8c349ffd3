"""What is known of one column: integer counts, so that profiles merge and subtract exactly, in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from blueprints.errors import UsageProblem

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Of a float's 64 bits, the histogram keeps sign, exponent and 7 bits of the mantissa: bins 0.8 % wide.
SHIFT = 45
#: Number of bins on each side of zero.
HALF = 1 << (63 - SHIFT)


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers.

    Attributes:
        rows: All rows.
        missing: Rows without a value, NaN among them.
        infinite: Rows of minus and plus infinity.
        bins: Identifiers of the bins that hold anything, ascending in value, shape ``(k,)``.
        counts: Finite rows of each, shape ``(k,)``.
        shift, scale: A value is counted as ``(value - shift) / scale``; the same for all that merge.
    """

    rows: int
    missing: int
    infinite: tuple[int, int]
    bins: Ints
    counts: Ints
    shift: float = 0.0
    scale: float = 1.0

    def __add__(self, other: Numbers) -> Numbers:
        return self._with(other, 1)

    def __sub__(self, other: Numbers) -> Numbers:
        return self._with(other, -1)

    def _with(self, other: Numbers, sign: int) -> Numbers:
        if (self.shift, self.scale) != (other.shift, other.scale):
            raise UsageProblem(
                "two profiles of one column count in different units",
                expected="the same shift and scale",
                todo="make both with like=reference",
            )
        bins, mine, its = aligned(self, other)
        counts = mine + sign * its
        kept = counts != 0
        return replace(
            self,
            rows=self.rows + sign * other.rows,
            missing=self.missing + sign * other.missing,
            infinite=(
                self.infinite[0] + sign * other.infinite[0],
                self.infinite[1] + sign * other.infinite[1],
            ),
            bins=bins[kept],
            counts=counts[kept],
        )

    def edges(self) -> tuple[Floats, Floats]:
        """Lower and upper edge of each bin, in the column's unit, shapes ``(k,)``."""
        low, high = _edges(self.bins)
        return low * self.scale + self.shift, high * self.scale + self.shift


@dataclass(frozen=True, eq=False)
class Categories:
    """A column of words.

    Attributes:
        rows: All rows.
        missing: Rows without a value.
        counts: Rows of each category.
    """

    rows: int
    missing: int
    counts: Mapping[str, int]

    def __add__(self, other: Categories) -> Categories:
        return self._with(other, 1)

    def __sub__(self, other: Categories) -> Categories:
        return self._with(other, -1)

    def _with(self, other: Categories, sign: int) -> Categories:
        counts = dict(self.counts)
        for name, count in other.counts.items():
            counts[name] = counts.get(name, 0) + sign * count
        return Categories(
            self.rows + sign * other.rows,
            self.missing + sign * other.missing,
            {name: count for name, count in counts.items() if count},
        )


Column = Numbers | Categories


def aligned(one: Numbers, other: Numbers) -> tuple[Ints, Ints, Ints]:
    """The bins of both, ascending, and the counts of each in them, shapes ``(k,)``."""
    bins = np.union1d(one.bins, other.bins)
    mine, its = np.zeros(len(bins), np.int64), np.zeros(len(bins), np.int64)
    mine[np.searchsorted(bins, one.bins)] = one.counts
    its[np.searchsorted(bins, other.bins)] = other.counts
    return bins, mine, its


def counted(values: Floats) -> tuple[Ints, Ints]:
    """Bins that hold any of the finite ``values``, ascending, and how many each."""
    dense = np.bincount((values.view(np.int64) >> SHIFT) + HALF, minlength=2 * HALF)
    # The float's sign bit comes first: negative numbers are the lower half of the integers, largest first.
    ordered = np.concatenate([dense[:HALF][::-1], dense[HALF:]])
    (bins,) = np.nonzero(ordered)
    return bins.astype(np.int64), ordered[bins].astype(np.int64)


def _edges(bins: Ints) -> tuple[Floats, Floats]:
    positive = bins >= HALF
    magnitude = np.where(positive, bins - HALF, HALF - 1 - bins)
    near = (magnitude << SHIFT).view(np.float64)
    far = ((magnitude + 1) << SHIFT).view(np.float64)
    return np.where(positive, near, -far), np.where(positive, far, -near)
