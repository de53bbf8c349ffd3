"""Rows as lines of a segment: JSON whose fields are texts and numbers only, for Arrow's own parser.

Rows of one numeric type travel as the bare values (``"values":"1.0,2.0"``) with the number of their shape,
which a line of its own says once a segment (``"shape":7,"names":"[…]"``); the flush makes objects of them
(:mod:`mlops.serving.log.tables`). All others travel as the object itself, ``features``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import numpy as np
import orjson

from mlops.serving.log.policy import HIDDEN, Policy
from mlops.serving.rows import Batch, Call, Outputs
from mlops.serving.signature import Signature

_MOST_CACHED = 1000
_FAILED_ROWS = 100
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def text(value: str) -> bytes:
    """A JSON string; what no JSON can hold (half a surrogate pair) is replaced."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(value.encode("utf-8", "replace").decode())


def value_of(value: Any) -> bytes:
    """Anything a column may hold as JSON."""
    try:
        return orjson.dumps(value, default=_plain, option=_NUMPY)
    except (TypeError, ValueError):
        return json.dumps(value, default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def quoted(value: bytes) -> bytes:
    """JSON text inside a JSON string, without the quotes around it."""
    if b"\\" in value:
        value = value.replace(b"\\", b"\\\\")
    return value.replace(b'"', b'\\"')


class Plan:
    """How the features of one signature are recorded, worked out once.

    Attributes:
        shape: Number of the bare form; unique in this process.
        definition: The line that says its names.
    """

    _numbers = count(1)

    def __init__(self, batch: Batch, policy: Policy) -> None:
        self.signature = batch.signature
        self._policy = policy
        self.shape = next(self._numbers)
        width = batch.matrix.shape[1] if batch.matrix is not None and batch.matrix.ndim == 2 else 0
        self._names = batch.signature.names or tuple(str(index) for index in range(width))
        self._width = width
        kept = [index for index, name in enumerate(self._names) if policy.hashed.get(name, True)]
        self._kept = None if len(kept) == len(self._names) else kept
        # A hash is a text: those rows are no longer of one numeric type.
        self._hashes = any(policy.hashed.get(name, False) for name in self._names)
        self._bare = bool(kept) and len(self._names) == width and not self._hashes
        seen = [self._names[index] for index in kept]
        hidden = [name for name in self._names if not policy.hashed.get(name, True)]
        self.definition = b'{"shape":%d,"names":"%b","hidden":"%b"}' % (
            self.shape,
            quoted(orjson.dumps(seen)),
            quoted(orjson.dumps(hidden)),
        )

    def bare(self, batch: Batch, rows: Sequence[int] | None) -> list[bytes] | None:
        """The values of each row, separated by commas; None: these rows are not of one numeric type."""
        matrix = batch.matrix
        if not self._bare or matrix is None or matrix.ndim != 2 or matrix.shape[1] != self._width:
            return None
        if rows is not None:
            matrix = matrix[rows]
        if self._kept is not None:
            matrix = matrix[:, self._kept]
        try:
            found = orjson.dumps(_contiguous(matrix), option=_NUMPY)[2:-2]
            return found.split(b"],[") if len(matrix) > 1 else [found]
        except TypeError:
            return None

    def features(self, batch: Batch, rows: Iterable[int] | None = None) -> list[bytes]:
        """A JSON object a row, quoted; ``rows``: only these."""
        if batch.columns is not None:
            names: Sequence[str] = list(batch.columns)
            lists = [_listed(column) for column in batch.columns.values()]
            found: Sequence[Sequence[Any]] = list(zip(*lists, strict=True)) if lists else [()] * batch.rows
        else:
            assert batch.matrix is not None
            found = batch.matrix.tolist()
            names = batch.signature.names or [str(index) for index in range(batch.matrix.shape[1])]
        if rows is not None:
            found = [found[index] for index in rows]
        if self._policy.hashed:
            return [quoted(value_of(self._redacted(names, row))) for row in found]
        return [quoted(value_of(dict(zip(names, row, strict=True)))) for row in found]

    def _redacted(self, names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
        hashed, policy = self._policy.hashed, self._policy
        return {
            name: value if name not in hashed else policy.disguised(value) if hashed[name] else HIDDEN
            for name, value in zip(names, row, strict=True)
        }


def _contiguous(values: Any) -> Any:
    """The copy only where values do not lie as they should: it costs as much as a row."""
    return values if values.flags.c_contiguous else np.ascontiguousarray(values)


def _listed(column: Any) -> list[Any]:
    """A column as plain values; a time as ISO text, a missing one as None."""
    if column.dtype.kind == "M":
        return [None if each == "NaT" else each for each in column.astype(str).tolist()]
    plain: list[Any] = column.tolist()
    return plain


class Encoder:
    """Makes the lines of requests."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._plans: dict[int, Plan] = {}
        self._senders: dict[tuple[str, str, str], bytes] = {}

    def _plan(self, batch: Batch) -> Plan:
        # By identity: the hash of a signature goes over all its columns. The plan holds the signature, so its
        # number is not another's while it is a key.
        signature: Signature = batch.signature
        plan = self._plans.get(id(signature))
        if plan is None:
            if len(self._plans) >= _MOST_CACHED:
                self._plans.clear()
            plan = self._plans[id(signature)] = Plan(batch, self._policy)
        return plan

    def _sender(self, version: str, arm: str, caller: str) -> bytes:
        key = (version, arm, caller)
        found = self._senders.get(key)
        if found is None:
            if len(self._senders) >= _MOST_CACHED:
                self._senders.clear()
            found = b',"version":%b,"arm":%b,"caller":%b' % (text(version), text(arm), text(caller))
            self._senders[key] = found
        return found

    def answered(
        self,
        version: str,
        arm: str,
        call: Call,
        batch: Batch,
        outputs: Outputs,
        seconds: float,
        now: int,
    ) -> tuple[list[bytes], Plan | None]:
        """A line for each row that the policy keeps, and the plan whose definition they need, if any."""
        ids, kept = batch.ids, None
        if self._policy.sample < 1.0:
            kept = [index for index, each in enumerate(ids) if self._policy.sampled(each)]
            if not kept:
                return [], None
        plan: Plan | None = self._plan(batch)
        assert plan is not None
        features = plan.bare(batch, kept)
        if features is not None:
            field = b'"shape":%d,"values"' % plan.shape
        else:
            features, plan, field = plan.features(batch, kept), None, b'"features"'
        predictions, scores = _predictions(outputs)
        times = batch.event_times
        request = text(call.id)
        end = b'%b,"request":%b%b,"time":%d,"latency_ms":%.3f}' % (
            self._sender(version, arm, call.caller),
            request,
            b',"trace":' + text(call.trace) if call.trace else b"",
            now,
            seconds * 1e3,
        )
        lines = [
            b'{"id":%b,%b:"%b","prediction":"%b","score":%b%b%b'
            % (
                request if ids[index] is call.id else text(ids[index]),
                field,
                features[place],
                predictions[index],
                scores[index],
                b"" if times is None or times[index] is None else b',"event_time":%d' % times[index],
                end,
            )
            for place, index in enumerate(range(len(ids)) if kept is None else kept)
        ]
        return lines, plan

    def failed(
        self,
        version: str,
        arm: str,
        call: Call,
        reason: str,
        sentence: str,
        batch: Batch | None,
        seconds: float,
        now: int,
    ) -> bytes:
        """The line of a failed request."""
        features = b""
        if batch is not None and self._policy.failed_rows:
            first = range(min(batch.rows, _FAILED_ROWS))
            features = b',"features":"[%b]"' % b",".join(self._plan(batch).features(batch, first))
        line = {
            "id": call.id,
            "time": now,
            "version": version,
            "arm": arm,
            "caller": call.caller,
            "trace": call.trace or None,
            "class": reason,
            "sentence": sentence,
            "rows": batch.rows if batch is not None else None,
            "latency_ms": round(seconds * 1e3, 3),
        }
        made = value_of({name: value for name, value in line.items() if value is not None})
        return made[:-1] + features + b"}"


def _predictions(outputs: Outputs) -> tuple[list[bytes], list[bytes]]:
    """JSON a row, quoted: a number or text; a list of k values; an object where the model names them. And the
    score of each, as :meth:`Outputs.scores` has it."""
    values, names = outputs.values, outputs.names
    if values.ndim == 1 and values.dtype.kind in "fiu":
        # Numbers are their own text and their own score.
        try:
            numbers = orjson.dumps(_contiguous(values), option=_NUMPY)[1:-1].split(b",")
            return numbers, numbers
        except TypeError:
            pass
    plain: list[Any] = values.tolist()
    if values.ndim == 2 and len(names) == values.shape[1]:
        plain = [dict(zip(names, row, strict=True)) for row in plain]
    scores = [b"null" if each is None else orjson.dumps(each) for each in outputs.scores()]
    return [quoted(value_of(each)) for each in plain], scores
