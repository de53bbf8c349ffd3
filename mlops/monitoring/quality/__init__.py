"""Data quality: rows against what the reference implies."""

from __future__ import annotations

from mlops.monitoring.quality.check import Checked, check

__all__ = ["Checked", "check"]
