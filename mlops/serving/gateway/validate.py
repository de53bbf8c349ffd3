"""Rows held against a model's signature, with NumPy; the first wrong value is named by column and row.

Rows are counted from 0, as in the lists that were sent. A sentence names one column, never the whole
signature, and says the type of a wrong value, never the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops.serving.gateway.convert import WrongValueError, array_of, missing, values_of
from mlops.serving.gateway.errors import ContractError
from mlops.serving.gateway.table import Table
from mlops.serving.rows import Batch
from mlops.serving.signature import DTYPES, Signature


class Plan:
    """What is asked of a signature for each request, worked out once."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.names = list(signature.names)
        # Of NumPy, whose comparison with a name costs as much as making the array.
        self.dtype = np.dtype(signature.dtype) if signature.dtype else None
        self.kind = signature.columns[0].kind if self.dtype is not None else ""
        self.kinds = {column.name: column.kind for column in signature.columns}
        self.required = {column.name: column.required for column in signature.columns}
        # Columns of one numeric type are converted together: one call of NumPy for hundreds of columns.
        self.groups: dict[str, list[str]] = {}
        for column in signature.columns:
            self.groups.setdefault(column.kind, []).append(column.name)


class Validator:
    """Makes batches. Plans are kept by signature object.

    Args:
        most: Rows a request may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._plans: dict[int, Plan] = {}

    def batch(self, table: Table, signature: Signature, name: str) -> Batch:
        """The rows in the order and the types of ``signature``; ids default to ``name`` and a number.

        Raises:
            ContractError: They do not keep it.
        """
        rows = table.rows
        if not 0 < rows <= self._most:
            raise ContractError(f"expected 1 to {self._most} rows, got {rows}")
        plan = self._plans.get(id(signature)) or self._plan(signature)
        matrix: NDArray[Any] | None = None
        columns: Mapping[str, NDArray[Any]] | None = None
        if (
            plan.dtype is not None
            and table.flat is not None
            and table.shape is None
            and _in_order(table, plan)
        ):
            matrix = _matrix(table, plan)
        if matrix is not None:
            pass
        elif signature.tensor is not None:
            matrix = _tensor(table, signature)
        elif plan.names:
            matrix, columns = _by_name(_named(table, plan.names), rows, plan)
        else:
            matrix, columns = _unsigned(table)
        ids = table.ids
        if ids is None:
            ids = [name] if rows == 1 else [f"{name}-{index}" for index in range(rows)]
        return Batch(signature, rows, matrix, columns, ids, table.event_times)

    def _plan(self, signature: Signature) -> Plan:
        if len(self._plans) >= 256:
            self._plans.clear()
        plan = self._plans[id(signature)] = Plan(signature)
        return plan


def _in_order(table: Table, plan: Plan) -> bool:
    """Whether rows can be taken as they are: by position, or with the signature's names in its order."""
    return table.names is None or table.names == plan.names


def _matrix(table: Table, plan: Plan) -> NDArray[Any] | None:
    """Rows of one numeric type, straight into one array."""
    width = len(plan.names)
    if table.width != width:
        raise ContractError(f"expected {width} columns, got {table.width}")
    try:
        values = values_of(table.flat, plan.kind)
    except WrongValueError as error:
        row, column = divmod(error.index, width)
        raise _wrong(plan.names[column], row, plan.kind, error) from None
    # A whole number is missing: column by column it is seen whose.
    if values.dtype != plan.dtype:
        return None
    return values.reshape(table.rows, width)


def _named(table: Table, names: Sequence[str]) -> Mapping[str, Any]:
    """Columns by name of any table; by position they take the names of the signature."""
    if table.columns is not None:
        return table.columns
    if table.shape is not None:
        raise ContractError(f"expected rows of {len(names)} columns, got a tensor of shape {table.shape}")
    own = table.names
    if own is None:
        if table.width != len(names):
            raise ContractError(f"expected {len(names)} columns, got {table.width}")
        own = names
    return {name: table.flat[index :: table.width] for index, name in enumerate(own)}


def _by_name(
    table: Mapping[str, Any], rows: int, plan: Plan
) -> tuple[NDArray[Any] | None, dict[str, NDArray[Any]] | None]:
    """Columns in the types of the signature: a matrix where they have one numeric type."""
    absent = [name for name in plan.names if name not in table]
    gone = [name for name in absent if plan.required[name]]
    if gone:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        raise ContractError(f"missing column {', '.join(map(_short, gone[:3]))}{more}")
    found: dict[str, NDArray[Any]] = {name: missing(plan.kinds[name], rows) for name in absent}
    for kind, group in plan.groups.items():
        lists = [name for name in group if name not in found and type(table[name]) is list]
        if len(lists) > 1 and kind in ("double", "float", "long", "integer"):
            found.update(_together(table, lists, rows, kind, plan))
    for name in plan.names:
        if name not in found:
            found[name] = _column(table[name], name, plan)
    if plan.dtype is not None and all(values.dtype == plan.dtype for values in found.values()):
        matrix = np.empty((rows, len(plan.names)), plan.dtype)
        for index, name in enumerate(plan.names):
            matrix[:, index] = found[name]
        return matrix, None
    return None, {name: found[name] for name in plan.names}


