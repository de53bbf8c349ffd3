"""Monitoring. The library stands alone: ``compare(Profile.of(reference), Profile.of(current)).found``.

Names load with their first use: whoever needs a finding only, needs no NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.monitoring.distribution import Distribution as Distribution
    from mlops.monitoring.finding import Finding as Finding
    from mlops.monitoring.profile import Profile as Profile
    from mlops.monitoring.tests import Baseline as Baseline
    from mlops.monitoring.tests import Comparison as Comparison
    from mlops.monitoring.tests import Persistence as Persistence
    from mlops.monitoring.tests import Rules as Rules
    from mlops.monitoring.tests import Seasonal as Seasonal
    from mlops.monitoring.tests import Stream as Stream
    from mlops.monitoring.tests import compare as compare
    from mlops.monitoring.tests import compare_rows as compare_rows
    from mlops.monitoring.tests import persistent as persistent

_HOMES = {
    "Baseline": "tests",
    "Comparison": "tests",
    "Distribution": "distribution",
    "Finding": "finding",
    "Persistence": "tests",
    "Profile": "profile",
    "Rules": "tests",
    "Seasonal": "tests",
    "Stream": "tests",
    "compare": "tests",
    "compare_rows": "tests",
    "persistent": "tests",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
