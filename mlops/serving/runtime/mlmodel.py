"""The ``MLmodel`` file of a logged model, read without importing mlflow: that import costs a gateway which
serves ONNX alone 150 MB and three seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from blueprints.errors import Problem
from mlops.serving.rows import Batch
from mlops.serving.signature import DTYPES, Column, Signature, Tensor


@dataclass(frozen=True)
class LoggedModel:
    """What a folder with an ``MLmodel`` says about itself.

    Attributes:
        folder: Where it is.
        flavors: Name of the flavour -> its settings, as written.
        signature: Its inputs.
        predict_fn: What pyfunc calls: ``predict``, ``predict_proba``, …
        outputs: Kinds of its outputs as the signature names them; empty when it has none.
    """

    folder: Path
    flavors: Mapping[str, Mapping[str, Any]]
    signature: Signature
    predict_fn: str
    outputs: tuple[str, ...]
    example_path: str = ""

    @property
    def requirements(self) -> tuple[str, ...]:
        """Lines of its ``requirements.txt``, without comments and options."""
        file = self.folder / "requirements.txt"
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
        stripped = (line.partition(" #")[0].strip() for line in lines)
        return tuple(line for line in stripped if line and not line.startswith(("#", "-")))

    @property
    def python(self) -> str:
        """The Python it was logged with, ``3.11.7``; empty when it does not say."""
        return str(self.flavors.get("python_function", {}).get("python_version", ""))


def read(folder: Path) -> LoggedModel:
    """Read ``folder/MLmodel``.

    Raises:
        Problem: There is none, or it is not one.
    """
    try:
        data = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
        flavors = {str(name): dict(each or {}) for name, each in data["flavors"].items()}
        said = data.get("signature") or {}
        inputs, outputs = json.loads(said.get("inputs") or "[]"), json.loads(said.get("outputs") or "[]")
        example = (data.get("saved_input_example_info") or {}).get("artifact_path") or ""
        return LoggedModel(
            folder=folder,
            flavors=flavors,
            signature=_signature(inputs),
            predict_fn=str(flavors.get("python_function", {}).get("predict_fn", "predict")),
            outputs=tuple(_kind(each) for each in outputs),
            example_path=str(example),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise Problem(
            f"no readable MLmodel: {str(error).splitlines()[0][:200]}", where=str(folder)
        ) from error


def _signature(inputs: list[Mapping[str, Any]]) -> Signature:
    if not inputs:
        return Signature()
    if inputs[0].get("type") == "tensor":
        spec = inputs[0]["tensor-spec"]
        return Signature(tensor=Tensor(str(inputs[0].get("name") or ""), spec["dtype"], tuple(spec["shape"])))
    return Signature(
        tuple(
            Column(str(each.get("name", place)), _kind(each), bool(each.get("required", True)))
            for place, each in enumerate(inputs)
        )
    )


def _kind(each: Mapping[str, Any]) -> str:
    return str(each["tensor-spec"]["dtype"] if each.get("type") == "tensor" else each.get("type"))


def example(model: LoggedModel) -> Batch | None:
    """The rows of its input example, typed as the signature says; None when it has none that can be read."""
    file = model.folder / model.example_path
    if not model.example_path or not file.is_file():
        return None
    try:
        data = json.loads(file.read_text("utf-8"))
        if isinstance(data, dict) and "columns" in data:
            rows, names = data["data"], [str(each) for each in data["columns"]]
            return of_columns(model.signature, {n: [r[i] for r in rows] for i, n in enumerate(names)})
        if isinstance(data, dict):
            data = data.get("inputs", data.get("data"))
        matrix = np.asarray(data, model.signature.tensor.dtype if model.signature.tensor else None)
        return Batch(model.signature, len(matrix), np.ascontiguousarray(matrix), None, _ids(len(matrix)))
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def of_columns(signature: Signature, given: Any) -> Batch:
    """A batch from columns by name (a mapping of lists or arrays, a DataFrame), typed as the signature says.

    Raises:
        ValueError: A value is none of its column's type.
        KeyError: A column is not there.
    """
    arrays = {}
    columns = signature.columns or tuple(Column(str(name), "") for name in given)
    for column in columns:
        arrays[column.name] = _array(list(given[column.name]), column.kind)
    rows = len(next(iter(arrays.values()))) if arrays else 0
    if signature.dtype and len(arrays) == len(signature.columns):
        matrix = np.ascontiguousarray(np.column_stack(list(arrays.values())), signature.dtype)
        return Batch(signature, rows, matrix, None, _ids(rows))
    return Batch(signature, rows, None, arrays, _ids(rows))


def _array(values: list[Any], kind: str) -> Any:
    dtype = DTYPES.get(kind)
    if dtype == "object" or (dtype is None and any(isinstance(each, str) for each in values)):
        made = np.empty(len(values), object)
        made[:] = [None if each is None or each != each else each for each in values]
        return made
    return np.asarray([np.nan if each is None else each for each in values], dtype)


def _ids(rows: int) -> list[str]:
    return [str(index) for index in range(rows)]
