"""Two profiles compared: distances with their null calibration, correction, effect floors, persistence."""

from __future__ import annotations

from mlops.monitoring.tests.baseline import Baseline, Seasonal
from mlops.monitoring.tests.comparison import Comparison, compare
from mlops.monitoring.tests.multivariate import compare_rows
from mlops.monitoring.tests.persistence import Persistence, persistent
from mlops.monitoring.tests.ranks import exact_kolmogorov_smirnov, exact_wasserstein
from mlops.monitoring.tests.rules import Rules
from mlops.monitoring.tests.sequential import Stream

__all__ = [
    "Baseline",
    "Comparison",
    "Persistence",
    "Rules",
    "Seasonal",
    "Stream",
    "compare",
    "compare_rows",
    "exact_kolmogorov_smirnov",
    "exact_wasserstein",
    "persistent",
]
