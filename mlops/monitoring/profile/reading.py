"""From an Arrow column to what is known of it.

A column of numbers, words or times is one entry in the profile, under its name. A text is two:
``name (characters)``, and ``name (tokens)``, whose rows are tokens. A vector is its norm and its projections
on ``PROJECTIONS`` fixed directions of signs: ``name (norm)``, ``name (projection 1)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.monitoring.profile.categories import BUCKETS, Categories
from mlops.monitoring.profile.columns import Column, Numbers, numbers

Floats = npt.NDArray[np.float64]

#: Directions a vector is projected on.
PROJECTIONS = 4
#: Mean bytes of a value from which on a column of strings is text.
_TEXT = 48
#: A column is shifted when its median is this many interquartile ranges from zero.
_FAR = 4
_SAMPLE = 4096


def read(name: str, values: Any, like: Mapping[str, Column]) -> tuple[dict[str, Column], str]:
    """Columns of the profile for one of the table, and why there is none, in words, or "".

    Args:
        name: Of the column.
        values: Arrow chunked array, shape ``(n,)``.
        like: Columns of the profile to count alike, or none.
    """
    import pyarrow as pa

    kinds = pa.types
    kind = values.type
    known = like.get(name)
    if kinds.is_null(kind) and isinstance(known, Numbers):
        return {name: numbers(np.empty(0), len(values), known.shift, known.scale, known.unit)}, ""
    if _numeric(kind) and not isinstance(known, Categories):
        return {name: _numbers(values, known)}, ""
    if kinds.is_fixed_size_list(kind) or kinds.is_list(kind) or kinds.is_large_list(kind):
        if kinds.is_integer(kind.value_type) or kinds.is_floating(kind.value_type):
            return _vectors(name, values, like)
        return {}, f"lists of {kind.value_type} are not profiled"
    strings = _is_string(kind) or (kinds.is_dictionary(kind) and _is_string(kind.value_type))
    if strings and (f"{name} (characters)" in like or (known is None and _long(values))):
        return _text(name, values, like), ""
    if (
        strings
        or _numeric(kind)
        or any(test(kind) for test in (kinds.is_boolean, kinds.is_dictionary, kinds.is_null))
    ):
        note = "was numbers, now words" if isinstance(known, Numbers) else ""
        from mlops.monitoring.profile.words import words

        return {name: words(values, known if isinstance(known, Categories) else None)}, note
    return {}, f"{kind} is not profiled"


def _is_string(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _numeric(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_temporal)
    return any(test(kind) for test in tests) and not pa.types.is_interval(kind)


def _numbers(values: Any, like: Column | None) -> Numbers:
    plain, unit = _plain(values.drop_null() if values.null_count else values)
    if isinstance(like, Numbers):
        shift, scale = like.shift, like.scale
    else:
        shift, scale = _shift(plain), 1.0
    return numbers(_counted_as(plain, shift, scale), values.null_count, shift, scale, unit)


def _plain(values: Any) -> tuple[npt.NDArray[Any], str]:
    """Integers or floats, and the unit where the type has one."""
    import pyarrow as pa

    kinds, kind, unit = pa.types, values.type, ""
    if kinds.is_date(kind):
        values, unit = values.cast(pa.date32()).cast(pa.int32()), "days since 1970"
    elif kinds.is_timestamp(kind):
        # Nanoseconds are cut, not rounded: the order of two times never turns.
        values = values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        unit = "us since 1970"
    elif kinds.is_duration(kind):
        values, unit = values.cast(pa.duration("us"), safe=False).cast(pa.int64()), "us"
    elif kinds.is_time(kind):
        values = values.cast(pa.time64("us"), safe=False).cast(pa.int64())
        unit = "us since midnight"
    elif kinds.is_decimal(kind):
        values = values.cast(pa.float64())
    found = values.to_numpy()
    if found.dtype.kind == "f" and found.dtype != np.float64:
        found = found.astype(np.float64)
    return np.ascontiguousarray(found), unit


def _shift(values: npt.NDArray[Any]) -> float:
    """What to subtract from a column whose offset is large against its spread: near its median, and a
    multiple of a power of two near its spread, so that little is lost by rounding. Zero for any other."""
    sample = values[:: max(len(values) // _SAMPLE, 1)].astype(np.float64)
    sample = np.sort(sample[np.isfinite(sample) & (np.abs(sample) < 2.0**1000)])
    if not len(sample) or (values.dtype.kind in "iu" and np.abs(sample).max() <= 256):
        return 0.0
    quarter, median, three = sample[[len(sample) // 4, len(sample) // 2, 3 * len(sample) // 4]]
    spread = float(three - quarter or sample[-1] - sample[0])
    if not spread or not abs(float(median)) > _FAR * spread:
        return 0.0
    step = 2.0 ** math.floor(math.log2(spread))
    if values.dtype.kind in "iu":
        step = max(step, 1.0)
    return float(round(median / step) * step)


def _counted_as(values: npt.NDArray[Any], shift: float, scale: float) -> Floats:
    if not shift:
        counted = values.astype(np.float64, copy=False)
    elif values.dtype.kind in "iu" and values.dtype != np.uint64 and float(shift).is_integer():
        counted = _difference(values.astype(np.int64, copy=False), int(shift))
    else:
        counted = values.astype(np.float64, copy=False) - shift
    return counted if scale == 1.0 else counted / scale


def _difference(values: npt.NDArray[np.int64], shift: int) -> Floats:
    """Exact before it becomes a float, as far as 64 bits go; beyond them rounded first."""
    if abs(shift) >= 1 << 63:
        return values.astype(np.float64) - shift
    difference = (values - np.int64(shift)).astype(np.float64)
    if len(values) and max(abs(int(values.min())), abs(int(values.max()))) + abs(shift) >= 1 << 62:
        rounded = values.astype(np.float64) - shift
        return np.where(np.abs(rounded) < 2.0**62, difference, rounded)
    return difference


def _long(values: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        return False
    filled = len(values) - values.null_count
    return bool(filled) and pc.sum(pc.binary_length(values)).as_py() > _TEXT * filled


def _text(name: str, values: Any, like: Mapping[str, Column]) -> dict[str, Column]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlops.monitoring.profile.hashing import hashes

    filled = values.cast(pa.large_string()).drop_null()
    lengths = pc.utf8_length(filled).to_numpy().astype(np.float64)
    buckets = np.zeros(BUCKETS, np.int64)
    for chunk in filled.chunks:
        tokens = pc.list_flatten(pc.utf8_split_whitespace(pc.utf8_lower(chunk)))
        places = hashes(tokens.filter(pc.greater(pc.binary_length(tokens), 0)))
        buckets += np.bincount((places % np.uint64(BUCKETS)).astype(np.int64), minlength=BUCKETS)
    counts = {f"bucket {place}": int(count) for place, count in enumerate(buckets) if count}
    return {
        f"{name} (characters)": numbers(lengths, values.null_count, unit="characters"),
        f"{name} (tokens)": Categories(int(buckets.sum()), 0, counts),
    }


def _vectors(name: str, values: Any, like: Mapping[str, Column]) -> tuple[dict[str, Column], str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlops.monitoring.profile.hashing import hashes

    filled = values.drop_null()
    known = like.get(f"{name} (norm)")
    lengths = pc.list_value_length(filled).to_numpy()
    width = int(known.unit.rpartition(" ")[2]) if isinstance(known, Numbers) else 0
    if not width and not len(filled):
        return {}, "no vector to learn the length from"
    width = width or int(lengths[0])
    fitting = filled.filter(pa.array(lengths == width))
    flat = pc.list_flatten(fitting.combine_chunks()).to_numpy(zero_copy_only=False).astype(np.float64)
    rows = flat.reshape(len(fitting), width)
    absent = len(values) - len(fitting)
    measures = {"norm": np.sqrt((rows * rows).sum(axis=1))}
    for number in range(1, PROJECTIONS + 1):
        # Signs follow from direction and place, so that every machine projects on the same ones. The sum over
        # a row does not depend on the rows beside it, as that of a matrix product may.
        signs = hashes(pa.array([f"direction {number} place {place}" for place in range(width)]))
        direction = np.where(signs >> np.uint64(63), 1.0, -1.0) / math.sqrt(max(width, 1))
        measures[f"projection {number}"] = (rows * direction).sum(axis=1)
    note = f"{len(filled) - len(fitting)} vectors of another length than {width} count as missing"
    return {
        f"{name} ({what})": numbers(found, absent, unit=f"{what} of {width}")
        for what, found in measures.items()
    }, note if len(fitting) < len(filled) else ""
