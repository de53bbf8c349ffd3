"""Which form a request is in, by its headers; and its answer in the form it asked for."""

from __future__ import annotations

from collections.abc import Callable

from mlops.serving.gateway import answers, binary, bodies, frames
from mlops.serving.gateway.errors import MalformedError, RequestError
from mlops.serving.gateway.ports import Choice
from mlops.serving.gateway.table import Table
from mlops.serving.rows import Batch, Call, Outputs
from mlops.serving.signature import Signature

#: Reads the rows of a body for a signature. No bound method: a form that held one would hold itself, and be
#: left to the garbage collector.
Reader = Callable[["Form", bytes, Signature], Table]
Headers = tuple[tuple[bytes, bytes], ...]
JSON_HEADERS: Headers = ((b"content-type", answers.JSON),)
ARROW_HEADERS: Headers = ((b"content-type", frames.ARROW),)


class Form:
    """A request's form: how its rows are read and its outputs written.

    Args:
        inference: The Open Inference Protocol, else MLflow's forms.
        rows: The most a request may have.
    """

    __slots__ = ("_binary_answer", "_headers", "_id", "_inference", "_reader", "_rows")

    def __init__(self, inference: bool, headers: dict[bytes, bytes], rows: int) -> None:
        self._inference, self._headers, self._rows = inference, headers, rows
        self._binary_answer, self._id = False, ""
        kind = headers.get(b"content-type", answers.JSON)
        if kind == answers.JSON and binary.HEAD_LENGTH not in headers:
            self._reader: Reader = Form._json
        else:
            self._reader = self._other(kind.split(b";", 1)[0].strip().lower())

    def again(self) -> Form:
        """For one more request with these headers; what its body says beside rows is its own."""
        made = Form.__new__(Form)
        made._inference, made._headers, made._rows = self._inference, self._headers, self._rows
        made._binary_answer, made._id, made._reader = False, "", self._reader
        return made

    def read(self, body: bytes, signature: Signature) -> Table:
        """The rows of a body.

        Raises:
            RequestError: It is not in this form.
        """
        return self._reader(self, body, signature)

    def _other(self, kind: bytes) -> Reader:
        if kind == frames.ARROW:
            return Form._arrow
        if self._inference and binary.HEAD_LENGTH in self._headers:
            return Form._binary
        if kind == answers.JSON:
            return Form._json
        if kind == b"text/csv" and not self._inference:
            return Form._csv
        csv = "" if self._inference else ", text/csv"
        raise RequestError(
            415, f"send application/json{csv} or {frames.ARROW.decode()} and say so in Content-Type"
        )

    def _json(self, body: bytes, signature: Signature) -> Table:
        request = bodies.document(body)
        if not self._inference:
            return bodies.mlflow(request, signature)
        if "id" in request or "outputs" in request or "parameters" in request:
            self._said(request)
        return bodies.inference(request)

    def _binary(self, body: bytes, signature: Signature) -> Table:
        head, rest = binary.split(body, self._headers[binary.HEAD_LENGTH])
        self._said(head)
        return binary.read(head, rest)

    def _said(self, request: dict[str, object]) -> None:
        """What an inference request says besides its rows."""
        name = request.get("id", "")
        if not isinstance(name, str) or len(name) > 128:
            raise MalformedError("id: expected a text of at most 128 characters")
        # Returned as it came. It is no request id of ours: clients that always send "1" exist, and rows with
        # one id are one row in the log.
        self._id = name
        self._binary_answer = binary.wants_binary(request)

    def _arrow(self, body: bytes, signature: Signature) -> Table:
        return frames.read_arrow(body, self._rows)

    def _csv(self, body: bytes, signature: Signature) -> Table:
        return frames.read_csv(body, signature)

    def write(self, choice: Choice, call: Call, batch: Batch, outputs: Outputs) -> tuple[bytes, Headers]:
        """The answer's body and headers."""
        if b"accept" in self._headers and frames.ARROW in self._headers[b"accept"]:
            return frames.write_arrow(batch, outputs), ARROW_HEADERS
        if self._binary_answer:
            body, length = binary.answer(choice, self._id or call.id, batch, outputs)
            kind = (b"content-type", b"application/octet-stream")
            return body, (kind, (binary.HEAD_LENGTH, b"%d" % length))
        if self._inference:
            return answers.inference(choice, self._id or call.id, batch, outputs), JSON_HEADERS
        return answers.invocation(choice, batch, outputs), JSON_HEADERS
