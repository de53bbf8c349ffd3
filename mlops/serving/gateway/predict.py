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

    async def predict(
        self,
        model: str,
        version: str | None,
        call: Call,
        form: Form,
        body: bytes,
    ) -> tuple[Choice, Batch, Outputs]:
        """What the model answers, recorded and counted.

        Raises:
            RequestError: 4xx for the sender's mistakes, 503 when it may work later, 500 for ours.
        """
        start = perf_counter()
        choice = self._router.choose(model, call, version)
        if isinstance(choice, Refusal):
            raise _nobody(choice)
        runtime, evidence = choice.runtime, choice.evidence
        try:
            if len(body) <= self._limits.inline_bytes:
                signature = runtime.signature
                table = form.read(body, signature)
                batch = self._validator.batch(table, signature, call.id)
            else:
                batch = await asyncio.get_running_loop().run_in_executor(
                    self._large, self._batch, choice, call, form, body
                )
            now = getattr(runtime, "answer_now", None)
            outputs = now(batch) if now is not None else None
            if outputs is None:
                outputs = await self._ask(choice, batch, call, model)
            values = outputs.values
            if len(values) != batch.rows:
                raise ModelFaultError(f"{len(values)} outputs for {batch.rows} rows")
            seconds = perf_counter() - start
            self._log.append(model, runtime.version, choice.arm, call, batch, outputs, seconds)
        except RequestError as error:
            # What is no JSON at all says nothing about the arm.
            if error.reason == "contract":
                self._count(choice, call, "contract", error, perf_counter() - start)
            raise
        except Exception as error:
            raise self._failed(error, choice, call, perf_counter() - start) from None
        evidence.answered(batch.rows, seconds, outputs.scores())
        if values.dtype.kind in "OUS":
            evidence.said(map(str, values.reshape(-1)[:100].tolist()))
        if choice.shadow is not None:
            choice.shadow(batch, outputs, call)
        return choice, batch, outputs

    def _batch(self, choice: Choice, call: Call, form: Form, body: bytes) -> Batch:
        signature = choice.runtime.signature
        return self._validator.batch(form.read(body, signature), signature, call.id)

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

    def _failed(self, error: Exception, choice: Choice, call: Call, seconds: float) -> RequestError:
        """A failure, counted as the arm's, in words for the sender."""
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
    if isinstance(error, OSError):
        sentence = "the prediction log cannot be written; nothing was answered unrecorded"
        return "gateway", busy(sentence, 2.0, reason="log")
    return "gateway", RequestError(500, f"the gateway failed; its log has request {call.id}", "gateway")


def _line(error: Exception) -> str:
    """The first line of an error, short."""
    lines: list[Any] = str(error).splitlines()
    return str(lines[0])[:300] if lines else type(error).__name__