def _together(
    table: Mapping[str, Any], names: list[str], rows: int, kind: str, plan: Plan
) -> dict[str, NDArray[Any]]:
    """Lists of one numeric type as views of one array; nothing where a whole number is missing (those
    columns are looked at one by one)."""
    flat = [table[name][0] for name in names] if rows == 1 else [v for name in names for v in table[name]]
    try:
        values = values_of(flat, kind)
    except WrongValueError as error:
        column, row = divmod(error.index, rows)
        raise _wrong(names[column], row, kind, error) from None
    if values.dtype != DTYPES[kind]:
        return {}
    return dict(zip(names, values.reshape(len(names), rows), strict=True))


def _column(values: Any, name: str, plan: Plan) -> NDArray[Any]:
    """One column in its type."""
    kind, required = plan.kinds[name], plan.required[name]
    try:
        array = values_of(values, kind) if type(values) is list else array_of(values, kind)
        if required and kind not in ("double", "float"):
            _nothing_missing(array, kind)
    except WrongValueError as error:
        raise _wrong(name, error.index, kind, error) from None
    return array


def _nothing_missing(array: NDArray[Any], kind: str) -> None:
    """Only numbers with a fraction have a value for missing: NaN.

    Raises:
        WrongValueError: At the first that is missing.
    """
    if array.dtype.kind == "O":
        gone = next((index for index, value in enumerate(array.tolist()) if value is None), -1)
    elif array.dtype.kind == "M":
        gone = _first(np.isnat(array))
    elif array.dtype.kind == "f" and kind in ("long", "integer"):
        gone = _first(np.isnan(array))
    else:
        return
    if gone >= 0:
        raise WrongValueError(gone, "nothing")


def _first(wrong: NDArray[Any]) -> int:
    places = np.flatnonzero(wrong)
    return int(places[0]) if len(places) else -1


def _tensor(table: Table, signature: Signature) -> NDArray[Any]:
    """Rows of a tensor signature: shape (rows, …)."""
    tensor = signature.tensor
    assert tensor is not None
    flat, names = table.flat, table.names
    if flat is None and table.columns is not None and len(table.columns) == 1:
        names, flat = list(table.columns), next(iter(table.columns.values()))
        table = Table(table.rows, flat=flat, width=1, names=names)
    if flat is None:
        raise ContractError("expected one tensor")
    shape = table.shape or ((table.rows, table.width) if len(tensor.shape) > 1 else (table.rows,))
    fits = len(shape) == len(tensor.shape) and all(
        wanted in (-1, size) for wanted, size in zip(tensor.shape, shape, strict=True)
    )
    if not fits or (len(tensor.shape) == 1 and table.width != 1):
        wanted = ", ".join("any" if size < 0 else str(size) for size in tensor.shape)
        raise ContractError(f"expected a tensor of shape [{wanted}], got {list(shape)}")
    kind = _KINDS.get(tensor.dtype, "")
    try:
        if not kind:
            return np.asarray(flat).astype(tensor.dtype).reshape(shape)
        values = values_of(flat, kind) if type(flat) is list else array_of(flat, kind)
    except WrongValueError as error:
        row = error.index // max(1, len(flat) // table.rows)
        raise _wrong(tensor.name or "input", row, tensor.dtype, error) from None
    except (TypeError, ValueError, OverflowError):
        raise ContractError(f"{tensor.name or 'input'}: expected values of type {tensor.dtype}") from None
    return values.reshape(shape)


_KINDS = {"float64": "double", "float32": "float", "int64": "long", "int32": "integer", "bool": "boolean"}


def _unsigned(table: Table) -> tuple[NDArray[Any] | None, dict[str, NDArray[Any]] | None]:
    """Rows for a model that was logged without a signature: types as they come."""
    if table.flat is not None and table.names is None:
        try:
            values = values_of(table.flat, "double")
        except WrongValueError as error:
            row, column = divmod(error.index, max(1, table.width))
            raise _wrong(str(column), row, "double", error) from None
        return values.reshape(table.shape or (table.rows, table.width)), None
    columns = table.columns
    if columns is None:
        columns = {name: table.flat[index :: table.width] for index, name in enumerate(table.names or ())}
    if not columns:
        raise ContractError("expected at least one column")
    return None, {str(name): array_of(values, "") for name, values in columns.items()}


def _wrong(name: str, row: int, kind: str, error: WrongValueError) -> ContractError:
    return ContractError(f"column {_short(name)}, row {row}: expected {kind}, got {error.got}")


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "…"
