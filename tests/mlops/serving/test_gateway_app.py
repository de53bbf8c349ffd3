"""The gateway's paths, forms and answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlops.serving.evidence import SIZE, bin_of
from mlops.serving.gateway.ports import Choice
from mlops.serving.rows import Outputs
from tests.mlops.serving.gateway_parts import (
    Fixed,
    OneArm,
    Onnx,
    Someone,
    Sum,
    Tokens,
    columns,
    logistic,
    yard,
)

AB = columns("a", "b")
_INFER: list[Any] = [
    [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}],
    [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]}],
    [
        {"name": "b", "shape": [2], "datatype": "FP64", "data": [2, 4]},
        {"name": "a", "shape": [2, 1], "datatype": "INT64", "data": [[1], [3]]},
        {"name": "unknown", "shape": [2], "datatype": "BYTES", "data": ["p", "q"]},
    ],
]
_MLFLOW: list[Any] = [
    {"dataframe_split": {"columns": ["b", "a"], "data": [[2, 1], [4, 3]]}},
    {"dataframe_split": {"index": [0, 1], "columns": ["a", "z", "b"], "data": [[1, "?", 2], [3, None, 4]]}},
    {"dataframe_split": {"data": [[1, 2], [3, 4]]}},
    {"dataframe_records": [{"a": 1, "b": 2, "z": "?"}, {"b": 4, "a": 3}]},
    {"inputs": {"b": [2, 4], "a": [1, 3]}},
    {"inputs": [[1, 2], [3, 4]]},
    {"instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]},
    {"instances": [[1, 2], [3, 4]]},
    {"inputs": _INFER[0]},
]


@pytest.mark.parametrize("inputs", _INFER)
async def test_inference_protocol(inputs: Any) -> None:
    async with yard(Sum(AB)) as here:
        answer = await here.infer(inputs, parameters={"ids": [7, "y"]})
        assert answer.status_code == 200
        assert answer.json() == {
            "model_name": "sum",
            "model_version": "1",
            "id": answer.headers["x-request-id"],
            "outputs": [{"name": "output", "shape": [2], "datatype": "FP64", "data": [3.0, 7.0]}],
            "parameters": {"ids": ["7", "y"]},
        }


@pytest.mark.parametrize("path", ["/models/sum/invocations", "/invocations/sum", "/invocations"])
@pytest.mark.parametrize("body", _MLFLOW)
async def test_forms_of_mlflow(path: str, body: Any) -> None:
    async with yard(Sum(AB)) as here:
        answer = await here.client.post(path, json={**body, "parameters": {"ids": ["x", "y"]}})
        assert answer.json() == {"predictions": [3.0, 7.0], "model_version": "1", "ids": ["x", "y"]}


async def test_an_answer_is_recorded_and_counted() -> None:
    async with yard(Sum(AB)) as here:
        times = ["2013-04-01T05:00:00+00:00"]
        headers = {"x-request-id": "r-1", "x-modelyard-key": "k", "x-modelyard-country": "at"}
        body = {"inputs": [[1, 2]], "parameters": {"event_times": times}}
        answer = await here.invoke(body, headers=headers)
        assert answer.headers["x-request-id"] == "r-1"
        ((model, version, arm, call, batch, outputs, seconds),) = here.log.rows
        assert (model, version, arm) == ("sum", "1", "champion")
        assert (call.id, call.caller, call.key) == ("r-1", "administrator", "k")
        assert call.attributes == {"country": "at"}
        assert list(batch.ids) == ["r-1"]
        assert batch.event_times == [1_364_792_400_000_000]
        assert outputs.values.tolist() == [3.0]
        assert 0 < seconds < 1
        evidence = here.evidence()
        assert (evidence.requests, evidence.rows, evidence.errors) == (1, 1, {})
        assert evidence.scores.total() == evidence.latency.total() == 1


async def test_onnx_answers_what_the_model_says() -> None:
    names = [f"f{index}" for index in range(20)]
    estimator = logistic()
    async with yard(Onnx(estimator, names)) as here:
        rows = np.random.default_rng(2).normal(size=(7, 20))
        tensor = {"name": "x", "shape": [7, 20], "datatype": "FP32", "data": rows.ravel().tolist()}
        (output,) = (await here.infer([tensor], model="lr")).json()["outputs"]
        assert output["datatype"] == "FP32"
        expected = estimator.predict_proba(rows)[:, 1]
        assert np.abs(np.array(output["data"]) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("outputs", "tensors", "predictions"),
    [
        (Outputs(np.array([1.5, np.nan])), [("output", [2], "FP64", [1.5, None])], [1.5, None]),
        (Outputs(np.array([[1, 2], [3, 4]])), [("output", [2, 2], "INT64", [1, 2, 3, 4])], [[1, 2], [3, 4]]),
        (
            Outputs(np.array([[1, 2], [3, 4]], "float32"), ("p", "q")),
            [("p", [2], "FP32", [1.0, 3.0]), ("q", [2], "FP32", [2.0, 4.0])],
            [{"p": 1.0, "q": 2.0}, {"p": 3.0, "q": 4.0}],
        ),
        (
            Outputs(np.array(["late", None], object)),
            [("output", [2], "BYTES", ["late", None])],
            ["late", None],
        ),
        (Outputs(np.array([True, False])), [("output", [2], "BOOL", [True, False])], [True, False]),
    ],
)
async def test_outputs_of_every_type(outputs: Outputs, tensors: Any, predictions: Any) -> None:
    async with yard(Fixed(AB, outputs)) as here:
        found = (await here.infer(_INFER[0], model="fixed")).json()["outputs"]
        assert [(each["name"], each["shape"], each["datatype"], each["data"]) for each in found] == tensors
        answer = await here.invoke({"inputs": [[1, 2], [3, 4]]}, model="fixed")
        assert answer.json()["predictions"] == predictions


async def test_metadata_and_health() -> None:
    async with yard(Sum(AB)) as here:
        metadata = (await here.client.get("/v2/models/sum")).json()
        assert (metadata["name"], metadata["versions"]) == ("sum", ["1"])
        assert metadata["inputs"][0] == {"name": "a", "datatype": "FP64", "shape": [-1]}
        for path in ("/v2/models/sum/versions/1", "/v2/models/sum/ready", "/v2/models/sum/versions/1/ready"):
            assert (await here.client.get(path)).status_code == 200
        for path in ("/v2/models/nobody", "/v2/models/sum/versions/9", "/v2/models/nobody/ready"):
            assert (await here.client.get(path)).status_code == 404
        assert (await here.client.get("/v2")).json()["name"] == "modelyard"
        here.client.headers.clear()
        for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/health"):
            assert (await here.client.get(path)).status_code == 200
    async with yard(reason="no model is deployed") as here:
        answer = await here.client.get("/v2/health/ready")
        assert (answer.status_code, answer.json()["reason"]) == (503, "no model is deployed")


async def test_a_version_is_asked_for_by_path() -> None:
    async with yard(Sum(AB)) as here:
        body = {"inputs": _INFER[0]}
        assert (await here.client.post("/v2/models/sum/versions/1/infer", json=body)).status_code == 200
        answer = await here.client.post("/v2/models/sum/versions/2/infer", json=body)
        assert answer.status_code == 404
        assert "version 2" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/nothing", 404, "nothing is at /nothing"),
        ("GET", "/v2/models/sum/nothing", 404, "nothing is at"),
        ("GET", "/v2/models/sum/infer", 405, "takes POST"),
        ("DELETE", "/v2/models/sum", 405, "takes GET, HEAD"),
        ("POST", "/v2/models/nobody/infer", 404, "no model nobody"),
    ],
)
async def test_errors_are_sentences(method: str, path: str, status: int, expected: str) -> None:
    async with yard(Sum(AB)) as here:
        answer = await here.client.request(method, path, json={"inputs": [[1, 2]]})
        assert answer.status_code == status
        assert expected in answer.json()["error"]
        assert answer.headers["x-request-id"]
        assert ("allow" in answer.headers) == (status == 405)


async def test_failures_are_counted_as_the_arm_and_tell_no_detail() -> None:
    async with yard(Sum(AB)) as here:
        model = await here.invoke({"inputs": [[-999, 0]]})
        assert (model.status_code, model.json()["error"]) == (
            422,
            "the model refuses the rows: it does not like the number",
        )
        busy = await here.invoke({"inputs": [[-1000, 0]]})
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "3")
        ours = await here.invoke({"inputs": [[-1001, 0]]})
        assert ours.status_code == 500
        assert "secret" not in ours.text
        contract = await here.invoke({"inputs": {"a": [1]}})
        assert contract.status_code == 400
        assert here.evidence().errors == {"model": 1, "busy": 1, "gateway": 1, "contract": 1}
        malformed = await here.client.post("/invocations/sum", content=b"{")
        assert malformed.status_code == 400
        assert here.evidence().requests == 4
        assert [reason for reason, _ in here.log.failures] == ["model", "busy", "gateway", "contract"]
        assert here.log.rows == []


async def test_nothing_is_answered_unrecorded() -> None:
    async with yard(Sum(AB)) as here:
        here.log.full = True
        answer = await here.invoke({"inputs": [[1, 2]]})
        assert answer.status_code == 503
        assert "nothing was answered unrecorded" in answer.json()["error"]
        assert "3.0" not in answer.text
        answer = await here.client.post("/v2/labels", json={"model": "sum", "ids": ["x"], "labels": [1]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_a_shadow_gets_what_was_answered() -> None:
    async with yard(Sum(AB)) as here:
        seen: list[Any] = []
        arm = here.router.arms["sum"]
        here.router.arms["sum"] = Choice(
            arm.runtime, arm.arm, arm.evidence, lambda batch, outputs, call: seen.append((batch, call.id))
        )
        answer = await here.invoke({"inputs": [[1, 2]]})
        assert seen[0][1] == answer.headers["x-request-id"]


async def test_labels_join_by_id() -> None:
    async with yard(Sum(AB)) as here:
        body = {"model": "sum", "ids": ["x", 7], "labels": [1, False], "times": [None, "2013-04-01T05:00:00"]}
        answer = await here.client.post("/v2/labels", json=body)
        assert answer.json() == {"accepted": 2}
        ((model, ids, labels, times),) = here.log.labels
        assert (model, ids, labels, times[1]) == ("sum", ["x", "7"], [1.0, 0.0], 1_364_792_400_000_000)
        for wrong, expected in (
            ({"model": "sum", "ids": ["x"]}, "expected model, ids and labels"),
            ({"model": "sum", "ids": ["x"], "labels": [1, 2]}, "differ in length"),
            ({"model": "sum", "ids": ["x"], "labels": ["late"]}, "labels, row 0: expected a number"),
            ({"model": "sum", "ids": [], "labels": []}, "expected 1 to"),
            ({"model": "sum", "ids": ["x"], "labels": [1], "times": ["soon"]}, "times, row 0"),
        ):
            answer = await here.client.post("/v2/labels", json=wrong)
            assert answer.status_code == 400
            assert expected in answer.json()["error"]


async def test_who_may_what() -> None:
    callers = Tokens(one=Someone("one", models=frozenset({"sum"})), slow=Someone("slow", seconds=2.5))

    async def administer(scope: Any, body: bytes) -> tuple[int, Any]:
        return 202, {"by": scope["modelyard.caller"], "path": scope["path"], "body": body.decode()}

    admin = {"/v2/deployments": administer}
    async with yard(Sum(AB), Fixed(AB, Outputs(np.zeros(1))), callers=callers, admin=admin) as here:
        answer = await here.client.post("/v2/deployments/sum/pause", content=b"{}")
        assert answer.status_code == 202
        assert answer.json() == {"by": "administrator", "path": "/v2/deployments/sum/pause", "body": "{}"}
        assert (await here.client.get("/v2/deploymentsx")).status_code == 404
        body = {"inputs": [[1, 2]]}
        one = {"authorization": "Bearer one"}
        assert (await here.invoke(body, headers=one)).status_code == 200
        refused = await here.invoke(body, model="fixed", headers=one)
        assert (refused.status_code, refused.json()["error"]) == (403, "one may not use fixed")
        # The only model that it may use is meant where the path names none.
        assert (await here.client.post("/invocations", json=body, headers=one)).status_code == 200
        assert (await here.client.post("/invocations", json=body)).status_code == 404
        assert (await here.client.get("/v2/deployments", headers=one)).status_code == 403
        labels = {"model": "fixed", "ids": ["x"], "labels": [1]}
        assert (await here.client.post("/v2/labels", json=labels, headers=one)).status_code == 403
        slow = await here.invoke(body, headers={"authorization": "Bearer slow"})
        assert (slow.status_code, slow.headers["retry-after"]) == (429, "3")
        for wrong in ("Bearer wrong", "", "Basic let-me-in"):
            answer = await here.invoke(body, headers={"authorization": wrong})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert here.evidence().requests == 2
        assert here.gateway.refusals["token"] == 3


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", True),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", False),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("hello", False),
    ],
)
async def test_trace_context(sent: str, kept: bool) -> None:
    async with yard(Sum(AB)) as here:
        answer = await here.invoke({"inputs": [[1, 2]]}, headers={"traceparent": sent})
        call = here.router.calls[0]
        assert answer.headers.get("traceparent", "") == call.trace
        if not kept:
            assert call.trace == ""
            return
        version, trace, span, flags = call.trace.split("-")
        assert (version, trace, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "01")
        assert len(span) == 16
        assert span != "00f067aa0ba902b7"


async def test_an_id_that_may_not_stand_in_a_log_is_not_taken() -> None:
    async with yard(Sum(AB)) as here:
        for bad in ("a b", "x" * 129, 'quo"te'):
            answer = await here.invoke({"inputs": [[1, 2]]}, headers={"x-request-id": bad})
            assert len(answer.headers["x-request-id"]) == 32
        assert isinstance(here.router, OneArm)


def test_a_model_may_answer_infinity() -> None:
    assert bin_of(math.inf) == bin_of(1e300) == SIZE - 1
    assert bin_of(-math.inf) == bin_of(-1e300) == 0
