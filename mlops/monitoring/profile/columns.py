"""What is known of one column: integer counts, so that profiles merge and subtract exactly, in any order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.categories import Categories
from mlops.monitoring.profile.exact import ratio

__all__ = ["HALF", "SHIFT", "Categories", "Column", "Numbers", "aligned", "counted"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Of a float's 64 bits, the histogram keeps sign, exponent and 7 bits of the mantissa: bins 0.8 % wide.
SHIFT = 45
#: Number of bins on each side of zero.
HALF = 1 << (63 - SHIFT)
#: Bins that a column may fill; with more of them, two neighbours become one, again and again.
MOST_BINS = 8192
_INFINITY = 0x7FF << (52 - SHIFT)
#: From this many values on, all bins there are cost less than finding out which are needed.
_MANY = 1 << 17


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
        total, squares: Sum of the finite values as counted, and of their squares, in units of 2**-1074.
        level: Bins are ``2**level`` identifiers wide: as few levels as ``MOST_BINS`` allows.
        nan: Of the missing rows, those that are NaN.
        unit: What one is, when that does not follow from the column: ``us since 1970``.
    """

    rows: int
    missing: int
    infinite: tuple[int, int]
    bins: Ints
    counts: Ints
    shift: float = 0.0
    scale: float = 1.0
    total: int = 0
    squares: int = 0
    level: int = 0
    nan: int = 0
    unit: str = ""

    def __add__(self, other: Numbers) -> Numbers:
        return self._with(other, 1)

    def __sub__(self, other: Numbers) -> Numbers:
        return self._with(other, -1)

    def _with(self, other: Numbers, sign: int) -> Numbers:
        if (self.shift, self.scale, self.unit) != (other.shift, other.scale, other.unit):
            raise UsageProblem(
                "two profiles of one column count in different units",
                where=f"shift {self.shift:g} and {other.shift:g}, scale {self.scale:g} and {other.scale:g}",
                expected="the same shift and scale",
                todo="make both with like=reference",
            )
        level = max(self.level, other.level)
        bins, counts = _summed(_at(self, level), _at(other, level), sign)
        return replace(
            self,
            rows=self.rows + sign * other.rows,
            missing=self.missing + sign * other.missing,
            infinite=(
                self.infinite[0] + sign * other.infinite[0],
                self.infinite[1] + sign * other.infinite[1],
            ),
            bins=bins,
            counts=counts,
            total=self.total + sign * other.total,
            squares=self.squares + sign * other.squares,
            level=level,
            nan=self.nan + sign * other.nan,
        ).fitting()

    def fitting(self) -> Numbers:
        """This one at the lowest level at which its bins have room."""
        level, bins = self.level, self.bins
        while len(bins) > MOST_BINS:
            level += 1
            bins = _once(bins >> level << level)
        return _at(self, level)

    def edges(self) -> tuple[Floats, Floats]:
        """Lower and upper edge of each bin, in the column's unit, shapes ``(k,)``."""
        low, _ = _edges(self.bins)
        _, high = _edges(self.bins + (1 << self.level) - 1)
        return low * self.scale + self.shift, high * self.scale + self.shift

    @property
    def finite(self) -> int:
        """Rows that have a finite value."""
        return self.rows - self.missing - self.infinite[0] - self.infinite[1]

    @property
    def mean(self) -> float:
        """Mean of the finite values, from their exact sum; NaN without any."""
        return ratio(self.total, self.finite) * self.scale + self.shift if self.finite else float("nan")

    @property
    def variance(self) -> float:
        """Mean squared distance of the finite values from their mean, from exact sums; NaN without any."""
        n = self.finite
        if not n:
            return float("nan")
        unit = 1 << 1074
        return max(n * self.squares * unit - self.total**2, 0) / (n * n * unit * unit) * self.scale**2

    @property
    def extremes(self) -> tuple[float, float]:
        """Bounds of the finite values: the edges of the outermost bins. They stay right when rows are taken
        away, which the smallest value itself does not; NaN without any."""
        if not len(self.bins):
            return float("nan"), float("nan")
        low, high = self.edges()
        return float(low[0]), float(high[-1])

    @property
    def zeros(self) -> int:
        """Rows that are zero (or smaller than 1e-307), when the column has no shift."""
        return int(self.counts[self.bins == HALF].sum())

    @property
    def negatives(self) -> int:
        """Finite rows below zero, when the column has no shift."""
        return int(self.counts[self.bins < HALF].sum())

    def quantile(self, q: float | Floats) -> Floats:
        """Values below which the share ``q`` of the finite rows lies, linear inside a bin; shape of ``q``."""
        if not len(self.bins):
            return np.full(np.shape(q), np.nan)
        low, high = self.edges()
        below = np.concatenate([[0], np.cumsum(self.counts)])
        wanted = np.asarray(q, np.float64) * below[-1]
        at = np.clip(np.searchsorted(below, wanted, "right") - 1, 0, len(low) - 1)
        return np.asarray(low[at] + (high[at] - low[at]) * (wanted - below[at]) / self.counts[at])

    def cdf(self, edges: Floats) -> Floats:
        """Share of the finite rows below each of ``edges``, linear inside a bin, shape of ``edges``."""
        low, high = self.edges()
        if not len(low):
            return np.full(np.shape(edges), np.nan)
        below = np.cumsum(self.counts) - self.counts
        at = np.clip(np.searchsorted(low, edges, "right") - 1, 0, len(low) - 1)
        inside = np.clip((edges - low[at]) / (high[at] - low[at]), 0.0, 1.0)
        return np.asarray((below[at] + inside * self.counts[at]) / max(self.finite, 1))


