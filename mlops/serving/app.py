"""The gateway's HTTP interface."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mlops.serving.champions import ALIAS, Champions, Served
from mlops.serving.prediction_log import PredictionLog, model_name_fault
from mlops.serving.requests import BadRequestError, Batch, micros, parse, score

log = logging.getLogger(__name__)
MAX_BODY = 64 * 1024 * 1024
_OPEN = ("/v2/health/live", "/v2/health/ready")
Handler = Callable[[Request], Awaitable[Response]]


class Gateway:
    """Answers requests with what :class:`Champions` holds and records them in the prediction log.

    Args:
        token: Bearer token callers must send; empty: none.
    """

    def __init__(self, champions: Champions, prediction_log: PredictionLog, token: str) -> None:
        self._champions, self._log, self._token = champions, prediction_log, token

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/v2/health/live", self._guarded(self.live)),
            Route("/v2/health/ready", self._guarded(self.ready)),
            Route("/v2/deployments", self._guarded(self.deployments)),
            Route("/v2/labels", self._guarded(self.labels), methods=["POST"]),
            Route("/v2/models/{name}", self._guarded(self.metadata)),
            Route("/v2/models/{name}/infer", self._guarded(self.infer), methods=["POST"]),
            Route("/models/{name}/invocations", self._guarded(self.invocations), methods=["POST"]),
            Route("/invocations/{name}", self._guarded(self.invocations), methods=["POST"]),
            Route("/metrics", self._guarded(self.metrics)),
        ]
        return Starlette(routes=routes)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if (
                self._token
                and request.url.path not in _OPEN
                and not hmac.compare_digest(given.encode(), self._token.encode())
            ):
                return _error(401, "send the environment's serving token: Authorization: Bearer …")
            try:
                return await handler(request)
            except BadRequestError as error:
                return _error(400, str(error))
            except OSError:
                log.exception("the local disk does not take the log")
                return _error(503, "the prediction log cannot be written; nothing was answered unrecorded")
            except Exception:
                # The sender learns that it was ours; the log says what.
                log.exception("request failed")
                return _error(500, "the gateway failed; its log says why: modelyard logs gateway")

        return guarded

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """At least one model is served and the registry answers."""
        ready = bool(self._champions.served) and not self._champions.registry_fault
        reason = self._champions.registry_fault or ("" if ready else "no model has the alias champion")
        return JSONResponse({"ready": ready, "reason": reason}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Response:
        """Name, version and input columns of a served model."""
        served = self._find(request)
        if isinstance(served, Response):
            return served
        inputs = [{"name": name} for name in served.columns]
        return JSONResponse({"name": served.name, "versions": [served.version], "inputs": inputs})

    def _find(self, request: Request) -> Served | Response:
        name = request.path_params["name"]
        served = self._champions.served.get(name)
        if served is not None:
            return served
        if fault := self._champions.faults.get(name):
            return _error(503, f"{name} version {fault.version} cannot be served: {fault.reason}")
        if self._champions.loading == name:
            return _error(503, f"{name} is being loaded")
        if self._champions.registry_fault:
            return _error(503, f"the registry is not reachable: {self._champions.registry_fault}")
        return _error(404, f"no model {name} has the alias {ALIAS}; modelyard models")

    async def infer(self, request: Request) -> Response:
        """Open Inference Protocol v2, JSON."""
        answer = await self._predict(request)
        if isinstance(answer, Response):
            return answer
        served, batch, outputs = answer
        scalar = all(not isinstance(each, list) for each in outputs)
        shape = [batch.rows] if scalar else [batch.rows, len(outputs[0])]
        text = scalar and any(isinstance(each, str) for each in outputs)
        flat = outputs if scalar else [value for row in outputs for value in row]
        tensor = {"name": "output", "shape": shape, "datatype": "BYTES" if text else "FP64", "data": flat}
        return JSONResponse(
            {
                "model_name": served.name,
                "model_version": served.version,
                "outputs": [tensor],
                "parameters": {"ids": list(batch.ids)},
            }
        )

    async def invocations(self, request: Request) -> Response:
        """MLflow's own JSON forms."""
        answer = await self._predict(request)
        if isinstance(answer, Response):
            return answer
        served, batch, outputs = answer
        return JSONResponse({"predictions": outputs, "model_version": served.version, "ids": list(batch.ids)})

    async def _predict(self, request: Request) -> tuple[Served, Batch, list[Any]] | Response:
        served = self._find(request)
        if isinstance(served, Response):
            return served
        stats = self._champions.stats[served.name]
        start = time.perf_counter()
        try:
            batch = parse(await _json(request), served.columns)
        except BadRequestError:
            stats.failed("bad request")
            raise
        try:
            outputs = await run_in_threadpool(predict, served, batch)
        except Exception as error:
            stats.failed("model")
            log.warning("%s version %s failed: %s", served.name, served.version, error)
            return _error(422, f"the model refuses the rows: {str(error).splitlines()[0][:300]}")
        seconds = time.perf_counter() - start
        rows = await run_in_threadpool(records, served, batch, outputs, seconds)
        await run_in_threadpool(self._log.append, "predictions", served.name, rows)
        stats.answered(batch.rows, time.perf_counter() - start)
        return served, batch, outputs

    async def labels(self, request: Request) -> Response:
        """True labels by prediction id, whenever they are known: {model, ids, labels, times?}."""
        body = await _json(request)
        try:
            model, ids, values = str(body["model"]), list(body["ids"]), list(body["labels"])
            times = list(body.get("times") or [None] * len(ids))
        except (KeyError, TypeError):
            raise BadRequestError("expected model, ids and labels") from None
        if fault := model_name_fault(model):
            raise BadRequestError(f"model: {fault}")
        if not len(ids) == len(values) == len(times):
            raise BadRequestError("ids, labels and times differ in length")
        now = int(time.time() * 1e6)
        try:
            rows = [
                {"id": str(i), "label": float(label), "time": micros(moment) or now}
                for i, label, moment in zip(ids, values, times, strict=True)
            ]
        except (TypeError, ValueError):
            raise BadRequestError("labels: expected numbers") from None
        await run_in_threadpool(self._log.append, "labels", model, rows)
        return JSONResponse({"accepted": len(rows)})

    async def deployments(self, request: Request) -> Response:
        """What this replica serves and how it does."""
        rows = []
        for name in sorted({*self._champions.served, *self._champions.faults}):
            served, fault = self._champions.served.get(name), self._champions.faults.get(name)
            backlog = self._log.backlog(name)
            stats = self._champions.stats.get(name)
            reason = f"version {fault.version}: {fault.reason}" if fault else backlog.fault
            state = "serving" if served and not fault else "degraded" if served else "failed"
            rows.append(
                {
                    "model": name,
                    "version": served.version if served else fault.version if fault else "",
                    "alias": ALIAS,
                    "run_id": served.run_id if served else "",
                    "since": served.since if served else "",
                    "state": state,
                    "reason": reason,
                    "log_lag_rows": backlog.rows,
                    **(stats.snapshot() if stats else {}),
                }
            )
        return JSONResponse({"deployments": rows, "registry": self._champions.registry_fault})

    async def metrics(self, request: Request) -> Response:
        """OpenMetrics text."""
        lines = ["# TYPE modelyard_requests counter", "# TYPE modelyard_request_errors counter"]
        for name, served in self._champions.served.items():
            stats = self._champions.stats[name]
            label = f'model="{name}",version="{served.version}"'
            lines.append(f"modelyard_requests_total{{{label}}} {stats.requests}")
            lines += [
                f'modelyard_request_errors_total{{{label},reason="{reason}"}} {count}'
                for reason, count in stats.errors.items()
            ]
            lines.append(f"modelyard_log_lag_rows{{{label}}} {self._log.backlog(name).rows}")
        return PlainTextResponse("\n".join([*lines, "# EOF", ""]), media_type="application/openmetrics-text")


