"""Micro-batching: each caller its own rows, whatever waits beside them (MLServer#1306, #1911)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.serving.rows import Batch, BusyError, ModelFaultError, Outputs
from mlops.serving.runtime.batching import Batcher, LostError, batchable, outputs_of
from mlops.serving.signature import Signature

_SIGNATURE = Signature()


def rows(*values: float) -> Batch:
    """One column."""
    matrix = np.asarray(values, np.float64).reshape(-1, 1)
    return Batch(_SIGNATURE, len(values), matrix, None, [""] * len(values))


def texts(*values: str) -> Batch:
    """Rows of another form."""
    return Batch(_SIGNATURE, len(values), None, {"t": np.asarray(values, object)}, [""] * len(values))


class Model:
    """Answers ten times a number; fails on a whole batch with a negative one in it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.busy = 0

    async def __call__(self, batch: Batch) -> Outputs:
        assert self.busy == 0, "two calls at a time"
        self.busy += 1
        try:
            self.sizes.append(batch.rows)
            await asyncio.sleep(random.random() * 0.002)
            if batch.columns is not None:
                return Outputs(batch.columns["t"] + "!")
            assert batch.matrix is not None
            if (batch.matrix < 0).any():
                raise ModelFaultError("a negative number")
            return Outputs(batch.matrix[:, 0] * 10)
        finally:
            self.busy -= 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(-2, 50), min_size=1, max_size=6)
        | st.lists(st.text(max_size=3), min_size=1, max_size=3),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 16),
)
def test_each_caller_gets_its_own_rows_and_only_bad_rows_fail(requests: list[list[Any]], most: int) -> None:
    async def ask(batcher: Batcher, values: list[Any], delay: float) -> Any:
        await asyncio.sleep(delay)
        batch = texts(*values) if isinstance(values[0], str) else rows(*values)
        try:
            return (await batcher.predict(batch)).values.tolist()
        except ModelFaultError as error:
            return str(error)

    async def all_of_them() -> list[Any]:
        batcher = Batcher(Model(), most)
        dealt = random.Random(len(requests))
        asked = [ask(batcher, each, dealt.random() * 0.004) for each in requests]
        found = await asyncio.gather(*asked)
        batcher.close()
        await batcher.closed()
        return found

    for values, found in zip(requests, asyncio.run(all_of_them()), strict=True):
        if isinstance(values[0], str):
            assert found == [each + "!" for each in values]
        elif min(values) < 0:
            assert found == "a negative number"
        else:
            assert found == [each * 10.0 for each in values]


async def test_what_waits_while_one_is_predicted_makes_the_next_batch() -> None:
    model = Model()
    batcher = Batcher(model, 16)
    await asyncio.gather(*(batcher.predict(rows(each)) for each in range(33)))
    assert model.sizes == [16, 16, 1]
    assert batcher.calls == 3
    await batcher.predict(rows(1.0))
    assert model.sizes[-1] == 1
    large = await batcher.predict(rows(*range(100)))
    assert large.values.tolist() == [each * 10.0 for each in range(100)]


async def test_a_full_queue_says_busy_and_a_caller_that_left_is_not_predicted() -> None:
    model = Model()
    batcher = Batcher(model, 1, max_waiting=3)
    asked = [asyncio.create_task(batcher.predict(rows(each))) for each in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError) as caught:
        await batcher.predict(rows(9))
    assert caught.value.after > 0
    asked[2].cancel()
    assert [(await each).values.tolist() for each in asked[:2]] == [[0.0], [10.0]]
    batcher.close()
    await batcher.closed()
    assert model.sizes == [1, 1]
    with pytest.raises(BusyError):
        await batcher.predict(rows(9))


async def test_closing_still_answers_what_waits() -> None:
    batcher = Batcher(Model(), 2)
    asked = [asyncio.create_task(batcher.predict(rows(each))) for each in range(5)]
    await asyncio.sleep(0)
    batcher.close()
    assert [(await each).values[0] for each in asked] == [0, 10, 20, 30, 40]


async def test_rows_lost_with_their_process_are_tried_once_more_alone() -> None:
    asked: list[list[float]] = []

    async def dying(batch: Batch) -> Outputs:
        assert batch.matrix is not None
        asked.append(batch.matrix[:, 0].tolist())
        await asyncio.sleep(0)
        if 13 in batch.matrix:
            raise LostError("SIGKILL")
        return Outputs(batch.matrix[:, 0])

    batcher = Batcher(dying, 8)
    found = await asyncio.gather(
        *(batcher.predict(rows(each)) for each in (1, 13, 2)), return_exceptions=True
    )
    assert asked == [[1, 13, 2], [1], [13], [2]]
    assert isinstance(found[1], ModelFaultError)
    assert [found[0].values[0], found[2].values[0]] == [1, 2]  # type: ignore[union-attr]
    with pytest.raises(ModelFaultError):
        await batcher.predict(rows(13))
    assert asked[4:] == [[13], [13]]


def test_a_model_that_looks_at_its_neighbours_is_not_batched() -> None:
    def centred(batch: Batch) -> Outputs:
        assert batch.matrix is not None
        return Outputs(batch.matrix[:, 0] - batch.matrix.mean())

    def whole(batch: Batch) -> Outputs:
        return Outputs(np.zeros(1))

    def fine(batch: Batch) -> Outputs:
        assert batch.matrix is not None
        return Outputs(batch.matrix[:, 0] + 1)

    example = rows(1.0, 5.0)
    assert not batchable(centred, example)
    assert not batchable(whole, example)
    assert batchable(fine, example)


def test_what_models_return() -> None:
    import pandas as pd

    frame = outputs_of(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    assert (frame.values.tolist(), frame.names) == ([[1, 3], [2, 4]], ("a", "b"))
    assert outputs_of(pd.Series(["x", "y"])).values.dtype == object
    assert outputs_of([[1.0], [2.0]]).values.tolist() == [1.0, 2.0]
    assert outputs_of({"p": [1, 2], "q": [3, 4]}).names == ("p", "q")
    for odd in (3.0, [[1], [2, 3]]):
        with pytest.raises(ModelFaultError):
            outputs_of(odd)
