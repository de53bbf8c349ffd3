"""Baseline: how much the reference's own windows differ from one another.

Tests take rows as independent. Rows of a day are not: they share weather, weekday and what happened. The
reference, cut into windows of the size that will be compared, shows how much more its windows differ than
independent rows would, per column and test; differences are then measured against that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import add

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.profile import Profile
from mlops.monitoring.tests import tails
from mlops.monitoring.tests.columns import test_column
from mlops.monitoring.tests.outcome import Outcome
from mlops.monitoring.tests.rules import Rules

#: Fewer windows say too little of how much windows differ.
LEAST_BLOCKS = 8


@dataclass(frozen=True)
class Baseline:
    """How much windows differ without drift.

    Attributes:
        inflation: By column and test: mean squared z-score of the reference's windows against the rest of it,
            at least 1, which is what independent rows give. Rows divided by it are the effective rows.
        blocks: Windows it was measured on.
    """

    inflation: Mapping[tuple[str, str], float]
    blocks: int

    @classmethod
    def of(cls, blocks: Sequence[Profile], rules: Rules | None = None) -> Baseline:
        """Measure on consecutive windows of the reference, of the size that windows will have.

        Raises:
            UsageProblem: Fewer than 8 windows.
        """
        rules = rules or Rules()
        blocks = [each for each in blocks if each.rows]
        if len(blocks) < LEAST_BLOCKS:
            raise UsageProblem(
                f"a baseline of {len(blocks)} windows says too little of how much windows differ",
                expected=f"at least {LEAST_BLOCKS} windows of the reference",
                todo="cut the reference into smaller windows, or compare without a baseline",
            )
        whole = reduce(add, blocks)
        squares: dict[tuple[str, str], float] = {}
        for block in blocks:
            rest = whole - block
            for name, column in rest.columns.items():
                for outcome in test_column(name, column, block.columns.get(name), rules).outcomes:
                    if outcome.log_p is not None:
                        key = (name, outcome.test)
                        squares[key] = squares.get(key, 0.0) + tails.z_of(outcome.log_p) ** 2
        return cls({key: max(1.0, total / len(blocks)) for key, total in squares.items()}, len(blocks))

    def applied(self, column: str, outcome: Outcome) -> Outcome:
        """The outcome measured against the reference's own variation: its z-score by Student's distribution
        of as many degrees of freedom as there were windows, since the variation was estimated from these."""
        factor = self._factor(column, outcome)
        chance = outcome.chance * math.sqrt(factor)
        if outcome.log_p is None:
            return replace(outcome, chance=chance)
        z = tails.z_of(outcome.log_p) / math.sqrt(factor)
        return replace(outcome, chance=chance, log_p=tails.student(z, self.blocks - 1))

    def _factor(self, column: str, outcome: Outcome) -> float:
        own = self.inflation.get((column, outcome.test))
        if own is not None:
            return own
        # Distances have no z-score: they vary as the column's shape does.
        shape = [self.inflation.get((column, test), 1.0) for test in ("ks", "wilcoxon", "mood", "chi2")]
        return max(shape) if outcome.group == "shape" else 1.0


def weekday_and_hour(moment: datetime) -> str:
    """The season of a moment: ``Mon 09``."""
    return f"{moment:%a %H}"


@dataclass(frozen=True)
class Seasonal:
    """A reference by season: a window is compared with the reference of the same weekday and hour.

    Attributes:
        whole: All of the reference; for seasons it has nothing of.
        profiles: The reference of each season.
        baselines: Of each season, where it has enough windows.
        season: Names the season of a moment.
    """

    whole: Profile
    profiles: Mapping[str, Profile]
    baselines: Mapping[str, Baseline]
    season: Callable[[datetime], str] = weekday_and_hour

    @classmethod
    def of(
        cls,
        windows: Iterable[tuple[datetime, Profile]],
        season: Callable[[datetime], str] = weekday_and_hour,
        rules: Rules | None = None,
    ) -> Seasonal:
        """Group the reference's windows by season.

        Raises:
            UsageProblem: There are none.
        """
        groups: dict[str, list[Profile]] = {}
        for moment, profile in windows:
            groups.setdefault(season(moment), []).append(profile)
        if not groups:
            raise UsageProblem("a seasonal reference needs windows", expected="at least one")
        profiles = {name: reduce(add, each) for name, each in groups.items()}
        baselines = {
            name: Baseline.of(each, rules) for name, each in groups.items() if len(each) >= LEAST_BLOCKS
        }
        return cls(reduce(add, profiles.values()), profiles, baselines, season)

    def at(self, moment: datetime) -> tuple[Profile, Baseline | None]:
        """The reference of a window that begins then, and its baseline."""
        name = self.season(moment)
        return self.profiles.get(name, self.whole), self.baselines.get(name)
