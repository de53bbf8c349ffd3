"""Small real implementations of what the gateway needs: models, a router, a log, callers."""

from __future__ import annotations

import asyncio
import functools
import hmac
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from mlops.serving.evidence import Evidence
from mlops.serving.gateway.app import Gateway
from mlops.serving.gateway.limits import Limits
from mlops.serving.gateway.ports import AdminHandler, Callers, Choice, Refusal
from mlops.serving.rollout import machine
from mlops.serving.rollout.state import Deployment
from mlops.serving.rollout.strategy import parse
from mlops.serving.rows import Batch, BusyError, Call, ModelFaultError, Outputs, Runtime
from mlops.serving.runtime.onnx import Graph, OnnxRuntime, Plan
from mlops.serving.signature import Column, Signature

ADMIN = {"authorization": "Bearer let-me-in"}


def columns(*names: str, kind: str = "double", required: bool = True) -> Signature:
    """A signature of columns of one type."""
    return Signature(tuple(Column(name, kind, required) for name in names))


@dataclass
class Sum:
    """Answers the sum of each row, numbers only; a row whose sum is ``crash`` is a fault of the model."""

    signature: Signature
    model: str = "sum"
    version: str = "1"
    run_id: str = "r"
    kind: str = "native"
    processes: int = 0
    memory: int | None = None
    seconds: float = 0.0
    crash: float = -999.0
    closed: bool = False
    seen: list[Batch] = field(default_factory=list)

    async def predict(self, batch: Batch) -> Outputs:
        """After ``seconds``."""
        self.seen.append(batch)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if batch.matrix is not None:
            sums: NDArray[Any] = batch.matrix.reshape(batch.rows, -1).sum(axis=1)
        else:
            assert batch.columns is not None
            numbers = [each for each in batch.columns.values() if each.dtype.kind in "fiub"]
            sums = (
                np.sum([each.astype(float) for each in numbers], axis=0) if numbers else np.zeros(batch.rows)
            )
        if (sums == self.crash).any():
            raise ModelFaultError("it does not like the number")
        if (sums == self.crash - 1).any():
            raise BusyError("its queue is full", 3.0)
        if (sums == self.crash - 2).any():
            raise RuntimeError("secret detail")
        return Outputs(sums)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


@dataclass
class Fixed:
    """Answers the same outputs for any rows."""

    signature: Signature
    outputs: Outputs
    model: str = "fixed"
    version: str = "1"
    run_id: str = "r"
    kind: str = "native"
    processes: int = 0
    memory: int | None = None

    async def predict(self, batch: Batch) -> Outputs:
        """Without a look at them."""
        return self.outputs

    def close(self) -> None:
        """Nothing is held."""


