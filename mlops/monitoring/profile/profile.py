"""The profile of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.columns import Column


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of a table: its rows, and each column in counts.

    Two profiles of the same columns add (the rows of both) and subtract (a part taken away again), exactly
    and in any order.

    Attributes:
        rows: All rows.
        columns: By name. A text has ``name (characters)`` and ``name (tokens)``, a vector ``name (norm)`` and
            its projections.
        notes: Columns that were left out or not read as expected, and why, in words.
    """

    rows: int
    columns: Mapping[str, Column]
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Any, like: Profile | None = None, columns: Iterable[str] | None = None) -> Profile:
        """Profile a table.

        Args:
            table: Arrow table or record batch, Polars or pandas frame, or columns by name, ``n`` values each.
            like: Count every column as this one does: its kind, shift and scale.
            columns: Only these.
        """
        from mlops.monitoring.profile.reading import read

        arrow = arrow_table(table)
        known = like.columns if like else {}
        found: dict[str, Column] = {}
        notes: dict[str, str] = {}
        for name in arrow.column_names if columns is None else columns:
            made, note = read(name, arrow.column(name), known)
            found |= made
            if note:
                notes[name] = note
        return cls(arrow.num_rows, found, notes)

    def __add__(self, other: Profile) -> Profile:
        return self._with(other, 1)

    def __sub__(self, other: Profile) -> Profile:
        return self._with(other, -1)

    def _with(self, other: Profile, sign: int) -> Profile:
        columns: dict[str, Column] = {}
        for name in self.columns:
            mine: Any = self.columns[name]
            its: Any = other.columns.get(name)
            if type(its) is not type(mine):
                raise UsageProblem(
                    "two profiles do not have the same columns",
                    where=f"column {name}",
                    expected="numbers in both, or words in both",
                    todo="make both with like=reference, of the same columns",
                )
            columns[name] = mine + its if sign > 0 else mine - its
        if extra := sorted(set(other.columns) - set(self.columns)):
            raise UsageProblem(
                "two profiles do not have the same columns",
                where=", ".join(extra),
                todo="make both of the same columns",
            )
        return Profile(self.rows + sign * other.rows, columns, {**other.notes, **self.notes})


def arrow_table(table: Any) -> Any:
    import pyarrow as pa

    if isinstance(table, Mapping):
        return pa.table({name: _array(name, values) for name, values in table.items()})
    return table if isinstance(table, pa.Table) else pa.table(table)


def _array(name: str, values: Any) -> Any:
    import pyarrow as pa

    # Objects of pandas hold NaN where a word is missing; a NaN among floats stays one.
    objects = not isinstance(values, np.ndarray) or values.dtype == object
    try:
        return pa.array(values, from_pandas=objects)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UsageProblem(
            f"the values of {name} have several types: {str(error)[:120]}",
            where=name,
            expected="numbers, words, times or vectors alone",
        ) from None
