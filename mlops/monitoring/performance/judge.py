"""From figures with errors to findings: tests, correction and effect floors, the same for every family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mlops.monitoring.finding import Family, Finding, Severity
from mlops.monitoring.tests.correction import adjusted

Floats = npt.NDArray[np.float64]
ALPHA = 0.05
#: Rows below which nothing is called found.
LEAST_ROWS = 30
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Estimate:
    """A figure with what is known of its error.

    Attributes:
        metric: ``auc``, ``rmse``, …
        value: NaN when it is not defined.
        error: Standard error, of the sampling and of whatever else the maker names.
        low, high: The 95 % interval.
        rows: It stands on.
        why: Why it is not defined; empty when it is.
    """

    metric: str
    value: float
    error: float
    low: float
    high: float
    rows: int
    why: str = ""

    @property
    def defined(self) -> bool:
        """Whether there is a figure."""
        return not self.why


def undefined(metric: str, rows: int, why: str) -> Estimate:
    """A figure that does not exist, and why."""
    return Estimate(metric, math.nan, math.nan, math.nan, math.nan, rows, why)


def quantile(share: float) -> float:
    """Of the standard normal distribution."""
    return _NORMAL.inv_cdf(share)


def tail(z: float) -> float:
    """Chance that a standard normal exceeds ``z``."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def corrected(findings: Sequence[Finding], alpha: float = ALPHA) -> list[Finding]:
    """The findings of one window with their p-values corrected over all of them; ``found`` is taken back
    where the correction says so, never given."""
    made = []
    p_values = adjusted([each.p_value for each in findings], "bh")
    for each, p_adjusted in zip(findings, p_values, strict=True):
        found = each.found and p_adjusted <= alpha
        severity: Severity = each.severity if found else "none"
        made.append(replace(each, p_adjusted=p_adjusted, found=found, severity=severity))
    return made


def compare(
    current: Estimate,
    reference: Estimate,
    floor: float,
    *,
    lower_is_worse: bool,
    family: Family = "performance",
    severity: Severity = "page",
    segment: str = "",
    suffix: str = "",
    least_rows: int = LEAST_ROWS,
) -> Finding:
    """Whether a figure became worse: one-sided, two samples, by their standard errors (Wald).

    Args:
        current, reference: The same metric on rows that do not overlap.
        floor: The least loss that matters, in the metric's unit.
        lower_is_worse: AUC: yes; RMSE: no.
        suffix: Added to the sentence: a reservation, a count.
    """
    where = f" in {segment}" if segment else ""
    if not (current.defined and reference.defined):
        why = current.why or f"the reference: {reference.why}"
        sentence = f"{current.metric}{where} is not known: {why}{suffix}"
        return Finding(
            "", family, current.metric, math.nan, math.nan, floor, 1.0, 1.0, False, "none", sentence, segment
        )
    loss = (reference.value - current.value) * (1 if lower_is_worse else -1)
    error = math.hypot(current.error, reference.error)
    p_value = tail(loss / error) if error else float(loss <= 0)
    enough = min(current.rows, reference.rows) >= least_rows
    found = p_value <= ALPHA and loss >= floor and enough
    few = "" if enough else f", too few rows ({current.rows}) to judge"
    sentence = (
        f"{current.metric}{where} is {current.value:.4g} ({current.low:.4g} to {current.high:.4g}, "
        f"{current.rows} rows), reference {reference.value:.4g}{few}{suffix}"
    )
    return Finding(
        "",
        family,
        current.metric,
        current.value,
        loss,
        floor,
        p_value,
        p_value,
        found,
        severity if found else "none",
        sentence,
        segment,
    )
