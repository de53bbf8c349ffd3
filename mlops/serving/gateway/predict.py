"""The one path of a prediction: choose an arm, read the rows, ask the model, record, answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from mlops.serving.gateway.errors import ContractError, RequestError, busy
from mlops.serving.gateway.limits import Gate, Limits, before
from mlops.serving.gateway.ports import Choice, Log, Refusal, Router
from mlops.serving.gateway.table import Table
from mlops.serving.gateway.validate import Validator
from mlops.serving.rows import Batch, BusyError, Call, ModelFaultError, Outputs
from mlops.serving.signature import Signature

log = logging.getLogger(__name__)
#: Reads the rows of a body for a signature; may set what the body says about the call.
Reader = Callable[[bytes, dict[bytes, bytes], Signature, Call], Table]


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
        read: Reader,
        body: bytes,
        headers: dict[bytes, bytes],
    ) -> tuple[Choice, Batch, Outputs]:
        """What the model answers, recorded and counted.

        Raises:
            RequestError: 4xx for the sender's mistakes, 503 when it may work later, 500 for ours.
        """
        start = perf_counter()
        choice = self._router.choose(model, call, version)
        if type(choice) is Refusal:
            if choice.status == 503:
                raise busy(choice.sentence, choice.retry_after, reason="unready")
            raise RequestError(choice.status, choice.sentence)
        assert type(choice) is Choice
        evidence = choice.evidence
        try:
            if len(body) <= self._limits.inline_bytes:
                batch = self._batch(choice, call, read, body, headers)
            else:
                batch = await asyncio.get_running_loop().run_in_executor(
                    self._large, self._batch, choice, call, read, body, headers
                )
            outputs = await self._ask(choice, batch, call, model)
            runtime = choice.runtime
            seconds = perf_counter() - start
            self._log.append(model, runtime.version, choice.arm, call, batch, outputs, seconds)
        except ContractError:
            evidence.failed("contract")
            raise
        except RequestError:
            raise
        except Exception as error:
            raise self._failed(error, choice, call) from None
        evidence.answered(batch.rows, perf_counter() - start, outputs.scores())
        if outputs.values.dtype.kind in "OUS":
            evidence.said(map(str, outputs.values.reshape(-1)[:100].tolist()))
        if choice.shadow is not None:
            choice.shadow(batch, outputs, call)
        return choice, batch, outputs

    def _batch(
        self, choice: Choice, call: Call, read: Reader, body: bytes, headers: dict[bytes, bytes]
    ) -> Batch:
        signature = choice.runtime.signature
        return self._validator.batch(read(body, headers, signature, call), signature, call.id)

    async def _ask(self, choice: Choice, batch: Batch, call: Call, model: str) -> Outputs:
        """Outputs of the model, within its concurrency and the deadline."""
        gate = self.gates.get(model)
        if gate is None:
            gate = self.gates[model] = Gate(self._limits.concurrency, self._limits.queue)
        if not gate.enter_now():
            await gate.enter(call.deadline)
        try:
            outputs = await before(call.deadline, choice.runtime.predict(batch))
        finally:
            gate.leave()
        if len(outputs.values) != batch.rows:
            raise ModelFaultError(f"{len(outputs.values)} outputs for {batch.rows} rows")
        return outputs

    def _failed(self, error: Exception, choice: Choice, call: Call) -> RequestError:
        """A failure, counted as the arm's, in words for the sender."""
        reason, answer = _reason(error, call)
        choice.evidence.failed(reason)
        if reason == "gateway":
            runtime = choice.runtime
            log.error("request %s of %s %s", call.id, runtime.model, runtime.version, exc_info=error)
        return answer


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
