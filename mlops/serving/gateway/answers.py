"""What a model made of the rows, in the words of the protocol that asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlops.serving.gateway.ports import Choice
from mlops.serving.rows import Batch, Call, Outputs

JSON = b"application/json"
#: NumPy's character of a type -> the protocol's name.
_DATATYPES = {
    "d": "FP64",
    "f": "FP32",
    "e": "FP16",
    "l": "INT64",
    "q": "INT64",
    "i": "INT32",
    "h": "INT16",
    "b": "INT8",
    "L": "UINT64",
    "Q": "UINT64",
    "I": "UINT32",
    "H": "UINT16",
    "B": "UINT8",
    "?": "BOOL",
}


def datatype(values: NDArray[Any]) -> str:
    """The Open Inference Protocol's name of an array's type; ``BYTES`` for texts and anything else."""
    return _DATATYPES.get(values.dtype.char, "BYTES")


def plain(values: NDArray[Any]) -> Any:
    """An array as JSON values; objects that JSON has not become text."""
    found = values.tolist()
    return found if values.dtype.kind != "O" else _plain(found)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return str(value)


def tensors(outputs: Outputs) -> list[tuple[str, NDArray[Any]]]:
    """Outputs as named arrays: one called ``output``, or one a name of the model's."""
    values = outputs.values
    if outputs.names and values.ndim == 2 and len(outputs.names) == values.shape[1]:
        return [(name, values[:, index]) for index, name in enumerate(outputs.names)]
    return [("output", values)]


def inference(choice: Choice, request: str, batch: Batch, outputs: Outputs) -> bytes:
    """The Open Inference Protocol's JSON answer."""
    runtime = choice.runtime
    values = outputs.values
    if outputs.names:
        found = [
            {"name": name, "shape": each.shape, "datatype": datatype(each), "data": plain(each.reshape(-1))}
            for name, each in tensors(outputs)
        ]
    else:
        flat = values if values.ndim == 1 else values.reshape(-1)
        found = [{"name": "output", "shape": values.shape, "datatype": datatype(values), "data": plain(flat)}]
    return orjson.dumps(
        {
            "model_name": runtime.model,
            "model_version": runtime.version,
            "id": request,
            "outputs": found,
            "parameters": {"ids": batch.ids},
        }
    )


def invocation(choice: Choice, batch: Batch, outputs: Outputs) -> bytes:
    """MLflow's answer: ``predictions`` a row, objects where the model names its outputs."""
    found = plain(outputs.values)
    if outputs.names and outputs.values.ndim == 2:
        found = [dict(zip(outputs.names, row, strict=False)) for row in found]
    return orjson.dumps({"predictions": found, "model_version": choice.runtime.version, "ids": batch.ids})


#: MLflow's types -> the protocol's.
_KINDS = {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL"}


def metadata(arms: Sequence[Choice]) -> dict[str, Any]:
    """The Open Inference Protocol's metadata of a model: its versions that serve, inputs of the first."""
    runtime = arms[0].runtime
    signature = runtime.signature
    inputs = [
        {"name": each.name, "datatype": _KINDS.get(each.kind, "BYTES"), "shape": [-1]}
        for each in signature.columns
    ]
    if signature.tensor is not None:
        tensor = signature.tensor
        kind = _DATATYPES.get(np.dtype(tensor.dtype).char, "BYTES")
        inputs = [{"name": tensor.name or "input", "datatype": kind, "shape": list(tensor.shape)}]
    return {
        "name": runtime.model,
        "versions": list(dict.fromkeys(each.runtime.version for each in arms)),
        "platform": f"modelyard_{runtime.kind}",
        "inputs": inputs,
        "outputs": [{"name": "output", "datatype": "FP64", "shape": [-1]}],
    }


_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}


def wire(status: int, body: bytes, more: Iterable[tuple[bytes, bytes]], call: Call) -> bytes:
    """An answer as HTTP/1.1."""
    parts = [_LINES[status]]
    for name, value in more:
        parts += (name, b": ", value, b"\r\n")
    parts += (b"content-length: %d\r\nx-request-id: " % len(body), call.id.encode())
    if call.trace:
        parts += (b"\r\ntraceparent: ", call.trace.encode())
    parts += (b"\r\n\r\n", body)
    return b"".join(parts)
