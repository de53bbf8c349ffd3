"""Segments: the rows of one region or device, watched beside all rows where the reference knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from blueprints.errors import UsageProblem
from mlops.monitoring.finding import Finding
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.windows import OTHER, Segments
from mlops.monitoring.tests import Rules, compare

#: Values of a column that are watched apart, the most frequent of the reference; rows there and in a window
#: below which one says nothing.
MOST, LEAST_REFERENCE, LEAST_ROWS = 20, 200, 50


def of_reference(table: Any, by: Sequence[str], like: Profile) -> dict[str, Profile]:
    """The profile of each segment, ``region=EU``, of the most frequent values of each column of ``by``.

    Args:
        table: Arrow table of the features and the model's output.
        like: Its profile.

    Raises:
        UsageProblem: There is no such column.
    """
    found: dict[str, Profile] = {}
    for name in by:
        if name not in table.column_names:
            raise UsageProblem(f"no column {name}", where="segments", expected=", ".join(like.columns))
        parts = Segments((name,), MOST).profiles(table, like)
        found |= {
            f"{name}={value}": part
            for value, part in parts.items()
            if value != OTHER and part.rows >= LEAST_REFERENCE
        }
    return found


def places(table: Any, references: Iterable[str]) -> dict[str, npt.NDArray[np.int64]]:
    """Where in an Arrow table the rows of each segment stand, if it has enough of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, npt.NDArray[np.int64]] = {}
    for segment in references:
        column, _, value = segment.partition("=")
        if column not in table.column_names:
            continue
        texts = pc.fill_null(pc.cast(table[column], pa.string()), "(missing)")
        rows = np.flatnonzero(pc.equal(texts, value).to_numpy())
        if len(rows) >= LEAST_ROWS:
            found[segment] = rows
    return found


def of_window(table: Any, references: Iterable[str]) -> dict[str, Any]:
    """The rows of each segment that the reference has, where the window has enough of them."""
    return {segment: table.take(rows) for segment, rows in places(table, references).items()}


def profiles(rows: Mapping[str, Any], references: Mapping[str, Profile]) -> dict[str, Profile]:
    """The profile of each segment's rows, counted like its reference."""
    return {
        segment: Profile.of(
            each.select([name for name in each.column_names if name in references[segment].columns]),
            like=references[segment],
        )
        for segment, each in rows.items()
    }


def compared(
    references: Mapping[str, Profile], windows: Mapping[str, Profile], rules: Rules
) -> list[Finding]:
    """Findings of every segment, corrected for how many segments there are (Bonferroni), too. Units, ranges
    and new values are questions to all rows: in a segment, more is new that is nothing new."""
    shared = replace(rules, alpha=rules.alpha / max(1, len(references)))
    found = []
    for segment, window in windows.items():
        reference = references[segment]
        seen = {name: each for name, each in reference.columns.items() if name in window.columns}
        found += [
            replace(each, segment=segment, sentence=f"{segment}: {each.sentence}")
            for each in compare(Profile(reference.rows, seen), window, shared).findings
            if each.family != "quality"
        ]
    return found
