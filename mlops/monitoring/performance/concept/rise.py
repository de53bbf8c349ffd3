"""Our own detector: did the newest errors become more frequent than all before, at whatever length?

At each row the newest ``w`` errors are compared with all earlier ones for lengths from 4 to about 8,000, each
1.25 times the one before, by the likelihood ratio of two error rates against one (Wilks 1938; over many
lengths as in the generalised likelihood ratio test of Lai, "Sequential changepoint detection in quality
control and dynamical systems", JRSS B 57, 1995). There are many more windows of a short length than of a
long one that know nothing of each other; so that each length gets its fair share of the false alarms, the
logarithm of the length is added (after Duembgen, Spokoiny, "Multiscale testing of qualitative hypotheses",
Annals of Statistics 29, 2001). A jump is found by a short length after few rows, a creep by a long one.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LONGEST = 8192
_GROWTH = 1.25
_SHORTEST = 4
#: Rows before the newest that a rate can be told from.
_LEAST_BEFORE = 50


def _lengths() -> npt.NDArray[np.int64]:
    found, at = [], float(_SHORTEST)
    while at <= LONGEST:
        found.append(round(at))
        at = max(at * _GROWTH, found[-1] + 1)
    return np.asarray(found)


LENGTHS = _lengths()


def threshold(run_length: float) -> float:
    """What the ratio plus the logarithm of the length passes once in ``run_length`` rows without any change.
    By simulation, 60 runs of 20,000 rows at error rates of 1, 3, 10 and 30 %: once in 20,000 rows 11.7 to
    12.1, once in 100,000 13.5 to 13.9; it grows with the logarithm."""
    return 12.0 + 1.15 * math.log(run_length / 20_000)


@dataclass(frozen=True)
class Rise:
    """A change that was found.

    Attributes:
        row: Rows after which it was, from 1, since the detector began.
        length: How many of the newest rows are of the new rate; it began about there.
        before, after: Error rates.
        ratio: Log likelihood ratio, plus the logarithm of the length.
    """

    row: int
    length: int
    before: float
    after: float
    ratio: float


class RateRise:
    """Sequential test for a rise of an error rate.

    Args:
        run_length: Rows without a change in which one false alarm is accepted, on average.
    """

    def __init__(self, run_length: float = 200_000) -> None:
        self.run_length = run_length
        self._limit = threshold(run_length)
        self.rows = 0
        self._total = 0.0
        self._recent = np.zeros(0)

    def update(self, errors: npt.ArrayLike) -> Rise | None:
        """Take ``n`` errors, 0 or 1 (or a share between), in the order of their rows; the first rise that is
        found, after which the detector has begun anew with the rows behind it."""
        given = np.asarray(errors, float).ravel()
        for at in range(0, len(given), LONGEST):
            found, used = self._take(given[at : at + LONGEST])
            if found is not None:
                self.rows, self._total, self._recent = 0, 0.0, np.zeros(0)
                self.update(given[at + used :])
                return found
        return None

    def _take(self, new: Floats) -> tuple[Rise | None, int]:
        if not len(new):
            return None, 0
        held = np.concatenate([self._recent, new])
        # Errors among the first rows: those not held any more, then one by one.
        sums = self._total - self._recent.sum() + np.concatenate([[0.0], np.cumsum(held)])
        first = self.rows - len(self._recent)
        ends = np.arange(len(self._recent) + 1, len(held) + 1)
        best, lengths = np.zeros(len(new)), np.zeros(len(new), int)
        for length in LENGTHS:
            usable = (ends + first - length >= _LEAST_BEFORE) & (ends >= length)
            if not usable.any():
                break
            stop = ends[usable]
            inside = sums[stop] - sums[stop - length]
            ratio = _ratio(inside, float(length), sums[stop - length], stop + first - length)
            scored = np.where(ratio > 0, ratio + math.log(length), 0.0)
            better = scored > best[usable]
            places = np.flatnonzero(usable)[better]
            best[places], lengths[places] = scored[better], length
        over = np.flatnonzero(best > self._limit)
        if len(over):
            at = int(over[0])
            end, length = len(self._recent) + at + 1, int(lengths[at])
            row = self.rows + at + 1
            after = float(sums[end] - sums[end - length]) / length
            return Rise(
                row, length, float(sums[end - length]) / (row - length), after, float(best[at])
            ), at + 1
        self.rows += len(new)
        self._total += float(new.sum())
        self._recent = held[-LONGEST:]
        return None, len(new)

    def to_text(self) -> str:
        """Everything it knows, to go on from."""
        held = base64.b64encode(np.round(self._recent * 255).astype(np.uint8).tobytes()).decode()
        return json.dumps({"rows": self.rows, "total": self._total, "limit": self.run_length, "held": held})

    @classmethod
    def from_text(cls, text: str) -> RateRise:
        """What :meth:`to_text` made; shares between 0 and 1 are kept to 1/255."""
        data = json.loads(text)
        made = cls(float(data["limit"]))
        made.rows, made._total = int(data["rows"]), float(data["total"])
        made._recent = np.frombuffer(base64.b64decode(data["held"]), np.uint8).astype(float) / 255
        return made


def _ratio(inside: Floats, length: float, before: Floats, rows: npt.NDArray[np.int64]) -> Floats:
    """Log likelihood of two rates over that of one, 0 where the newer one is not the higher."""
    new, old = inside / length, before / rows
    ratio = _entropy(inside + before, length + rows) - _entropy(inside, length) - _entropy(before, rows)
    return np.where(new > old, ratio, 0.0)


def _entropy(errors: Floats, rows: npt.ArrayLike) -> Floats:
    """Minus the greatest log likelihood of so many errors in so many rows."""
    count = np.asarray(rows, float)
    right = count - errors
    with np.errstate(divide="ignore", invalid="ignore"):
        wrong_part = np.where(errors > 0, errors * np.log(errors / count), 0.0)
        right_part = np.where(right > 0, right * np.log(right / count), 0.0)
    return np.asarray(-(wrong_part + right_part))
