"""Series: how good a model was by window, as labels said it and as was to be expected without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from mlops.monitoring.alerts.alert import aware
from mlops.monitoring.alerts.tables import META
from mlops.monitoring.answers import Point
from mlops.monitoring.performance.judge import Estimate
from mlops.monitoring.performance.metrics import metric
from mlops.monitoring.service.reference import Floats, Reference

if TYPE_CHECKING:
    from mlops.monitoring.alerts import AlertStore

_STAMP = sa.DateTime(timezone=True)
#: In the database of the alert store, written in the transaction that moves the place in the log on.
SERIES = sa.Table(
    "series",
    META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("model", "version", "kind", "metric", "segment")),
    sa.Column("start", _STAMP),
    sa.Column("end", _STAMP),
    *(sa.Column(name, sa.Float) for name in ("value", "low", "high", "expected")),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("rows", "labelled")),
    sa.Index("series_by_model", "model", "id"),
    sa.Index("series_by_metric", "model", "kind", "metric", "start"),
)
#: What is measured of a window, the metric that the reference is judged by first.
METRICS = {
    "classification": ("auc", "accuracy", "precision", "recall", "f1", "brier", "log_loss"),
    "regression": ("rmse", "mae"),
}
#: Kinds that are of windows of predictions; the others are of periods of time.
_OF_WINDOWS = ("realised", "estimated", "fairness")
#: Points a window has at most, of both kinds.
_MOST = 2 * len(METRICS["classification"])


def measured(reference: Reference, scores: Floats, labels: Floats) -> dict[str, Estimate]:
    """Every metric of a window, realised."""
    names = METRICS[reference.task]
    if reference.task == "classification" and not _shares(scores):
        names = names[:5]
    return {name: metric(name, labels, scores) for name in names}


def _shares(scores: Floats) -> bool:
    known = scores[np.isfinite(scores)]
    return not len(known) or bool(known.min() >= 0 and known.max() <= 1)


def points(
    kind: str,
    estimates: Mapping[str, Estimate],
    expected: Mapping[str, float],
    version: str,
    span: tuple[datetime | None, datetime | None],
    rows: int,
    labelled: int = 0,
) -> list[Point]:
    """Points of one window, those that are defined."""
    return [
        Point(
            version, *span, name, each.value, each.low, each.high, expected.get(name), rows, labelled, kind
        )
        for name, each in estimates.items()
        if each.defined
    ]  # fmt: skip


def write(connection: sa.Connection, model: str, made: Iterable[Point]) -> None:
    """Keep points, inside the transaction that moves the place on."""
    rows = [{"model": model, **asdict(each)} for each in made]
    if rows:
        connection.execute(SERIES.insert(), rows)


def of_metric(store: AlertStore, model: str, kind: str, name: str, since: datetime) -> list[Point]:
    """One series from a moment on, oldest first."""
    mine = (SERIES.c.model == model) & (SERIES.c.kind == kind) & (SERIES.c.metric == name)
    query = (
        sa.select(*(SERIES.c[each] for each in Point.__dataclass_fields__))
        .where(mine & (SERIES.c.start >= since))
        .order_by(SERIES.c.start)
    )
    with store.reading() as connection:
        found = [Point(**row) for row in connection.execute(query).mappings()]
    return [replace(each, start=aware(each.start), end=aware(each.end)) for each in found]


def of_kind(store: AlertStore, kind: str, limit: int) -> list[tuple[str, Point]]:
    """The newest ``limit`` points of each series of a kind, with its model, oldest first."""
    rank = sa.func.row_number().over(
        partition_by=(SERIES.c.model, SERIES.c.metric), order_by=SERIES.c.start.desc()
    )
    names = ("model", *Point.__dataclass_fields__)
    ranked = (
        sa.select(*(SERIES.c[each] for each in names), rank.label("rank"))
        .where(SERIES.c.kind == kind)
        .subquery()
    )
    query = (
        sa.select(*(ranked.c[each] for each in names))
        .where(ranked.c.rank <= limit)
        .order_by(ranked.c.model, ranked.c.metric, ranked.c.start)
    )
    with store.reading() as connection:
        found = [dict(row) for row in connection.execute(query).mappings()]
    return [
        (row.pop("model"), Point(**{**row, "start": aware(row["start"]), "end": aware(row["end"])}))
        for row in found
    ]


def forget(connection: sa.Connection, before: datetime) -> None:
    """Delete what ended before a moment."""
    connection.execute(SERIES.delete().where(SERIES.c.end < before))


def newest(store: AlertStore, model: str, limit: int, segment: str = "") -> list[Point]:
    """The newest ``limit`` points of each series of a segment (of all rows), oldest first."""
    query = (
        sa.select(*(SERIES.c[name] for name in Point.__dataclass_fields__))
        .where((SERIES.c.model == model) & (SERIES.c.segment == segment) & SERIES.c.kind.in_(_OF_WINDOWS))
        .order_by(SERIES.c.id.desc())
        .limit(limit * _MOST)
    )
    with store.reading() as connection:
        found = [Point(**row) for row in connection.execute(query).mappings()]
    kept: list[Point] = []
    seen: dict[tuple[str, str], int] = {}
    for each in found:
        name = (each.kind, each.metric)
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= limit:
            kept.append(replace(each, start=aware(each.start), end=aware(each.end)))
    return kept[::-1]
