"""What an alert is, and what the analyses hand to it; light, for clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlops.monitoring.distribution import Distribution

#: States in which an alert is not over.
OPEN = ("pending", "firing", "acknowledged", "silenced")
#: Levels, loudest first.
LEVELS = ("page", "ticket", "digest")
_NOTHING = Distribution((), ())


@dataclass(frozen=True)
class Alert:
    """Something about a model, or about what it runs on, that a person should know.

    Attributes:
        kind: A family of findings (``drift``, ``missing``, ``quality``, ``prediction``, ``performance``,
            ``concept``, ``kpi``, ``resource``, ``fairness``), ``infrastructure``, ``rollout``, ``pipeline``
            (the monitor cannot analyse the model), ``source`` (an upstream source is down) or ``no_data``.
        severity: ``page``, ``ticket`` or ``digest``.
        state: ``pending`` (not bad often enough yet), ``firing``, ``acknowledged``, ``silenced`` or
            ``resolved``.
        model: Its name; empty for infrastructure.
        feature: Column, ``prediction``, the quality metric, the resource, or the gate that failed.
        value, threshold: Size of the effect now, and the least that alerts.
        summary: One sentence.
        window_start, window_end: Times of the window's events.
        segment: ``region=EU``; empty: all rows.
        history: The last windows, newest last: ``1`` bad, ``0`` good.
        inhibited_by: Why nobody is told though it fires: another alert covers it; empty: none does.
        useful: What whoever acknowledged it says; None: nothing.
        announced: What was last put on the routes, ``STATE/SEVERITY``; empty: nothing.
    """

    id: int
    kind: str
    severity: str
    state: str
    model: str
    version: str
    feature: str
    statistic: str
    value: float
    threshold: float
    p_value: float
    summary: str
    first_seen: datetime
    last_seen: datetime
    window_start: datetime | None
    window_end: datetime | None
    window_rows: int
    reference: Distribution
    current: Distribution
    acknowledged_by: str = ""
    why: str = ""
    segment: str = ""
    history: str = ""
    clear_windows: int = 0
    inhibited_by: str = ""
    useful: bool | None = None
    fired_at: datetime | None = None
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    announced: str = ""
    announced_at: datetime | None = None
    announcements: int = 0

    @property
    def subject(self) -> str:
        """``delay v3``, ``delay`` for what is of no version, or ``infrastructure``."""
        if not self.model:
            return self.kind
        return f"{self.model} v{self.version}" if self.version else self.model

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes it the same alert in the next window."""
        return self.model, self.version, self.kind, self.feature, self.segment


@dataclass(frozen=True)
class Observation:
    """What a window says of one (model, version, feature, kind); ``bad`` windows fire, others clear."""

    kind: str
    severity: str
    model: str
    version: str
    feature: str
    statistic: str
    value: float
    threshold: float
    p_value: float
    bad: bool
    summary: str
    window_start: datetime | None
    window_end: datetime | None
    window_rows: int
    reference: Distribution = _NOTHING
    current: Distribution = _NOTHING
    segment: str = ""

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Of the alert it is about."""
        return self.model, self.version, self.kind, self.feature, self.segment


@dataclass(frozen=True)
class Window:
    """One analysed window of a model.

    Attributes:
        start, end: Times of its first and last event; UTC.
        rows: Predictions in it.
        drifted: Columns found to differ; empty: taken from the findings.
        metric, quality: Realised (or estimated) performance, where it is known.
        labelled: Rows whose labels have come.
        kind: What new data it is made of: ``rows`` (new predictions) or ``labels`` (labels that came late);
            each has its own silence after which it counts as missing.
        invalid: Rows that broke the contract, by reason (a word of the monitor's, never a value).
        good: For each objective (``error``, ``valid``, …) the good events and all events, for burn rates.
    """

    model: str
    version: str
    start: datetime | None
    end: datetime | None
    rows: int
    drifted: tuple[str, ...] = ()
    metric: str = ""
    quality: float | None = None
    labelled: int = 0
    kind: str = "rows"
    invalid: Mapping[str, int] = field(default_factory=dict)
    good: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def aware(moment: datetime | None) -> datetime | None:
    """A time with its zone: SQLite gives times back without, and all of ours are UTC."""
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
