"""Outcome: what one test of one column computed, before anything is corrected for the other tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlops.monitoring.finding import Family


@dataclass(frozen=True)
class Outcome:
    """One test.

    Attributes:
        test, family, statistic, effect: As of a :class:`~mlops.monitoring.finding.Finding`.
        practical: The least effect that matters.
        chance: The effect that chance alone exceeds in 1 of 100 windows of these rows.
        log_p: Log of the p-value; None for a distance, which shares the p-value of its group.
        group: Tests of one question (``shape``); their p-values are combined to one before the correction.
        sentence: One sentence for a reader.
        certain: No question of chance: a column that is not there is not there.
    """

    test: str
    family: Family
    statistic: float
    effect: float
    practical: float
    sentence: str
    log_p: float | None = None
    chance: float = 0.0
    group: str = "shape"
    certain: bool = False

    @property
    def p_value(self) -> float:
        """Alone; 1 where the test has none."""
        return math.exp(self.log_p) if self.log_p is not None else 1.0
