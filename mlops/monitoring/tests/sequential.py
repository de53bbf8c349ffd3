"""A stream that is looked at as often as one likes: drift with a false alarm rate for all looks together.

Windows that are tested one after the other alarm again and again, each with its own small probability. Here
the distribution of all rows so far is held against a band that the true one never leaves, at any of endless
looks, with probability ``1 - alpha``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mlops.monitoring.finding import Finding
from mlops.monitoring.profile import Categories, Numbers, Profile
from mlops.monitoring.profile.columns import Column, Floats
from mlops.monitoring.tests.histogram import Pair
from mlops.monitoring.tests.rules import Rules


def band(rows: int, first: int, alpha: float) -> float:
    """The largest distance of an empirical distribution function to the true one, over all numbers of rows
    from ``first`` on, but with probability ``alpha``. Rows are independent.

    Source: Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification" (Bernoulli 28, 2022), corollary 2.
    """
    return 0.85 * math.sqrt((math.log(math.log(math.e * rows / first)) + 0.8 * math.log(1612 / alpha)) / rows)


def of_sample(rows: int, alpha: float) -> float:
    """The same for one number of rows (Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz
    inequality", Annals of Probability 18, 1990)."""
    return math.sqrt(math.log(2 / alpha) / (2 * rows))


@dataclass
class _Run:
    """The sum of the blocks since some block."""

    alpha: float
    sum: Profile
    first: int = field(init=False)

    def __post_init__(self) -> None:
        self.first = self.sum.rows


class Stream:
    """Drift of a stream of blocks.

    All rows since the first block are looked at, and, since an early quiet past would dilute a late change,
    those since the 2nd, 4th, 8th … block, too: these share the error rate, and a change is seen after no more
    than the past again. Missing values are values; categories stand in the order of how often the reference
    has them, of which the distance says at least half of what a share changed.

    Args:
        reference: What is normal.
        alpha: Highest probability that a stream without drift ever has a finding, over all columns.
        rules: Of which the floor of ``ks`` is taken.
    """

    def __init__(self, reference: Profile, alpha: float = 0.01, rules: Rules | None = None) -> None:
        self._reference, self._alpha = reference, alpha
        self._floor = (rules or Rules()).floor("ks")
        self._blocks = 0
        self._runs: list[_Run] = []

    @property
    def rows(self) -> int:
        """Since the stream began."""
        return self._runs[0].sum.rows if self._runs else 0

    def add(self, block: Profile) -> tuple[Finding, ...]:
        """Take a block in; what is known of each column now.

        Args:
            block: Profiled with ``like=reference``; an empty one changes nothing.
        """
        if block.rows:
            self._blocks += 1
            for run in self._runs:
                run.sum = run.sum + block
            if self._blocks & (self._blocks - 1) == 0:
                # Of all runs that may ever begin: 1/2 + 1/6 + 1/12 + … is one.
                number = len(self._runs) + 1
                self._runs.append(_Run(self._alpha / 2 / (number * (number + 1)), block))
        return tuple(
            self._known(name, column)
            for name, column in self._reference.columns.items()
            if self._runs and name in self._runs[0].sum.columns
        )

    def _known(self, name: str, reference: Column) -> Finding:
        """By the run that is furthest beyond its band."""
        columns = len(self._reference.columns)
        sample = of_sample(max(1, self._reference.rows), self._alpha / 2 / columns)
        found = []
        for run in self._runs:
            distance = _distance(reference, run.sum.columns[name])
            allowed = band(run.sum.rows, run.first, run.alpha / columns) + sample
            found.append((distance / max(allowed, self._floor), distance, allowed, run.sum.rows))
        times, distance, allowed, rows = max(found)
        held = times >= 1
        words = f"{distance:.1%} of its last {rows:,} rows lie elsewhere, by chance at any time {allowed:.1%}"
        return Finding(
            name, "drift", "sequential", distance, distance, max(allowed, self._floor), 1.0, 1.0, held,
            "ticket" if held else "none", f"{name}: {words}",
        )  # fmt: skip


def _distance(reference: Column, current: Column) -> float:
    """Kolmogorov's, missing values after all others."""
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        pair = Pair.of(reference, current)
        one, other = (np.cumsum(each.astype(float)) for each in (pair.first, pair.second))
    elif isinstance(reference, Categories) and isinstance(current, Categories):
        one, other = _ordered(reference.counts, current.counts)
    else:
        return 1.0
    if not len(one):
        return abs(reference.missing / max(1, reference.rows) - current.missing / max(1, current.rows))
    shares = one / max(1, reference.rows) - other / max(1, current.rows)
    return float(np.abs(shares).max())


def _ordered(reference: Mapping[str, int], current: Mapping[str, int]) -> tuple[Floats, Floats]:
    names = sorted(reference.keys() | current.keys(), key=lambda each: (-reference.get(each, 0), each))
    one, other = ([side.get(each, 0) for each in names] for side in (reference, current))
    return np.cumsum(np.asarray(one, float)), np.cumsum(np.asarray(other, float))
