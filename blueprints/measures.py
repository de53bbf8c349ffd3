"""What is measured beside the models' data, business figures and resources: parts of the monitoring
section."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from blueprints.section import Section

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone: expected one such as Europe/Berlin") from None
    return name


#: The figure that each model has by itself: how many predictions it makes.
VOLUME = "predictions"


class KpiSpec(Section):
    """A business figure that is watched: what it is, how often it is known, what is unusual."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    """Its name, as in alerts and charts."""
    query: str = ""
    """SQL that gives one number, or none where a period has none; `:start` and `:end` are the period. Of
    a model: its tables predictions, labels, outcomes, failures. With database: whatever is in there."""
    database: str = ""
    """Reference (env:NAME, file:/PATH) to the SQLAlchemy URL of another database."""
    function: str = ""
    """Instead of a query `package.module:function`, called with start and end, UTC: a number or None."""
    model: str = ""
    """The model it belongs to; empty: the environment as a whole."""
    unit: str = ""
    """Shown behind the number: USD, orders."""
    every_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    """Length of a period; periods begin at whole multiples of it."""
    delay_minutes: Annotated[int, Field(ge=0, le=44_640)] = 10
    """Minutes after its end before a period is asked for: rows come late."""
    history_days: Annotated[int, Field(ge=2, le=366)] = 28
    """What is normal is learnt from so many days; at first they are asked for, a period at a time."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Of the people who make the figure: its days and weeks are theirs."""
    side: Literal["both", "low", "high"] = "both"
    """Which deviations are bad."""
    least_change: Annotated[float, Field(ge=0, le=10)] = 0.05
    """Share of what was expected below which no deviation matters."""

    @model_validator(mode="after")
    def _complete(self) -> KpiSpec:
        # Faults are of the KPI, not of the field: words about a field quote it, and it may be a secret.
        if bool(self.query) == bool(self.function):
            raise ValueError(f"{self.name}: give either query or function")
        if self.query and not re.match(r"\s*(select|with)\b", self.query, re.IGNORECASE):
            raise ValueError(f"{self.name}: the query must begin with select or with")
        if self.query and not (self.database or self.model):
            raise ValueError(f"{self.name}: a query needs the model, or the database, that it asks")
        if self.database and not _REFERENCE.fullmatch(self.database):
            raise ValueError(f"{self.name}: use env:NAME or file:/PATH, where the address is, not itself")
        if self.function and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.function):
            raise ValueError(f"{self.name}: expected package.module:function, got {self.function!r}")
        return self


class ResourcesSpec(Section):
    """What the services use, and when that is too much."""

    enabled: bool = True
    """Measure CPU, memory, disk, answers and errors of each service."""
    every_minutes: Annotated[int, Field(ge=1, le=1440)] = 5
    """Length of a period."""
    history_days: Annotated[int, Field(ge=2, le=90)] = 14
    """What is normal is learnt from so many days."""
    disk_free: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the disk of the environment that must be free; below half of it is a page."""
    errors: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of requests to the gateway that may fail."""
