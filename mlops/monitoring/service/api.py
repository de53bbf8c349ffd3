"""The monitor over HTTP."""

from __future__ import annotations

import hmac
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blueprints.errors import Problem, UsageProblem
from mlops.governance.audit import AuditLog
from mlops.monitoring import infrastructure, rollouts
from mlops.monitoring.alerts import Alert, Alerts, Observation
from mlops.monitoring.alerts.http import AlertApi, Handler, plain, text, whole
from mlops.monitoring.service import series, views
from mlops.monitoring.service.figures import Figures
from mlops.monitoring.service.monitor import Monitor

log = logging.getLogger(__name__)
_LONGEST = 500


class Api:
    """The monitor over HTTP; everything but /health wants the bearer token.

    Args:
        undelivered: Routes on which notices wait, and why.
    """

    def __init__(
        self,
        monitor: Monitor,
        figures: Figures,
        book: Alerts,
        token: str,
        audit: AuditLog | None,
        undelivered: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._monitor, self._figures, self._book = monitor, figures, book
        self._token, self._audit = token, audit
        self._undelivered = undelivered
        self._store = book.store

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                *AlertApi(self._book, self._audit).routes(self._guarded),
                Route("/observations", self._guarded(self.observe), methods=["POST"]),
                Route("/models", self._guarded(self.models)),
                Route("/heat/{model}", self._guarded(self.heat)),
                Route("/windows/{model}", self._guarded(self.windows)),
                Route("/performance/{model}", self._guarded(self.performance)),
                Route("/profile/{model}", self._guarded(self.profile)),
                Route("/series/{kind}", self._guarded(self.series)),
                Route("/timeline/{model}", self._guarded(self.timeline)),
            ]
        )

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
                return JSONResponse({"error": "send the monitoring token: Authorization: Bearer …"}, 401)
            try:
                return await handler(request)
            except UsageProblem as problem:
                return JSONResponse({"error": f"{problem.where}: {problem.what}"}, 400)
            except Problem as problem:
                return JSONResponse({"error": problem.what}, 503)
            except Exception:
                log.exception("request failed")
                return JSONResponse({"error": "the monitor failed: modelyard logs monitor"}, 500)

        return guarded

    async def health(self, request: Request) -> Response:
        """Alive; ``faults`` says what it cannot watch or tell anybody, and why."""
        looked, faults = self._monitor.looked, {**self._monitor.faults, **self._figures.faults}
        try:
            faults |= await run_in_threadpool(self._undelivered)
        except Exception as error:
            # That it is alive is to be heard also while its database is away.
            faults["alerts"] = (str(error).splitlines() or [repr(error)])[0][:200]
        return JSONResponse(
            {
                "healthy": not faults,
                "faults": faults,
                "looked": looked.isoformat() if looked else None,
            }
        )

    async def observe(self, request: Request) -> Response:
        """Take the report of an infrastructure check (:mod:`mlops.monitoring.infrastructure`), of a rollout
        (:mod:`mlops.monitoring.rollouts`) or of a source ({kind, name, down}); answers what fires of that
        kind now."""
        body = await _body(request)
        kind = str(body.get("kind")) if body else ""

        def record() -> list[Alert]:
            if kind == "source":
                self._book.source(*_source(body))
            else:
                self._book.observe(self._seen(kind, body))
            return [each for each in self._store.alerts("firing") if each.kind == kind]

        firing = await run_in_threadpool(record)
        return JSONResponse({"alerts": [plain(alert) for alert in firing]})

    def _seen(self, kind: str, body: Any) -> list[Observation]:
        if kind == rollouts.KIND:
            return rollouts.observations(rollouts.reported(body), self._store.alerts())
        return infrastructure.observations(infrastructure.reported(body), self._store.alerts())

    async def windows(self, request: Request) -> Response:
        """The newest windows of a model."""
        rows = await run_in_threadpool(self._store.windows, request.path_params["model"])
        return JSONResponse({"windows": [{k: text(v) for k, v in row.items()} for row in rows]})

    async def models(self, request: Request) -> Response:
        """How the watch of each model goes."""
        states = self._monitor.states
        return JSONResponse({"models": [asdict(states[name]) for name in sorted(states)]})

    async def performance(self, request: Request) -> Response:
        """The series of quality of the newest windows."""
        model, limit = request.path_params["model"], _most(request, "limit", 200)
        segment = request.query_params.get("segment", "")
        found = await run_in_threadpool(series.newest, self._store, model, limit, segment)
        return JSONResponse({"performance": [_document(asdict(each)) for each in found]})

    async def series(self, request: Request) -> Response:
        """Every series of a kind (``kpi``, ``resource``): ``?limit=`` points each."""
        kind, limit = request.path_params["kind"], _most(request, "limit", 200)
        found = await run_in_threadpool(series.of_kind, self._store, kind, limit)
        rows = [
            {"model": model, "unit": self._figures.unit(kind, each.metric), **_document(asdict(each))}
            for model, each in found
        ]
        return JSONResponse({"series": rows})

    async def heat(self, request: Request) -> Response:
        """Columns by the newest windows; ``?windows=``, ``?segment=``."""
        model, segment = request.path_params["model"], request.query_params.get("segment", "")
        found = await run_in_threadpool(
            views.heat, self._store, model, _most(request, "windows", 60), segment
        )
        spans = [_document(vars(each)) for each in found.windows]
        return JSONResponse({**asdict(found), "windows": spans})

    async def profile(self, request: Request) -> Response:
        """A column of the newest blocks against the reference: ``?column=``, ``?blocks=`` 1 unless told."""
        model, column = request.path_params["model"], request.query_params.get("column", "")
        number = _most(request, "blocks", 1)
        found = await run_in_threadpool(self._monitor.pictures, model, column, number)
        return JSONResponse({"pictures": [asdict(each) for each in found]})

    async def timeline(self, request: Request) -> Response:
        """Deployments of versions and changes of alerts, oldest first."""
        rows = await run_in_threadpool(views.timeline, self._store, request.path_params["model"])
        return JSONResponse({"timeline": [_document(row) for row in rows]})


def _source(body: Any) -> tuple[str, str]:
    """Name of an upstream source, and why it is down; empty: it is up."""
    name, down = body.get("name"), body.get("down")
    if set(body) != {"kind", "name", "down"} or not isinstance(name, str) or not isinstance(down, str):
        raise UsageProblem("expected kind, name and down, texts", where="observations")
    return name, down[:_LONGEST]


def _most(request: Request, name: str, default: int) -> int:
    return min(1000, max(1, whole(request, name, default)))


def _document(row: dict[str, Any]) -> dict[str, Any]:
    """As JSON: times as text, no figure as null."""
    plain = {key: text(value) for key, value in row.items()}
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in plain.items()}


async def _body(request: Request) -> dict[str, Any] | None:
    try:
        body = await request.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
