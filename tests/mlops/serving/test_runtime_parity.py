"""A conversion answers what the original answers, or is not used and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from mlops.serving.rows import Batch, ModelFaultError
from mlops.serving.runtime import hist_trees, mlmodel, parity
from mlops.serving.runtime.apart import convert_apart
from mlops.serving.runtime.convert import Conversion, convert
from mlops.serving.runtime.native import NativeRuntime, predictor
from mlops.serving.runtime.onnx import Graph, Plan
from tests.mlops.serving.runtime_models import PROBABLE, numbers, rows_for, saved

ALL = ("lr", "forest", "words", "linear", "trees", "boosted", "flights", "delays", "counts")
_DONE: dict[str, tuple[Conversion, Graph, NativeRuntime]] = {}


def done(name: str) -> tuple[Conversion, Graph, NativeRuntime]:
    """A model's conversion on held-out rows, its graph and its original."""
    if name not in _DONE:
        folder = saved(name)
        logged = mlmodel.read(folder)
        found = convert(folder, rows_for(name, 1000, 5))
        assert found.ok, found.reason
        assert found.graph is not None
        original = NativeRuntime("m", "1", "", logged, predictor(logged))
        _DONE[name] = (found, Graph(found.graph, logged.signature, found.plan), original)
    return _DONE[name]


@pytest.mark.parametrize("name", ALL)
def test_rows_that_neither_has_seen_get_the_same_answer(name: str) -> None:
    found, graph, original = done(name)
    rows = mlmodel.of_columns(original.signature, rows_for(name, 3000, 77))
    expected, got = original.predict_now(rows), graph.predict(rows)
    assert got.values.dtype == expected.values.dtype
    assert parity.difference(expected, got, name in PROBABLE) <= parity.LIMIT
    assert found.max_error is not None
    assert found.max_error <= parity.LIMIT
    assert found.given == 1000
    assert found.rows >= 2000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.none() | st.sampled_from([f"c{i}" for i in range(18)]) | st.text(max_size=5),
            st.none() | st.sampled_from([f"d{i}" for i in range(95)]),
            st.none() | st.floats(-5, 30),
            st.none() | st.floats(0, 1e6) | st.sampled_from([1e300, -1e300]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_text_and_any_number_missing_or_not(rows: list[tuple[Any, ...]]) -> None:
    _, graph, original = done("flights")
    frame = dict(zip(("carrier", "dest", "hour", "distance"), zip(*rows, strict=True), strict=True))
    batch = mlmodel.of_columns(original.signature, frame)
    assert parity.difference(original.predict_now(batch), graph.predict(batch), True) <= parity.LIMIT


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["forest", "boosted", "trees"]), st.integers(0, 10_000))
def test_numbers_next_to_the_thresholds_of_trees(name: str, seed: int) -> None:
    """The middle of two values seen in training is where trees split: one float64 to either side of it."""
    _, graph, original = done(name)
    random = np.random.default_rng(seed)
    seen = numbers(2000).to_numpy()
    middles = (seen[random.integers(0, 2000, 50)] + seen[random.integers(0, 2000, 50)]) / 2
    matrix = np.vstack([middles, np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)])
    rows = Batch(original.signature, len(matrix), matrix, None, [""] * len(matrix))
    expected, got = original.predict_now(rows), graph.predict(rows)
    assert parity.difference(expected, got, name in PROBABLE) <= parity.LIMIT


def test_what_the_original_refuses_the_graph_refuses() -> None:
    found, graph, original = done("lr")
    assert set(found.plan.refuses) == {"nan", "inf"}
    rows = mlmodel.of_columns(original.signature, numbers(2, 3))
    assert rows.matrix is not None
    rows.matrix[1, 4] = np.nan
    for predict in (original.predict_now, graph.predict):
        with pytest.raises(ModelFaultError):
            predict(rows)


def test_a_graph_that_answers_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = hist_trees.ensemble

    def wrong(model: Any) -> dict[str, Any]:
        made = right(model)
        made["nodes_missing_value_tracks_true"] = [
            1 - each for each in made["nodes_missing_value_tracks_true"]
        ]
        return made

    monkeypatch.setattr(hist_trees, "ensemble", wrong)
    found = convert(saved("flights"), rows_for("flights", 500, 5))
    assert not found.ok
    assert found.graph is None
    assert found.reason.startswith("not equal to the original: differs by 0.")
    assert found.to_json()["reason"] == found.reason


class Odd(LogisticRegression):  # type: ignore[misc]
    """An estimator that no exporter knows."""


def _saved(model: Any, folder: Path, **more: Any) -> Path:
    frame = numbers(20)
    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=mlflow.models.infer_signature(frame, model.predict(frame)),
        serialization_format="cloudpickle",
        pip_requirements=["mlflow"],
        **more,
    )
    return folder


def test_why_there_is_no_conversion(tmp_path: Path) -> None:
    frame = numbers(200)
    label = (frame["f0"] > 0).astype(int)
    odd = _saved(Odd().fit(frame, label), tmp_path / "odd", input_example=frame.head(2))
    assert convert(odd).reason.startswith("skl2onnx: ")
    bare = _saved(KNeighborsClassifier().fit(frame, label), tmp_path / "bare")
    assert convert(bare).reason == "no rows to compare on: it was logged without an input example"
    assert convert(tmp_path).reason.startswith(f"{tmp_path}: no readable MLmodel")


def test_a_tensor_signature_and_an_exporter_that_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = numbers(200).to_numpy()
    model = LogisticRegression().fit(matrix, matrix[:, 0] > 0)
    mlflow.sklearn.save_model(
        model,
        str(tmp_path / "model"),
        signature=mlflow.models.infer_signature(matrix, model.predict(matrix)),
        input_example=matrix[:3],
        serialization_format="cloudpickle",
        pip_requirements=["mlflow"],
    )
    found = convert(tmp_path / "model", numbers(100, 4).to_numpy())
    assert found.ok, found.reason
    assert convert(tmp_path / "model").ok

    def broken(*_: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(parity, "widened", broken)
    assert convert(tmp_path / "model").reason == "the conversion failed: out of luck"


def test_apart_it_has_limits_of_memory_and_time() -> None:
    graph, report = convert_apart(saved("lr"), trust=False)
    assert report["ok"], report
    assert graph is not None
    Graph(graph, mlmodel.read(saved("lr")).signature, Plan.from_json(report))
    graph, report = convert_apart(saved("lr"), trust=False, memory=128 * 1024**2)
    assert graph is None
    assert report["reason"].startswith(("the conversion needs more memory", "the conversion failed"))
    _, report = convert_apart(saved("lr"), trust=False, seconds=1)
    assert report == {"ok": False, "reason": "the conversion took more than 1 s and was ended"}


def test_the_measure_of_a_difference() -> None:
    from mlops.serving.rows import Outputs

    def of(values: Any, probabilities: bool = False) -> float:
        return parity.difference(Outputs(np.asarray([3e6, 4e6])), Outputs(np.asarray(values)), probabilities)

    scale = np.sqrt((9e12 + 16e12) / 2)
    assert of([3e6, 4e6 + 35]) == pytest.approx(35 / scale)
    assert of([3e6, 4e6 + 35], probabilities=True) == 35
    assert of([3e6, np.nan]) == np.inf
    assert of([[3e6], [4e6]]) == np.inf
    words = Outputs(np.asarray(["a", "b"], object))
    assert parity.difference(words, Outputs(np.asarray(["a", "c"], object)), False) == np.inf
    assert parity.difference(words, words, False) == 0.0
