"""A model's MLflow signature, compiled once for the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: MLflow's type names, and the NumPy type that holds them.
DTYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
    "string": "object",
    "binary": "object",
    "datetime": "datetime64[us]",
}


@dataclass(frozen=True)
class Column:
    """A named input of a model; ``kind`` is MLflow's name of its type. ``required``: may not be missing."""

    name: str
    kind: str
    required: bool = True


@dataclass(frozen=True)
class Tensor:
    """A tensor input: NumPy's name of its type, shape with -1 for any length. The first axis is rows."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """Inputs of a model: columns, or one tensor, or neither (the model was logged without a signature)."""

    columns: tuple[Column, ...] = ()
    tensor: Tensor | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def dtype(self) -> str:
        """NumPy's name of the one numeric type of all columns; empty when they differ or any is no number."""
        kinds = {column.kind for column in self.columns}
        kind = kinds.pop() if len(kinds) == 1 else ""
        return DTYPES[kind] if kind in ("double", "float", "long", "integer") else ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the cache of artifacts."""
        columns = [[each.name, each.kind, each.required] for each in self.columns]
        tensor = self.tensor
        return {"columns": columns, "tensor": tensor and [tensor.name, tensor.dtype, list(tensor.shape)]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        """What :meth:`to_json` made."""
        tensor = data.get("tensor")
        return cls(
            tuple(Column(*each) for each in data["columns"]),
            Tensor(tensor[0], tensor[1], tuple(tensor[2])) if tensor else None,
        )
