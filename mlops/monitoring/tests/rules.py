"""Rules: what makes a difference a finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from blueprints.errors import UsageProblem
from mlops.monitoring.tests.correction import Correction

#: The least effect of each test that is worth anybody's time, in the unit of the test's ``effect``.
FLOORS: Mapping[str, float] = MappingProxyType(
    {
        # Rows that lie elsewhere: distance of distribution functions, total variation of shares.
        "ks": 0.05,
        "chi2": 0.03,
        # Mean rank score in its standard deviations: close to a shift in standard deviations.
        "wilcoxon": 0.1,
        "mood": 0.15,
        # In standard deviations of the reference.
        "wasserstein": 0.1,
        "quantiles": 0.25,
        "psi": 0.1,
        "jensen_shannon": 0.1,
        "hellinger": 0.1,
        # Shares of rows.
        "missing": 0.02,
        "infinite": 0.001,
        "range": 0.01,
        "new": 0.01,
        "vanished": 0.01,
        # Powers of ten; standard deviations.
        "unit": 0.9,
        "offset": 3.0,
        # Multivariate: share of the error, AUC above 1/2, change of a correlation.
        "pca": 0.1,
        "classifier": 0.05,
        "correlation": 0.15,
    }
)


@dataclass(frozen=True)
class Rules:
    """What makes a difference a finding.

    Attributes:
        alpha: Highest share of windows without any difference that have a finding, 0 to 1. With a small
            reference the chance differences are those of the reference and come back in every window, so
            that persistence does not help: hence 1 %, not 5.
        correction: ``bh`` (Benjamini-Hochberg), ``holm`` or ``bonferroni``, over all questions of the window.
        minimum_rows: Fewer rows in the window or the reference are no evidence.
        floors: Practical floors by test, over those of :data:`FLOORS`.
        predictions: Columns that are the model's output: their findings are of family ``prediction``.
        private: Columns whose categories never appear in a sentence or picture.
        extra: Whether a column that the reference does not have is a finding.
    """

    alpha: float = 0.01
    correction: Correction = "bh"
    minimum_rows: int = 50
    floors: Mapping[str, float] = field(default_factory=dict)
    predictions: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    extra: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UsageProblem(f"alpha is {self.alpha}", expected="a share between 0 and 1")
        unknown = sorted(set(self.floors) - set(FLOORS))
        if unknown:
            raise UsageProblem(
                f"there is no test called {unknown[0]}",
                expected=", ".join(sorted(FLOORS)),
                todo="name one of these",
            )

    def floor(self, test: str) -> float:
        """The practical floor of a test."""
        return self.floors.get(test, FLOORS[test])
