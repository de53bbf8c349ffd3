"""Where a change of performance comes from: how much of it each segment explains, adding up to all of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops.monitoring.performance.judge import Floats, quantile

#: Name of the rows that are in no segment.
REST = "elsewhere"
#: Of the change; a smaller part is not worth a sentence.
_WORTH = 0.3


@dataclass(frozen=True)
class Group:
    """Rows of a segment: how many, their mean loss and its variance from row to row."""

    rows: int
    loss: float
    variance: float = 0.0


@dataclass(frozen=True)
class Part:
    """What a segment adds to a change of the mean loss.

    Attributes:
        change: In the unit of the loss; those of all parts add up to the whole change.
        by_share: Of it, what comes from there being more or fewer such rows, and not from their loss.
    """

    segment: str
    change: float
    by_share: float


def losses(scores: Floats, labels: Floats, task: str) -> Floats | None:
    """Squared error a row, of shape ``(n,)``: for probabilities the Brier score; None: scores of a classifier
    that are no probabilities."""
    known = scores[np.isfinite(scores)]
    if task == "classification" and len(known) and (known.min() < 0 or known.max() > 1):
        return None
    return np.asarray((scores - labels) ** 2)


def grouped(found: Floats, rows: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, Group]:
    """The groups of some losses, ``""`` for all of them.

    Args:
        rows: Places of each segment's rows in ``found``.
    """
    made = {}
    for segment, places in {"": np.arange(len(found)), **rows}.items():
        known = found[places][np.isfinite(found[places])]
        if len(known):
            made[segment] = Group(len(known), float(known.mean()), float(known.var()))
    return made


def parts(before: Mapping[str, Group], now: Mapping[str, Group], column: str) -> list[Part]:
    """What each segment of one column adds to the change of the mean loss, the most first: the change of its
    loss at its mean share, and the change of its share at how much worse than all rows it is (Kitagawa,
    "Components of a difference between two rates", JASA 50, 1955). Rows in no segment are one more.
    """
    mine = [name for name in before if name.startswith(f"{column}=") and name in now]
    if "" not in before or "" not in now or not mine:
        return []
    shares = [np.asarray([side[name].rows / side[""].rows for name in mine]) for side in (before, now)]
    means = [np.asarray([side[name].loss for name in mine]) for side in (before, now)]
    rest = [max(0.0, 1 - float(share.sum())) for share in shares]
    for at, side in enumerate((before, now)):
        left = side[""].loss - float(shares[at] @ means[at])
        shares[at] = np.append(shares[at], rest[at])
        means[at] = np.append(means[at], left / rest[at] if rest[at] > 1e-9 else np.nan)
    # A side without any other rows has no loss of theirs: that of the other side changes nothing.
    means[0][-1], means[1][-1] = (
        np.nan_to_num(one, nan=np.nan_to_num(other))
        for one, other in ((means[0][-1], means[1][-1]), (means[1][-1], means[0][-1]))
    )
    middle = (before[""].loss + now[""].loss) / 2
    by_share = (shares[1] - shares[0]) * ((means[0] + means[1]) / 2 - middle)
    by_loss = (shares[0] + shares[1]) / 2 * (means[1] - means[0])
    made = [
        Part(name, float(one + other), float(one))
        for name, one, other in zip([*mine, REST], by_share, by_loss, strict=True)
    ]
    return sorted(made, key=lambda each: -each.change)


@dataclass(frozen=True)
class Largest:
    """The segment that explains most of a loss.

    Attributes:
        share: Of the change of the mean loss, 0 to 1.
        was, rows: Share of the rows that it was and is.
        moved: Whether most of it comes from there being more such rows.
    """

    segment: str
    share: float
    was: float
    rows: float
    moved: bool


def largest(before: Mapping[str, Group], now: Mapping[str, Group]) -> Largest | None:
    """The segment of all columns' that explains most of a loss; None: none stands out, or not beyond what
    chance does with so many segments (Wald's test, one-sided at 5 % after Bonferroni)."""
    if "" not in before or "" not in now or now[""].loss <= before[""].loss:
        return None
    whole = now[""].loss - before[""].loss
    columns = dict.fromkeys(name.partition("=")[0] for name in before if name)
    found = [each for column in columns for each in parts(before, now, column) if each.segment != REST]
    best = max(found, key=lambda each: each.change, default=None)
    if best is None or best.change < _WORTH * whole:
        return None
    share = min(1.0, best.change / whole)
    was, is_now = (side[best.segment].rows / side[""].rows for side in (before, now))
    # A segment that is most of all rows explains most of any change.
    if share < 1.5 * is_now:
        return None
    one, other = before[best.segment], now[best.segment]
    # Both stray: the losses of such rows, and how many of them there are.
    by_loss = ((was + is_now) / 2) ** 2 * (one.variance / one.rows + other.variance / other.rows)
    more = (one.loss + other.loss) / 2 - (before[""].loss + now[""].loss) / 2
    by_share = more**2 * (was * (1 - was) / before[""].rows + is_now * (1 - is_now) / now[""].rows)
    error = math.sqrt(by_loss + by_share)
    if best.change - is_now * whole < quantile(1 - 0.05 / len(found)) * error:
        return None
    return Largest(best.segment, share, was, is_now, abs(best.by_share) > abs(best.change) / 2)


def explained(before: Mapping[str, Group], now: Mapping[str, Group]) -> str:
    """The segment that explains most of a loss, in words; empty: none."""
    found = largest(before, now)
    return "" if found is None else said(found, f"in {found.segment}")


def said(found: Largest, where: str) -> str:
    """In words; ``where`` the rows are."""
    words = f"{found.share:.0%} of the lost squared error is {where}, {found.rows:.0%} of the rows"
    return f"{words} (was {found.was:.0%})" if found.moved else words
