"""One process that serves a version: started, asked, watched, started anew when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from mlops.serving.rows import Batch, BusyError, ModelFaultError, Outputs
from mlops.serving.runtime import worker
from mlops.serving.runtime.batching import LostError, outputs_of
from mlops.serving.runtime.environments import without_secrets
from mlops.serving.runtime.mlmodel import LoggedModel

log = logging.getLogger(__name__)
#: Seconds between two looks at the memory of the process.
_WATCH = 0.2
#: Deaths within :data:`WINDOW` seconds after which it is given up for that long.
_DEATHS, WINDOW = 5, 60.0
_STARTING = 180.0


class _Process:
    """One life of the worker."""

    def __init__(self, process: asyncio.subprocess.Process, reader: Any, writer: Any) -> None:
        self.process, self.reader, self.writer = process, reader, writer
        self.reason = ""
        self.counted = False
        self.held: int | None = None

    def kill(self, reason: str) -> None:
        """End it at once; ``reason`` is told to whoever waits for it."""
        self.reason = self.reason or reason
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def exchange(self, frame: list[Any]) -> tuple[dict[str, Any], bytes]:
        """Send a frame (empty: none) and read one.

        Raises:
            OSError, asyncio.IncompleteReadError: It died.
        """
        if frame:
            self.writer.writelines(frame)
            await self.writer.drain()
        head, size = worker.LENGTHS.unpack(await self.reader.readexactly(worker.LENGTHS.size))
        header: dict[str, Any] = json.loads(await self.reader.readexactly(head))
        return header, await self.reader.readexactly(size)


def no_deaths() -> deque[float]:
    """Of a version that has just been loaded."""
    return deque(maxlen=_DEATHS)


class Worker:
    """``worker.py`` under the Python of a version.

    Args:
        name: Of the version, for the log.
        logged: The model.
        python: Interpreter with its requirements.
        memory: Bytes it may hold; beyond, it is killed and started anew.
        stuck: Seconds after which one prediction counts as hung, and the process is killed.
        deaths: Moments of the deaths of all processes of the version, on the monotonic clock: a version that
            dies again and again is given up whichever of them it takes with it.
        changed: Called when the process has come or gone.
    """

    def __init__(
        self,
        name: str,
        logged: LoggedModel,
        python: Path,
        memory: int,
        stuck: float,
        deaths: deque[float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._logged, self._python = name, logged, python
        self._memory, self._stuck, self._changed = memory, stuck, changed
        self._form = "array" if logged.signature.tensor is not None else ""
        self._life: _Process | None = None
        self._starting: asyncio.Task[_Process] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._deaths = deaths
        self._last = ""
        self.restarts = 0
        self.memory_kills = 0

    @property
    def pid(self) -> int:
        """Of the process that answers; 0: none does."""
        return self._life.process.pid if self._life else 0

    @property
    def memory(self) -> int | None:
        """Bytes the process held at the last look; None: none answers."""
        return self._life.held if self._life else None

    @property
    def answers(self) -> bool:
        """Whether the process is there."""
        return self._life is not None and self._life.process.returncode is None

    async def start(self) -> None:
        """Start the process, unless it is there; returns when the model is loaded.

        Raises:
            ModelFaultError: It does not load.
            BusyError: It died too often of late.
        """
        await self._alive()

    async def run(self, batch: Batch) -> Outputs:
        """Outputs of the batch; one at a time.

        Raises:
            ModelFaultError: The model failed on these rows.
            LostError: The process ended with these rows in it.
            BusyError: It died too often of late.
        """
        life = await self._alive()
        try:
            async with asyncio.timeout(self._stuck):
                header, body = await life.exchange(_frame(batch, self._form))
        except TimeoutError:
            life.kill(f"one prediction took more than {self._stuck:g} s")
            await self._died(life)
            # Once more would hang as well, and hold up whoever waits.
            raise ModelFaultError(f"the model's process was ended: {life.reason}") from None
        except (OSError, asyncio.IncompleteReadError):
            await self._died(life)
            raise LostError(f"the model's process ended while it predicted: {self._last}") from None
        except asyncio.CancelledError:
            # Its answer would be read as the next one's.
            life.kill("the gateway ends")
            raise
        if not header["ok"]:
            raise ModelFaultError(f"the model refuses the rows: {header['error']}")
        outputs = outputs_of(worker.unpack(header, body)[0])
        return Outputs(outputs.values, tuple(header["names"]))

    async def _alive(self) -> _Process:
        """The process, started anew when it has died, after a pause that grows with its deaths."""
        if self._life is not None:
            if self._life.process.returncode is None:
                return self._life
            await self._died(self._life)
        if self._starting is None:
            pause = self._pause()
            if pause > 2.0:
                raise BusyError(f"{self._name} ended {len(self._deaths)} times ({self._last})", pause)
            self._starting = asyncio.create_task(self._start(pause))
        task = self._starting
        try:
            # Shielded: a request that is given up must not stop the start that others wait for.
            self._life = await asyncio.shield(task)
        finally:
            if task.done():
                self._starting = None
        self._changed()
        return self._life

    def _pause(self) -> float:
        """Seconds until the next start: none after a first death, then twice as long each time."""
        now = time.monotonic()
        recent = [each for each in self._deaths if now - each < WINDOW]
        if not recent:
            return 0.0
        if len(recent) >= _DEATHS:
            return max(recent[-1] + WINDOW - now, 0.0)
        grown: float = 0.25 * (2 ** (len(recent) - 1) - 1)
        return max(recent[-1] + grown - now, 0.0)

    async def _start(self, pause: float) -> _Process:
        await asyncio.sleep(pause)
        ours, theirs = socket.socketpair()
        # -I: this folder has modules named like packages that a model imports (onnx).
        words = [str(self._python), "-I", worker.__file__, str(theirs.fileno()), str(self._logged.folder)]
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                f"--data={self._memory + self._memory // 2}",
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=_variables(),
            )
        except OSError as error:
            ours.close()
            raise ModelFaultError(f"its process does not start: {error.strerror}") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        life = _Process(process, reader, writer)
        self._watching = asyncio.create_task(self._watch(life))
        try:
            async with asyncio.timeout(_STARTING):
                hello, _ = await life.exchange([])
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            life.kill(f"it was not loaded after {_STARTING:.0f} s")
            await self._died(life)
            raise LostError(f"the model's process ended while it loaded: {self._last}") from None
        if not hello["ok"]:
            life.kill(str(hello["error"]))
            await self._died(life)
            raise ModelFaultError(f"it does not load: {hello['error']}")
        log.info("%s: process %d answers", self._name, process.pid)
        return life

    async def _died(self, life: _Process) -> None:
        """Take note of a death, once."""
        if life is self._life:
            self._life = None
            self._changed()
        code = await life.process.wait()
        if life.counted:
            return
        life.counted = True
        life.writer.close()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._last = life.reason or how
        self._deaths.append(time.monotonic())
        self.restarts += 1
        log.warning("%s: its process has ended: %s", self._name, self._last)

    async def _watch(self, life: _Process) -> None:
        """Kill it when it holds more than it may. Resident memory: an address space limit would count what
        numeric libraries only reserve, and there may be no cgroup to ask."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(life.process.pid)
            while life.process.returncode is None:
                held = life.held = process.memory_info().rss
                if held > self._memory:
                    self.memory_kills += 1
                    life.kill(f"it held {held >> 20} MiB, {self._memory >> 20} MiB are allowed")
                    return
                await asyncio.sleep(_WATCH)

    async def end(self) -> None:
        """Let the process end, which it does once it has answered."""
        if self._starting is not None:
            with contextlib.suppress(ModelFaultError, BusyError):
                self._life = await self._starting
        life = self._life
        if life is None:
            return
        life.writer.close()  # it ends at the end of its input
        try:
            async with asyncio.timeout(5):
                await life.process.wait()
        except TimeoutError:
            life.kill("the gateway ends")


def _frame(batch: Batch, form: str) -> list[Any]:
    if batch.columns is not None:
        header = {"form": "columns", "names": list(batch.columns)}
        return worker.pack(header, list(batch.columns.values()))
    return worker.pack({"form": form or "matrix", "names": list(batch.signature.names)}, [batch.matrix])


def _variables() -> dict[str, str]:
    """The gateway's variables without its secrets; one thread, since it shares the machine."""
    found = without_secrets()
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    found |= dict.fromkeys(threads, "1") | {"MALLOC_ARENA_MAX": "2", "MLFLOW_LOGGING_LEVEL": "ERROR"}
    found.pop("PYTHONPATH", None)
    found.pop("VIRTUAL_ENV", None)
    return found
