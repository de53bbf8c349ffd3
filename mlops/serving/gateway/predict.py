"""The one path of a prediction: choose an arm, read the rows, ask the model, record, answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from mlops.serving.gateway.errors import RequestError, busy
from mlops.serving.gateway.forms import Form
from mlops.serving.gateway.limits import Gate, Limits, before
from mlops.serving.gateway.ports import Choice, Entry, Log, Refusal, Router
from mlops.serving.gateway.validate import Validator
from mlops.serving.rows import Batch, BusyError, Call, ModelFaultError, Outputs

log = logging.getLogger(__name__)


class _UnrecordedError(Exception):
    """The log did not take an answer."""


@dataclass(slots=True)
class Owed:
    """What a model answered and nobody received, for it is not recorded yet. ``start``: of its request."""

    choice: Choice
    call: Call
    form: Form
    batch: Batch
    outputs: Outputs
    start: float

    def entry(self, now: float) -> Entry:
        """For the log."""
        choice = self.choice
        runtime = choice.runtime
        seconds = now - self.start
        return runtime.model, runtime.version, choice.arm, self.call, self.batch, self.outputs, seconds


class Predictor:
    """Answers predictions with what the router chooses; nothing is answered that was not recorded."""

    def __init__(self, router: Router, prediction_log: Log, limits: Limits) -> None:
        self._router, self._log, self._limits = router, prediction_log, limits
        self._validator = Validator(limits.rows)
        self._append_all = getattr(prediction_log, "append_all", None) or self._one_by_one
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

    def predict_now(self, choice: Choice, call: Call, form: Form, body: bytes) -> Owed | None:
        """As :meth:`predict`, without a wait and up to the record; None: these rows take too long for that,
        nothing was counted.

        Raises:
            RequestError: As there.
        """
        start = perf_counter()
        try:
            batch = self._batch(choice, call, form, body)
            outputs: Outputs | None = choice.runtime.answer_now(batch)  # type: ignore[attr-defined]
            if outputs is None:
                return None
            _check(batch, outputs)
        except Exception as error:
            raise self._fault(error, choice, call, start) from None
        return Owed(choice, call, form, batch, outputs, start)

    def settle(self, owed: Sequence[Owed]) -> list[RequestError | None]:
        """Record answers together and count them; for each that must not be given, why."""
        now = perf_counter()
        try:
            self._append_all([each.entry(now) for each in owed])
        except OSError:
            return [self._fault(_UnrecordedError(), each.choice, each.call, each.start) for each in owed]
        except Exception as error:
            # Nothing was written: whoever is at fault shall not spoil the others' answers.
            if len(owed) > 1:
                return [self.settle([each])[0] for each in owed]
            return [self._fault(error, owed[0].choice, owed[0].call, owed[0].start)]
        return [self._counted(each, now) for each in owed]

    def _counted(self, owed: Owed, now: float) -> RequestError | None:
        try:
            _count(owed.choice, owed.call, owed.batch, owed.outputs, now - owed.start)
        except Exception as error:
            return self._fault(error, owed.choice, owed.call, owed.start)
        return None

    def _one_by_one(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._log.append(*entry)

    def _batch(self, choice: Choice, call: Call, form: Form, body: bytes) -> Batch:
        signature = choice.runtime.signature
        return self._validator.batch(form.read(body, signature), signature, call.id)

    def _finish(self, choice: Choice, call: Call, batch: Batch, outputs: Outputs, start: float) -> None:
        """Record and count an answer."""
        _check(batch, outputs)
        runtime, seconds = choice.runtime, perf_counter() - start
        try:
            self._log.append(runtime.model, runtime.version, choice.arm, call, batch, outputs, seconds)
        except OSError as error:
            raise _UnrecordedError from error
        _count(choice, call, batch, outputs, seconds)

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
                self._count_failure(choice, call, "contract", error, seconds)
            return error
        reason, answer = _reason(error, call)
        if reason == "gateway":
            runtime = choice.runtime
            log.error("request %s of %s %s", call.id, runtime.model, runtime.version, exc_info=error)
        self._count_failure(choice, call, reason, answer, seconds)
        return answer

    def _count_failure(
        self, choice: Choice, call: Call, reason: str, answer: RequestError, seconds: float
    ) -> None:
        choice.evidence.failed(reason)
        runtime = choice.runtime
        try:
            self._log.fail(runtime.model, runtime.version, choice.arm, call, reason, str(answer), seconds)
        except OSError:
            # It was not answered: the sender is told so either way.
            log.exception("the failure of request %s cannot be recorded", call.id)


def _check(batch: Batch, outputs: Outputs) -> None:
    if len(outputs.values) != batch.rows:
        raise ModelFaultError(f"{len(outputs.values)} outputs for {batch.rows} rows")


def _count(choice: Choice, call: Call, batch: Batch, outputs: Outputs, seconds: float) -> None:
    """Count what was recorded, and show it to those that watch."""
    evidence, values = choice.evidence, outputs.values
    evidence.answered(batch.rows, seconds, outputs.scores())
    if values.dtype.kind in "OUS":
        evidence.said(map(str, values.reshape(-1)[:100].tolist()))
    if choice.shadow is not None:
        choice.shadow(batch, outputs, call)


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
