"""Fairness: whether a classifier treats a group less like all others than it did on the reference.

Selection rates (demographic parity) need no labels; true and false positive rates (equalised odds, Hardt,
Price, Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016) do. That groups differ is not
called found here, for on the reference they may differ, too; that they came apart is. A ratio of selection
rates below four fifths (Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D, 1978) is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.judge import LEAST_ROWS, Floats, corrected, tail

#: Points by which groups have to come further apart.
FLOOR = 0.05
_FOUR_FIFTHS = 0.8
_CUT = 0.5
#: Half of 5 %: with labels and without is looked apart.
_ALPHA = 0.025
_SAID = {"selection": "selected", "tpr": "found where positive", "fpr": "selected where negative"}


@dataclass(frozen=True)
class Rates:
    """Counts of one group, ``of`` rows each measure is a share of.

    Attributes:
        selection: Rows called positive, of all.
        tpr, fpr: Rows called positive, of those that are, and of those that are not; of 0 without labels.
    """

    selection: tuple[int, int]
    tpr: tuple[int, int] = (0, 0)
    fpr: tuple[int, int] = (0, 0)

    def __sub__(self, other: Rates) -> Rates:
        pairs = ((getattr(self, name), getattr(other, name)) for name in _SAID)
        return Rates(*((one[0] - less[0], one[1] - less[1]) for one, less in pairs))


def rates(scores: Floats, labels: Floats | None = None) -> Rates:
    """Counts of ``n`` probabilities, with labels 0 and 1 where they are known (NaN: not)."""
    known = np.isfinite(scores)
    called = scores >= _CUT
    selected = (int((called & known).sum()), int(known.sum()))
    if labels is None:
        return Rates(selected)
    yes, no = known & (labels == 1), known & (labels == 0)
    return Rates(
        selected, (int((called & yes).sum()), int(yes.sum())), (int((called & no).sum()), int(no.sum()))
    )


def by_group(
    scores: Floats, labels: Floats | None, places: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, Rates]:
    """Counts of each group, and of all rows (``""``)."""
    made = {"": rates(scores, labels)}
    return made | {
        name: rates(scores[rows], None if labels is None else labels[rows]) for name, rows in places.items()
    }


def compared(before: Mapping[str, Rates], now: Mapping[str, Rates], labelled: bool) -> list[Finding]:
    """Each group against all other rows, now and on the reference, corrected over groups and measures.

    Args:
        before, now: As :func:`by_group` gives them.
        labelled: The rates that need labels; else selection alone.
    """
    found = [
        _one(group, measure, before, now)
        for group in before
        if group and group in now
        for measure in (("tpr", "fpr") if labelled else ("selection",))
    ]
    return corrected(found, _ALPHA)


def _one(group: str, measure: str, before: Mapping[str, Rates], now: Mapping[str, Rates]) -> Finding:
    (mine, its), (was, others_were) = (_pair(side, group, measure) for side in (now, before))
    counts = [mine, its, was, others_were]
    column, said = group.partition("=")[0], _SAID[measure]
    if min(of for _, of in counts) < LEAST_ROWS:
        few = f"{group}: {mine[1]} rows now, {was[1]} in the reference are too few to say how many are {said}"
        return Finding(column, "fairness", measure, math.nan, 0.0, FLOOR, 1.0, 1.0, False, "none", few, group)
    now_apart, was_apart = _share(mine) - _share(its), _share(was) - _share(others_were)
    further = abs(now_apart) - abs(was_apart)
    error = math.sqrt(sum(_variance(each) for each in counts))
    p_value = min(1.0, 2 * tail(abs(now_apart - was_apart) / error))
    is_found = further >= FLOOR and p_value <= 0.05
    sentence = (
        f"{group}: {_share(mine):.1%} of its rows are {said}, {_share(its):.1%} of all others; "
        f"on the reference {_share(was):.1%} and {_share(others_were):.1%}"
    )
    low, high = sorted((_share(mine), _share(its)))
    if measure == "selection" and high > 0 and low / high < _FOUR_FIFTHS:
        sentence += f"; a ratio of {low / high:.2f} is below four fifths"
    return Finding(
        column, "fairness", measure, _share(mine), further, FLOOR, p_value, p_value, is_found,
        "ticket" if is_found else "none", sentence, group,
    )  # fmt: skip


def _pair(side: Mapping[str, Rates], group: str, measure: str) -> tuple[tuple[int, int], tuple[int, int]]:
    mine = side[group]
    one: tuple[int, int] = getattr(mine, measure)
    other: tuple[int, int] = getattr(side[""] - mine, measure)
    return one, other


def _share(counts: tuple[int, int]) -> float:
    return counts[0] / counts[1]


def _variance(counts: tuple[int, int]) -> float:
    """Of a share, never that of certainty (Agresti, Coull 1998)."""
    middle = (counts[0] + 2) / (counts[1] + 4)
    return middle * (1 - middle) / (counts[1] + 4)