def predict(served: Served, batch: Batch) -> list[Any]:
    """Outputs of the model, one a row, as plain JSON values."""
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame(dict(batch.columns))
    schema = served.model.metadata.get_input_schema() if served.columns else None
    if schema is not None:
        frame = _typed(frame, schema)
    output = served.model.predict(frame)
    values = output.to_numpy() if hasattr(output, "to_numpy") else np.asarray(output)
    if len(values) != batch.rows:
        raise ValueError(f"{len(values)} outputs for {batch.rows} rows")
    plain: list[Any] = values.tolist()
    return plain


def _typed(frame: Any, schema: Any) -> Any:
    """Columns in the types of the signature; a JSON null becomes a missing value."""
    for spec in schema.inputs:
        kind = str(getattr(spec.type, "name", spec.type))
        try:
            if kind in ("double", "float"):
                frame[spec.name] = frame[spec.name].astype("float64" if kind == "double" else "float32")
            elif kind in ("long", "integer"):
                whole = frame[spec.name].astype("int64" if kind == "long" else "int32")
                # A cast alone would turn 1.5 into 1 and answer for a row nobody sent.
                if not (whole == frame[spec.name].astype("float64")).all():
                    raise ValueError
                frame[spec.name] = whole
        except (TypeError, ValueError):
            raise ValueError(f"column {spec.name}: expected {kind}") from None
    return frame


def records(served: Served, batch: Batch, outputs: list[Any], seconds: float) -> list[dict[str, Any]]:
    """The prediction log's rows of one request."""
    now = int(time.time() * 1e6)
    names = list(batch.columns)
    latency = round(seconds * 1000, 3)
    return [
        {
            "id": batch.ids[index],
            "time": now,
            "event_time": batch.event_times[index],
            "model": served.name,
            "version": served.version,
            "arm": ALIAS,
            "features": json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":")),
            "prediction": json.dumps(outputs[index]),
            "score": score(outputs[index]),
            "latency_ms": latency,
        }
        for index, values in enumerate(zip(*batch.columns.values(), strict=True))
    ]


async def _json(request: Request) -> Any:
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        raise BadRequestError(f"expected a body of at most {MAX_BODY // 1024 // 1024} MB")
    body = await request.body()
    if len(body) > MAX_BODY:
        raise BadRequestError(f"expected a body of at most {MAX_BODY // 1024 // 1024} MB")
    try:
        return await asyncio.to_thread(json.loads, body) if len(body) > 65_536 else json.loads(body)
    except ValueError:
        raise BadRequestError("the body is not JSON") from None


def _error(status: int, message: str) -> JSONResponse:
    headers = {"Retry-After": "2"} if status == 503 else None
    return JSONResponse({"error": message}, status, headers)
