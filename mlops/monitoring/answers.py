"""What the monitor tells of a model, as its clients see it; light, so that they need not load NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlops.monitoring.distribution import Distribution


@dataclass(frozen=True)
class State:
    """How the watch of a model goes.

    Attributes:
        version: That made most predictions of the newest block; empty: none yet.
        fault: Why it could not be analysed at the last look; empty: it was.
        reference: Whether the version that last answered has one.
        behind: Rows of the log that are not analysed yet.
        segments: That are watched beside all rows, ``region=EU``.
        words: What can be known of its performance without the labels of the newest window, in a sentence.
    """

    model: str
    version: str = ""
    fault: str = ""
    reference: bool = False
    behind: int = 0
    words: str = ""
    segments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A column now and in the reference, as shares of the same bins or categories."""

    column: str
    family: str
    effect: float
    reference: Distribution
    current: Distribution


@dataclass(frozen=True)
class Point:
    """One value of a series of performance, of fairness, of a business KPI or of a resource.

    Attributes:
        low, high: 95 % interval; of a KPI or a resource, what is usual; None where there is none.
        expected: Value on the reference, or of the baseline at that hour; None: there is none.
        rows, labelled: Rows of the window, and those of them whose label is known.
        kind: ``realised``, ``estimated``, ``kpi``, ``resource`` or ``fairness``.
        segment: ``region=EU``; empty for all rows.
    """

    version: str
    start: datetime | None
    end: datetime | None
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    rows: int = 0
    labelled: int = 0
    kind: str = "realised"
    segment: str = ""


@dataclass(frozen=True)
class Series:
    """A business figure, or a resource, over time.

    Attributes:
        model: That it belongs to; empty: the environment as a whole.
        points: Oldest first.
        unit: As the spec has it; of a resource ``cores``, ``bytes``, ``s``, ``share`` or ``requests``.
    """

    name: str
    model: str
    points: tuple[Point, ...]
    unit: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened to a model: a version that answers, a change of an alert, a retraining.

    Attributes:
        kind: ``version``, or that of an alert.
        state: ``answers``, or that of the alert.
        alert: Its number; 0: none.
        feature: What the alert is about; empty: the model as a whole.
    """

    at: datetime | None
    kind: str
    state: str
    severity: str
    words: str
    alert: int = 0
    feature: str = ""


@dataclass(frozen=True)
class Span:
    """One compared window."""

    version: str
    start: datetime | None
    end: datetime | None
    rows: int


@dataclass(frozen=True)
class Heat:
    """Features by windows: how far each was from its reference.

    Attributes:
        windows: Oldest first.
        columns: Most important and most drifted first; the model's own predictions and the table as a whole
            (empty name) among them.
        levels: One row a column, one value a window: the largest effect of its tests over its floor, 1.0 and
            above only where something was found; None: the column was not compared.
        tests: What test that was, in the same shape; empty where nothing was found.
    """

    windows: tuple[Span, ...]
    columns: tuple[str, ...]
    levels: tuple[tuple[float | None, ...], ...]
    tests: tuple[tuple[str, ...], ...]
