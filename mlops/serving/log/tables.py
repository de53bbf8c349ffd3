"""The log's tables: their schemas, and a segment as Arrow.

Features and predictions are JSON text: a model's next version may have other columns, and one table must hold
both without a rewrite.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: Rows of these kinds say what a model answered.
ANSWERS = ("predictions", "shadow")
_ANSWER = (
    "id text",
    "time moment",
    "event_time moment",
    "model text",
    "version text",
    "arm text",
    "features text",
    "prediction text",
    "score number",
    "latency_ms number",
    # Since 0.4: tables of earlier releases gain them with the first new row.
    "request text",
    "caller text",
    "trace text",
)
_FIELDS = {
    "predictions": _ANSWER,
    "shadow": _ANSWER,
    "failures": (
        "id text",
        "time moment",
        "model text",
        "version text",
        "arm text",
        "caller text",
        "trace text",
        "class text",
        "sentence text",
        "rows whole",
        "latency_ms number",
        "features text",
    ),
    "labels": ("id text", "time moment", "label number"),
    # Apart from labels, whose readers take every row for the truth about a prediction.
    "outcomes": ("id text", "time moment", "name text", "value number"),
}
KINDS = tuple(_FIELDS)


@cache
def schema(kind: str) -> Any:
    """Arrow schema of a kind of table; times in µs, UTC."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "moment": pa.timestamp("us", tz="UTC"),
        "number": pa.float64(),
        "whole": pa.int64(),
    }
    pairs = (each.split() for each in _FIELDS[kind])
    return pa.schema([(name, types[type_]) for name, type_ in pairs])


@cache
def _on_the_way(kind: str) -> Any:
    """As the fields travel in a segment: times are whole microseconds since the epoch, numeric rows bare."""
    import pyarrow as pa

    whole = pa.int64()
    fields = [(each.name, whole if pa.types.is_timestamp(each.type) else each.type) for each in schema(kind)]
    if kind in ANSWERS:
        fields += [("shape", whole), ("names", pa.string()), ("values", pa.string())]
    return pa.schema(fields)


def read(kind: str, model: str, paths: Sequence[Path]) -> Any:
    """Whole lines of segments as one Arrow table in the schema of their kind; half a line at the end of one
    was never acknowledged."""
    import pyarrow as pa
    import pyarrow.json as reader

    data = b"".join(_whole(path) for path in paths)
    if not data:
        return schema(kind).empty_table()
    found = reader.read_json(
        pa.BufferReader(data),
        # One block: a line may be as long as a body is large.
        read_options=reader.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=reader.ParseOptions(
            explicit_schema=_on_the_way(kind), unexpected_field_behavior="ignore"
        ),
    )
    if kind in ANSWERS:
        found = _dressed(found)
    columns = []
    for field in schema(kind):
        if field.name == "model":
            columns.append(pa.repeat(pa.scalar(model, field.type), len(found)))
        else:
            columns.append(found.column(field.name).cast(field.type))
    return pa.table(columns, schema=schema(kind))


def _dressed(found: Any) -> Any:
    """With ``features`` made of the bare rows, and without the lines that say what they need for it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = found.column("names")
    definitions = found.filter(pc.is_valid(names))
    rows = found.filter(pc.is_null(names))
    shapes, values = rows.column("shape").combine_chunks(), rows.column("values").combine_chunks()
    features = rows.column("features").combine_chunks()
    # A commit is of one life, in which a number always means the same names.
    known = dict(zip(*(definitions.column(each).to_pylist() for each in ("shape", "names")), strict=True))
    for shape, each in known.items():
        mask = pc.fill_null(pc.equal(shapes, shape), False)
        features = pc.replace_with_mask(features, mask, _objects(json.loads(each), values.filter(mask)))
    return rows.set_column(
        rows.schema.get_field_index("features"), pa.field("features", pa.string()), features
    )


def _objects(names: Sequence[str], values: Any) -> Any:
    """JSON objects of texts that hold one value a name, separated by commas."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = pc.split_pattern(values, ",").flatten()
    first = np.arange(0, len(flat), len(names))
    parts: list[Any] = []
    for index, name in enumerate(names):
        parts += [
            ("," if index else "{") + json.dumps(name, ensure_ascii=False) + ":",
            flat.take(pa.array(first + index)),
        ]
    return pc.binary_join_element_wise(*parts, "}", "")


def _whole(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1]