class Onnx:
    """A scikit-learn classifier converted to ONNX: probability of the second class."""

    processes, memory = 0, None

    def __init__(self, estimator: Any, names: Sequence[str], model: str = "lr", version: str = "1") -> None:
        # Neither says its types.
        onnxruntime, skl2onnx = import_module("onnxruntime"), import_module("skl2onnx")
        converted = skl2onnx.to_onnx(
            estimator, np.zeros((1, len(names)), np.float32), options={"zipmap": False}, target_opset=18
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            converted.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._wanted = [self._session.get_outputs()[1].name]
        self.model, self.version, self.run_id, self.kind = model, version, "r", "onnx"
        self.signature = columns(*names, kind="float")

    def answer_now(self, batch: Batch) -> Outputs:
        """On the loop: a row takes less than handing it to a thread."""
        return Outputs(self._session.run(self._wanted, {self._input: batch.matrix})[0][:, 1])

    async def predict(self, batch: Batch) -> Outputs:
        """The same."""
        return self.answer_now(batch)

    def close(self) -> None:
        """Let the session go."""
        del self._session


def as_graph(estimator: Any, model: str = "lr", version: str = "1", kind: str = "float") -> OnnxRuntime:
    """The product's runtime of a scikit-learn classifier: probability of the second class; warm."""
    # Says no types.
    skl2onnx = import_module("skl2onnx")
    width = estimator.n_features_in_
    converted = skl2onnx.to_onnx(
        estimator, np.zeros((1, width), np.float32), options={"zipmap": False}, target_opset=18
    )
    signature = columns(*(f"f{index}" for index in range(width)), kind=kind)
    plan = Plan(output=converted.graph.output[1].name, column=1)
    runtime = OnnxRuntime(
        model, version, "r", signature, Graph(converted.SerializeToString(), signature, plan)
    )
    for _ in range(20):
        runtime.predict_now(Batch(signature, 1, np.zeros((1, width), signature.dtype), None, ["warm"]))
    return runtime


def rolled_out(canary: bool = False) -> Deployment:
    """Version 1 answers; with ``canary`` version 2 a fifth of the requests."""
    strategy = parse("canary:20,100")
    state = machine.loaded(machine.deploy(Deployment(), "1", strategy, now=0, by="me"), "1", now=0)
    if canary:
        state = machine.loaded(machine.deploy(state, "2", strategy, now=1, by="me"), "2", now=1)
    return state


@functools.cache
def logistic(features: int = 20) -> Any:
    """A fitted scikit-learn LogisticRegression."""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(1)
    rows = random.normal(size=(500, features))
    return LogisticRegression().fit(rows, rows[:, 0] + rows[:, 1] > 0)


class OneArm:
    """Each model is answered by its runtime. ``reason``: why the gateway is not ready."""

    def __init__(self, *runtimes: Runtime, reason: str = "") -> None:
        self.arms = {each.model: Choice(each, "champion", Evidence()) for each in runtimes}
        self.reason = reason
        # The last few: a benchmark with this router must not measure how a list grows.
        self.calls: deque[Call] = deque(maxlen=100)

    def choose(self, model: str, call: Call, version: str | None) -> Choice | Refusal:
        """The runtime of that name."""
        self.calls.append(call)
        choice = self.arms.get(model)
        if choice is None:
            return Refusal(404, f"no model {model[:100]} is deployed")
        if version is not None and version != choice.runtime.version:
            return Refusal(404, f"{model} has no version {version[:100]} that is served")
        return choice

    def served(self) -> Sequence[Choice]:
        """All."""
        return list(self.arms.values())

    def fault(self) -> str:
        """``reason``."""
        return self.reason


@dataclass(frozen=True)
class Rows:
    """A number of rows."""

    rows: int


@dataclass
class MemoryLog:
    """Keeps what it is given; ``full``: the disk is."""

    rows: list[tuple[str, str, str, Call, Batch, Outputs, float]] = field(default_factory=list)
    labels: list[tuple[str, Sequence[str], Sequence[float], Sequence[int]]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    full: bool = False

    def append(
        self,
        model: str,
        version: str,
        arm: str,
        call: Call,
        batch: Batch,
        outputs: Outputs,
        latency_seconds: float,
    ) -> None:
        """Keep it."""
        if self.full:
            raise OSError("no space left on device")
        self.rows.append((model, version, arm, call, batch, outputs, latency_seconds))

    def fail(
        self,
        model: str,
        version: str,
        arm: str,
        call: Call,
        reason: str,
        sentence: str,
        latency_seconds: float,
        batch: Batch | None = None,
    ) -> None:
        """Keep it."""
        if self.full:
            raise OSError("no space left on device")
        self.failures.append((reason, sentence))

    def label(
        self,
        model: str,
        ids: Sequence[str],
        values: Sequence[float],
        times: Sequence[int],
        name: str = "label",
    ) -> None:
        """Keep them."""
        if self.full:
            raise OSError("no space left on device")
        self.labels.append((model, ids, values, times))

    def backlog(self, model: str) -> Rows:
        """Rows kept."""
        return Rows(sum(row[4].rows for row in self.rows if row[0] == model))


@dataclass
class Someone:
    """A caller; ``models`` None: all."""

    name: str = "someone"
    administrator: bool = False
    models: frozenset[str] | None = None
    watches: bool = False
    seconds: float = 0.0

    def may(self, model: str) -> bool:
        """Whether it is one of its models."""
        return self.models is None or model in self.models

    def may_watch(self) -> bool:
        """As made."""
        return self.administrator or self.watches

    def wait(self) -> float:
        """As made."""
        return self.seconds


class Tokens:
    """Callers by token, in clear: for tests only."""

    def __init__(self, **callers: Someone) -> None:
        self._callers = callers

    def identify(self, authorization: bytes) -> Someone | None:
        """The caller of ``Bearer TOKEN``; ``let-me-in`` is the administrator's."""
        token = authorization.decode().removeprefix("Bearer ")
        if hmac.compare_digest(token, "let-me-in"):
            return Someone("administrator", administrator=True)
        return self._callers.get(token)


@dataclass
class Yard:
    """A gateway in this process and a client of it."""

    gateway: Gateway
    client: httpx.AsyncClient
    router: OneArm
    log: MemoryLog

    async def infer(self, inputs: Any, model: str = "sum", **more: Any) -> httpx.Response:
        """An Open Inference Protocol request."""
        return await self.client.post(f"/v2/models/{model}/infer", json={"inputs": inputs, **more})

    async def invoke(self, body: Any, model: str = "sum", **options: Any) -> httpx.Response:
        """A request in one of MLflow's forms."""
        return await self.client.post(f"/models/{model}/invocations", json=body, **options)

    def evidence(self, model: str = "sum") -> Evidence:
        """Of the only arm."""
        return self.router.arms[model].evidence


@asynccontextmanager
async def yard(
    *runtimes: Runtime,
    limits: Limits | None = None,
    callers: Callers | None = None,
    admin: Mapping[str, AdminHandler] | None = None,
    reason: str = "",
) -> AsyncIterator[Yard]:
    """A gateway that serves these runtimes; the client sends the administrator's token."""
    router, log = OneArm(*runtimes, reason=reason), MemoryLog()
    gateway = Gateway(router, log, callers or Tokens(), limits, admin)
    transport = httpx.ASGITransport(gateway, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=ADMIN) as client:
        yield Yard(gateway, client, router, log)
    gateway.close()
