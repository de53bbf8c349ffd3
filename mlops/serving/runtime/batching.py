"""Drain-style micro-batching: what arrives while one batch is predicted makes the next one.

There is no artificial delay: an idle model answers a lone request at once, a busy one takes all that waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from mlops.serving.rows import Batch, BusyError, ModelFaultError, Outputs

#: Predicts one batch; raises ModelFaultError.
Run = Callable[[Batch], Awaitable[Outputs]]


class LostError(ModelFaultError):
    """The model's process ended with these rows in it; each request is worth one more try, alone."""


def combine(batches: Sequence[Batch]) -> Batch:
    """Several batches of one signature and one form as one, in order."""
    first = batches[0]
    if len(batches) == 1:
        return first
    ids = [each for batch in batches for each in batch.ids]
    rows = sum(batch.rows for batch in batches)
    if first.columns is None:
        return Batch(first.signature, rows, np.concatenate([b.matrix for b in batches]), None, ids)
    columns = {
        name: np.concatenate([batch.columns[name] for batch in batches if batch.columns is not None])
        for name in first.columns
    }
    return Batch(first.signature, rows, None, columns, ids)


def alike(one: Batch, other: Batch) -> bool:
    """Whether both have one form, so that their rows can stand in one batch."""
    if one.columns is not None and other.columns is not None:
        return one.columns.keys() == other.columns.keys() and all(
            values.dtype == other.columns[name].dtype for name, values in one.columns.items()
        )
    if one.matrix is not None and other.matrix is not None:
        return one.matrix.dtype == other.matrix.dtype and one.matrix.shape[1:] == other.matrix.shape[1:]
    return False


def split(outputs: Outputs, batches: Sequence[Batch]) -> list[Outputs]:
    """Each batch's own rows of the outputs of all, in order.

    Raises:
        ModelFaultError: The model did not answer one a row.
    """
    rows = sum(batch.rows for batch in batches)
    if len(outputs.values) != rows:
        raise ModelFaultError(f"the model answered {len(outputs.values)} rows to {rows}")
    if len(batches) == 1:
        return [outputs]
    found, start = [], 0
    for batch in batches:
        found.append(Outputs(outputs.values[start : start + batch.rows], outputs.names))
        start += batch.rows
    return found


