"""``python -m mlops.monitoring``: the monitor process and its HTTP interface."""

from __future__ import annotations

import hmac
import logging
import os
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blueprints.errors import Problem, UsageProblem
from mlops.governance.audit import AuditLog
from mlops.monitoring import infrastructure, rollouts
from mlops.monitoring.alerts import Alert, Alerts, AlertStore, Notifier, Observation
from mlops.monitoring.alerts.http import AlertApi, Handler, plain
from mlops.monitoring.monitor import Monitor
from mlops.serving.settings import listen, read

log = logging.getLogger(__name__)


class Api:
    """The monitor over HTTP; everything but /health wants the bearer token."""

    def __init__(self, monitor: Monitor, alerts: Alerts, token: str, audit: AuditLog | None) -> None:
        self._monitor, self._alerts, self._token, self._audit = monitor, alerts, token, audit
        self._store = alerts.store

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                *AlertApi(self._alerts, self._audit).routes(self._guarded),
                Route("/observations", self._guarded(self.observe), methods=["POST"]),
                Route("/windows/{model}", self._guarded(self.windows)),
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
        """Alive; ``faults`` says what it cannot watch, and why."""
        looked = self._monitor.looked
        return JSONResponse(
            {
                "healthy": not self._monitor.faults,
                "faults": dict(self._monitor.faults),
                "looked": looked.isoformat() if looked else None,
            }
        )

    async def observe(self, request: Request) -> Response:
        """Take the report of an infrastructure check (:mod:`mlops.monitoring.infrastructure`) or of a rollout
        (:mod:`mlops.monitoring.rollouts`); answers what fires of that kind now."""
        body = await _body(request)
        kind = str(body.get("kind")) if body else ""

        def record() -> list[Alert]:
            self._alerts.observe(self._seen(kind, body))
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
        return JSONResponse({"windows": [{k: _text(v) for k, v in row.items()} for row in rows]})


async def _body(request: Request) -> dict[str, Any] | None:
    try:
        body = await request.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _store(url: str) -> AlertStore:
    """The alert store, waiting for a database that is still starting."""
    for attempt in range(60):
        try:
            return AlertStore(url)
        except Exception as error:
            log.warning("the database does not answer yet: %s", str(error).splitlines()[0][:200])
            time.sleep(min(5, 0.2 * (attempt + 1)))
    raise Problem("the database does not answer", where="monitoring", todo="modelyard logs database")


def main() -> int:
    """Watch until asked to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = read()
        reference = settings.environment.monitoring
        if reference is None:
            raise Problem("no monitoring in the environment", where="MODELYARD_ENVIRONMENT")
        store = _store(reference.database.url.get_secret_value())
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return int(problem.code)
    monitor = Monitor(settings.environment, settings.spec.monitoring, store)
    audit_file = os.environ.get("MODELYARD_AUDIT_FILE")
    alerts = Alerts(store, settings.spec.monitoring.alerts, settings.environment.name)
    notifier = Notifier(alerts)
    api = Api(
        monitor,
        alerts,
        reference.token.get_secret_value(),
        AuditLog(Path(audit_file)) if audit_file else None,
    )
    notifier.start()
    threading.Thread(target=monitor.run, name="monitor", daemon=True).start()
    config = uvicorn.Config(api.app(), log_level="warning", access_log=False, lifespan="off")
    try:
        uvicorn.Server(config).run(sockets=[listen(settings.port)])
    finally:
        monitor.stop()
        notifier.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
