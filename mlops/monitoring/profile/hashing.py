"""A hash of words that is the same on every machine, over whole columns at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
_BASE = 0x9E3779B97F4A7C15


def hashes(words: Any) -> Hashes:
    """The hash of each word, shape ``(n,)``.

    A polynomial over the bytes of UTF-8, finished as SplitMix64 is (Steele, Lea, Flood: Fast splittable
    pseudorandom number generators, 2014). It spreads words, it does not protect them.

    Args:
        words: Arrow array of strings without nulls, shape ``(n,)``.
    """
    import pyarrow as pa

    if not len(words):
        return np.empty(0, np.uint64)
    words = words.cast(pa.large_string())
    offsets = np.frombuffer(words.buffers()[1], np.int64)[words.offset : words.offset + len(words) + 1]
    starts, ends = offsets[:-1], offsets[1:]
    data = words.buffers()[2]
    filled = ends > starts
    found = np.zeros(len(words), np.uint64)
    if data is not None and filled.any():
        letters = np.frombuffer(data, np.uint8)[starts[0] : ends[-1]].astype(np.uint64) + np.uint64(1)
        lengths = ends - starts
        places = np.arange(len(letters)) - np.repeat(starts - starts[0], lengths)
        letters *= _powers(int(lengths.max()))[places]
        found[filled] = np.add.reduceat(letters, (starts - starts[0])[filled])
    return _finished(found)


def _powers(count: int) -> Hashes:
    base = np.full(max(count, 1), _BASE, np.uint64)
    base[0] = 1
    return np.multiply.accumulate(base)


def _finished(state: Hashes) -> Hashes:
    state = state + np.uint64(_BASE)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