class Batcher:
    """Hands batches to ``run``, and each caller its own rows.

    Args:
        run: Predicts one batch.
        max_rows: Rows of one call at most; a single request may be larger. 1: nothing is put together.
        max_waiting: Requests that may wait; beyond, :class:`BusyError`.
        what: Name of the model, for messages.

    Attributes:
        lanes: Calls at once.
    """

    def __init__(self, run: Run, max_rows: int = 512, max_waiting: int = 1024, what: str = "model") -> None:
        self._run, self.max_rows, self._most, self._what = run, max_rows, max_waiting, what
        self._waiting: deque[tuple[Batch, asyncio.Future[Outputs]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.lanes = 1
        self.calls = self.rows = 0

    @property
    def waiting(self) -> int:
        """Requests that are not yet handed to the model."""
        return len(self._waiting)

    async def predict(self, batch: Batch) -> Outputs:
        """Outputs of the batch.

        Raises:
            ModelFaultError: The model failed on these rows.
            BusyError: Too many wait already, or it is closed.
        """
        if self._closed:
            raise BusyError(f"{self._what} is being unloaded", 0.2)
        if len(self._waiting) >= self._most:
            raise BusyError(f"{self._what}: {len(self._waiting)} requests wait already")
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        if len(self._tasks) < self.lanes:
            self._tasks.add(asyncio.create_task(self._drain()))
        return await future

    def close(self) -> None:
        """Take no more; what waits is still answered."""
        self._closed = True

    async def closed(self) -> None:
        """Returns when, after :meth:`close`, the last request is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _drain(self) -> None:
        try:
            while self._waiting and len(self._tasks) <= max(1, self.lanes):
                await self._answer(self._take())
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)
            for _, future in self._waiting if not self._tasks else ():
                # Only when this task was cancelled: nobody would ever answer them.
                if not future.done():
                    future.set_exception(BusyError(f"{self._what} is being unloaded", 0.2))
            if not self._tasks:
                self._waiting.clear()

    def _take(self) -> list[tuple[Batch, asyncio.Future[Outputs]]]:
        taken: list[tuple[Batch, asyncio.Future[Outputs]]] = []
        rows = 0
        while self._waiting:
            batch, future = self._waiting[0]
            if future.done():  # its caller has gone
                self._waiting.popleft()
                continue
            if taken and (rows + batch.rows > self.max_rows or not alike(taken[0][0], batch)):
                break
            self._waiting.popleft()
            taken.append((batch, future))
            rows += batch.rows
        return taken

    async def _answer(self, taken: list[tuple[Batch, asyncio.Future[Outputs]]]) -> None:
        if not taken:
            return
        batches = [batch for batch, _ in taken]
        self.calls += 1
        self.rows += sum(batch.rows for batch in batches)
        try:
            found: list[Outputs | Exception] = [*split(await self._run(combine(batches)), batches)]
        except Exception as error:
            # One bad row must not fail the others that happened to wait beside it. What was lost with a
            # process is tried once more, alone: the rows that ended it then end only themselves.
            again = len(taken) > 1 or isinstance(error, LostError)
            alone = again and not isinstance(error, BusyError)
            found = [await self._alone(each) for each in batches] if alone else [error] * len(taken)
        for (_, future), outputs in zip(taken, found, strict=True):
            if future.done():
                continue
            if isinstance(outputs, Exception):
                future.set_exception(outputs)
            else:
                future.set_result(outputs)

    async def _alone(self, batch: Batch) -> Outputs | Exception:
        self.calls += 1
        try:
            return split(await self._run(batch), [batch])[0]
        except Exception as error:
            return error


def outputs_of(found: Any) -> Outputs:
    """What a model returned (array, list, Series, DataFrame, dict of arrays) as outputs.

    Raises:
        ModelFaultError: It is none of these, or ragged.
    """
    names: tuple[str, ...] = ()
    if hasattr(found, "to_numpy"):  # pandas, without importing it
        columns = getattr(found, "columns", None)
        names = tuple(map(str, columns)) if columns is not None else ()
        values = found.to_numpy()
    elif isinstance(found, dict) and found:
        names = tuple(map(str, found))
        values = np.column_stack([np.asarray(each) for each in found.values()])
    else:
        try:
            values = np.asarray(found)
        except ValueError as error:
            raise ModelFaultError("the model answered rows of different lengths") from error
    if values.ndim == 0:
        raise ModelFaultError("the model answered one value instead of one a row")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "US":
        values = values.astype(object)
    return Outputs(values, names)


def batchable(predict: Callable[[Batch], Outputs], rows: Batch) -> bool:
    """Whether a row's output does not depend on the rows beside it: the example's first row alone, and the
    example three times over, agree. A model that scales by its batch's mean must not be micro-batched.

    Raises:
        ModelFaultError: The model takes not even its own example.
    """
    alone = predict(_first(rows))
    try:
        together = predict(combine([rows, rows, rows]))
    except ModelFaultError:
        return False
    return _agree(alone, together, rows.rows)


async def batchable_apart(predict: Run, rows: Batch) -> bool:
    """:func:`batchable` of a model in another process."""
    alone = await predict(_first(rows))
    try:
        together = await predict(combine([rows, rows, rows]))
    except ModelFaultError:
        return False
    return _agree(alone, together, rows.rows)


def _agree(alone: Outputs, together: Outputs, rows: int) -> bool:
    if len(together.values) != 3 * rows:
        return False
    expected = together.values[[0, rows, 2 * rows]]
    one = np.repeat(alone.values, 3, axis=0)
    if one.dtype.kind in "fc" and expected.dtype.kind in "fc":
        return one.shape == expected.shape and bool(
            np.allclose(one, expected, rtol=1e-6, atol=1e-9, equal_nan=True)
        )
    return one.shape == expected.shape and bool((one == expected).all())


def _first(rows: Batch) -> Batch:
    matrix = rows.matrix[:1] if rows.matrix is not None else None
    columns = {name: each[:1] for name, each in rows.columns.items()} if rows.columns is not None else None
    return Batch(rows.signature, 1, matrix, columns, list(rows.ids[:1]))
