"""Business figures: each period's value is asked for once its time has come, judged, kept and alerted."""

from __future__ import annotations

import importlib
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from blueprints.environment import Environment
from blueprints.measures import KpiSpec
from mlops.data.tables import location, options
from mlops.monitoring.alerts import Alerts, Observation, Window
from mlops.monitoring.alerts.policy import UNKNOWN
from mlops.monitoring.alerts.routes.base import Refused, secret
from mlops.monitoring.answers import Point
from mlops.monitoring.finding import Finding
from mlops.monitoring.service import series
from mlops.monitoring.timeseries.judge import Watched, judged, level

log = logging.getLogger(__name__)
#: A figure that takes longer is a fault; the others do not wait for it.
_PATIENCE_SECONDS = 30.0
_TABLES = ("predictions", "labels", "outcomes", "failures")
Source = Callable[[datetime, datetime], float | None]


class KpiError(Exception):
    """A figure cannot be had; in words that hold no secret."""


class Kpis:
    """Watches the figures of the spec.

    Args:
        clock: The time; UTC.
    """

    def __init__(
        self,
        environment: Environment,
        specs: Iterable[KpiSpec],
        book: Alerts,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._specs, self._book, self._clock = tuple(specs), book, clock
        self._sources = {each.name: partial(_ask, environment, each) for each in self._specs}
        self._asking: dict[str, _Asking] = {}
        self._told: dict[str, str] = {}
        self._levels: dict[str, tuple[date, Finding]] = {}

    def look(self, until: float) -> dict[str, str]:
        """Everything that is due, in the order of time; what is left of a long past at ``until`` (of the
        monotonic clock) goes on at the next look. Returns faults by ``kpi NAME``."""
        faults: dict[str, str] = {}
        for spec in self._specs:
            words = ""
            try:
                self._catch_up(spec, until)
            except KpiError as error:
                words = str(error)
                faults[f"kpi {spec.name}"] = words
            self._tell(spec, words)
        return faults

    def _catch_up(self, spec: KpiSpec, until: float) -> None:
        """Every period whose time has come.

        Raises:
            KpiError: One cannot be had; those before it are kept.
        """
        period, now = timedelta(minutes=spec.every_minutes), self._clock()
        known = self._book.store.place(_place(spec))
        start = datetime.fromisoformat(known) if known else _first(now, period, spec.history_days)
        # What was long ago is learnt from, and nobody is woken for it.
        recent = now - max(3 * period, timedelta(days=1))
        watched, old = _watched(spec), list[Point]()
        try:
            while start + period + timedelta(minutes=spec.delay_minutes) <= now and time.monotonic() < until:
                value = self._value(spec, start, start + period)
                if start + period <= recent:
                    old.append(Point("", start, start + period, spec.name, value, kind="kpi"))
                else:
                    self._keep(spec, old, [])
                    old = []
                    past = self._past(spec, start)
                    point, findings = judged(watched, past, start, value)
                    self._keep(spec, [point], [*findings, self._level(watched, past, start)])
                start += period
        finally:
            self._keep(spec, old, [])

    def _level(self, watched: Watched, past: list[Point], start: datetime) -> Finding:
        """Looked for once a day: a day is the least that it must last."""
        known = self._levels.get(watched.name)
        if known is None or known[0] != start.date():
            known = self._levels[watched.name] = (start.date(), level(watched, past, start))
        return known[1]

    def _past(self, spec: KpiSpec, start: datetime) -> list[Point]:
        since = start - timedelta(days=spec.history_days)
        return series.of_metric(self._book.store, spec.model, "kpi", spec.name, since)

    def _keep(self, spec: KpiSpec, points: list[Point], findings: list[Finding]) -> None:
        if not points:
            return
        last = points[-1]
        assert last.end is not None
        window = Window(spec.model, "", last.start, last.end, last.rows, kind="kpi")
        self._book.observe(
            self._book.policy.observations(findings, window),
            {_place(spec): last.end.isoformat()},
            partial(series.write, model=spec.model, made=points),
        )

    def _value(self, spec: KpiSpec, start: datetime, end: datetime) -> float | None:
        """Raises:
        KpiError: It cannot be had, or takes too long.
        """
        asking = self._asking.get(spec.name)
        if asking is None or asking.period != (start, end):
            if asking is not None and asking.is_alive():
                raise KpiError(f"an answer takes longer than {_PATIENCE_SECONDS:.0f} s")
            asking = self._asking[spec.name] = _Asking(self._sources[spec.name], start, end)
            asking.start()
        asking.join(_PATIENCE_SECONDS)
        if asking.is_alive():
            raise KpiError(f"an answer takes longer than {_PATIENCE_SECONDS:.0f} s")
        del self._asking[spec.name]
        if asking.error:
            raise KpiError(asking.error)
        return asking.value

    def _tell(self, spec: KpiSpec, words: str) -> None:
        """A figure that cannot be had is an alert of its own, once for each change."""
        if self._told.get(spec.name, "") == words:
            return
        log.warning("kpi %s: %s", spec.name, words or "known again")
        self._book.observe(
            [
                Observation(
                    "kpi", "ticket", spec.model, "", f"{spec.name} unknown", UNKNOWN, float(bool(words)), 1.0,
                    0.0, bool(words), f"{spec.name} is not known: {words}" if words else "it is known again",
                    None, None, 0,
                )
            ]
        )  # fmt: skip
        self._told[spec.name] = words


class _Asking(threading.Thread):
    """One question, beside everything else: code and databases of others may hang."""

    def __init__(self, source: Source, start: datetime, end: datetime) -> None:
        super().__init__(name="kpi", daemon=True)
        self.period = (start, end)
        self._source = source
        self.value: float | None = None
        self.error = ""

    def run(self) -> None:
        """Ask."""
        try:
            self.value = _number(self._source(*self.period))
        except KpiError as error:
            self.error = str(error)
        except Exception as error:
            log.info("a figure cannot be had", exc_info=True)
            self.error = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:300]


