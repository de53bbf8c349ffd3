"""Which columns explain a change: those that moved and matter, and those whose unusual values cost most."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.judge import Floats, quantile
from mlops.monitoring.profile import Categories, Numbers, Profile

#: An effect counts for no more than so many times its floor: beyond that it only says that it is large.
_MOST_EFFECT = 10.0
#: Part of a change that is worth a word; columns in one sentence.
_WORTH, _NAMED = 0.1, 3
#: Of a lost performance, the least that unusual values must hold, and in how many rows at least.
_LOST, _LEAST_ROWS = 0.3, 30
_USUAL = (0.01, 0.99)


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
    """The columns that moved and matter, in words; empty: none."""
    found = movers(findings)
    known = [each for each in found if each.share is not None and each.share >= _WORTH][:_NAMED]
    if known:
        named = ", ".join(f"{each.column} {each.share:.0%}" for each in known)
        return f"of what moved and matters: {named}"
    unknown = [each.column for each in found if each.share is None][:_NAMED]
    return f"{', '.join(unknown)} moved; how much they matter is not known" if unknown else ""


@dataclass(frozen=True)
class Unusual:
    """Rows in which a column has values that the reference hardly has.

    Attributes:
        share: Of the performance that was lost, in these rows.
        rows: Share of the rows that they are.
        words: Which values.
    """

    column: str
    share: float
    rows: float
    words: str


def unusual(reference: Profile, table: Any, lost: Floats, before: float) -> Unusual | None:
    """The column whose unusual values hold most of a loss; None: none stands out, or not beyond what chance
    does with so many columns (Wald, one-sided at 5 % after Bonferroni).

    Args:
        table: Arrow table of the window's ``n`` rows.
        lost: Loss a row, shape ``(n,)``, NaN where it is not known.
        before: Mean loss on the reference.
    """
    known = np.isfinite(lost)
    rows = int(known.sum())
    whole = float(lost[known].sum()) - before * rows
    if rows < _LEAST_ROWS or whole <= 0:
        return None
    asked = _outside(reference, table)
    found: list[Unusual] = []
    for name, (mask, words) in asked.items():
        out, rest = lost[mask & known], lost[~mask & known]
        if len(out) < _LEAST_ROWS or len(rest) < _LEAST_ROWS:
            continue
        share, of = (float(out.sum()) - before * len(out)) / whole, len(out) / rows
        error = math.sqrt(float(out.var()) / len(out) + float(rest.var()) / len(rest))
        more = float(out.mean() - rest.mean())
        # Rows that are most of all rows hold most of any loss.
        if share >= _LOST and share >= 1.5 * of and more > quantile(1 - 0.05 / len(asked)) * error:
            found.append(Unusual(name, min(1.0, share), of, words))
    return max(found, key=lambda each: each.share, default=None)


def said(found: Unusual | None) -> str:
    """In words; empty: nothing."""
    if found is None:
        return ""
    where = f"{found.column} is {found.words}"
    return f"{found.share:.0%} of the lost squared error is where {where}, {found.rows:.0%} of the rows"


def _outside(reference: Profile, table: Any) -> Mapping[str, tuple[Any, str]]:
    """Where each column has values that the reference hardly has, and which."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, tuple[Any, str]] = {}
    for name, column in reference.columns.items():
        if name not in table.column_names:
            continue
        values = table.column(name)
        if isinstance(column, Numbers):
            low, high = column.quantile(np.asarray(_USUAL))
            numbers = values.to_numpy(zero_copy_only=False).astype(float)
            with np.errstate(invalid="ignore"):
                mask = (numbers < low) | (numbers > high)
            found[name] = mask, f"outside {low:.4g} to {high:.4g}"
        elif isinstance(column, Categories) and column.level == 0:
            known = pa.array(list(column.counts), pa.string())
            texts = pc.cast(values, pa.string())
            new = pc.and_(pc.is_valid(texts), pc.invert(pc.is_in(texts, value_set=known)))
            found[name] = new.to_numpy(zero_copy_only=False).astype(bool), "new"
    return found


def joined(sentence: str, reasons: Sequence[str]) -> str:
    """A sentence with what explains it."""
    return "; ".join([sentence, *(each for each in reasons if each)])