Column = Numbers | Categories


def _summed(one: Numbers, other: Numbers, sign: int) -> tuple[Ints, Ints]:
    """Bins and counts of ``one`` and ``sign`` times ``other``, of one level; costs what ``other`` has."""
    at = np.searchsorted(one.bins, other.bins)
    known = np.zeros(len(at), bool)
    inside = at < len(one.bins)
    known[inside] = one.bins[at[inside]] == other.bins[inside]
    bins, counts = one.bins, one.counts.copy()
    counts[at[known]] += sign * other.counts[known]
    if not known.all():
        bins = np.insert(bins, at[~known], other.bins[~known])
        counts = np.insert(counts, at[~known], sign * other.counts[~known])
    kept = counts != 0
    return (bins, counts) if kept.all() else (bins[kept], counts[kept])


def aligned(one: Numbers, other: Numbers) -> tuple[Ints, Ints, Ints]:
    """The bins of both, ascending, and the counts of each in them, shapes ``(k,)``.

    Bins are those of ``one``. Where ``other`` counts with another shift or scale, each of its bins goes to
    where its middle lies: good enough to compare, not to merge.
    """
    if (one.shift, one.scale) != (other.shift, other.scale):
        other = _moved(other, one.shift, one.scale)
    level = max(one.level, other.level)
    one, other = _at(one, level), _at(other, level)
    # Two ascending runs: what a stable sort is quickest at.
    bins = _once(np.sort(np.concatenate([one.bins, other.bins]), kind="stable"))
    mine, its = np.zeros(len(bins), np.int64), np.zeros(len(bins), np.int64)
    mine[np.searchsorted(bins, one.bins)] = one.counts
    its[np.searchsorted(bins, other.bins)] = other.counts
    return bins, mine, its


def counted(values: Floats) -> tuple[Ints, Ints]:
    """Bins that hold any of ``values``, ascending, and how many each; infinities and NaN have theirs too."""
    places = values.view(np.int64) >> SHIFT
    if len(places) < _MANY:
        return _few(places)
    places += HALF
    dense = np.bincount(places, minlength=2 * HALF)
    # The float's sign bit comes first: negative numbers are the lower half of the integers, largest first.
    below, above = np.flatnonzero(dense[:HALF]), np.flatnonzero(dense[HALF:])
    bins = np.concatenate([HALF - 1 - below[::-1], HALF + above])
    return bins, np.concatenate([dense[below[::-1]], dense[HALF + above]])


