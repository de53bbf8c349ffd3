"""Silences: matchers and the time they end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from blueprints.errors import UsageProblem
from mlops.monitoring.alerts.alert import Alert, aware
from mlops.monitoring.alerts.store import AlertStore

if TYPE_CHECKING:
    import sqlalchemy as sa

#: What a silence may name.
FIELDS = ("model", "version", "kind", "feature", "segment", "severity")
#: What a deployment or a retraining says nothing new about. That the model is worse stays loud.
AFTER_DEPLOYMENT = ("drift", "prediction", "missing", "concept")


@dataclass(frozen=True)
class Silence:
    """Alerts that fit every matcher are not announced until ``ends``.

    Attributes:
        matchers: Field to pattern, ``*`` for any part; several words of one field with ``|``.
        who: Who opened it; ``rollout`` for those that a deployment opens.
    """

    id: int
    matchers: Mapping[str, str]
    starts: datetime
    ends: datetime
    who: str
    why: str

    def covers(self, alert: Alert, now: datetime) -> bool:
        """Whether it holds that alert back now."""
        return self.starts <= now < self.ends and all(
            any(fnmatchcase(str(getattr(alert, name)), each) for each in pattern.split("|"))
            for name, pattern in self.matchers.items()
        )


def checked(matchers: object) -> dict[str, str]:
    """Matchers from outside.

    Raises:
        UsageProblem: None, an unknown field, or no text.
    """
    if (
        not isinstance(matchers, dict)
        or not matchers
        or any(
            n not in FIELDS or not isinstance(v, str) or not 0 < len(v) <= 300 for n, v in matchers.items()
        )
    ):
        raise UsageProblem(
            "no such matcher", where="silence", expected=f"FIELD=PATTERN of {', '.join(FIELDS)}"
        )
    return dict(matchers)


class Silences:
    """The silences of one store."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def active(self, connection: sa.Connection, now: datetime) -> list[Silence]:
        """Those that hold now."""
        return [each for each in self._all(connection) if each.starts <= now < each.ends]

    def all(self) -> list[Silence]:
        """Every one that is remembered, newest first."""
        with self._store.reading() as connection:
            return self._all(connection)[::-1]

    def _all(self, connection: sa.Connection) -> list[Silence]:
        import sqlalchemy as sa

        from mlops.monitoring.alerts.tables import SILENCES

        rows = connection.execute(sa.select(SILENCES).order_by(SILENCES.c.id)).mappings()
        return [_silence(row) for row in rows]

    def open(
        self,
        connection: sa.Connection,
        matchers: Mapping[str, str],
        starts: datetime,
        ends: datetime,
        who: str,
        why: str,
    ) -> int:
        """Open one; its number."""
        from mlops.monitoring.alerts.tables import SILENCES

        values = {"starts": starts, "ends": ends, "who": who, "why": why}
        made = connection.execute(SILENCES.insert().values(matchers=json.dumps(dict(matchers)), **values))
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0])

    def close(self, connection: sa.Connection, number: int, now: datetime) -> bool:
        """End one; False: there is none that holds."""
        from mlops.monitoring.alerts.tables import SILENCES

        same = (SILENCES.c.id == number) & (SILENCES.c.ends > now)
        return bool(connection.execute(SILENCES.update().where(same).values(ends=now)).rowcount)


def after_deployment(model: str) -> dict[str, str]:
    """What a new version silences: everything that compares it with what was before."""
    return {"model": model, "kind": "|".join(AFTER_DEPLOYMENT)}


def _silence(row: object) -> Silence:
    values = dict(row)  # type: ignore[call-overload]
    starts, ends = aware(values["starts"]), aware(values["ends"])
    assert starts is not None
    assert ends is not None
    return Silence(values["id"], json.loads(values["matchers"]), starts, ends, values["who"], values["why"])
