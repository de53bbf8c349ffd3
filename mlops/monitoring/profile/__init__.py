"""Profiles: what is known of a table's columns, in counts that add up and subtract exactly."""

from __future__ import annotations

from mlops.monitoring.profile.columns import Categories, Column, Numbers
from mlops.monitoring.profile.profile import Profile
from mlops.monitoring.profile.windows import Block, Segments, Windows

__all__ = ["Block", "Categories", "Column", "Numbers", "Profile", "Segments", "Windows"]
