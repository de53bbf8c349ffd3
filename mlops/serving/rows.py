"""Rows on their way through the gateway: what came in, validated, and what a model made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mlops.serving.signature import Signature


@dataclass(slots=True)
class Batch:
    """Rows to predict, in the order and the types of a signature. One of ``matrix`` and ``columns`` is set.

    Attributes:
        matrix: Shape (rows, columns), C-contiguous, when all columns have one numeric type.
        columns: One array of shape (rows,) per name otherwise; texts as ``object``, missing numbers NaN.
        ids: An id a row, by which labels join later.
        event_times: When each row happened (µs since the epoch), or None: now.
    """

    signature: Signature
    rows: int
    matrix: NDArray[Any] | None
    columns: Mapping[str, NDArray[Any]] | None
    ids: Sequence[str]
    event_times: Sequence[int] | None = None

    def frame(self) -> Any:
        """The rows as a pandas DataFrame, for models that take no less."""
        import pandas as pd

        if self.columns is not None:
            return pd.DataFrame(dict(self.columns))
        return pd.DataFrame(self.matrix, columns=list(self.signature.names) or None)


@dataclass(slots=True)
class Outputs:
    """What a model answers: shape (rows,) or (rows, k); texts as ``object``. ``names``: of the k columns,
    where the model names them."""

    values: NDArray[Any]
    names: tuple[str, ...] = ()

    def scores(self) -> list[float | None]:
        """The one number a row that says what was predicted: a number itself, the second of two class
        probabilities; None for anything else."""
        values = self.values
        if values.dtype.kind not in "fiub" or values.ndim > 2:
            return [None] * len(values)
        if values.ndim == 2:
            if values.shape[1] > 2:
                return [None] * len(values)
            values = values[:, -1]
        if values.dtype.kind != "f":
            values = values.astype(np.float64)
        return [None if each != each else each for each in values.tolist()]


@dataclass(slots=True)
class Call:
    """What a request says besides its rows.

    Attributes:
        id: Request id; a retry carries the same.
        caller: Name of the token it came with.
        key: Callers with the same key get the same arm; empty: each request is dealt anew.
        attributes: Lower-case request headers ``x-modelyard-…`` without the prefix, for feature flags.
        deadline: On the loop's clock (seconds); the answer is worth nothing afterwards.
        trace: W3C ``traceparent`` whose span is this request, to log and to send on; empty: the caller sent
            none.
    """

    id: str
    caller: str = ""
    key: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    deadline: float = math.inf
    trace: str = ""


class ModelFaultError(Exception):
    """The model itself failed on rows that its signature allows; the text is safe to show to the caller."""


class BusyError(Exception):
    """A bounded queue is full: 503 with Retry-After. ``after``: seconds worth waiting."""

    def __init__(self, what: str, after: float = 1.0) -> None:
        super().__init__(what)
        self.after = after


class Runtime(Protocol):
    """A loaded model version, ready to answer.

    Attributes:
        kind: ``onnx``, ``native`` or ``isolated``.
        processes: Of its own that answer; 0: it shares the gateway's.
        memory: Bytes that the largest of them holds; None: there is none.
    """

    model: str
    version: str
    run_id: str
    kind: str
    signature: Signature

    @property
    def processes(self) -> int: ...
    @property
    def memory(self) -> int | None: ...

    async def predict(self, batch: Batch) -> Outputs:
        """Outputs, one a row, in order.

        Raises:
            ModelFaultError: The model failed.
            BusyError: Its queue is full.
        """
        ...

    def close(self) -> None:
        """Give back what it holds; requests in flight are finished first."""
        ...
