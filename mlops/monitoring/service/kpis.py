"""Business figures: each period's value is asked for once its time has come, judged, kept and alerted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from blueprints.environment import Environment
from blueprints.measures import VOLUME, KpiSpec
from mlops.monitoring.alerts import Alerts, Observation, Window
from mlops.monitoring.alerts.policy import UNKNOWN
from mlops.monitoring.answers import Point
from mlops.monitoring.finding import Finding
from mlops.monitoring.service import series
from mlops.monitoring.service.kpi_sources import KpiError, ask, number, of_log
from mlops.monitoring.timeseries.judge import Watched, judged, level

log = logging.getLogger(__name__)
#: A figure that takes longer is a fault; the others do not wait for it.
_PATIENCE_SECONDS = 30.0
#: Part of the usual predictions an hour below which no more or fewer matter.
_LEAST_VOLUME = 0.3


class Kpis:
    """Watches the figures of the spec, and how many predictions each model makes.

    Args:
        volume: Whether the latter.
        clock: The time; UTC.
    """

    def __init__(
        self,
        environment: Environment,
        specs: Iterable[KpiSpec],
        book: Alerts,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        volume: bool = False,
    ) -> None:
        self._environment, self._specs, self._book = environment, tuple(specs), book
        self._clock, self._volume = clock, volume
        self._asking: dict[str, _Asking] = {}
        self._told: dict[str, str] = {}
        self._looked = False
        self._levels: dict[str, tuple[date, Finding]] = {}

    def look(self, until: float) -> dict[str, str]:
        """Everything that is due, in the order of time; what is left of a long past at ``until`` (of the
        monotonic clock) goes on at the next look. Returns faults by ``kpi NAME``."""
        faults: dict[str, str] = {}
        if not self._looked:
            self._retire()
            self._looked = True
        models = self._book.store.models() if self._volume else ()
        for spec in (*self._specs, *map(_volume_of, models)):
            words = ""
            try:
                self._catch_up(spec, until)
            except KpiError as error:
                words = str(error)
                faults[f"kpi {_key(spec)}"] = words
            self._tell(spec, words)
        return faults

    def _retire(self) -> None:
        """End what fired about figures that the spec has no more."""
        names = {each.name for each in self._specs} | ({VOLUME} if self._volume else set())
        known = {f"{name}{more}" for name in names for more in ("", " level", " unknown")}
        self._book.end("kpi", lambda feature: feature not in known, "it is not watched any more")

    def _catch_up(self, spec: KpiSpec, until: float) -> None:
        """Every period whose time has come.

        Raises:
            KpiError: One cannot be had; those before it are kept.
        """
        period, now = timedelta(minutes=spec.every_minutes), self._clock()
        known = self._book.store.place(_place(spec))
        start = datetime.fromisoformat(known) if known else self._begin(spec, now)
        if start is None:
            return
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
                    self._keep(spec, [point], [*findings, self._level(_key(spec), watched, past, start)])
                start += period
        finally:
            self._keep(spec, old, [])

    def _begin(self, spec: KpiSpec, now: datetime) -> datetime | None:
        """Where the past begins that is learnt from; there is none before the first prediction, and without
        any (None) nothing to count.

        Raises:
            KpiError: The log cannot be read.
        """
        period = timedelta(minutes=spec.every_minutes)
        begin = _first(now - timedelta(days=spec.history_days), period)
        if spec.name != VOLUME:
            return begin
        asked = spec.model_copy(update={"query": "SELECT min(time) FROM predictions"})
        first = of_log(self._environment, asked, now, now)
        return None if first is None else max(begin, _first(first, period))

    def _level(self, key: str, watched: Watched, past: list[Point], start: datetime) -> Finding:
        """Looked for once a day: a day is the least that it must last."""
        known = self._levels.get(key)
        if known is None or known[0] != start.date():
            known = self._levels[key] = (start.date(), level(watched, past, start))
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
        asking = self._asking.get(_key(spec))
        if asking is None or asking.period != (start, end):
            if asking is not None and asking.is_alive():
                raise KpiError(f"an answer takes longer than {_PATIENCE_SECONDS:.0f} s")
            source = partial(ask, self._environment, spec)
            asking = self._asking[_key(spec)] = _Asking(source, start, end)
            asking.start()
        asking.join(_PATIENCE_SECONDS)
        if asking.is_alive():
            raise KpiError(f"an answer takes longer than {_PATIENCE_SECONDS:.0f} s")
        del self._asking[_key(spec)]
        if asking.error:
            raise KpiError(asking.error)
        return asking.value

    def _tell(self, spec: KpiSpec, words: str) -> None:
        """A figure that cannot be had is an alert of its own, once for each change."""
        if self._told.get(_key(spec), "") == words:
            return
        log.warning("kpi %s: %s", _key(spec), words or "known again")
        self._book.observe(
            [
                Observation(
                    "kpi", "ticket", spec.model, "", f"{spec.name} unknown", UNKNOWN, float(bool(words)), 1.0,
                    0.0, bool(words), f"{spec.name} is not known: {words}" if words else "it is known again",
                    None, None, 0,
                )
            ]
        )  # fmt: skip
        self._told[_key(spec)] = words


class _Asking(threading.Thread):
    """One question, beside everything else: code and databases of others may hang."""

    def __init__(self, source: Callable[[datetime, datetime], Any], start: datetime, end: datetime) -> None:
        super().__init__(name="kpi", daemon=True)
        self.period = (start, end)
        self._source = source
        self.value: float | None = None
        self.error = ""

    def run(self) -> None:
        """Ask."""
        try:
            self.value = number(self._source(*self.period))
        except KpiError as error:
            self.error = str(error)
        except Exception as error:
            log.info("a figure cannot be had", exc_info=True)
            self.error = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:300]


def _key(spec: KpiSpec) -> str:
    # Names are the spec's own, but that which every model has.
    return f"{VOLUME} of {spec.model}" if spec.name == VOLUME else spec.name


def _place(spec: KpiSpec) -> str:
    return f"kpi:{_key(spec)}"


def _volume_of(model: str) -> KpiSpec:
    query = "SELECT count(*) FROM predictions WHERE time >= :start AND time < :end"
    return KpiSpec(name=VOLUME, model=model, query=query, unit="an hour", least_change=_LEAST_VOLUME)


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
        # Less traffic is a sign of something else more often than the thing itself.
        "ticket" if spec.name == VOLUME else "page",
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _first(moment: datetime, period: timedelta) -> datetime:
    """The begin of the period that a moment is in; weeks begin on Mondays."""
    monday = datetime(1970, 1, 5, tzinfo=UTC)
    return monday + (moment - monday) // period * period
