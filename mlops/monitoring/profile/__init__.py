"""Profiles: what is known of a table's columns, in counts that add up and subtract exactly."""

from __future__ import annotations

from mlops.monitoring.profile.columns import Categories, Column, Numbers
from mlops.monitoring.profile.profile import Profile

__all__ = ["Categories", "Column", "Numbers", "Profile"]
