"""Seasons of a reference: the rows of one hour, one weekday or both, compared with those of the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from blueprints.errors import UsageProblem
from mlops.monitoring.profile import Profile

Kind = Literal["hour", "weekday", "weekday_hour"]
#: Rows of a season below which the whole reference says more; share of a window that must be of one season.
LEAST_ROWS, MOSTLY = 500, 0.8
_HOUR = 3_600_000_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, eq=False)
class Seasons:
    """The profiles of a reference by season.

    Attributes:
        kind: What a season is; its hours and days are those of ``zone``.
        profiles: By name: ``09``, ``Mon``, ``Mon 09``.
    """

    kind: Kind
    zone: str
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Any, times: Any, kind: Kind, zone: str, like: Profile) -> Seasons:
        """Cut a reference.

        Args:
            table: Arrow table of ``n`` rows.
            times: When each row happened, shape ``(n,)``: datetimes (UTC where they name no zone), or
                microseconds since the epoch.

        Raises:
            UsageProblem: Another number of times, or an unknown zone.
        """
        moments = _microseconds(times)
        if moments.shape != (len(table),):
            raise UsageProblem(
                f"{len(table)} rows, times of shape {moments.shape}",
                where="times",
                expected=f"({len(table)},)",
            )
        found = names(moments, kind, zone)
        profiles = {}
        for name in np.unique(found):
            rows = np.flatnonzero(found == name)
            if len(rows) >= LEAST_ROWS:
                profiles[str(name)] = Profile.of(table.take(rows), like=like)
        return cls(kind, zone, profiles)

    def reference(self, rows: Any) -> tuple[str, Profile] | None:
        """The season that most rows of a window are of, and its profile; None: they are of several, or the
        reference knows too little of that one.

        Args:
            rows: Arrow table in the schema of ``predictions``.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        times = pc.coalesce(rows.column("event_time"), rows.column("time")).cast(pa.int64())
        found, counts = np.unique(names(times.to_numpy(), self.kind, self.zone), return_counts=True)
        if not len(found) or counts.max() < MOSTLY * len(rows):
            return None
        name = str(found[counts.argmax()])
        return (name, self.profiles[name]) if name in self.profiles else None


def names(times: npt.NDArray[np.int64], kind: Kind, zone: str) -> npt.NDArray[np.str_]:
    """The season of each moment (µs since the epoch), shape ``(n,)``.

    Raises:
        UsageProblem: No such zone.
    """
    try:
        there = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise UsageProblem(f"{zone!r} is no time zone", where="timezone", expected="Europe/Berlin") from None
    # Zones shift at whole quarters of an hour at most: asked once for each, not for each row.
    quarters, which = np.unique(times // (_HOUR // 4), return_inverse=True)
    local = [datetime.fromtimestamp(int(each) * 900, UTC).astimezone(there) for each in quarters]
    made = [_name(each, kind) for each in local]
    return np.asarray(made, np.str_)[which]


def _name(moment: datetime, kind: Kind) -> str:
    hour, day = f"{moment.hour:02}", _DAYS[moment.weekday()]
    return hour if kind == "hour" else day if kind == "weekday" else f"{day} {hour}"


def _microseconds(times: Any) -> npt.NDArray[np.int64]:
    found = np.asarray(times)
    if found.dtype.kind == "M":
        return found.astype("datetime64[us]").astype(np.int64)
    if found.dtype.kind in "iu":
        return found.astype(np.int64)
    aware = (each if each.tzinfo else each.replace(tzinfo=UTC) for each in found.tolist())
    return np.asarray([round(each.timestamp() * 1e6) for each in aware], np.int64)
