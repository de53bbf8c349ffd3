"""The base of every part of the spec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of every part of the spec: unknown keys are refused, values never change in place."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
