"""Sums of floats without any rounding, in whatever order parts are added and taken away again.

A sum is a whole number of the smallest float, 2**-1074. Chunks are cut at a grid so coarse that what remains
of the chunk adds up in floats exactly (pre-rounding: Demmel, Nguyen: Fast reproducible floating-point
summation, 2013); what was cut off is summed on the next finer grid, until nothing is left.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Values that are summed at a time: with their remainders they fit the second-level cache of a core.
CHUNK = 1 << 14
#: Bits of the largest value that are summed in one pass; with those of ``CHUNK`` they make 52.
_BITS = 38
#: The exponent of the smallest float.
_UNIT = -1074
_LARGEST = 2.0**1000


def sums(values: Floats) -> tuple[int, int]:
    """The sum of ``values`` (finite or not; only the finite count) and of their squares.

    A square is the value times itself rounded to the nearest float, so that it depends on nothing but the
    value; one beyond the largest float counts as the largest.

    Returns:
        Both as whole numbers of 2**-1074.
    """
    total = squares = 0
    size = min(CHUNK, len(values))
    cut, rest, square = np.empty(size), np.empty(size), np.empty(size)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, len(values), CHUNK):
            chunk = values[start : start + CHUNK]
            top = max(float(chunk.max()), -float(chunk.min()))
            if not math.isfinite(top):
                chunk = np.where(np.isfinite(chunk), chunk, 0.0)
                top = max(float(chunk.max()), -float(chunk.min()))
            length = len(chunk)
            total += _folded(chunk, top, cut[:length], rest[:length])
            squared = np.multiply(chunk, chunk, out=square[:length])
            if top * top >= _LARGEST:
                np.minimum(squared, np.finfo(np.float64).max, out=squared)
            squares += _folded(squared, min(top * top, np.finfo(np.float64).max), cut[:length], rest[:length])
    return total, squares


def ratio(units: int, by: int) -> float:
    """``units`` of 2**-1074 divided by ``by``, rounded once."""
    return units / (by << -_UNIT)


def _folded(values: Floats, top: float, cut: Floats, rest: Floats) -> int:
    if top >= _LARGEST:
        return _by_exponent(values)
    units = 0
    while top > 0.0:
        exponent = max(math.frexp(top)[1] - _BITS, _UNIT)
        magnet = math.ldexp(1.5, exponent + 52)
        np.add(values, magnet, out=cut)
        cut -= magnet
        units += int(math.ldexp(float(cut.sum()), -exponent)) << (exponent - _UNIT)
        if exponent == _UNIT:
            break
        values = np.subtract(values, cut, out=rest)
        # Signs aside, what is left is nothing but zeros, or at most half the grid.
        top = math.ldexp(0.5, exponent) if rest.any() else 0.0
    return units


def _by_exponent(values: Floats) -> int:
    """The same for values so large that the grid would overflow."""
    mantissas, exponents = np.frexp(values)
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    units = 0
    for exponent in np.unique(exponents):
        chosen = whole[exponents == exponent]
        high, low = chosen >> 27, chosen & ((1 << 27) - 1)
        part = (int(high.sum()) << 27) + int(low.sum())
        places = int(exponent) - 53 - _UNIT
        units += part << places if places >= 0 else part >> -places
    return units
