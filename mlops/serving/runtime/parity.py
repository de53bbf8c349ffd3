"""Does a graph answer what its original answers? Rows to ask both, and how far apart they may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlops.serving.rows import Batch, ModelFaultError, Outputs

#: The largest difference: of probabilities as it is; of other numbers divided by the root mean square of
#: what the original answers, so that the unit of a target does not matter. Classes have to be the same.
LIMIT = 1e-5
#: Rows of one comparison at most.
MOST = 5000
_UNKNOWN = "\N{INVISIBLE SEPARATOR}never seen"
Ask = Callable[[Batch], Outputs]


def difference(expected: Outputs, got: Outputs, probabilities: bool) -> float:
    """How far apart two answers are, in the measure of :data:`LIMIT`; infinite when not comparable."""
    one, other = expected.values, got.values
    if one.shape != other.shape:
        return float("inf")
    if one.dtype.kind not in "fc":
        # Classes; numbers that are whole in one and floating in the other compare as numbers.
        return 0.0 if bool((one == other).all()) else float("inf")
    one, other = one.astype(np.float64), other.astype(np.float64)
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    both = ~np.isnan(one)
    if not both.any():
        return 0.0
    scale = 1.0 if probabilities else float(np.sqrt(np.mean(one[both] ** 2))) or 1.0
    return float(np.max(np.abs(one[both] - other[both]))) / scale


def widened(rows: Batch, ask: Ask, seed: int = 0) -> list[Batch]:
    """Rows to compare: those given; their columns shuffled against each other, which no held-out row has
    beside each other; and, where the original takes them, missing numbers and texts it has never seen.

    Args:
        rows: Held-out rows, at best; a few of an input example are multiplied and scattered.
        ask: The original.
    """
    random = np.random.default_rng(seed)
    given = _picked(rows, np.linspace(0, rows.rows - 1, min(rows.rows, MOST)).astype(int))
    found = [given]
    many = max(min(given.rows, 1000), 300)
    mixed = _changed(
        given,
        lambda values: values[random.integers(0, len(values), many)],
        scatter=random,
        few=rows.rows < 100,
    )
    found.append(mixed)
    for change in (_with_missing, _with_unknown):
        tried = change(mixed, random)
        if tried is not None and _takes(ask, tried):
            found.append(tried)
    return [each for each in found if _takes(ask, each)]


def refusals(rows: Batch, ask: Ask) -> tuple[str, ...]:
    """Which numbers the original raises on: ``nan``, ``inf``; nothing when it takes the rows not at all."""
    one = _picked(rows, np.zeros(1, int))
    if not _takes(ask, one):
        return ()
    found = []
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        made = _changed(one, lambda values, v=value: np.full_like(values, v) if _floats(values) else values)
        if not _takes(ask, made):
            found.append(name)
    return tuple(found)


def _takes(ask: Ask, rows: Batch) -> bool:
    try:
        ask(rows)
    except ModelFaultError:
        return False
    return True


def _floats(values: Any) -> bool:
    return bool(values.dtype.kind == "f")


def _picked(rows: Batch, which: Any) -> Batch:
    return _changed(rows, lambda values: values[which])


def _changed(
    rows: Batch, change: Callable[..., Any], scatter: np.random.Generator | None = None, few: bool = False
) -> Batch:
    """Each column changed by itself; ``scatter``: when there are ``few`` rows, numbers are spread as well."""

    def whole(values: Any) -> Any:
        made = change(values)
        if few and scatter is not None and _floats(made):
            spread = 3 * (np.nanstd(values) or np.nanmax(np.abs(values), initial=0.0) or 1.0)
            made = made + (scatter.normal(0, spread, made.shape)).astype(made.dtype)
        return made

    if rows.matrix is not None:
        flat = rows.matrix.reshape(rows.rows, -1)
        changed = np.column_stack([whole(flat[:, place]) for place in range(flat.shape[1])])
        matrix = np.ascontiguousarray(changed).reshape(-1, *rows.matrix.shape[1:])
        return Batch(rows.signature, len(matrix), matrix, None, [""] * len(matrix))
    assert rows.columns is not None
    columns = {name: whole(values) for name, values in rows.columns.items()}
    count = len(next(iter(columns.values())))
    return Batch(rows.signature, count, None, columns, [""] * count)


def _with_missing(rows: Batch, random: np.random.Generator) -> Batch | None:
    """A tenth of the numbers missing, and of the texts."""

    def change(values: Any) -> Any:
        holes = random.random(len(values)) < 0.1
        if _floats(values) or values.dtype.kind == "O":
            values = values.copy()
            values[holes] = np.nan if _floats(values) else None
        return values

    return _changed(rows, change)


def _with_unknown(rows: Batch, random: np.random.Generator) -> Batch | None:
    """A tenth of the texts unknown; None when no column is text."""
    if rows.columns is None or all(values.dtype.kind != "O" for values in rows.columns.values()):
        return None

    def change(values: Any) -> Any:
        if values.dtype.kind == "O":
            values = values.copy()
            values[random.random(len(values)) < 0.1] = _UNKNOWN
        return values

    return _changed(rows, change)
