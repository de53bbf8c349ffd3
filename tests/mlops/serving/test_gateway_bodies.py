"""Bodies: every form, and that no bytes whatever make the gateway fail."""

from __future__ import annotations

import io
import json
import struct
import time
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.serving.gateway.errors import ContractError, MalformedError, RequestError
from mlops.serving.gateway.forms import Form
from mlops.serving.gateway.frames import ARROW
from mlops.serving.gateway.labels import read_labels
from mlops.serving.gateway.validate import Validator
from mlops.serving.rows import Batch, Outputs
from mlops.serving.signature import Column, Signature, Tensor
from tests.mlops.serving.gateway_parts import Fixed, Sum, columns, yard

AB = columns("a", "b")
MIXED = Signature(
    (
        Column("number", "double"),
        Column("whole", "long"),
        Column("text", "string", False),
        Column("flag", "boolean"),
        Column("when", "datetime", False),
        Column("maybe", "integer", False),
    )
)
SIGNATURES = [
    AB,
    columns("a", "b", kind="long"),
    columns("a", "b", kind="float"),
    columns("a", kind="integer", required=False),
    columns("a", kind="string"),
    MIXED,
    Signature(),
    Signature(tensor=Tensor("x", "float32", (-1, 2))),
    Signature(tensor=Tensor("x", "uint8", (-1, 2, 2))),
    Signature(tensor=Tensor("x", "int64", (-1,))),
]
JSON = {b"content-type": b"application/json"}