def _place(spec: KpiSpec) -> str:
    return f"kpi:{spec.name}"


def _watched(spec: KpiSpec) -> Watched:
    unit = f" {spec.unit}" if spec.unit else ""
    return Watched(
        spec.name,
        "kpi",
        timedelta(minutes=spec.every_minutes),
        spec.timezone,
        spec.side,
        spec.least_change,
        lambda value: f"{_figure(value)}{unit}",
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _first(now: datetime, period: timedelta, days: int) -> datetime:
    """The begin of the first period of the past that is learnt from; weeks begin on Mondays."""
    monday = datetime(1970, 1, 5, tzinfo=UTC)
    return monday + (now - timedelta(days=days) - monday) // period * period


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise KpiError(f"expected one number, got {type(value).__name__}") from None
    return found if math.isfinite(found) else None


def _ask(environment: Environment, spec: KpiSpec, start: datetime, end: datetime) -> Any:
    if spec.function:
        return _function(spec.function)(start, end)
    if spec.database:
        return _of_database(spec, start, end)
    return _of_log(environment, spec, start, end)


def _function(words: str) -> Callable[..., Any]:
    module, _, name = words.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise KpiError(f"{words} cannot be imported: {error}") from None
    if not callable(found):
        raise KpiError(f"{words} is no function")
    return found  # type: ignore[no-any-return]


def _of_database(spec: KpiSpec, start: datetime, end: datetime) -> Any:
    import sqlalchemy as sa

    try:
        url = sa.make_url(secret(spec.database))
    except Refused as error:
        raise KpiError(str(error)) from None
    except sa.exc.ArgumentError:
        # The words of the error hold what was given.
        raise KpiError(f"{spec.database} holds no SQLAlchemy URL") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            given = {"start": start, "end": end}
            used = {key: value for key, value in given.items() if re.search(rf":{key}\b", spec.query)}
            return _one([tuple(row) for row in connection.execute(sa.text(spec.query), used)])
    except sa.exc.DBAPIError as error:
        first = (str(error.orig).splitlines() or [""])[0][:200]
        hidden = url.password
        raise KpiError(first.replace(str(hidden), "[secret]") if hidden else first) from None
    finally:
        engine.dispose()


def _of_log(environment: Environment, spec: KpiSpec, start: datetime, end: datetime) -> Any:
    """Over the tables of the model's prediction log, by DataFusion."""
    import deltalake

    known_as = options(environment.storage)
    builder = deltalake.QueryBuilder()
    query = spec.query
    for name, moment in (("start", start), ("end", end)):
        query = re.sub(rf":{name}\b", f"TIMESTAMP '{moment.isoformat()}'", query)
    for table in _TABLES:
        if not re.search(rf"\b{table}\b", query):
            continue
        uri = location(environment, table, spec.model)
        if not deltalake.DeltaTable.is_deltatable(uri, storage_options=known_as):
            _served(environment, spec)
            return None
        builder = builder.register(table, deltalake.DeltaTable(uri, storage_options=known_as))
    try:
        import pyarrow as pa

        found = pa.table(builder.execute(query).read_all())
    except deltalake.exceptions.DeltaError as error:
        raise KpiError((str(error).splitlines() or [""])[0][:300]) from None
    return _one([tuple(row.values()) for row in found.to_pylist()])


def _served(environment: Environment, spec: KpiSpec) -> None:
    """Raises:
    KpiError: Nothing was ever logged of that model: its name may be wrong.
    """
    import deltalake

    known_as = options(environment.storage)
    uris = (location(environment, table, spec.model) for table in _TABLES)
    if not any(deltalake.DeltaTable.is_deltatable(uri, storage_options=known_as) for uri in uris):
        raise KpiError(f"nothing was logged of a model {spec.model} yet")


def _one(rows: list[tuple[Any, ...]]) -> Any:
    if not rows:
        return None
    if len(rows) > 1 or len(rows[0]) != 1:
        raise KpiError(f"expected one number, got {len(rows)} rows of {len(rows[0])} columns")
    return rows[0][0]
