"""Graphs in service: MLflow's own flavour, texts, large batches off the event loop, flat memory."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import psutil
import pytest

from mlops.serving.rows import Batch, ModelFaultError, Outputs
from mlops.serving.runtime import mlmodel
from mlops.serving.runtime.convert import convert
from mlops.serving.runtime.load import Policy, load
from mlops.serving.runtime.onnx import Graph, OnnxRuntime, Plan
from mlops.serving.signature import Column, Signature
from tests.mlops.serving.runtime_models import cached, numbers, rows_for, saved


def runtime(name: str) -> OnnxRuntime:
    folder = saved(name)
    found, logged = convert(folder), mlmodel.read(folder)
    assert found.graph is not None, found.reason
    return OnnxRuntime("m", "1", "run", logged.signature, Graph(found.graph, logged.signature, found.plan))


async def test_mlflows_onnx_flavour_needs_no_trust_and_no_conversion(tmp_path: Path) -> None:
    import onnx

    graph = convert(saved("lr"))
    assert graph.graph is not None
    frame = numbers(3)
    mlflow.onnx.save_model(
        onnx.load_from_string(graph.graph),
        str(tmp_path / "model"),
        signature=mlflow.models.infer_signature(frame, np.zeros(3)),
        input_example=frame,
        pip_requirements=["mlflow", "surely-not-installed==1"],
    )
    _, entry = cached(tmp_path / "model", tmp_path / "cache")
    loaded = await load(entry, Policy())
    assert (loaded.facts.kind, loaded.facts.trusted, loaded.facts.warm) == ("onnx", (), True)
    rows = mlmodel.of_columns(loaded.runtime.signature, frame)
    assert (await loaded.runtime.predict(rows)).values.shape == (3, 2)


async def test_a_flavour_that_points_out_of_its_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text(
        "flavors:\n  onnx: {data: ../../secret.onnx}\n  python_function: {loader_module: mlflow.onnx}\n"
    )
    _, entry = cached(folder, tmp_path / "cache")
    with pytest.raises(Exception, match="does not load"):
        await load(entry, Policy())


async def test_small_batches_on_the_loop_large_ones_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made = runtime("forest")
    where: list[bool] = []
    right = made.predict_now

    def predict_now(batch: Batch) -> Outputs:
        where.append(threading.current_thread() is threading.main_thread())
        outputs = right(batch)
        # What was measured depends on who else uses this machine.
        made.seconds_per_row = 1e-5
        return outputs

    monkeypatch.setattr(made, "predict_now", predict_now)
    small = mlmodel.of_columns(made.signature, numbers(1))
    large = mlmodel.of_columns(made.signature, numbers(5000))
    for _ in range(20):
        await made.predict(small)
    assert where == [True] * 20
    both = await asyncio.gather(made.predict(large), made.predict(small))
    assert where[20:] in ([False, True], [True, False])
    assert [len(each.values) for each in both] == [5000, 1]
    made.close()


async def test_one_pause_of_the_machine_leaves_a_model_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made = runtime("lr")
    batch = mlmodel.of_columns(made.signature, numbers(1))
    for _ in range(3):
        made.predict_now(batch)
    right = made._graph.predict

    def slow(batch: Batch) -> Outputs:
        time.sleep(0.05)
        return right(batch)

    monkeypatch.setattr(made._graph, "predict", slow)
    made.predict_now(batch)
    assert made.answer_now(batch) is not None
    made.predict_now(batch)
    assert made.answer_now(batch) is None
    made.close()


def test_one_row_answers_as_many_do_from_any_thread() -> None:
    made = runtime("lr")
    rows = numbers(64)
    expected = made.predict_now(mlmodel.of_columns(made.signature, rows)).values
    single = [mlmodel.of_columns(made.signature, rows[index : index + 1]) for index in range(64)]
    assert made._graph._row is not None

    def ask(index: int) -> None:
        for place in range(index, index + 64):
            found = made.predict_now(single[place % 64]).values
            np.testing.assert_allclose(found, expected[place % 64 : place % 64 + 1], atol=1e-6)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(0, 64, 4)))


def test_memory_stays_flat_over_sizes() -> None:
    made = runtime("flights")
    process = psutil.Process()
    batches = [mlmodel.of_columns(made.signature, rows_for("flights", rows, rows)) for rows in (1, 50, 4000)]

    def work(times: int) -> int:
        for _ in range(times):
            for batch in batches:
                made.predict_now(batch)
        return int(process.memory_info().rss)

    before = work(20)
    assert work(100) - before < 20 * 1024**2


def test_what_a_graph_does_not_take_is_the_models_fault() -> None:
    made = runtime("lr")
    odd = Batch(made.signature, 1, np.zeros((1, 7)), None, ["1"])
    with pytest.raises(ModelFaultError, match="refuses the rows"):
        made.predict_now(odd)


@pytest.mark.parametrize("kind", ["double", "long"])
def test_columns_of_several_types_become_one_matrix(kind: str) -> None:
    folder = saved("lr")
    found = convert(folder)
    assert found.graph is not None
    mixed = Signature(tuple(Column(f"f{i}", kind if i else "float") for i in range(20)))
    graph = Graph(found.graph, mixed, found.plan)
    frame = numbers(5).round()
    columns: dict[str, Any] = {name: frame[name].to_numpy() for name in frame.columns}
    one = graph.predict(Batch(mixed, 5, None, columns, [""] * 5))
    other = graph.predict(Batch(mixed, 5, frame.to_numpy(), None, [""] * 5))
    assert one.values.tolist() == other.values.tolist()


def test_a_plan_survives_its_report() -> None:
    plan = Plan("probabilities", 1, "float64", "nan", ("nan", "inf"))
    assert Plan.from_json({"ok": True, **plan.to_json()}) == plan
    assert Plan.from_json({}) == Plan()
