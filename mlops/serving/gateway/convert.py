"""Values of one column, or of many of one type, to the NumPy type that MLflow's name of it means.

Nothing is converted that is not of the type already: a text that looks like a number, ``true`` for 1 or 1.5
for a whole number is a mistake of the sender's, and a guess would answer for a row nobody sent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops.serving.signature import DTYPES

_NUMBERS = frozenset((int, float))
_WHOLE = frozenset((int,))
_NOTHING = type(None)
_FLOAT32 = float(np.finfo("float32").max)


class WrongValueError(Exception):
    """The value at ``index`` is not of the type; ``got`` says what it is."""

    def __init__(self, index: int, got: str) -> None:
        super().__init__(index, got)
        self.index, self.got = index, got


def values_of(values: Any, kind: str) -> NDArray[Any]:
    """A list (of JSON values) or an array as an array of shape (len,); ``None`` becomes NaN, NaT or None,
    and makes whole numbers floats.

    Raises:
        WrongValueError: A value is not of the type.
    """
    if type(values) is not list:
        return array_of(values, kind)
    if kind in ("double", "float"):
        return _floats(values, DTYPES[kind])
    if kind in ("long", "integer"):
        return _integers(values, DTYPES[kind])
    return _OTHERS.get(kind, _objects)(values)


def _floats(values: list[Any], dtype: str) -> NDArray[Any]:
    kinds = set(map(type, values))
    if not kinds <= _NUMBERS and kinds - _NUMBERS != {_NOTHING}:
        _refuse(values, lambda value: value is None or type(value) in _NUMBERS)
    if dtype == "float32":
        # JSON has no infinity, but numbers that 32 bits do not hold. Two passes in C cost less than NumPy's
        # own way to notice.
        known = values if len(kinds) == 1 or _NOTHING not in kinds else [v for v in values if v is not None]
        if known and (max(known) > _FLOAT32 or min(known) < -_FLOAT32):
            _refuse(values, lambda value: value is None or abs(value) <= _FLOAT32, "a number too large")
    return np.array(values, dtype)


def _integers(values: list[Any], dtype: str) -> NDArray[Any]:
    kinds = set(map(type, values))
    if kinds == _WHOLE:
        try:
            return np.array(values, dtype)
        except OverflowError:
            span = np.iinfo(dtype)
            _refuse(values, lambda value: span.min <= value <= span.max, "a number too large")
    if not kinds <= _NUMBERS and kinds - _NUMBERS != {_NOTHING}:
        _refuse(values, lambda value: value is None or type(value) in _NUMBERS)
    _refuse(values, lambda value: type(value) is not float or value.is_integer(), "a number with a fraction")
    span = np.iinfo(dtype)
    _refuse(values, lambda value: value is None or span.min <= value <= span.max, "a number too large")
    if _NOTHING in kinds:
        return np.array(values, "float64")
    return np.array([int(value) for value in values], dtype)


def _booleans(values: list[Any]) -> NDArray[Any]:
    kinds = set(map(type, values))
    if kinds == {bool}:
        return np.array(values, bool)
    _refuse(values, lambda value: value is None or type(value) is bool)
    return _objects(values)


def _texts(values: list[Any]) -> NDArray[Any]:
    if set(map(type, values)) - {str, _NOTHING}:
        _refuse(values, lambda value: value is None or type(value) is str)
    return _objects(values)


def _times(values: list[Any]) -> NDArray[Any]:
    found = np.empty(len(values), "datetime64[us]")
    for index, value in enumerate(values):
        try:
            found[index] = None if value is None else _naive(datetime.fromisoformat(value))
        except (TypeError, ValueError, OverflowError):
            raise WrongValueError(index, _name(value)) from None
    return found


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _bytes(values: list[Any]) -> NDArray[Any]:
    """MLflow sends bytes as base64."""
    found = np.empty(len(values), object)
    for index, value in enumerate(values):
        try:
            found[index] = (
                value if value is None or type(value) is bytes else base64.b64decode(value, validate=True)
            )
        except (TypeError, ValueError, binascii.Error):
            raise WrongValueError(index, _name(value) + " that is no base64") from None
    return found


def _objects(values: list[Any]) -> NDArray[Any]:
    found = np.empty(len(values), object)
    # Element by element: NumPy would make a table of lists of equal length.
    for index, value in enumerate(values):
        found[index] = value
    return found


_OTHERS: dict[str, Callable[[list[Any]], NDArray[Any]]] = {
    "boolean": _booleans,
    "string": _texts,
    "datetime": _times,
    "binary": _bytes,
}


def array_of(values: Any, kind: str) -> NDArray[Any]:
    """An array (of a binary tensor, Arrow or CSV) in the type of ``kind``; empty: as it comes.

    Raises:
        WrongValueError: A value is not of the type, or infinite.
    """
    if type(values) is list:
        return _as_it_comes(values) if not kind else values_of(values, kind)
    array = np.asarray(values)
    if not kind:
        return array
    if array.dtype.kind in "OSUV":
        return values_of([_plain(value) for value in array.tolist()], kind)
    if kind in ("double", "float") and array.dtype.kind in "fiu":
        _finite(array, "infinity")
        with np.errstate(over="ignore"):
            found = array.astype(DTYPES[kind])
        _finite(found, "a number too large")
        return found
    if kind in ("long", "integer") and array.dtype.kind in "fiu":
        return _whole(array, DTYPES[kind])
    if kind == "boolean" and array.dtype.kind == "b":
        return array
    if kind == "datetime" and array.dtype.kind == "M":
        return array.astype(DTYPES[kind])
    if kind not in DTYPES:
        return array
    raise WrongValueError(0, _name(array[0].item()))


def _as_it_comes(values: list[Any]) -> NDArray[Any]:
    kinds = set(map(type, values))
    if kinds <= _NUMBERS or kinds - _NUMBERS == {_NOTHING}:
        try:
            return np.array(values, "int64" if kinds == _WHOLE else "float64")
        except OverflowError:
            return np.array(values, "float64")
    return np.array(values, bool) if kinds == {bool} else _objects(values)


def _plain(value: Any) -> Any:
    """Bytes that are text as text: protocols of tensors know only bytes."""
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value


def _whole(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    span = np.iinfo(dtype)
    if array.dtype.kind == "f":
        gone = np.isnan(array)
        known = np.where(gone, 0, array)
        _check(np.isinf(known), "infinity")
        _check(known != np.floor(known), "a number with a fraction")
        # The largest float below the end of the range: the end itself would be rounded beyond it.
        _check((known < span.min) | (known >= float(span.max) + 1), "a number too large")
        return array.astype("float64") if gone.any() else array.astype(dtype)
    _check((array < span.min) | (array > span.max), "a number too large")
    return array.astype(dtype)


def _finite(array: NDArray[Any], got: str) -> None:
    if array.dtype.kind == "f" and np.isinf(array).any():
        _check(np.isinf(array), got)


def _check(wrong: NDArray[Any], got: str) -> None:
    places = np.flatnonzero(wrong)
    if len(places):
        raise WrongValueError(int(places[0]), got)


def missing(kind: str, rows: int) -> NDArray[Any]:
    """A column of which nothing was sent."""
    dtype = DTYPES.get(kind, "object")
    if dtype in ("float64", "float32"):
        return np.full(rows, np.nan, dtype)
    if dtype in ("int64", "int32"):
        return np.full(rows, np.nan, "float64")
    if dtype == "datetime64[us]":
        return np.full(rows, np.datetime64("NaT"), dtype)
    return np.full(rows, None, object)


def _refuse(values: list[Any], allowed: Callable[[Any], bool], got: str = "") -> None:
    """Raise at the first value that is not allowed."""
    for index, value in enumerate(values):
        if not allowed(value):
            raise WrongValueError(index, got or _name(value))


def _name(value: Any) -> str:
    """What a JSON value is called."""
    for type_, name in _NAMES:
        if isinstance(value, type_):
            return name
    return "something else"


_NAMES: tuple[tuple[Any, str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a text"),
    (bytes, "bytes"),
    (list, "a list"),
    (dict, "an object"),
    (_NOTHING, "nothing"),
)
