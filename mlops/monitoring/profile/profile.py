"""The profile of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.monitoring.profile.columns import Categories, Column, Numbers, counted


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of a table: its rows, and each column in counts.

    Two profiles of the same columns add (the rows of both) and subtract (a part taken away again), exactly
    and in any order.
    """

    rows: int
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, table: Any, like: Profile | None = None) -> Profile:
        """Profile a table.

        Args:
            table: Arrow table or record batch, Polars or pandas frame, or columns by name, ``n`` values each.
            like: Count every column as this one does: its kind, shift and scale.
        """
        arrow = _arrow(table)
        columns = {}
        for name in arrow.column_names:
            columns[name] = _column(arrow.column(name), like.columns.get(name) if like else None)
        return cls(arrow.num_rows, columns)

    def __add__(self, other: Profile) -> Profile:
        return Profile(self.rows + other.rows, {name: _plus(self, other, name) for name in self.columns})

    def __sub__(self, other: Profile) -> Profile:
        return Profile(self.rows - other.rows, {name: _minus(self, other, name) for name in self.columns})


def _plus(one: Profile, other: Profile, name: str) -> Any:
    mine: Any = one.columns[name]
    return mine + other.columns[name]


def _minus(one: Profile, other: Profile, name: str) -> Any:
    mine: Any = one.columns[name]
    return mine - other.columns[name]


def _arrow(table: Any) -> Any:
    import pyarrow as pa

    if isinstance(table, Mapping):
        return pa.table({name: pa.array(values) for name, values in table.items()})
    return pa.table(table)


def _column(values: Any, like: Column | None) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if number and not isinstance(like, Categories):
        array = np.ascontiguousarray(pc.cast(values, pa.float64()).to_numpy(), np.float64)
        finite = array[np.isfinite(array)]
        infinite = (int((array == -np.inf).sum()), int((array == np.inf).sum()))
        shift, scale = (like.shift, like.scale) if isinstance(like, Numbers) else (0.0, 1.0)
        bins, counts = counted((finite - shift) / scale + 0.0)
        missing = int(np.isnan(array).sum())
        return Numbers(len(array), missing, infinite, bins, counts, shift, scale)
    found = pc.value_counts(pc.cast(values, pa.string()).drop_null())
    counts_by_name = {str(each["values"]): int(each["counts"]) for each in found.to_pylist()}
    return Categories(len(values), values.null_count, counts_by_name)
