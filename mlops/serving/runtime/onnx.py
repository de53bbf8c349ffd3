"""A version as an ONNX graph: data, never code, and for one row a hundredth of what scikit-learn takes."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mlops.serving.rows import Batch, BusyError, ModelFaultError, Outputs
from mlops.serving.signature import Signature

#: A prediction expected to take longer leaves the event loop (seconds).
INLINE = 0.001
#: Requests in the threads or waiting for them at most.
WAITING = 256
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}
Feed = Callable[[Batch], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Plan:
    """How a graph stands in for what pyfunc's predict answers.

    Attributes:
        output: Name of the graph's output; empty: all of them, as columns.
        column: Which column of it alone; -1: all.
        dtype: NumPy's name of the type the original answers with; empty: as the graph gives it.
        missing: What stands for a missing text.
        refuses: Which numbers the original raises on: ``nan``, ``inf``.
    """

    output: str = ""
    column: int = -1
    dtype: str = ""
    missing: str = ""
    refuses: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """From a conversion's report."""
        known = {each.name: data[each.name] for each in fields(cls) if each.name in data}
        return cls(**{**known, "refuses": tuple(known.get("refuses", ()))})

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "refuses": list(self.refuses)}


def session(graph: bytes | Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session for many small requests: no threads of its own, no spinning, memory given back.

    Args:
        graph: The file's content, or its path when weights lie beside it.
        threads: Within one operator.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # The arena keeps the largest batch's memory for ever; without it a request costs a malloc more.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def output_names(graph: bytes | Path) -> list[str]:
    """Names of a graph's outputs, in order."""
    return [each.name for each in session(graph).get_outputs()]


def plan_of_flavor(names: list[str]) -> Plan:
    """For a model that was logged as ONNX: its one output; of a classifier's class and probabilities the
    latter, which pyfunc cannot put into one DataFrame; else all outputs, as columns."""
    if len(names) == 2 and "probab" in names[1].lower():
        return Plan(output=names[1])
    return Plan(output=names[0]) if len(names) == 1 else Plan()


class Graph:
    """A session with its plan: batches in, outputs out. Predicting is safe from several threads."""

    def __init__(self, graph: bytes | Path, signature: Signature, plan: Plan, threads: int = 1) -> None:
        self._session = session(graph, threads)
        self._plan = plan
        self._feed = _feeder(self._session.get_inputs(), signature, plan)
        self._names = [each.name for each in self._session.get_outputs()]
        if plan.output and plan.output not in self._names:
            raise ValueError(f"the graph has no output {plan.output}")
        self._wanted = [plan.output] if plan.output else self._names
        self._dtype = np.dtype(plan.dtype) if plan.dtype else None
        # None, unless every row has to be looked at for what the original would raise on.
        self._refused: Callable[[NDArray[Any]], Any] | None = None
        by_name = self._session.get_inputs()[0].name in signature.names
        self._row = None if by_name else _OneRow.of(self._session, self._wanted, plan)
        if plan.refuses:
            finite = set(plan.refuses) == {"nan", "inf"}
            self._refused = _not_finite if finite else (np.isnan if "nan" in plan.refuses else np.isinf)

    def predict(self, batch: Batch) -> Outputs:
        """Outputs, one a row.

        Raises:
            ModelFaultError: The graph, or the original, takes no such rows.
        """
        if batch.rows == 1 and self._row is not None and batch.matrix is not None:
            row = self._row.answer(batch.matrix)
            if row is not None:
                return Outputs(row)
        try:
            feed = self._feed(batch)
            if self._refused is not None:
                self._check(feed)
            found = self._session.run(self._wanted, feed)
        except ModelFaultError:
            raise
        except Exception as error:
            text = (str(error).splitlines() or [""])[0].rpartition("Status Message: ")[2][:200]
            raise ModelFaultError(f"the model refuses the rows: {text}") from error
        if len(found) > 1:
            return self._all(found)
        values = found[0]
        if not isinstance(values, np.ndarray):
            raise ModelFaultError("the model answers with maps; it was logged without zipmap=False")
        if values.ndim == 2 and (self._plan.column >= 0 or values.shape[1] == 1):
            values = values[:, max(self._plan.column, 0)]
        if self._dtype is not None and values.dtype != self._dtype:
            values = values.astype(self._dtype)
        if len(values) != batch.rows:
            raise ModelFaultError(f"the model answered {len(values)} rows to {batch.rows}")
        return Outputs(values)

    def _check(self, feed: Mapping[str, NDArray[Any]]) -> None:
        assert self._refused is not None
        for values in feed.values():
            if values.dtype.kind == "f" and self._refused(values).any():
                raise ModelFaultError("the model takes no missing and no infinite numbers")

    def _all(self, found: list[Any]) -> Outputs:
        flat = [each.reshape(len(each), -1) for each in found if isinstance(each, np.ndarray)]
        if len(flat) < len(found):
            raise ModelFaultError("the model answers with maps; it was logged without zipmap=False")
        names: list[str] = []
        for name, each in zip(self._names, flat, strict=True):
            names += [name] if each.shape[1] == 1 else [f"{name}_{i}" for i in range(each.shape[1])]
        return Outputs(np.hstack(flat), tuple(names))


class _OneRow:
    """One row through buffers that stay where they are: half of what a run with arrays takes, most of it
    for making and checking values of ONNX Runtime.

    Args:
        given: The row; ONNX Runtime reads it where it is.
        found: Likewise the output that is wanted.
    """

    def __init__(
        self,
        session: Any,
        given: tuple[str, NDArray[Any]],
        found: tuple[str, NDArray[Any]],
        plan: Plan,
    ) -> None:
        binding = session.io_binding()
        for bind, (name, array) in ((binding.bind_input, given), (binding.bind_output, found)):
            bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._given, self._found = given[1], found[1]
        self._shape = self._given.shape
        # A view: what of the output is the answer.
        self._answer = self._found
        if self._found.ndim == 2 and (plan.column >= 0 or self._found.shape[1] == 1):
            self._answer = self._found[:, max(plan.column, 0)]
        self._dtype = np.dtype(plan.dtype) if plan.dtype else self._found.dtype
        # Numbers that may be refused are looked at in the usual way.
        self._finite = bool(plan.refuses) and self._given.dtype.kind == "f"
        # The methods below the wrappers, which look for devices that are not here; where a release has other
        # ones, the wrappers. The session must live as long as they do.
        self._session = session
        inner: Any = getattr(session, "_sess", None)
        bound: Any = getattr(binding, "_iobinding", None)
        self._run: Callable[..., Any] = session.run_with_iobinding
        self._bound: tuple[Any, ...] = (binding,)
        if bound is not None and hasattr(inner, "run_with_iobinding"):
            self._run, self._bound = inner.run_with_iobinding, (bound, None)
        # Whoever does not get the buffers, because another thread has them, takes the usual way.
        self._taken = threading.Lock()

    @classmethod
    def of(cls, session: Any, wanted: list[str], plan: Plan) -> _OneRow | None:
        """For a graph of one input of numbers and one wanted output of numbers; None: it is none."""
        inputs = session.get_inputs()
        dtype, shape = np.dtype(_TYPES.get(inputs[0].type, np.object_)), inputs[0].shape
        if len(inputs) != 1 or len(wanted) != 1 or dtype.kind not in "fi" or len(shape) != 2:
            return None
        if not isinstance(shape[1], int) or (isinstance(shape[0], int) and shape[0] != 1):
            return None
        given: NDArray[Any] = np.zeros((1, shape[1]), dtype)
        try:
            first = session.run(wanted, {inputs[0].name: given})[0]
            if not isinstance(first, np.ndarray) or first.dtype.kind not in "fiub" or first.shape[:1] != (1,):
                return None
            return cls(session, (inputs[0].name, given), (wanted[0], np.zeros_like(first)), plan)
        except Exception:
            return None

    def answer(self, matrix: NDArray[Any]) -> NDArray[Any] | None:
        """The answer; None: ask the session in the usual way, which also says what is wrong."""
        if matrix.shape != self._shape or not self._taken.acquire(blocking=False):
            return None
        try:
            given = self._given
            given[:] = matrix
            if self._finite and not _surely_finite(given[0]):
                return None
            self._run(*self._bound)
            return self._answer.astype(self._dtype)
        except Exception:
            return None
        finally:
            self._taken.release()


def _surely_finite(row: NDArray[Any]) -> bool:
    """One call instead of three; False says nothing, for squares overflow."""
    return math.isfinite(row.dot(row))


def _not_finite(values: NDArray[Any]) -> Any:
    return ~np.isfinite(values)


def _feeder(inputs: list[Any], signature: Signature, plan: Plan) -> Feed:
    """How a batch becomes the graph's inputs, decided once.

    Raises:
        ValueError: The graph's inputs are not the signature's.
    """
    for each in inputs:
        if each.type not in _TYPES:
            raise ValueError(f"the graph's input {each.name} is a {each.type}")
    names = [each.name for each in inputs]
    if len(inputs) == 1 and names != list(signature.names):
        return _matrix_feed(names[0], np.dtype(_TYPES[inputs[0].type]), signature)
    if set(names) != set(signature.names):
        raise ValueError(f"the graph's inputs {names[:5]} are not the signature's columns")
    places = {name: place for place, name in enumerate(signature.names)}
    wanted = [
        (each.name, places[each.name], np.dtype(_TYPES[each.type]), len(each.shape) == 1) for each in inputs
    ]

    def feed(batch: Batch) -> dict[str, NDArray[Any]]:
        found = {}
        for name, place, dtype, flat in wanted:
            if batch.columns is not None:
                values = batch.columns[name]
            else:
                assert batch.matrix is not None
                values = batch.matrix[:, place]
            if dtype.kind == "O":
                values = _texts(values, plan.missing)
            elif values.dtype != dtype:
                values = values.astype(dtype)
            found[name] = np.ascontiguousarray(values) if flat else values.reshape(-1, 1)
        return found

    return feed


def _texts(values: NDArray[Any], missing: str) -> NDArray[Any]:
    """Texts only: a missing one (None, NaN) becomes ``missing``."""
    for each in values:
        if each.__class__ is not str:
            made = np.empty(len(values), object)
            made[:] = [missing if v is None or v != v else str(v) for v in values]
            return made
    return values


def _matrix_feed(name: str, dtype: np.dtype[Any], signature: Signature) -> Feed:
    columns = signature.names

    def feed(batch: Batch) -> dict[str, NDArray[Any]]:
        matrix = batch.matrix
        if matrix is None:
            assert batch.columns is not None
            given = [batch.columns[each] for each in columns or batch.columns]
            matrix = np.column_stack(given)
            if dtype.kind == "O":
                matrix = _texts(matrix.ravel(), "").reshape(matrix.shape)
        return {name: matrix if matrix.dtype == dtype else matrix.astype(dtype)}

    return feed


class OnnxRuntime:
    """A version served by a :class:`Graph`: on the event loop while that is short, in a thread beyond."""

    kind = "onnx"
    processes, memory = 0, None

    def __init__(self, model: str, version: str, run_id: str, signature: Signature, graph: Graph) -> None:
        self.model, self.version, self.run_id, self.signature = model, version, run_id, signature
        self._graph = graph
        self._pool: Executor | None = None
        self._inside = 0
        #: Running mean of the seconds a row takes.
        self.seconds_per_row = 0.0
        self._before = 0.0

    async def predict(self, batch: Batch) -> Outputs:
        """See :class:`~mlops.serving.rows.Runtime`."""
        if batch.rows * self.seconds_per_row < INLINE:
            return self.predict_now(batch)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(2, f"onnx-{self.model}")
        if self._inside >= WAITING:
            raise BusyError(f"{self.model}: {self._inside} requests wait already")
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self.predict_now, batch)
        finally:
            self._inside -= 1

    def answer_now(self, batch: Batch) -> Outputs | None:
        """The answer, when the event loop may wait for it; None: ask :meth:`predict`."""
        return self.predict_now(batch) if batch.rows * self.seconds_per_row < INLINE else None

    def predict_now(self, batch: Batch) -> Outputs:
        """Predict in this thread; measures itself."""
        start = time.perf_counter()
        outputs = self._graph.predict(batch)
        taken = (time.perf_counter() - start) / max(batch.rows, 1)
        # The lower of two in a row: one pause of a busy machine is not the model's.
        self.seconds_per_row += 0.1 * (min(taken, self._before, 1.0) - self.seconds_per_row)
        self._before = taken
        return outputs

    def close(self) -> None:
        """See :class:`~mlops.serving.rows.Runtime`."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
