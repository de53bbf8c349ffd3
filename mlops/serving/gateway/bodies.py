"""JSON bodies: the Open Inference Protocol's tensors and MLflow's forms, to a :class:`Table`.

No body, whatever its bytes, raises anything but :class:`MalformedError`.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import orjson

from mlops.serving.gateway.errors import MalformedError
from mlops.serving.gateway.table import Table, add_parameters
from mlops.serving.signature import Signature

#: Types of the Open Inference Protocol, and NumPy's of the same bytes.
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
_FORMS = "expected one of inputs, instances, dataframe_split, dataframe_records"


def document(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        MalformedError: It is none.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in body or b"Infinity" in body:
            raise MalformedError(
                "the body is not JSON, which has no NaN and no Infinity: send null for a missing number"
            ) from None
        raise MalformedError(f"the body is not JSON: {error}" if body else "the body is empty") from None
    if type(found) is not dict:
        raise MalformedError("expected a JSON object")
    return found


def inference(request: dict[str, Any]) -> Table:
    """Rows of an Open Inference Protocol request: one tensor of shape [n, k] by position, or tensors of
    shape [n] or [n, 1] by name. ``data`` may be flat or nested."""
    inputs = request.get("inputs")
    if type(inputs) is not list or not inputs:
        raise MalformedError("inputs: expected a list of tensors")
    table = _one_tensor(inputs[0]) if len(inputs) == 1 else None
    if table is None:
        table = _columns([_tensor(each) for each in inputs])
    if "parameters" in request:
        add_parameters(table, request["parameters"])
    return table


def _one_tensor(tensor: Any) -> Table | None:
    """A single tensor as rows by position; None: it is a column."""
    name, shape, data = _tensor(tensor)
    if len(shape) < 2:
        return None
    if len(shape) == 2:
        # A tensor with one column says its name: a model with one column is asked like any other.
        return Table(shape[0], flat=data, width=shape[1], names=[name] if shape[1] == 1 else None)
    return Table(shape[0], flat=data, width=math.prod(shape[1:]), shape=tuple(shape))


def _tensor(tensor: Any) -> tuple[str, list[int], list[Any]]:
    """Name, shape and flat data of a tensor."""
    if type(tensor) is not dict or type(tensor.get("name")) is not str:
        raise MalformedError("inputs: expected tensors with name, shape, datatype and data")
    name, data = tensor["name"], tensor.get("data")
    if type(data) is not list:
        raise MalformedError(f"{_short(name)}: data: expected a list")
    kind = tensor.get("datatype")
    if kind is not None and (type(kind) is not str or kind not in DATATYPES):
        raise MalformedError(f"{_short(name)}: datatype: expected one of {', '.join(DATATYPES)}")
    shape = checked_shape(name, tensor.get("shape", [len(data)]))
    while data and type(data[0]) is list:
        data = _level(data, name)
    if len(data) != (shape[0] * shape[1] if len(shape) == 2 else math.prod(shape)):
        raise MalformedError(f"{_short(name)}: shape {shape} and {len(data)} values do not fit")
    return name, shape, data


def checked_shape(name: str, shape: Any) -> list[int]:
    """A tensor's shape.

    Raises:
        MalformedError: It is no list of one to eight sizes.
    """
    if type(shape) is list and 0 < len(shape) <= 8:
        for size in shape:
            if type(size) is not int or not 0 <= size < 2**40:
                break
        else:
            return shape
    raise MalformedError(f"{_short(name)}: shape: expected a list of sizes, as [rows, columns]")


def _level(data: list[Any], name: str) -> list[Any]:
    """A nested list with its first level of brackets taken off."""
    if set(map(type, data)) != {list}:
        raise MalformedError(f"{_short(name)}: data: lists and values are mixed")
    return list(chain.from_iterable(data))


def _columns(tensors: list[tuple[str, list[int], Any]]) -> Table:
    """Tensors as named columns."""
    return named(
        {name: data for name, _, data in tensors},
        len(tensors),
        {name: shape for name, shape, _ in tensors},
    )


def named(columns: dict[str, Any], count: int, shapes: dict[str, list[int]]) -> Table:
    """Equally long columns; ``count``: how many were sent, to notice one sent twice."""
    if len(columns) != count:
        raise MalformedError("inputs: a name is there twice")
    rows = -1
    for name, shape in shapes.items():
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            raise MalformedError(
                f"{_short(name)}: expected shape [rows] or [rows, 1] where several tensors are sent"
            )
        if rows not in (-1, shape[0]):
            raise MalformedError(f"{_short(name)}: {shape[0]} values, the columns before have {rows}")
        rows = shape[0]
    return Table(rows, columns=columns)


def mlflow(request: dict[str, Any], signature: Signature) -> Table:
    """Rows of MLflow's forms: ``dataframe_split``, ``dataframe_records``, ``inputs``, ``instances``; and of
    the Open Inference Protocol, whose ``inputs`` are tensors."""
    if request.get("params"):
        raise MalformedError("params: models are served without")
    if "dataframe_split" in request:
        table = _split(request["dataframe_split"])
    elif "dataframe_records" in request:
        table = _records(request["dataframe_records"], "dataframe_records", signature)
    elif "inputs" in request:
        values = request["inputs"]
        if type(values) is list and values and type(values[0]) is dict and "data" in values[0]:
            return inference(request)
        table = _values(values, "inputs", signature)
    elif "instances" in request:
        table = _values(request["instances"], "instances", signature)
    else:
        raise MalformedError(_FORMS)
    if "parameters" in request:
        add_parameters(table, request["parameters"])
    return table


def _split(split: Any) -> Table:
    if type(split) is not dict or type(split.get("data")) is not list:
        raise MalformedError("dataframe_split: expected an object with columns and data")
    data, names = split["data"], split.get("columns")
    if names is not None and (type(names) is not list or set(map(type, names)) - {str, int}):
        raise MalformedError("dataframe_split: columns: expected a list of names")
    width = len(names) if names is not None else len(data[0]) if data and type(data[0]) is list else 0
    flat = _rows(data, width, "dataframe_split: data")
    if names is not None:
        names = [str(name) for name in names]
        if len(set(names)) != width:
            raise MalformedError("dataframe_split: columns: a name is there twice")
    return Table(len(data), flat=flat, width=width, names=names)


def _rows(data: list[Any], width: int, where: str) -> list[Any]:
    """Rows of equal width, one after the other."""
    for index, row in enumerate(data):
        if type(row) is not list or len(row) != width:
            raise MalformedError(f"{where}: row {index}: expected a list of {width} values")
    return data[0] if len(data) == 1 else list(chain.from_iterable(data))


def _records(records: Any, where: str, signature: Signature) -> Table:
    if type(records) is not list or set(map(type, records)) - {dict}:
        raise MalformedError(f"{where}: expected a list of objects")
    # Columns that the model does not know are not worth a look.
    known = {column.name for column in signature.columns}
    names = dict.fromkeys(key for record in records for key in record if not known or key in known)
    return Table(len(records), columns={name: [record.get(name) for record in records] for name in names})


def _values(values: Any, where: str, signature: Signature) -> Table:
    """``inputs`` and ``instances``: columns by name, records, rows, or the values of a single column."""
    if type(values) is dict:
        columns = {name: each if type(each) is list else [each] for name, each in values.items()}
        return named(columns, len(columns), {name: [len(each)] for name, each in columns.items()})
    if type(values) is not list:
        raise MalformedError(f"{where}: expected a list or an object of columns")
    if not values or type(values[0]) is dict:
        return _records(values, where, signature)
    if type(values[0]) is not list:
        return Table(len(values), flat=values, width=1)
    shape = [len(values)]
    flat: list[Any] = values
    while flat and type(flat[0]) is list and len(shape) < 8:
        shape.append(len(flat[0]))
        flat = _rows(flat, shape[-1], where)
    return Table(
        shape[0], flat=flat, width=math.prod(shape[1:]), shape=tuple(shape) if len(shape) > 2 else None
    )


def _short(name: str) -> str:
    """A name that may be anything, for a sentence."""
    return name if len(name) <= 60 else name[:57] + "…"
