"""The detectors of the literature, as they are usually set, on one error at a time.

All of them take a number from 0 to 1 (or any number, where that is said) and tell whether a change was found,
after which they begin anew. They are here to compare with and for those who trust them; the monitor itself
uses :mod:`.rise`.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np


class PageHinkley:
    """Cumulated deviations above the mean (Page, "Continuous inspection schemes", Biometrika 41, 1954).

    Args:
        delta: Deviation that is tolerated.
        threshold: Of the cumulated deviations.
        alpha: How much of them is kept from row to row.
        least: Rows before anything is told.
    """

    def __init__(
        self, delta: float = 0.005, threshold: float = 50.0, alpha: float = 0.9999, least: int = 30
    ) -> None:
        self._given = (delta, threshold, alpha, least)
        self._rows, self._mean, self._sum, self._low = 0, 0.0, 0.0, math.inf

    def update(self, value: float) -> bool:
        """Take any number."""
        delta, threshold, alpha, least = self._given
        self._rows += 1
        self._mean += (value - self._mean) / self._rows
        self._sum = alpha * self._sum + (value - self._mean - delta)
        self._low = min(self._low, self._sum)
        found = self._rows >= least and self._sum - self._low > threshold
        if found:
            self._rows, self._mean, self._sum, self._low = 0, 0.0, 0.0, math.inf
        return found


class DDM:
    """An error rate beyond three standard deviations above its least (Gama et al., "Learning with drift
    detection", SBIA 2004)."""

    def __init__(self, deviations: float = 3.0, least: int = 30) -> None:
        self._deviations, self._least = deviations, least
        self._begin()

    def _begin(self) -> None:
        self._rows, self._rate = 0, 0.0
        self._low, self._low_error = math.inf, math.inf

    def update(self, error: float) -> bool:
        """Take an error, 0 or 1."""
        self._rows += 1
        self._rate += (error - self._rate) / self._rows
        spread = math.sqrt(max(0.0, self._rate * (1 - self._rate)) / self._rows)
        if self._rows <= self._least:
            return False
        if self._rate + spread <= self._low + self._low_error:
            self._low, self._low_error = self._rate, spread
        found = self._rate + spread > self._low + self._deviations * self._low_error
        if found:
            self._begin()
        return found


class HDDMA:
    """Means before and after the best cut, by Hoeffding's bound (Frias-Blanco et al., "Online and
    non-parametric drift detection methods based on Hoeffding's bounds", IEEE TKDE 27, 2015), one-sided."""

    def __init__(self, confidence: float = 0.001) -> None:
        self._confidence = confidence
        self._begin()

    def _begin(self) -> None:
        self._rows, self._sum, self._cut_rows, self._cut_sum = 0, 0.0, 0, 0.0

    def update(self, error: float) -> bool:
        """Take a number from 0 to 1."""
        self._rows += 1
        self._sum += error
        if not self._cut_rows:
            self._cut_rows, self._cut_sum = self._rows, self._sum
        bound = math.log(1 / self._confidence) / 2
        least = self._cut_sum / self._cut_rows + math.sqrt(bound / self._cut_rows)
        if least >= self._sum / self._rows + math.sqrt(bound / self._rows):
            self._cut_rows, self._cut_sum = self._rows, self._sum
        share = (self._rows - self._cut_rows) / self._cut_rows / self._rows
        found = self._rows > self._cut_rows and self._sum / self._rows - self._cut_sum / self._cut_rows >= (
            math.sqrt(share / 2 * math.log(2 / self._confidence))
        )
        if found:
            self._begin()
        return found


class HDDMW:
    """The same with weights that fade, by McDiarmid's bound (Frias-Blanco et al. 2015), one-sided."""

    def __init__(self, confidence: float = 0.001, fade: float = 0.05) -> None:
        self._confidence, self._fade = confidence, fade
        self._begin()

    def _begin(self) -> None:
        # Mean and sum of squared weights: of all, up to the cut, and behind it; none yet.
        self._all = self._first = self._second = (-1.0, 0.0)
        self._cut = math.inf

    def _faded(self, kept: tuple[float, float], error: float) -> tuple[float, float]:
        mean, weights = kept
        if mean < 0:
            return error, 1.0
        fade = self._fade
        return fade * error + (1 - fade) * mean, fade**2 + (1 - fade) ** 2 * weights

    def update(self, error: float) -> bool:
        """Take a number from 0 to 1."""
        bound = math.log(1 / self._confidence) / 2
        self._all = self._faded(self._all, error)
        edge = math.sqrt(self._all[1] * bound)
        if self._all[0] + edge < self._cut:
            self._cut, self._first, self._second = self._all[0] + edge, self._all, (-1.0, 0.0)
        else:
            self._second = self._faded(self._second, error)
        known = self._first[0] >= 0 and self._second[0] >= 0
        found = known and self._second[0] - self._first[0] > math.sqrt(
            (self._first[1] + self._second[1]) * bound
        )
        if found:
            self._begin()
        return found


class KSWIN:
    """The newest values against a sample of those before, by the test of Kolmogorov and Smirnov (Raab,
    Heusinger, Schleif, "Reactive soft prototype computing for concept drift streams", 2020)."""

    def __init__(self, alpha: float = 0.005, window: int = 100, newest: int = 30, seed: int = 0) -> None:
        self._alpha, self._size, self._newest = alpha, window, newest
        self._window: deque[float] = deque(maxlen=window)
        self._random = np.random.default_rng(seed)

    def update(self, value: float) -> bool:
        """Take any number."""
        self._window.append(value)
        if len(self._window) < self._size:
            return False
        values = np.asarray(self._window)
        new = values[-self._newest :]
        old = self._random.choice(values[: -self._newest], self._newest)
        at = np.concatenate([new, old])
        distance = (
            np.abs(
                np.searchsorted(np.sort(new), at, "right") - np.searchsorted(np.sort(old), at, "right")
            ).max()
            / self._newest
        )
        # Two samples of one size: the limit at alpha is sqrt(-ln(alpha / 2) / n).
        found = bool(distance > max(0.1, math.sqrt(-math.log(self._alpha / 2) / self._newest)))
        if found:
            self._window = deque(new, maxlen=self._size)
        return found


class ADWIN:
    """A window that shrinks when two parts of it differ (Bifet, Gavalda, "Learning from time-changing data
    with adaptive windowing", SDM 2007), kept in buckets of doubling size.

    Args:
        delta: Chance of a false cut.
        clock: Rows between two looks.
    """

    def __init__(self, delta: float = 0.002, clock: int = 32) -> None:
        self._delta, self._clock = delta, clock
        self._rows = 0
        # Newest first: for each power of two the buckets (sum, squared deviations), newest first.
        self._levels: list[list[tuple[float, float]]] = [[]]

    @property
    def width(self) -> int:
        """Rows in the window."""
        return sum(len(level) << power for power, level in enumerate(self._levels))

    def update(self, value: float) -> bool:
        """Take a number from 0 to 1."""
        self._rows += 1
        self._levels[0].insert(0, (value, 0.0))
        self._merge()
        return self._rows % self._clock == 0 and self._shrunk()

    def _merge(self) -> None:
        for power, level in enumerate(self._levels):
            if len(level) <= _MOST_BUCKETS:
                return
            if power + 1 == len(self._levels):
                self._levels.append([])
            (one, one_spread), (other, other_spread) = level.pop(), level.pop()
            apart = (one - other) ** 2 / (2 << power)
            self._levels[power + 1].insert(0, (one + other, one_spread + other_spread + apart))

    def _shrunk(self) -> bool:
        found = False
        while self._cut():
            found = True
            while not self._levels[-1]:
                self._levels.pop()
            self._levels[-1].pop()
            while len(self._levels) > 1 and not self._levels[-1]:
                self._levels.pop()
        return found

    def _cut(self) -> bool:
        """Whether the oldest part differs from the rest, wherever it ends."""
        buckets = [(1 << power, *each) for power, level in enumerate(self._levels) for each in level][::-1]
        rows = sum(size for size, _, _ in buckets)
        if rows < 2 * _LEAST_PART:
            return False
        total = sum(value for _, value, _ in buckets)
        mean = total / rows
        spread = sum(s + size * (value / size - mean) ** 2 for size, value, s in buckets) / rows
        old_rows, old = 0, 0.0
        for size, value, _ in buckets[:-1]:
            old_rows, old = old_rows + size, old + value
            new_rows = rows - old_rows
            if old_rows < _LEAST_PART or new_rows < _LEAST_PART:
                continue
            sizes = 1 / (old_rows - _LEAST_PART + 1) + 1 / (new_rows - _LEAST_PART + 1)
            chance = math.log(2 * math.log(rows) / self._delta)
            edge = math.sqrt(2 * sizes * spread * chance) + 2 / 3 * chance * sizes
            if abs(old / old_rows - (total - old) / new_rows) > edge:
                return True
        return False


_MOST_BUCKETS = 5
_LEAST_PART = 5