def _few(places: Ints) -> tuple[Ints, Ints]:
    if not len(places):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    magnitudes = places & (HALF - 1)
    low, high = int(magnitudes.min()), int(magnitudes.max())
    if low == 0 or high >= _INFINITY:
        # Zeros, infinities and NaN are far from all others: counted with them, most of the bins are empty.
        usual = (magnitudes > 0) & (magnitudes < _INFINITY)
        rest = places[~usual]
        edge, many = np.unique(np.where(rest >= 0, HALF + rest, -1 - rest), return_counts=True)
        bins, counts = _few(places[usual])
        at = np.searchsorted(bins, edge)
        return np.insert(bins, at, edge), np.insert(counts, at, many)
    width = high - low + 1
    magnitudes -= low
    magnitudes += (places >= 0) * width
    dense = np.bincount(magnitudes, minlength=2 * width)
    below, above = np.flatnonzero(dense[:width])[::-1], np.flatnonzero(dense[width:])
    bins = np.concatenate([HALF - 1 - low - below, HALF + low + above])
    return bins, np.concatenate([dense[below], dense[width + above]])


def numbers(values: Floats, missing: int, shift: float = 0.0, scale: float = 1.0, unit: str = "") -> Numbers:
    """Count ``values`` as they are to be counted, shift and scale applied, shape ``(n,)``.

    Args:
        values: Floats, NaN and infinities among them.
        missing: Rows beside them that have no value.
        shift, scale, unit: What was applied, see :class:`Numbers`.
    """
    from mlops.monitoring.profile.exact import sums

    bins, counts = counted(values)
    special = np.abs(2 * bins + 1 - 2 * HALF) >= 2 * _INFINITY
    infinite, nan = (0, 0), 0
    if special.any():
        # A signalling NaN shares the bin of infinity.
        infinite = int((values == -np.inf).sum()), int((values == np.inf).sum())
        nan = int(counts[special].sum()) - sum(infinite)
        bins, counts = bins[~special], counts[~special]
    # Minus zero is zero, and so is what is too small for a full mantissa.
    tiny = bins == HALF - 1
    if tiny.any():
        bins, counts = _grouped(np.where(tiny, HALF, bins), counts)
    total, squares = sums(values)
    return Numbers(
        missing + len(values),
        missing + nan,
        infinite,
        bins,
        counts,
        shift,
        scale,
        total,
        squares,
        0,
        nan,
        unit,
    ).fitting()


def _at(column: Numbers, level: int) -> Numbers:
    if level == column.level:
        return column
    bins, counts = _grouped(column.bins >> level << level, column.counts)
    return replace(column, bins=bins, counts=counts, level=level)


def _moved(column: Numbers, shift: float, scale: float) -> Numbers:
    low, high = column.edges()
    middle = ((low + (high - low) / 2) - shift) / scale
    places = middle.view(np.int64) >> SHIFT
    bins, counts = _grouped(np.where(places >= 0, HALF + places, HALF - 1 - (places + HALF)), column.counts)
    return replace(column, bins=bins, counts=counts, shift=shift, scale=scale, level=0)


def _once(ascending: Ints) -> Ints:
    if not len(ascending):
        return ascending
    first: Ints = ascending[np.concatenate([[True], ascending[1:] != ascending[:-1]])]
    return first


def _grouped(bins: Ints, counts: Ints) -> tuple[Ints, Ints]:
    kept, where = np.unique(bins, return_inverse=True)
    grouped = np.zeros(len(kept), np.int64)
    np.add.at(grouped, where, counts)
    return kept, grouped


def _edges(bins: Ints) -> tuple[Floats, Floats]:
    positive = bins >= HALF
    magnitude = np.where(positive, bins - HALF, HALF - 1 - bins)
    near = (magnitude << SHIFT).view(np.float64)
    far = ((magnitude + 1) << SHIFT).view(np.float64)
    return np.where(positive, near, -far), np.where(positive, far, -near)
