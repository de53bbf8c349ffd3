"""The one path of a prediction: choose an arm, read the rows, ask the model, record, answer."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from mlops.serving.gateway.errors import RequestError, busy
from mlops.serving.gateway.forms import Form
from mlops.serving.gateway.limits import Gate, Limits, before
from mlops.serving.gateway.ports import Choice, Log, Refusal, Router
from mlops.serving.gateway.validate import Validator
from mlops.serving.rows import Batch, BusyError, Call, ModelFaultError, Outputs

log = logging.getLogger(__name__)


class _UnrecordedError(Exception):
    """The log did not take an answer."""


class Predictor:
    """Answers predictions with what the router chooses; nothing is answered that was not recorded."""

    def __init__(self, router: Router, prediction_log: Log, limits: Limits) -> None:
        self._router, self._log, self._limits = router, prediction_log, limits
        self._validator = Validator(limits.rows)
        self.gates: dict[str, Gate] = {}
        # One thread: two large bodies are parsed one after the other, beside the small ones.
        self._large = ThreadPoolExecutor(1, "large-bodies")

    def close(self) -> None:
        """End the thread of large bodies."""
        self._large.shutdown(wait=False, cancel_futures=True)

    def choose(self, model: str, version: str | None, call: Call) -> Choice:
        """The arm that answers.

        Raises:
            RequestError: Nobody does.
        """
        choice = self._router.choose(model, call, version)
        if isinstance(choice, Refusal):
            raise _nobody(choice)
        return choice

    async def predict(
        self, model: str, version: str | None, call: Call, form: Form, body: bytes
    ) -> tuple[Choice, Batch, Outputs]:
        """What the model answers, recorded and counted.

        Raises:
            RequestError: 4xx for the sender's mistakes, 503 when it may work later, 500 for ours.
        """
        start = perf_counter()
        choice = self.choose(model, version, call)
        try:
            if len(body) <= self._limits.inline_bytes:
                batch = self._batch(choice, call, form, body)
            else:
                batch = await asyncio.get_running_loop().run_in_executor(
                    self._large, self._batch, choice, call, form, body
                )
            now = getattr(choice.runtime, "answer_now", None)
            outputs = now(batch) if now is not None else None
            if outputs is None:
                outputs = await self._ask(choice, batch, call, model)
            self._finish(choice, call, batch, outputs, start)
        except Exception as error:
            raise self._fault(error, choice, call, start) from None
        return choice, batch, outputs

    def predict_now(
        self, choice: Choice, call: Call, form: Form, body: bytes
    ) -> tuple[Batch, Outputs] | None:
        """As :meth:`predict`, without a wait; None: these rows take too long for that, nothing was counted.

        Raises:
            RequestError: As there.
        """
        start = perf_counter()
        try:
            signature = choice.runtime.signature
            batch = self._validator.batch(form.read(body, signature), signature, call.id)
            outputs: Outputs | None = choice.runtime.answer_now(batch)  # type: ignore[attr-defined]
            if outputs is None:
                return None
            self._finish(choice, call, batch, outputs, start)
        except Exception as error:
            raise self._fault(error, choice, call, start) from None
        return batch, outputs

    def _batch(self, choice: Choice, call: Call, form: Form, body: bytes) -> Batch:
        signature = choice.runtime.signature
        return self._validator.batch(form.read(body, signature), signature, call.id)

    def _finish(self, choice: Choice, call: Call, batch: Batch, outputs: Outputs, start: float) -> None:
        """Record and count an answer."""
        values, runtime, evidence = outputs.values, choice.runtime, choice.evidence
        rows = batch.rows
        if len(values) != rows:
            raise ModelFaultError(f"{len(values)} outputs for {rows} rows")
        seconds = perf_counter() - start
        try:
            self._log.append(runtime.model, runtime.version, choice.arm, call, batch, outputs, seconds)
        except OSError as error:
            raise _UnrecordedError from error
        evidence.answered(rows, seconds, outputs.scores())
        if values.dtype.kind in "OUS":
            evidence.said(map(str, values.reshape(-1)[:100].tolist()))
        if choice.shadow is not None:
            choice.shadow(batch, outputs, call)

    async def _ask(self, choice: Choice, batch: Batch, call: Call, model: str) -> Outputs:
        """Outputs of the model, within its concurrency and the deadline."""
        gate = self.gates.get(model)
        if gate is None:
            gate = self.gates[model] = Gate(self._limits.concurrency, self._limits.queue)
        if not gate.enter_now():
            await gate.enter(call.deadline)
        try:
            return await before(call.deadline, choice.runtime.predict(batch))
        finally:
            gate.leave()

    def _fault(self, error: Exception, choice: Choice, call: Call, start: float) -> RequestError:
        """A failure, counted as the arm's, in words for the sender."""
        seconds = perf_counter() - start
        if isinstance(error, RequestError):
            # What is no JSON at all says nothing about the arm.
            if error.reason == "contract":
                self._count(choice, call, "contract", error, seconds)
            return error
        reason, answer = _reason(error, call)
        if reason == "gateway":
            runtime = choice.runtime
            log.error("request %s of %s %s", call.id, runtime.model, runtime.version, exc_info=error)
        self._count(choice, call, reason, answer, seconds)
        return answer

    def _count(self, choice: Choice, call: Call, reason: str, answer: RequestError, seconds: float) -> None:
        choice.evidence.failed(reason)
        runtime = choice.runtime
        try:
            self._log.fail(runtime.model, runtime.version, choice.arm, call, reason, str(answer), seconds)
        except OSError:
            # It was not answered: the sender is told so either way.
            log.exception("the failure of request %s cannot be recorded", call.id)


def _nobody(refusal: Refusal) -> RequestError:
    """Why the router chose nobody."""
    if refusal.status == 503:
        return busy(refusal.sentence, refusal.retry_after, reason="unready")
    return RequestError(refusal.status, refusal.sentence)


def _reason(error: Exception, call: Call) -> tuple[str, RequestError]:
    """The class by which evidence counts a failure, and its answer."""
    if isinstance(error, ModelFaultError):
        return "model", RequestError(422, f"the model refuses the rows: {_line(error)}")
    if isinstance(error, BusyError):
        return "busy", busy(_line(error), error.after)
    if isinstance(error, TimeoutError):
        return "deadline", busy("the deadline passed before the model answered", reason="deadline")
    if isinstance(error, _UnrecordedError):
        sentence = "the prediction log cannot be written; nothing was answered unrecorded"
        return "gateway", busy(sentence, 2.0, reason="log")
    return "gateway", RequestError(500, f"the gateway failed; its log has request {call.id}", "gateway")


def _line(error: Exception) -> str:
    """The first line of an error, short."""
    lines: list[Any] = str(error).splitlines()
    return str(lines[0])[:300] if lines else type(error).__name__
