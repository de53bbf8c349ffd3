"""Rows as lines of a segment: JSON whose fields are texts and numbers only, for Arrow's own parser."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from mlops.serving.log.policy import Policy
from mlops.serving.rows import Batch, Call, Outputs
from mlops.serving.signature import Signature

_MOST_PLANS = 1000
_FAILED_ROWS = 100


def text(value: str) -> bytes:
    """A JSON string; what no JSON can hold (half a surrogate pair) is replaced."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(value.encode("utf-8", "replace").decode())


def value_of(value: Any) -> bytes:
    """Anything a column may hold as JSON."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except (TypeError, ValueError):
        return orjson.dumps(json.loads(json.dumps(value, default=str).encode("utf-8", "replace")))


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
    """How the features of one signature are recorded, worked out once."""

    def __init__(self, signature: Signature, policy: Policy) -> None:
        self.signature = signature
        self._policy = policy
        self._names = signature.names
        self._touched = bool(policy.hashed)

    def features(self, batch: Batch, rows: Iterable[int] | None = None) -> list[bytes]:
        """A JSON object a row, quoted; ``rows``: only these."""
        if batch.columns is not None:
            names: Sequence[str] = list(batch.columns)
            # A NumPy time has no JSON form of its own: ISO text.
            lists = [_listed(column) for column in batch.columns.values()]
            found: Sequence[Sequence[Any]] = list(zip(*lists, strict=True)) if lists else [()] * batch.rows
        else:
            assert batch.matrix is not None
            found = batch.matrix.tolist()
            names = self._names or [str(index) for index in range(batch.matrix.shape[1])]
        if rows is not None:
            found = [found[index] for index in rows]
        if self._touched:
            return [quoted(value_of(self._redacted(names, row))) for row in found]
        return [quoted(value_of(dict(zip(names, row, strict=True)))) for row in found]

    def _redacted(self, names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
        hashed, policy = self._policy.hashed, self._policy
        return {
            name: policy.disguised(value) if name in hashed else value
            for name, value in zip(names, row, strict=True)
            if hashed.get(name, True)
        }


def _listed(column: Any) -> list[Any]:
    if column.dtype.kind == "M":
        return [None if each == "NaT" else each for each in column.astype(str).tolist()]
    plain: list[Any] = column.tolist()
    return plain


class Encoder:
    """Makes the lines of requests; used from one thread at a time."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._plans: dict[int, Plan] = {}

    def _plan(self, signature: Signature) -> Plan:
        # By identity: the hash of a signature goes over all its columns. The plan holds the signature, so the
        # number is not used again while it is a key.
        plan = self._plans.get(id(signature))
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[id(signature)] = Plan(signature, self._policy)
        return plan

    def answered(
        self,
        version: str,
        arm: str,
        call: Call,
        batch: Batch,
        outputs: Outputs,
        seconds: float,
        now: int,
    ) -> list[bytes]:
        """A line for each row that the policy keeps."""
        ids, kept = batch.ids, None
        if self._policy.sample < 1.0:
            kept = [index for index, each in enumerate(ids) if self._policy.sampled(each)]
            if not kept:
                return []
        features = self._plan(batch.signature).features(batch, kept)
        predictions = _predictions(outputs)
        scores = outputs.scores()
        times = batch.event_times
        end = b"".join(
            (
                b',"request":',
                text(call.id),
                b',"version":',
                text(version),
                b',"arm":',
                text(arm),
                b',"caller":',
                text(call.caller),
                b',"trace":',
                text(call.trace),
                b',"time":%d,"latency_ms":%.3f}' % (now, seconds * 1e3),
            )
        )
        lines = []
        for place, index in enumerate(range(len(ids)) if kept is None else kept):
            score = scores[index]
            moment = times[index] if times is not None else None
            lines.append(
                b'{"id":%b,"features":"%b","prediction":"%b"%b%b%b'
                % (
                    text(ids[index]),
                    features[place],
                    predictions[index],
                    b"" if score is None else b',"score":%b' % orjson.dumps(score),
                    b"" if moment is None else b',"event_time":%d' % moment,
                    end,
                )
            )
        return lines

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
            rows = self._plan(batch.signature).features(batch, first)
            features = b',"features":"[%b]"' % b",".join(rows)
        line = {
            "id": call.id,
            "time": now,
            "version": version,
            "arm": arm,
            "caller": call.caller,
            "trace": call.trace,
            "class": reason,
            "sentence": sentence,
            "rows": batch.rows if batch is not None else None,
            "latency_ms": round(seconds * 1e3, 3),
        }
        made = value_of({name: value for name, value in line.items() if value is not None})
        return made[:-1] + features + b"}"


def _predictions(outputs: Outputs) -> list[bytes]:
    """JSON a row, quoted: a number or text; a list of k values; an object where the model names them."""
    values: list[Any] = outputs.values.tolist()
    names = outputs.names
    if outputs.values.ndim > 1 and names:
        return [quoted(value_of(dict(zip(names, row, strict=True)))) for row in values]
    return [quoted(value_of(each)) for each in values]
