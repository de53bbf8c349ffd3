"""A change in a small segment, which all rows together hide, is found there and named; what all rows show is
not told again for each segment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blueprints.alerting import AlertsSpec
from blueprints.errors import UsageProblem
from mlops.monitoring.alerts.policy import causes, covered_by
from mlops.monitoring.service import segments, series, views
from mlops.monitoring.service.monitor import Monitor
from mlops.monitoring.service.reference import Reference, build_reference
from mlops.monitoring.tests import Rules
from mlops.serving.log import PredictionLog
from mlops.serving.rows import Call, Outputs
from tests.console.fakes import alert
from tests.mlops.monitoring.service.watched import monitor
from tests.mlops.serving.logs import batch, environment


def rows(seed: int, number: int, moved: float = 0.0) -> Any:
    """``x`` is 1 in a tenth of the rows, whose ``y`` is ``moved``."""
    random = np.random.default_rng(seed)
    x = (random.random(number) < 0.1).astype(float)
    return np.column_stack([x, random.normal(size=number) + moved * x])


def reference() -> Reference:
    values = rows(1, 20_000)
    columns, outputs = {"x": values[:, 0], "y": values[:, 1]}, values.sum(axis=1)
    # The larger the output, the further off.
    labels = outputs * np.random.default_rng(2).normal(1, 0.3, len(outputs))
    return build_reference(columns, outputs, labels, task="regression", segments=("x",))


def test_a_reference_keeps_the_frequent_values_and_reads_them_back() -> None:
    made = reference()
    assert set(made.segments) == {"x=0", "x=1"}
    assert made.segments["x=1"].rows < 2500 < 15_000 < made.segments["x=0"].rows
    assert "x" not in made.segments["x=1"].columns
    again = Reference.from_json(made.to_json())
    assert again.segments["x=1"].columns.keys() == made.segments["x=1"].columns.keys()
    with pytest.raises(UsageProblem, match="no column region"):
        build_reference({"x": np.ones(300)}, segments=("region",))
    many = build_reference({"id": np.arange(50_000) % 500}, segments=("id",))
    assert len(many.segments) == 0, "none has rows enough to be compared with"


def test_what_a_small_segment_shows_is_found_in_it_alone() -> None:
    import pyarrow as pa

    made, alarms = reference(), 0
    for seed in range(20):
        quiet, moved = (rows(100 + seed, 2000, by) for by in (0.0, 1.0))
        for values, found in ((quiet, False), (moved, True)):
            table = pa.table({"x": values[:, 0], "y": values[:, 1]})
            windows = segments.profiles(segments.of_window(table, made.segments), made.segments)
            assert set(windows) == {"x=0", "x=1"}
            seen = {
                (each.segment, each.column)
                for each in segments.compared(made.segments, windows, Rules())
                if each.found
            }
            if found:
                assert seen == {("x=1", "y")}
            alarms += bool(seen) and not found
    assert alarms <= 1


def send(folder: Path, made: Any, name: str, values: Any) -> None:
    log = PredictionLog(folder / "log" / name, made)
    ids = [f"{name}-{row}" for row in range(len(values))]
    log.append("m", "1", "champion", Call(name), batch(ids, values), Outputs(values.sum(axis=1)), 0.001)
    log.flush()


def test_the_monitor_keeps_findings_and_maps_of_segments(tmp_path: Path) -> None:
    watching: Monitor = monitor(tmp_path, {"m": reference().to_json()})
    watching._spec = watching._spec.model_copy(update={"window_rows": 2000, "window_blocks": 2})
    made = environment(tmp_path)
    for window, moved in enumerate((0.0, 0.0, 1.0, 1.0)):
        send(tmp_path, made, f"w{window}", rows(300 + window, 2000, moved))
    assert watching.look_at_all() == {}
    assert watching.states["m"].segments == ("x=0", "x=1")
    store = watching._book.store
    again: Monitor = monitor(tmp_path, {"m": reference().to_json()})
    assert again.look_at_all() == {}
    assert again.states["m"].version == "1", "what an earlier process knew is not forgotten"
    assert again.states["m"].segments == ("x=0", "x=1")
    whole, part = (views.heat(store, "m", 10, segment) for segment in ("", "x=1"))
    levels = dict(zip(part.columns, part.levels, strict=True))["y"]
    assert [(level or 0) >= 1 for level in levels] == [False, False, True, True]
    assert "x" in whole.columns
    assert "x" not in part.columns
    told = [
        each
        for each in store.alerts()
        if each.segment == "x=1" and (each.kind, each.feature) == ("drift", "y")
    ]
    assert [each.state for each in told] == ["firing"]
    assert told[0].summary.startswith("x=1: y")
    points = series.newest(store, "m", 10, "x=1")
    assert {each.metric for each in points} == {"rmse", "mae"}
    errors = [each.value or 0 for each in points if each.metric == "rmse"]
    assert min(errors[2:]) > max(errors[:2]), "its outputs moved to where the model errs more"
    assert {each.segment for each in series.newest(store, "m", 10)} == {""}
    rest = dict(zip(whole.columns, whole.levels, strict=True))["y"]
    assert max(level or 0 for level in rest) < (levels[-1] or 0)


def test_labels_tell_how_good_a_segment_is_and_where_the_loss_grew(tmp_path: Path) -> None:
    watching: Monitor = monitor(tmp_path, {"m": reference().to_json()})
    watching._spec = watching._spec.model_copy(update={"window_rows": 2000})
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "labels", made)
    for window, worse in enumerate((False, True, True)):
        values = rows(400 + window, 2000)
        send(tmp_path, made, f"w{window}", values)
        outputs = values.sum(axis=1)
        truth = outputs * np.random.default_rng(500 + window).normal(1, 0.3, 2000)
        truth = truth + (values[:, 0] == 1) * 3.0 * worse
        # They come in any order.
        order = np.random.default_rng(window).permutation(2000)
        log.label("m", [f"w{window}-{row}" for row in order], truth[order].tolist())
    log.flush()
    assert watching.look_at_all() == {}
    store = watching._book.store
    realised = [each for each in series.newest(store, "m", 10, "x=1") if each.kind == "realised"]
    rmse = [each.value or 0 for each in realised if each.metric == "rmse"]
    assert rmse[0] < 1 < 2.5 < rmse[1]
    (worst,) = (each for each in store.alerts() if each.kind == "performance")
    assert worst.state == "firing"
    assert re.search(r"; \d+% of the lost squared error is in x=1, (9|10|11)% of the rows", worst.summary), (
        worst.summary
    )


def test_groups_that_came_apart_are_a_finding_of_the_monitor(tmp_path: Path) -> None:
    def made_of(seed: int, number: int, apart: float) -> tuple[Any, Any]:
        random = np.random.default_rng(seed)
        x = (random.random(number) < 0.3).astype(float)
        values = np.column_stack([x, random.normal(size=number)])
        return values, np.clip(0.5 + 0.2 * random.normal(size=number) - apart * x, 0, 1)

    values, scores = made_of(7, 20_000, 0.0)
    labels = (np.random.default_rng(8).random(20_000) < scores).astype(float)
    columns = {"x": values[:, 0], "y": values[:, 1]}
    made = build_reference(columns, scores, labels, fairness=("x",))
    assert set(made.rates) == {"", "x=0", "x=1"}
    assert Reference.from_json(made.to_json()).rates == made.rates
    watching: Monitor = monitor(tmp_path, {"m": made.to_json()})
    watching._spec = watching._spec.model_copy(update={"window_rows": 2000})
    where = environment(tmp_path)
    for window, apart in enumerate((0.0, 0.15, 0.15)):
        values, scores = made_of(600 + window, 2000, apart)
        log = PredictionLog(tmp_path / "log" / f"w{window}", where)
        ids = [f"w{window}-{row}" for row in range(2000)]
        log.append("m", "1", "champion", Call(ids[0]), batch(ids, values), Outputs(scores), 0.001)
        log.label("m", ids, (np.random.default_rng(window).random(2000) < scores).tolist())
        log.flush()
    assert watching.look_at_all() == {}
    told = {each.segment: each for each in watching._book.store.alerts() if each.kind == "fairness"}
    assert told["x=1"].state == "firing"
    assert "of its rows are" in told["x=1"].summary
    assert "on the reference" in told["x=1"].summary
    assert told["x=1"].severity == "ticket"


def test_what_all_rows_show_covers_the_same_in_a_segment() -> None:
    whole = alert(1)
    part = replace(whole, id=2, segment="x=1")
    other = replace(part, id=3, feature="another")
    explaining = causes([whole, part, other])
    assert covered_by(part, explaining, AlertsSpec()) == whole
    assert covered_by(other, explaining, AlertsSpec()) is None
    assert covered_by(whole, explaining, AlertsSpec()) is None


def test_a_window_without_the_column_or_with_few_rows_says_nothing() -> None:
    import pyarrow as pa

    made = reference()
    assert segments.of_window(pa.table({"y": [1.0]}), made.segments) == {}
    few = pa.table({"x": [1.0] * 10 + [0.0] * 100, "y": np.zeros(110)})
    assert set(segments.of_window(few, made.segments)) == {"x=0"}
    assert len(segments.of_window(few, made.segments)["x=0"]) == 100
