"""Finding: what one test says of one column in one window; light, so that clients need not load NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlops.monitoring.distribution import Distribution

Family = Literal[
    "drift", "missing", "quality", "prediction", "performance", "concept", "kpi", "resource", "fairness"
]
Severity = Literal["none", "ticket", "page"]


@dataclass(frozen=True)
class Finding:
    """One test of one column (or of the table, a metric, a service), always computed and stored; whether
    anybody is told is decided elsewhere (:mod:`mlops.monitoring.alerts`).

    Attributes:
        column: Its name; empty for a test of the table as a whole.
        family: What it is about; alert policies are written in these words.
        test: ``ks``, ``wasserstein``, ``psi``, ``chi2``, ``missing``, ``range``, ``auc`` …
        statistic: Of the test, in its own unit.
        effect: Size of the difference in the unit of the floor.
        floor: The least effect that matters here: the larger of the practical floor and what chance alone
            reaches with these rows and bins.
        p_value, p_adjusted: Alone, and corrected for all tests of the window; 1.0 where a test has none.
        found: Significant after correction, large enough, on enough rows.
        severity: ``none`` unless found; what the test itself would call it, before any policy.
        sentence: One sentence that names the thing, the fact, the figures.
        segment: ``region=EU``; empty for all rows.
        reference, current: The shares that were compared, for a picture.
        importance: Share of the model's output that this column explains, 0 to 1; None: unknown.
    """

    column: str
    family: Family
    test: str
    statistic: float
    effect: float
    floor: float
    p_value: float
    p_adjusted: float
    found: bool
    severity: Severity
    sentence: str
    segment: str = ""
    reference: Distribution = field(default=Distribution((), ()))
    current: Distribution = field(default=Distribution((), ()))
    importance: float | None = None
