"""Shadowing: a version answers a copy of the traffic, for the record only. Nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from mlops.serving.evidence import Evidence, Histogram
from mlops.serving.rows import Batch, Call, Outputs, Runtime

log = logging.getLogger(__name__)
#: Requests that may wait for the shadow; the oldest is dropped for a new one.
MOST_WAITING = 256
Record = Callable[[Runtime, Call, Batch, Outputs, float], None]


class Shadow:
    """One shadow version of a model.

    Args:
        runtime: The version.
        evidence: Where its answers are counted, as those of an arm.
        record: Writes its answer to the log.

    Attributes:
        dropped: Requests that it did not see because its queue was full.
        differences: Absolute differences of its scores to those that were answered.
        differing: Rows where a text or a class was another.
    """

    def __init__(self, runtime: Runtime, evidence: Evidence, record: Record) -> None:
        self.runtime, self.evidence, self._record = runtime, evidence, record
        self._waiting: deque[tuple[Batch, Outputs, Call]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        self.differences = Histogram()
        self.differing = 0

    def mirror(self, batch: Batch, outputs: Outputs, call: Call) -> None:
        """Hand a copy over; on the event loop, returns at once."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((batch, outputs, call))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._waiting:
            batch, answered, call = self._waiting.popleft()
            start = time.perf_counter()
            try:
                outputs = await self.runtime.predict(batch)
            except Exception as error:
                self.evidence.failed("model")
                log.debug("shadow %s version %s: %s", self.runtime.model, self.runtime.version, error)
            else:
                seconds = time.perf_counter() - start
                self.evidence.answered(batch.rows, seconds, outputs.scores())
                self._compare(answered, outputs)
                self._note(call, batch, outputs, seconds)
            # Requests that callers wait for go first, also when the shadow predicts without a pause.
            await asyncio.sleep(0)

    def _note(self, call: Call, batch: Batch, outputs: Outputs, seconds: float) -> None:
        try:
            self._record(self.runtime, call, batch, outputs, seconds)
        except OSError as error:
            log.warning("an answer of a shadow was not recorded: %s", error)

    def _compare(self, answered: Outputs, outputs: Outputs) -> None:
        ours, theirs = outputs.scores(), answered.scores()
        for one, other in zip(ours, theirs, strict=False):
            if one is not None and other is not None:
                self.differences.add(abs(one - other))
        if outputs.values.dtype == object and outputs.values.shape == answered.values.shape:
            self.differing += int(np.sum(outputs.values != answered.values))
