"""The binary tensor extension of the Open Inference Protocol: a JSON head, then the tensors' bytes."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlops.serving.gateway.answers import datatype, tensors
from mlops.serving.gateway.bodies import DATATYPES, checked_shape, document, inference, named
from mlops.serving.gateway.errors import MalformedError
from mlops.serving.gateway.ports import Choice
from mlops.serving.gateway.table import Table, add_parameters
from mlops.serving.rows import Batch, Outputs

HEAD_LENGTH = b"inference-header-content-length"


def split(body: bytes, length: bytes) -> tuple[dict[str, Any], memoryview]:
    """The JSON head of a body and what follows it.

    Raises:
        MalformedError: ``length`` is no length within the body.
    """
    if not length.isdigit() or len(length) > 12 or int(length) > len(body):
        raise MalformedError(
            "Inference-Header-Content-Length: expected the length of the JSON before the tensors"
        )
    size = int(length)
    return document(body[:size]), memoryview(body)[size:]


def read(head: dict[str, Any], rest: memoryview) -> Table:
    """Rows of a request whose tensors may be binary, JSON or both.

    Raises:
        MalformedError: Sizes do not fit.
    """
    inputs = head.get("inputs")
    if type(inputs) is not list or not inputs:
        raise MalformedError("inputs: expected a list of tensors")
    if not any(type(each) is dict and "data" not in each for each in inputs):
        return inference(head)
    found: list[tuple[str, list[int], Any]] = []
    offset = 0
    for tensor in inputs:
        name, shape, values, size = _tensor(tensor, rest[offset:])
        found.append((name, shape, values))
        offset += size
    if offset != len(rest):
        raise MalformedError(f"{len(rest) - offset} bytes follow the last tensor")
    table = _table(found)
    if "parameters" in head:
        add_parameters(table, head["parameters"])
    return table


def _table(found: list[tuple[str, list[int], Any]]) -> Table:
    name, shape, values = found[0]
    if len(found) > 1 or len(shape) == 1:
        columns = {name: values for name, _, values in found}
        return named(columns, len(found), {name: shape for name, shape, _ in found})
    names = [name] if len(shape) == 2 and shape[1] == 1 else None
    deep = tuple(shape) if len(shape) > 2 else None
    return Table(shape[0], flat=values, width=math.prod(shape[1:]), names=names, shape=deep)


def _tensor(tensor: Any, rest: memoryview) -> tuple[str, list[int], Any, int]:
    """Name, shape, flat values and how many bytes they took."""
    if type(tensor) is not dict or type(tensor.get("name")) is not str:
        raise MalformedError("inputs: expected tensors with name, shape, datatype and parameters")
    name, kind = tensor["name"], tensor.get("datatype")
    short = name[:60]
    if "data" in tensor:
        raise MalformedError(f"{short}: all tensors of a request are binary, or none")
    if type(kind) is not str or kind not in DATATYPES:
        raise MalformedError(f"{short}: datatype: expected one of {', '.join(DATATYPES)}")
    shape = checked_shape(name, tensor.get("shape"))
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if type(parameters) is dict else None
    if type(size) is not int or not 0 <= size <= len(rest):
        raise MalformedError(f"{short}: binary_data_size: expected the number of bytes that are sent for it")
    count = math.prod(shape)
    if kind == "BYTES":
        return name, shape, _texts(rest[:size], count, short), size
    dtype = np.dtype(DATATYPES[kind]).newbyteorder("<")
    if size != count * dtype.itemsize:
        raise MalformedError(f"{short}: shape {shape} of {kind} and {size} bytes do not fit")
    values: NDArray[Any] = np.frombuffer(rest[:size], dtype)
    if kind == "BOOL" and np.frombuffer(rest[:size], np.uint8).max(initial=0) > 1:
        raise MalformedError(f"{short}: expected booleans as bytes 0 and 1")
    return name, shape, values, size


def _texts(data: memoryview, count: int, name: str) -> NDArray[Any]:
    """Texts, each after its length as four bytes."""
    # Every text takes four bytes at least: a shape cannot ask for more memory than was sent.
    if count * 4 > len(data):
        raise MalformedError(f"{name}: the texts are longer than they say")
    found = np.empty(count, object)
    offset = 0
    for index in range(count):
        if offset + 4 > len(data):
            raise MalformedError(f"{name}: the texts are longer than they say")
        (size,) = struct.unpack_from("<I", data, offset)
        offset += 4
        if offset + size > len(data):
            raise MalformedError(f"{name}: the texts are longer than they say")
        found[index] = bytes(data[offset : offset + size])
        offset += size
    if offset != len(data):
        raise MalformedError(f"{name}: {len(data) - offset} bytes follow the last text")
    return found


def wants_binary(head: dict[str, Any]) -> bool:
    """Whether a request asks for binary outputs, all or the one it names."""
    parameters, outputs = head.get("parameters"), head.get("outputs")
    if type(parameters) is dict and parameters.get("binary_data_output") is True:
        return True
    if type(outputs) is not list:
        return False
    return any(
        type(each) is dict
        and type(each.get("parameters")) is dict
        and each["parameters"].get("binary_data") is True
        for each in outputs
    )


def answer(choice: Choice, request: str, batch: Batch, outputs: Outputs) -> tuple[bytes, int]:
    """An answer with binary tensors, and the length of its JSON."""
    found, parts = [], []
    for name, values in tensors(outputs):
        kind = datatype(values)
        data = _encoded(values) if kind == "BYTES" else np.ascontiguousarray(values).tobytes()
        parts.append(data)
        found.append(
            {
                "name": name,
                "shape": values.shape,
                "datatype": kind,
                "parameters": {"binary_data_size": len(data)},
            }
        )
    head = orjson.dumps(
        {
            "model_name": choice.runtime.model,
            "model_version": choice.runtime.version,
            "id": request,
            "outputs": found,
            "parameters": {"ids": batch.ids},
        }
    )
    return b"".join([head, *parts]), len(head)


def _encoded(values: NDArray[Any]) -> bytes:
    parts = []
    for value in values.reshape(-1).tolist():
        data = value if type(value) is bytes else b"" if value is None else str(value).encode()
        parts.append(struct.pack("<I", len(data)) + data)
    return b"".join(parts)