def read(
    body: Any, signature: Signature = AB, inference: bool = False, headers: dict[bytes, bytes] = JSON
) -> Batch:
    """A body as a batch."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    form = Form(inference, headers, 50_000)
    return Validator(50_000).batch(form.read(data, signature), signature, "r")


def says(body: Any, signature: Signature = AB, **options: Any) -> str:
    """What is wrong with a body."""
    with pytest.raises(RequestError) as raised:
        read(body, signature, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"inputs": [[NaN, 1]]}', "JSON, which has no NaN and no Infinity: send null"),
        (b'{"inputs": [[-Infinity, 1]]}', "no Infinity"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        ({}, "expected one of inputs, instances, dataframe_split, dataframe_records"),
        ({"inputs": 3}, "inputs: expected a list or an object"),
        ({"inputs": []}, "expected 1 to 50000 rows, got 0"),
        ({"inputs": [[]]}, "expected 2 columns, got 0"),
        ({"inputs": [[1, 2], [1]]}, "row 1: expected a list of 2 values"),
        ({"inputs": [[1, 2], 3]}, "row 1: expected a list of 2 values"),
        ({"inputs": [[1, 2, 3]]}, "expected 2 columns, got 3"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "b: 2 values, the columns before have 1"),
        ({"instances": [{"a": 1}, 3]}, "expected a list of objects"),
        ({"dataframe_records": {"a": [1]}}, "dataframe_records: expected a list of objects"),
        ({"dataframe_split": [1]}, "dataframe_split: expected an object with columns and data"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "a name is there twice"),
        ({"dataframe_split": {"columns": 3, "data": [[1, 2]]}}, "columns: expected a list of names"),
        ({"inputs": [[1, 2]], "params": {"temperature": 1}}, "params: models are served without"),
        ({"inputs": [[1, 2]], "parameters": [1]}, "parameters: expected an object"),
        ({"inputs": [[1, 2]], "parameters": {"ids": ["x", "y"]}}, "parameters.ids: expected a list of 1"),
        ({"inputs": [[1, 2]], "parameters": {"ids": [True]}}, "parameters.ids, row 0"),
        ({"inputs": [[1, 2]], "parameters": {"ids": ["x" * 201]}}, "at most 200 characters"),
        ({"inputs": [[1, 2]], "parameters": {"event_times": ["yesterday"]}}, "event_times, row 0"),
    ],
)
def test_malformed_bodies_say_what_was_expected(body: Any, expected: str) -> None:
    assert expected in says(body)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ([], "inputs: expected a list of tensors"),
        ([3], "expected tensors with name"),
        ([{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": "12"}], "x: data: expected a list"),
        (
            [{"name": "x", "shape": [1, 2], "datatype": "FP65", "data": [1, 2]}],
            "x: datatype: expected",
        ),
        ([{"name": "x", "shape": [1, -2], "data": [1, 2]}], "x: shape: expected a list of sizes"),
        ([{"name": "x", "shape": [2**50, 0], "data": []}], "x: shape: expected a list of sizes"),
        ([{"name": "x", "shape": [1, 3], "data": [1, 2]}], "shape [1, 3] and 2 values do not fit"),
        ([{"name": "x", "shape": [1, 2], "data": [[1, 2], 3]}], "lists and values are mixed"),
        ([{"name": "x", "shape": [1, 2, 1], "data": [1, 2]}], "expected rows of 2 columns, got a tensor"),
        (
            [{"name": "a", "shape": [1, 2], "data": [1, 2]}, {"name": "b", "shape": [1], "data": [1]}],
            "a: expected shape [rows] or [rows, 1] where several tensors are sent",
        ),
        ([{"name": "a", "shape": [1], "data": [1]}] * 2, "a name is there twice"),
    ],
)
def test_malformed_tensors_say_what_was_expected(tensors: Any, expected: str) -> None:
    assert expected in says({"inputs": tensors}, inference=True)


@pytest.mark.parametrize(
    ("signature", "rows", "expected"),
    [
        (AB, [[1, 2], [3, "4"]], "column b, row 1: expected double, got a text"),
        (AB, [[True, 2]], "column a, row 0: expected double, got a boolean"),
        (AB, [[1, {}]], "column b, row 0: expected double, got an object"),
        (
            columns("a", "b", kind="float"),
            [[1, 1e39]],
            "column b, row 0: expected float, got a number too",
        ),
        (columns("a", "b", kind="long"), [[1, 1.5]], "column b, row 0: expected long, got a number with a"),
        (columns("a", "b", kind="long"), [[1, None]], "column b, row 0: expected long, got nothing"),
        (
            columns("a", "b", kind="long"),
            [[1, 2**63]],
            "column b, row 0: expected long, got a number too",
        ),
        (
            columns("a", "b", kind="integer"),
            [[2**31, 1]],
            "a, row 0: expected integer, got a number too",
        ),
        (columns("a", kind="string"), [[1]], "column a, row 0: expected string, got a whole number"),
        (columns("a", kind="string"), [[None]], "column a, row 0: expected string, got nothing"),
        (columns("a", kind="boolean"), [[1]], "column a, row 0: expected boolean, got a whole number"),
        (columns("a", kind="datetime"), [["soon"]], "column a, row 0: expected datetime, got a text"),
        (columns("a", kind="datetime"), [[None]], "column a, row 0: expected datetime, got nothing"),
        (
            columns("a", kind="binary"),
            [["~"]],
            "a, row 0: expected binary, got a text that is no base64",
        ),
        (
            Signature(tensor=Tensor("x", "float32", (-1, 3))),
            [[1, 2]],
            "tensor of shape [any, 3], got [1, 2]",
        ),
        (Signature(tensor=Tensor("x", "float32", (-1, 2))), [[1, "2"]], "column x, row 0: expected float32"),
    ],
)
@pytest.mark.parametrize("form", ["inputs", "dataframe_split"])
def test_the_first_wrong_value_is_named(signature: Signature, rows: Any, expected: str, form: str) -> None:
    names = list(signature.names)
    body = {"inputs": rows} if form == "inputs" else {"dataframe_split": {"data": rows}}
    if names and form != "inputs":
        body = {"dataframe_split": {"columns": [*names, "z"], "data": [[*row, 0] for row in rows]}}
    assert expected in says(body, signature)


def test_a_missing_column_is_named_and_the_others_are_not() -> None:
    wide = columns(*(f"secret{index}" for index in range(600)))
    text = says({"dataframe_records": [{"secret5": 1}]}, wide)
    assert text == "missing column secret0, secret1, secret2 and 596 more"
    assert len(text) < 100


def test_null_is_missing_where_a_value_may_be() -> None:
    batch = read({"inputs": [[None, 2], [1, None]]})
    assert batch.matrix is not None
    assert np.isnan(batch.matrix).tolist() == [[True, False], [False, True]]
    record = {"number": None, "whole": 3, "flag": True, "maybe": None}
    batch = read(
        {"dataframe_records": [record, {**record, "text": "x", "maybe": 7, "when": "2020-01-02"}]}, MIXED
    )
    assert batch.columns is not None
    assert {name: str(values.dtype) for name, values in batch.columns.items()} == {
        "number": "float64",
        "whole": "int64",
        "text": "object",
        "flag": "bool",
        "when": "datetime64[us]",
        "maybe": "float64",
    }
    assert batch.columns["text"].tolist() == [None, "x"]
    assert np.isnat(batch.columns["when"]).tolist() == [True, False]
    assert batch.frame()["maybe"].isna().tolist() == [True, False]
    optional = read({"inputs": {"b": [1]}}, Signature((Column("a", "long", False), Column("b", "long"))))
    assert optional.columns is not None
    assert optional.columns["a"].dtype == "float64"


def test_models_without_a_signature_take_what_comes() -> None:
    named = read(
        {"inputs": {"a": [1, 2], "b": ["x", None], "c": [1.5, None], "d": [True, False]}}, Signature()
    )
    assert named.columns is not None
    assert [str(each.dtype) for each in named.columns.values()] == ["int64", "object", "float64", "bool"]
    rows = read({"inputs": [[1, 2], [3, None]]}, Signature())
    assert rows.matrix is not None
    assert rows.matrix.shape == (2, 2)


def test_tensor_signatures() -> None:
    image = Signature(tensor=Tensor("x", "float32", (-1, 2, 2)))
    for body, inference in (
        ({"inputs": [[[1, 2], [3, 4]]]}, False),
        ({"inputs": [{"name": "x", "shape": [1, 2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}, True),
    ):
        batch = read(body, image, inference)
        assert batch.matrix is not None
        assert (batch.matrix.shape, str(batch.matrix.dtype)) == ((1, 2, 2), "float32")


def test_times_are_utc() -> None:
    signature = columns("when", kind="datetime")
    for text in ("2013-04-01T05:00:00", "2013-04-01T07:00:00+02:00", "2013-04-01T05:00:00Z"):
        batch = read({"inputs": {"when": [text]}}, signature)
        assert batch.columns is not None
        assert str(batch.columns["when"][0]) == "2013-04-01T05:00:00.000000"


@pytest.mark.parametrize("kind", ["double", "float", "long"])
@pytest.mark.parametrize("form", ["tensor", "columns", "split", "records"])
def test_600_columns_are_fast(form: str, kind: str) -> None:
    names = [f"c{index}" for index in range(600)]
    signature = columns(*names, kind=kind)
    row = list(range(600))
    bodies: dict[str, Any] = {
        "tensor": {"inputs": [{"name": "x", "shape": [1, 600], "datatype": "FP64", "data": row}]},
        "columns": {
            "inputs": [{"name": f"c{v}", "shape": [1], "datatype": "FP64", "data": [v]} for v in row]
        },
        "split": {"dataframe_split": {"columns": names[::-1], "data": [row]}},
        "records": {"dataframe_records": [dict(zip(names, row, strict=True))]},
    }
    data, reader, validator = (
        orjson.dumps(bodies[form]),
        Form(form in ("tensor", "columns"), JSON, 10),
        Validator(10),
    )
    times = []
    for _ in range(20):
        start = time.perf_counter()
        batch = validator.batch(reader.read(data, signature), signature, "r")
        times.append(time.perf_counter() - start)
    assert batch.matrix is not None
    assert batch.matrix[0].tolist() == (row[::-1] if form == "split" else row)
    # MLflow's own server took 175 ms (mlflow#7948).
    assert min(times) < 0.005


def test_600_columns_of_different_types_are_fast() -> None:
    kinds = ["double", "long", "float", "integer", "string", "boolean"]
    signature = Signature(tuple(Column(f"c{index}", kinds[index % 6]) for index in range(600)))
    values = {"string": "x", "boolean": True}
    body = {"dataframe_records": [{each.name: values.get(each.kind, 1) for each in signature.columns}]}
    data, reader, validator = orjson.dumps(body), Form(False, JSON, 10), Validator(10)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        validator.batch(reader.read(data, signature), signature, "r")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.01


def binary(head: dict[str, Any], *parts: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """A body of the binary extension and its headers."""
    text = orjson.dumps(head)
    headers = {
        b"content-type": b"application/octet-stream",
        b"inference-header-content-length": str(len(text)).encode(),
    }
    return text + b"".join(parts), headers


def texts(headers: dict[bytes, bytes]) -> dict[str, str]:
    """Headers as httpx takes them."""
    return {name.decode(): value.decode() for name, value in headers.items()}


def tensor(name: str, shape: list[int], kind: str, size: int) -> dict[str, Any]:
    """The head of a binary tensor."""
    return {"name": name, "shape": shape, "datatype": kind, "parameters": {"binary_data_size": size}}


async def test_binary_tensors_both_ways() -> None:
    rows = np.array([[1, 2], [3, 4]], "<f4")
    head = {
        "id": "7",
        "inputs": [tensor("x", [2, 2], "FP32", 16)],
        "outputs": [{"name": "output", "parameters": {"binary_data": True}}],
    }
    body, headers = binary(head, rows.tobytes())
    async with yard(Sum(AB)) as here:
        answer = await here.client.post("/v2/models/sum/infer", content=body, headers=texts(headers))
        assert answer.status_code == 200, answer.text
        length = int(answer.headers["inference-header-content-length"])
        told = json.loads(answer.content[:length])
        assert told["id"] == "7"
        assert told["outputs"] == [tensor("output", [2], "FP64", 16)]
        assert np.frombuffer(answer.content[length:]).tolist() == [3.0, 7.0]


async def test_binary_texts_both_ways() -> None:
    signature = columns("a", kind="string")
    data = b"".join(struct.pack("<I", len(each)) + each for each in (b"p", "ä".encode()))
    head = {"inputs": [tensor("a", [2], "BYTES", len(data))], "parameters": {"binary_data_output": True}}
    body, headers = binary(head, data)
    outputs = Outputs(np.array(["yes", None], object))
    async with yard(Fixed(signature, outputs)) as here:
        answer = await here.client.post(
            "/v2/models/fixed/infer",
            content=body,
            headers={k.decode(): v.decode() for k, v in headers.items()},
        )
        batch = here.log.rows[0][4]
        assert batch.columns is not None
        assert batch.columns["a"].tolist() == ["p", "ä"]
        length = int(answer.headers["inference-header-content-length"])
        assert answer.content[length:] == b"\x03\0\0\0yes\0\0\0\0"


@pytest.mark.parametrize(
    ("head", "data", "expected"),
    [
        ({"inputs": [tensor("x", [1, 2], "FP32", 9)]}, b"\0" * 9, "[1, 2] of FP32 and 9 bytes do not fit"),
        ({"inputs": [tensor("x", [1, 2], "FP32", 99)]}, b"\0" * 8, "binary_data_size: expected the number"),
        ({"inputs": [tensor("x", [1, 2], "FP32", 8)]}, b"\0" * 9, "1 bytes follow the last tensor"),
        ({"inputs": [tensor("x", [1, 2], "BYTES", 8)]}, b"\xff" * 8, "longer than they say"),
        ({"inputs": [tensor("x", [2**39], "BYTES", 8)]}, b"\xff" * 8, "longer than they say"),
        ({"inputs": [tensor("x", [1, 2], "BOOL", 2)]}, b"\x02\x01", "booleans as bytes 0 and 1"),
        (
            {"inputs": [tensor("x", [1, 2], "BOOL", 2)]},
            b"\x00\x01",
            "column a, row 0: expected double",
        ),
        (
            {"inputs": [tensor("x", [1, 2], "FP64", 16)]},
            struct.pack("<dd", 1, np.inf),
            "b, row 0: expected double",
        ),
    ],
)
def test_wrong_binary_tensors(head: dict[str, Any], data: bytes, expected: str) -> None:
    body, headers = binary(head, data)
    assert expected in says(body, headers=headers, inference=True)
    assert "expected the length" in says(
        body, headers={**headers, b"inference-header-content-length": b"x"}, inference=True
    )


def test_binary_nan_is_missing_and_whole_numbers_stay_whole() -> None:
    body, headers = binary({"inputs": [tensor("x", [1, 2], "FP64", 16)]}, struct.pack("<dd", 1, np.nan))
    batch = read(body, headers=headers, inference=True)
    assert batch.matrix is not None
    assert np.isnan(batch.matrix[0, 1])
    whole = columns("a", "b", kind="long")
    assert "row 0: expected long, got nothing" in says(body, whole, headers=headers, inference=True)
    body, headers = binary({"inputs": [tensor("x", [1, 2], "FP64", 16)]}, struct.pack("<dd", 1, 2.5))
    assert "column b, row 0: expected long, got a number with a" in says(
        body, whole, headers=headers, inference=True
    )


def stream(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue()


async def test_arrow_both_ways() -> None:
    table = pa.table(
        {
            "b": pa.array([2, 4], pa.int32()),
            "a": [1.0, 3.0],
            "z": ["?", None],
            "modelyard.id": ["x", "y"],
            "modelyard.event_time": pa.array([0, 1_000_000], pa.timestamp("us", "UTC")),
        }
    )
    kind = ARROW.decode()
    async with yard(Sum(AB)) as here:
        for path in ("/v2/models/sum/infer", "/invocations/sum"):
            answer = await here.client.post(
                path, content=stream(table), headers={"content-type": kind, "accept": kind}
            )
            assert answer.status_code == 200, answer.text
            told = pa.ipc.open_stream(answer.content).read_all().to_pydict()
            assert told == {"modelyard.id": ["x", "y"], "output": [3.0, 7.0]}
        assert here.log.rows[0][4].event_times == [0, 1_000_000]


def test_arrow_columns_of_every_type() -> None:
    table = pa.table(
        {
            "number": pa.array([1.5, None]),
            "whole": pa.array([1, 2], pa.int8()),
            "text": pa.array(["p", None]).dictionary_encode(),
            "flag": [True, False],
            "when": pa.array([0, None], pa.timestamp("ms")),
            "maybe": pa.array([None, 7], pa.int64()),
        }
    )
    headers = {b"content-type": ARROW}
    batch = read(stream(table), MIXED, headers=headers)
    assert batch.columns is not None
    assert batch.columns["text"].tolist() == ["p", None]
    assert batch.columns["maybe"].tolist()[1] == 7
    broken = table.set_column(1, "whole", pa.array([1, None], pa.int64()))
    assert "column whole, row 1: expected long, got nothing" in says(stream(broken), MIXED, headers=headers)
    assert "not an Arrow stream" in says(b"ARROW1", MIXED, headers=headers)


def test_csv() -> None:
    headers = {b"content-type": b"text/csv; charset=utf-8"}
    text = b"whole,number,flag,text,when,maybe,z\n1,2.5,true,07,2020-01-02,,?\n2,,false,,,7,?\n"
    batch = read(text, MIXED, headers=headers)
    assert batch.columns is not None
    assert batch.columns["text"].tolist() == ["07", None]
    assert batch.columns["whole"].tolist() == [1, 2]
    assert np.isnan(batch.columns["number"][1])
    assert "column b, row 1: expected double" in says(b"a,b\n1,2\n3,x\n", headers=headers)
    assert "column a, row 0: expected long" in says(
        b"a,b\n1.5,2\n", columns("a", "b", kind="long"), headers=headers
    )
    assert "not CSV" in says(b"", headers=headers)
    assert "missing column b" in says(b"a\n1\n", headers=headers)


def test_other_media_are_refused_with_what_is_taken() -> None:
    for kind in (b"application/x-www-form-urlencoded", b"text/plain", b"application/octet-stream"):
        with pytest.raises(RequestError, match="send application/json") as raised:
            Form(False, {b"content-type": kind}, 10)
        assert raised.value.status == 415
    with pytest.raises(RequestError, match="send application/json"):
        Form(True, {b"content-type": b"text/csv"}, 10)


def answers(body: bytes, signature: Signature, inference: bool, headers: dict[bytes, bytes]) -> None:
    """A batch, or words."""
    refused: RequestError | None
    try:
        found = read(body, signature, inference, headers)
    except (MalformedError, ContractError) as error:
        refused = error
    else:
        refused, batch = None, found
    if refused is not None:
        assert refused.status == 400
        assert 0 < len(str(refused)) < 600
        return
    assert len(batch.ids) == batch.rows > 0
    assert batch.matrix is None or len(batch.matrix) == batch.rows
    assert batch.columns is None or {len(each) for each in batch.columns.values()} == {batch.rows}
    assert (batch.matrix is None) != (batch.columns is None)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "z"]), inner, max_size=3)
    ),
    max_leaves=12,
)
_tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", "x"]) | _values,
        "shape": st.lists(st.integers(-1, 3), max_size=4) | _values,
        "datatype": st.sampled_from(["FP64", "INT64", "BYTES", "BOOL"]) | _values,
        "data": _values,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 20)}) | _values,
    },
)
_documents = st.fixed_dictionaries(
    {},
    optional={
        "id": _values,
        "inputs": st.lists(_tensors, max_size=3) | _values,
        "instances": _values,
        "dataframe_split": st.fixed_dictionaries({}, optional={"columns": _values, "data": _values})
        | _values,
        "dataframe_records": _values,
        "outputs": _values,
        "parameters": st.fixed_dictionaries({}, optional={"ids": _values, "event_times": _values}) | _values,
    },
)
_any = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_any
@given(_documents, st.sampled_from(SIGNATURES), st.booleans())
def test_no_json_makes_it_fail(document: Any, signature: Signature, inference: bool) -> None:
    answers(orjson.dumps(document), signature, inference, JSON)


@_any
@given(
    st.binary(max_size=200),
    st.sampled_from(SIGNATURES),
    st.sampled_from([ARROW, b"text/csv", JSON[b"content-type"]]),
)
def test_no_bytes_make_it_fail(body: bytes, signature: Signature, kind: bytes) -> None:
    answers(body, signature, False, {b"content-type": kind} if kind else {})


@_any
@given(_documents, st.binary(max_size=40), st.sampled_from(SIGNATURES), st.integers(-2, 2))
def test_no_binary_tensor_makes_it_fail(document: Any, data: bytes, signature: Signature, off: int) -> None:
    body, headers = binary(document, data)
    length = max(0, int(headers[b"inference-header-content-length"]) + off)
    answers(body, signature, True, {**headers, b"inference-header-content-length": str(length).encode()})


@_any
@given(st.data())
def test_no_damaged_arrow_stream_makes_it_fail(data: st.DataObject) -> None:
    whole = bytearray(stream(pa.table({"a": [1.0, 2.0], "b": ["x", None], "c": [1, 2]})))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    answers(bytes(whole[:cut]), data.draw(st.sampled_from(SIGNATURES)), False, {b"content-type": ARROW})


@_any
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("model", "ids", "labels", "times"), _values)))
def test_no_labels_make_it_fail(document: Any) -> None:
    try:
        found = read_labels(document, 100)
    except MalformedError:
        return
    assert len(found.ids) == len(found.labels) == len(found.times) > 0
