"""What the monitor does with what it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from mlops.monitoring.alerts import AlertStore
from mlops.monitoring.alerts.tables import WINDOWS
from mlops.monitoring.service.labels import newest
from mlops.serving.log import PredictionLog
from tests.mlops.monitoring.service.watched import monitor, reference, send
from tests.mlops.serving.logs import environment, long_ago_and_lost


def test_a_repeated_label_counts_once_and_a_corrected_one_as_corrected() -> None:
    rows = {"id": ["a", "b", "a", "c", "b"], "time": [1, 5, 2, 3, 4], "label": [0.0, 1.0, 1.0, 0.0, 0.0]}
    found = newest(pa.table(rows))
    assert dict(zip(found["id"].to_pylist(), found["label"].to_pylist(), strict=True)) == {
        "a": 1.0,
        "b": 1.0,
        "c": 0.0,
    }


def test_a_window_whose_labels_never_come_holds_up_no_later_one(tmp_path: Path) -> None:
    """And of the labels only the files written since the windows that wait are read."""
    watching = monitor(tmp_path, {"m": reference()})
    made, store = environment(tmp_path), watching._book.store
    log = PredictionLog(tmp_path / "labels", made)

    def labelled(*windows: int) -> None:
        for window in windows:
            ids = [f"w{window}-{row}" for row in range(100)]
            log.label("m", ids, np.random.default_rng(window).normal(size=100).tolist())
            log.flush()

    for window in range(6):
        send(made, tmp_path, "m", f"w{window}", 100)
    labelled(0, 2)
    for _ in range(2):
        watching.look("m")
    assert judged(store) == [0], "the second may still come"
    labelled(3)
    watching.look("m")
    assert judged(store) == [0]
    labelled(4)
    watching.look("m")
    assert judged(store) == [0, 2, 3, 4], "of three later ones they have come"
    # Whatever is in files so old, nobody asks any more: their windows are judged.
    long_ago_and_lost(made, "labels")
    labelled(5)
    watching.look("m")
    assert judged(store) == [0, 2, 3, 4, 5]


def judged(store: AlertStore) -> list[int]:
    """The windows, numbered in the order of the log."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(WINDOWS.c.kind, WINDOWS.c.start).order_by(WINDOWS.c.id)).all()
    starts = [start for kind, start in rows if kind == "rows"]
    return [starts.index(start) for kind, start in rows if kind == "labels"]
