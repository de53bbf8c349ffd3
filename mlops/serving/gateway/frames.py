"""Tables of other programs: Arrow streams and CSV, in; Arrow, out.

A column ``modelyard.id`` holds the rows' ids and ``modelyard.event_time`` their times: neither format has
another place for them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.serving.gateway.answers import tensors
from mlops.serving.gateway.errors import ContractError, MalformedError
from mlops.serving.gateway.table import Table, row_ids, row_times
from mlops.serving.rows import Batch, Outputs
from mlops.serving.signature import Signature

if TYPE_CHECKING:
    import pyarrow as pa

ARROW = b"application/vnd.apache.arrow.stream"
ID, EVENT_TIME = "modelyard.id", "modelyard.event_time"


def read_arrow(body: bytes, most: int) -> Table:
    """Rows of an Arrow IPC stream of at most ``most`` rows.

    Raises:
        MalformedError: It is none.
        ContractError: It has more rows.
    """
    import pyarrow as pa

    batches, rows = [], 0
    try:
        with pa.ipc.open_stream(body) as stream:
            for each in stream:
                # Nothing in a stream's own words is taken on trust: an offset may point anywhere.
                each.validate(full=True)
                rows += each.num_rows
                if rows > most:
                    raise ContractError(f"expected 1 to {most} rows, got more")
                batches.append(each)
            table = pa.Table.from_batches(batches, stream.schema)
        return _table(table)
    except ContractError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, UnicodeDecodeError, OverflowError) as error:
        raise MalformedError(f"the body is not an Arrow stream: {_line(error)}") from None


def read_csv(body: bytes, signature: Signature) -> Table:
    """Rows of a CSV text with a line of names, in the signature's types.

    Raises:
        MalformedError: It is none.
        ContractError: A value is not of its column's type.
    """
    import pyarrow as pa
    from pyarrow import csv

    types = {column.name: _type(pa, column.kind) for column in signature.columns}
    convert = csv.ConvertOptions(
        column_types={**types, ID: pa.string(), EVENT_TIME: pa.string()},
        null_values=["", "null", "NULL", "NA", "N/A", "nan", "NaN", "None"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        options = csv.ReadOptions(use_threads=False)
        return _table(csv.read_csv(io.BytesIO(body), options, convert_options=convert))
    except pa.ArrowInvalid as error:
        text = _line(error)
        if "conversion error" in text:
            raise ContractError(_conversion(text, body, signature)) from None
        raise MalformedError(f"the body is not CSV with a line of names: {text}") from None
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        raise MalformedError(f"the body is not CSV with a line of names: {_line(error)}") from None


def _conversion(text: str, body: bytes, signature: Signature) -> str:
    """Arrow counts columns; a person knows them by name."""
    import re

    found = re.search(r"column #(\d+):(?: Row #(\d+):)? CSV conversion error to (\w+)", text)
    if not found:
        return "a value is not of its column's type"
    names = body.split(b"\n", 1)[0].decode("utf-8", "replace").strip("\r").split(",")
    number = int(found[1])
    name = names[number].strip('"')[:60] if number < len(names) else str(number)
    row = f", row {int(found[2]) - 2}" if found[2] else ""
    kinds = {column.name: column.kind for column in signature.columns}
    return f"column {name}{row}: expected {kinds.get(name, found[3])}"


def _type(pa: Any, kind: str) -> Any:
    return {
        "double": pa.float64(),
        "float": pa.float64(),
        "long": pa.int64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "datetime": pa.timestamp("us"),
    }.get(kind, pa.string())


def _table(table: pa.Table) -> Table:
    """An Arrow table as columns of NumPy arrays, or lists where it may hold anything."""
    names = table.column_names
    if len(set(names)) != len(names):
        raise MalformedError("a column is there twice")
    columns = {name: _column(table.column(name)) for name in names if name not in (ID, EVENT_TIME)}
    found = Table(table.num_rows, columns=columns)
    if ID in names:
        found.ids = row_ids(table.column(ID).to_pylist(), table.num_rows)
    if EVENT_TIME in names:
        values = [
            each.isoformat() if hasattr(each, "isoformat") else each
            for each in table.column(EVENT_TIME).to_pylist()
        ]
        found.event_times = row_times(values, table.num_rows)
    return found


def _column(column: Any) -> Any:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        # Nulls become NaN, and whole numbers with them floats.
        return column.to_numpy()
    if pa.types.is_boolean(kind) and not column.null_count:
        return column.to_numpy()
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]")
    return [each.tolist() if isinstance(each, np.ndarray) else each for each in column.to_pylist()]


def write_arrow(batch: Batch, outputs: Outputs) -> bytes:
    """Outputs as an Arrow stream: ``modelyard.id`` and a column an output."""
    import pyarrow as pa

    columns: dict[str, Any] = {ID: pa.array(batch.ids, pa.string())}
    for name, values in tensors(outputs):
        columns[name] = pa.array(list(values) if values.ndim > 1 else values.tolist())
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def _line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
