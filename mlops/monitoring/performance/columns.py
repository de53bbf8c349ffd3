"""Which columns explain a change: those that moved and matter, and those whose unusual values cost most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.attribution import Group, largest, said
from mlops.monitoring.profile import Categories, Numbers, Profile

#: An effect counts for no more than so many times its floor: beyond that it only says that it is large.
_MOST_EFFECT = 10.0
#: Share of the output that a column explains below which it hardly matters.
_MATTERS = 0.02
#: Part of a change that is worth a word; columns in one sentence.
_WORTH, _NAMED = 0.1, 3
#: Rows with unusual values below which they say nothing; shares between which numbers are usual.
_LEAST_ROWS = 20
_USUAL = (0.01, 0.99)
#: Words that the reference does not have.
NEW = "new"


@dataclass(frozen=True)
class Mover:
    """A column that moved.

    Attributes:
        share: Of what moved, weighted by importance; those of all known columns add up to 1. None: the
            importance of the column is not known.
        test: That was furthest above its floor.
    """

    column: str
    share: float | None
    test: str


def movers(findings: Iterable[Finding]) -> tuple[Mover, ...]:
    """Columns that drifted or lost values, over all rows, the most telling first: importance for the output
    times effect over floor, a weight of our own that ranks and measures nothing."""
    moved: dict[str, Finding] = {}
    for each in findings:
        if not each.found or each.segment or each.family not in ("drift", "missing") or not each.column:
            continue
        if each.column not in moved or _effect(each) > _effect(moved[each.column]):
            moved[each.column] = each
    weights = {name: (each.importance or 0.0) * _effect(each) for name, each in moved.items()}
    total = sum(weights.values())
    made = [
        Mover(name, None if each.importance is None else weights[name] / total if total else 0.0, each.test)
        for name, each in moved.items()
    ]
    return tuple(sorted(made, key=lambda each: (each.share is None, -(each.share or 0.0), each.column)))


def _effect(finding: Finding) -> float:
    effect = abs(finding.effect)
    return min(_MOST_EFFECT, effect / finding.floor if finding.floor else effect)


def explained(findings: Iterable[Finding]) -> str:
    """The columns that moved and matter, in words; empty: none moved."""
    findings = list(findings)
    found = movers(findings)
    if not found:
        return ""
    weights = {each.column: each.importance for each in findings}
    matters = [each for each in found if (weights[each.column] or 0.0) >= _MATTERS]
    named = [f"{each.column} {each.share:.0%}" for each in matters if (each.share or 0.0) >= _WORTH]
    unknown = [each.column for each in found if each.share is None][:_NAMED]
    words = []
    if named:
        words.append(f"of what moved and matters: {', '.join(named[:_NAMED])}")
    elif len(unknown) < len(found):
        hardly = ", ".join(each.column for each in found if each.share is not None)
        words.append(f"what moved hardly matters: {hardly}")
    if unknown:
        words.append(f"{', '.join(unknown)} moved; how much they matter is not known")
    return "; ".join(words)


def edges(reference: Profile, table: Any) -> dict[str, npt.NDArray[np.int64]]:
    """Where each column has values that the reference hardly has, as segments (``temp=outside 26 to 60``,
    ``word=new``): the places of their rows in an Arrow table.

    Whether such rows explain a loss is asked as of any segment: they may have cost more all along.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, npt.NDArray[np.int64]] = {}
    for name, column in reference.columns.items():
        if name not in table.column_names:
            continue
        values = table.column(name)
        if isinstance(column, Numbers):
            low, high = column.quantile(np.asarray(_USUAL))
            numbers = values.to_numpy(zero_copy_only=False).astype(float)
            with np.errstate(invalid="ignore"):
                mask = (numbers < low) | (numbers > high)
            words = f"outside {low:.4g} to {high:.4g}"
        elif isinstance(column, Categories) and column.level == 0:
            known = pa.array(list(column.counts), pa.string())
            texts = pc.cast(values, pa.string())
            new = pc.and_(pc.is_valid(texts), pc.invert(pc.is_in(texts, value_set=known)))
            mask, words = new.to_numpy(zero_copy_only=False).astype(bool), NEW
        else:
            continue
        rows = np.flatnonzero(mask)
        if len(rows) >= _LEAST_ROWS:
            found[f"{name}={words}"] = rows
    return found


def costly(before: Mapping[str, Group], now: Mapping[str, Group]) -> str:
    """The column whose unusual values explain most of a loss, in words; empty: none does.

    Args:
        before, now: Of all rows (``""``) and of :func:`edges`, on the reference and in the window.
    """
    if "" not in before:
        return ""
    # Values that the reference does not have cost there what all rows did.
    new = {name: Group(1, before[""].loss) for name in now if name.endswith(f"={NEW}")}
    found = largest({**new, **before}, now)
    if found is None:
        return ""
    column, _, words = found.segment.partition("=")
    return said(found, f"where {column} is {words}")


def joined(sentence: str, reasons: Sequence[str]) -> str:
    """A sentence with what explains it."""
    return "; ".join([sentence, *(each for each in reasons if each)])
