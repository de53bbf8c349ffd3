"""A version in processes of its own: what it loads, leaks or crashes stays there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from mlops.serving.rows import Batch, BusyError, ModelFaultError, Outputs
from mlops.serving.runtime.batching import Batcher
from mlops.serving.runtime.mlmodel import LoggedModel
from mlops.serving.runtime.scaling import LOOK_SECONDS, Scale
from mlops.serving.runtime.workers import WINDOW, Worker, no_deaths

log = logging.getLogger(__name__)


class IsolatedRuntime:
    """A version served by one or several :class:`~mlops.serving.runtime.workers.Worker`, micro-batched.

    Args:
        logged: The model.
        python: Interpreter with its requirements.
        memory: Bytes each process may hold; beyond, it is killed and started anew.
        stuck: Seconds after which one prediction counts as hung, and its process is killed.
        scale: How many processes, by their load.
        ended: Called when the last process has.
    """

    kind = "isolated"

    def __init__(
        self,
        model: str,
        version: str,
        run_id: str,
        logged: LoggedModel,
        python: Path,
        memory: int = 2 * 1024**3,
        stuck: float = 60.0,
        max_rows: int = 512,
        scale: Scale | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.version, self.run_id = model, version, run_id
        self.signature = logged.signature
        self._logged, self._python, self._memory, self._stuck = logged, python, memory, stuck
        self._scale, self._ended = scale or Scale(1), ended
        self.batcher = Batcher(self._run, max_rows, what=model)
        self._deaths = no_deaths()
        self._workers = [self._made()]
        self._idle = list(self._workers)
        self._running: dict[Worker, float] = {}
        self._busy = 0.0
        self._following: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._gone: set[asyncio.Task[None]] = set()
        self._past = [0, 0]

    def _made(self) -> Worker:
        name = f"{self.model} version {self.version}"
        return Worker(
            name, self._logged, self._python, self._memory, self._stuck, self._deaths, self._counted
        )

    @property
    def pid(self) -> int:
        """Of a process that answers; 0: none does."""
        return next((each.pid for each in self._workers if each.answers), 0)

    @property
    def processes(self) -> int:
        """Processes that answer."""
        return sum(each.answers for each in self._workers)

    @property
    def memory(self) -> int | None:
        """Bytes that the largest of its processes held at the last look; None: none answers."""
        return max((held for each in self._workers if (held := each.memory)), default=None)

    @property
    def restarts(self) -> int:
        """Deaths of its processes."""
        return self._past[0] + sum(each.restarts for each in self._workers)

    @property
    def memory_kills(self) -> int:
        """Those that had held too much."""
        return self._past[1] + sum(each.memory_kills for each in self._workers)

    async def start(self) -> None:
        """Start a process; returns when the model is loaded.

        Raises:
            ModelFaultError: It does not load.
        """
        await self._workers[0].start()
        if self._scale.most > 1:
            self._following = asyncio.create_task(self._follow())

    async def predict(self, batch: Batch) -> Outputs:
        """See :class:`~mlops.serving.rows.Runtime`."""
        return await self.batcher.predict(batch)

    async def _run(self, batch: Batch) -> Outputs:
        # Who is dead is asked, and so started anew, only when nobody alive is free.
        one = next((each for each in reversed(self._idle) if each.answers), self._idle[-1])
        self._idle.remove(one)
        self._running[one] = time.monotonic()
        try:
            return await one.run(batch)
        finally:
            self._busy += time.monotonic() - self._running.pop(one)
            if one in self._workers:
                self._idle.append(one)
            else:
                self._end_of(one)

    def _counted(self) -> None:
        """As many batches at once as there are processes; with none, one, which starts it anew."""
        self.batcher.lanes = max(1, self.processes)

    async def _follow(self) -> None:
        at, busy = time.monotonic(), 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            total = self._busy + sum(now - begun for begun in self._running.values())
            alive = self.processes
            share = (total - busy) / ((now - at) * max(1, alive))
            at, busy = now, total
            if alive < len(self._workers):
                self._revive()
                continue
            wanted = self._scale.look(share, alive)
            if wanted > alive and self._sound(now) and self._affordable():
                await self._grow()
            elif wanted < alive:
                self._shrink()

    def _sound(self, now: float) -> bool:
        """None died of late: what dies is busy starting anew, and more of it would hide that it does."""
        return not self._deaths or now - self._deaths[-1] >= WINDOW

    def _affordable(self) -> bool:
        """One more process may come to hold what the largest holds, and some must be left to the others."""
        return psutil.virtual_memory().available > 2 * (self.memory or 0)

    async def _grow(self) -> None:
        new = self._made()
        try:
            await new.start()
        except (ModelFaultError, BusyError) as error:
            # Those that answer go on; the load asks again.
            log.warning("%s version %s: one more process: %s", self.model, self.version, error)
            return
        except asyncio.CancelledError:
            self._end_of(new)
            raise
        self._workers.append(new)
        self._idle.append(new)
        self._counted()
        log.info("%s version %s: %d processes", self.model, self.version, self.processes)

    def _shrink(self) -> None:
        """One less: it answers what it has, then ends."""
        one = self._workers.pop()
        self._counted()
        if one in self._idle:
            self._idle.remove(one)
            self._end_of(one)
        log.info("%s version %s: %d processes", self.model, self.version, self.processes)

    def _end_of(self, one: Worker) -> None:
        self._past = [self._past[0] + one.restarts, self._past[1] + one.memory_kills]
        task = asyncio.get_running_loop().create_task(one.end())
        self._gone.add(task)
        task.add_done_callback(self._gone.discard)

    def _revive(self) -> None:
        """Start a dead one anew beside those that answer; it waits by itself when it died often."""
        dead = next((each for each in self._idle if not each.answers), None)
        if dead is None or (self._restarting is not None and not self._restarting.done()):
            return

        async def started() -> None:
            with contextlib.suppress(ModelFaultError, BusyError):
                await dead.start()

        self._restarting = asyncio.get_running_loop().create_task(started())

    def close(self) -> None:
        """See :class:`~mlops.serving.rows.Runtime`."""
        self.batcher.close()
        with contextlib.suppress(RuntimeError):
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        await self.batcher.closed()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        for one in self._workers:
            self._end_of(one)
        await asyncio.gather(*self._gone)
        self._ended()
