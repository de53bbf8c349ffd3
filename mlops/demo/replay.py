"""Replay: rows go through the gateway in the order they happened; labels follow when they were known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.demo.source import Source
from mlops.monitoring.service.reference import measure
from mlops.serving.client import GatewayClient

_BATCH = 2000


@dataclass(frozen=True)
class Replayed:
    """One replayed part: rows, seconds it took, and the quality that the labels showed."""

    part: str
    rows: int
    seconds: float
    metric: str
    value: float


def replay(
    gateway: GatewayClient,
    source: Source,
    part: str,
    rows: Any,
    factor: float | None,
    progress: Callable[[int, int], None],
) -> Replayed:
    """Send one part.

    Args:
        factor: Times real time; None: as fast as the gateway answers.
        progress: Called with (rows done, rows in all).
    """
    began = time.monotonic()
    first = rows[source.time].iloc[0] if len(rows) else None
    scores: list[float] = []
    sent = 0
    by_known = rows.sort_values(source.known, kind="stable")
    known = by_known[source.known].dt.tz_convert(None).to_numpy()
    labelled = 0
    for start in range(0, len(rows), _BATCH if factor is None else 100):
        batch = rows.iloc[start : start + (_BATCH if factor is None else 100)]
        now = batch[source.time].iloc[-1]
        if factor is not None:
            due = began + (now - first).total_seconds() / factor
            time.sleep(max(0.0, due - time.monotonic()))
        scores += _predict(gateway, source, batch)
        sent += len(batch)
        upto = int(np.searchsorted(known, now.tz_convert(None).to_datetime64(), side="right"))
        labelled = _label(gateway, source, by_known, labelled, min(upto, sent))
        progress(sent, len(rows))
    _label(gateway, source, by_known, labelled, len(rows))
    quality = measure(np.asarray(scores), rows[source.target].to_numpy(dtype=float), source.task)
    return Replayed(
        part,
        len(rows),
        time.monotonic() - began,
        quality.metric if quality else "",
        quality.value if quality else float("nan"),
    )


def _predict(gateway: GatewayClient, source: Source, batch: Any) -> list[float]:
    columns = {
        name: [None if value != value else value for value in batch[name].tolist()]
        for name in source.features
    }
    times = [moment.isoformat() for moment in batch[source.time]]
    outputs = gateway.predict(source.model, columns, batch["_id"].tolist(), times)
    return [float(each[1] if isinstance(each, list) else each) for each in outputs]


def _label(gateway: GatewayClient, source: Source, rows: Any, start: int, end: int) -> int:
    """Send the labels that are known by now; returns how many have been sent in all."""
    for first in range(start, end, 10_000):
        part = rows.iloc[first : min(end, first + 10_000)]
        gateway.label(
            source.model,
            part["_id"].tolist(),
            part[source.target].astype(float).tolist(),
            [moment.isoformat() for moment in part[source.known]],
        )
    return max(start, end)
