"""Counting a column of words, by dictionary codes where it has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.monitoring.profile.categories import LONGEST, PINNED, SIZE, Categories, fitting, weights
from mlops.monitoring.profile.hashing import hashes

Ints = npt.NDArray[np.int64]


def words(values: Any, like: Categories | None) -> Categories:
    """Count an Arrow chunked array of words, shape ``(n,)``, with the pinned words of ``like``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        found, counts = _by_code(values)
    else:
        # A number that is a category is written the same in every block.
        pairs = pc.value_counts(values.cast(pa.large_string()).drop_null())
        found, counts = pairs.field("values"), pairs.field("counts").to_numpy()
    missing = len(values) - int(counts.sum())
    found = _short(found)
    heavy = int(weights(found).sum()) > SIZE
    if like is not None:
        pinned = like.pinned
    else:
        first = np.lexsort((hashes(found), -counts))[:PINNED]
        pinned = frozenset(found.take(pa.array(first)).to_pylist())
    if not heavy:
        return Categories(
            len(values), missing, dict(zip(found.to_pylist(), counts.tolist(), strict=True)), pinned=pinned
        )
    return fitting(found, counts, hashes(found), Categories(len(values), missing, {}, pinned=pinned))


def _by_code(values: Any) -> tuple[Any, Ints]:
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [_of_chunk(chunk) for chunk in values.chunks]
    if not parts:
        return pa.array([], pa.large_string()), np.empty(0, np.int64)
    names, counts = parts[0]
    if len(parts) == 1 and not names.null_count and len(names.unique()) == len(names):
        return names, counts
    table = pa.concat_tables(pa.table({"name": name, "count": pa.array(count)}) for name, count in parts)
    table = table.group_by("name", use_threads=False).aggregate([("count", "sum")])
    table = table.filter(pc.is_valid(table["name"]))
    return table["name"].combine_chunks(), table["count_sum"].to_numpy()


def _of_chunk(chunk: Any) -> tuple[Any, Ints]:
    import pyarrow as pa

    indices = chunk.indices.drop_null() if chunk.indices.null_count else chunk.indices
    counts = np.bincount(indices.to_numpy(), minlength=len(chunk.dictionary))
    (used,) = np.nonzero(counts)
    return chunk.dictionary.take(pa.array(used)).cast(pa.large_string()), counts[used]


def _short(found: Any) -> Any:
    """Words that are too long to keep become their hash."""
    import pyarrow as pa
    import pyarrow.compute as pc

    long = pc.greater(pc.binary_length(found), LONGEST)
    if not pc.any(long).as_py():
        return found
    marked = [f"hash {place:016x}" for place in hashes(found.filter(long))]
    return pc.replace_with_mask(found, long, pa.array(marked, pa.large_string()))
