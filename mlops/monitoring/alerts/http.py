"""The alerts over HTTP: routes for the monitor's application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blueprints.errors import UsageProblem
from mlops.governance.audit import AuditLog
from mlops.monitoring.alerts import fatigue, history, metrics
from mlops.monitoring.alerts.alert import Alert
from mlops.monitoring.alerts.book import Alerts, finding_rows
from mlops.monitoring.alerts.routes import Refused, made, trial

Handler = Callable[[Request], Awaitable[Response]]
#: Longest silence: what is to be quiet for longer is a rule of the policy.
_LONGEST_HOURS = 24 * 30.0


class AlertApi:
    """Alerts, silences, history, figures and metrics.

    Args:
        alerts: The book.
        audit: Where acts of people are recorded before they are done; None: nowhere.
    """

    def __init__(self, alerts: Alerts, audit: AuditLog | None) -> None:
        self._alerts, self._audit = alerts, audit

    def routes(self, guarded: Callable[[Handler], Handler]) -> list[Route]:
        """The routes, each behind the application's guard, which turns :class:`UsageProblem` into 400."""
        table: list[tuple[str, Handler, str]] = [
            ("/alerts", self.alerts, "GET"),
            ("/alerts/{number:int}", self.alert, "GET"),
            ("/alerts/{number:int}/acknowledge", self.acknowledge, "POST"),
            ("/alerts/{number:int}/history", self.changes, "GET"),
            ("/silences", self.silences, "GET"),
            ("/silences", self.silence, "POST"),
            ("/silences/{number:int}", self.unsilence, "DELETE"),
            ("/routes/{name}/test", self.test, "POST"),
            ("/findings/{model}", self.findings, "GET"),
            ("/history", self.past, "GET"),
            ("/fatigue", self.fatigue, "GET"),
            ("/metrics", self.metrics, "GET"),
        ]
        return [Route(path, guarded(handler), methods=[method]) for path, handler, method in table]

    async def alerts(self, request: Request) -> Response:
        """Alerts; ``?state=`` pending, firing, acknowledged, silenced or resolved."""
        found = await run_in_threadpool(self._alerts.store.alerts, request.query_params.get("state"))
        return JSONResponse({"alerts": [plain(alert) for alert in found]})

    async def alert(self, request: Request) -> Response:
        """One alert."""
        return _answer(await run_in_threadpool(self._alerts.store.alert, request.path_params["number"]))

    async def changes(self, request: Request) -> Response:
        """Every change of one alert."""
        rows = await run_in_threadpool(self._alerts.store.history, request.path_params["number"])
        return JSONResponse({"changes": [{**row, "at": row["at"].isoformat()} for row in rows]})

    async def acknowledge(self, request: Request) -> Response:
        """Mark as seen: {who, why, useful}; recorded in the audit log before it is done."""
        number, body = request.path_params["number"], await _body(request)
        who, why, useful = str(body.get("who", "")), str(body.get("why", "")), body.get("useful")
        if useful is not None and not isinstance(useful, bool):
            raise UsageProblem("expected useful as true, false or null", where="acknowledge")

        def act() -> Alert | None:
            before = self._alerts.store.alert(number)
            if before is None:
                return None
            if before.state in ("firing", "silenced") or useful is not None:
                word = {True: "useful", False: "noise"}.get(useful) if isinstance(useful, bool) else ""
                after = {"state": "acknowledged", "by": who} | ({"judged": word} if word else {})
                target = f"alert {number} {before.model} {before.feature}"
                self._record("alert.acknowledge", target, {"state": before.state}, after, why)
            return self._alerts.acknowledge(number, who, why, useful)

        return _answer(await run_in_threadpool(act))

    async def silences(self, request: Request) -> Response:
        """Silences, newest first."""
        rows = await run_in_threadpool(self._alerts.silences.all)
        return JSONResponse(
            {
                "silences": [
                    {
                        **asdict(s),
                        "matchers": dict(s.matchers),
                        "starts": s.starts.isoformat(),
                        "ends": s.ends.isoformat(),
                    }
                    for s in rows
                ]
            }
        )

    async def silence(self, request: Request) -> Response:
        """Open one: {matchers, hours, who, why}."""
        body = await _body(request)
        matchers, hours = body.get("matchers"), body.get("hours")
        who, why = str(body.get("who", "")), str(body.get("why", ""))
        if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= _LONGEST_HOURS:
            raise UsageProblem(f"expected hours, more than 0 and at most {_LONGEST_HOURS:g}", where="silence")

        def act() -> int:
            from mlops.monitoring.alerts.silences import checked

            known = checked(matchers)
            self._record(
                "alert.silence",
                " ".join(f"{k}={v}" for k, v in known.items()),
                {},
                {"hours": hours, "by": who},
                why,
            )
            return self._alerts.silence(known, float(hours), who, why)

        return JSONResponse({"id": await run_in_threadpool(act)})

    async def unsilence(self, request: Request) -> Response:
        """End one now."""
        number = request.path_params["number"]
        who = request.query_params.get("who", "")

        def act() -> bool:
            self._record("alert.unsilence", f"silence {number}", {}, {"by": who}, "")
            return self._alerts.unsilence(number)

        if not await run_in_threadpool(act):
            return JSONResponse({"error": "no such silence holds"}, 404)
        return JSONResponse({"id": number})

    async def test(self, request: Request) -> Response:
        """Send a trial on a route, and its end."""
        name = request.path_params["name"]
        spec = next((each for each in self._alerts.spec.routes if each.name == name), None)
        if spec is None:
            names = ", ".join(each.name for each in self._alerts.spec.routes) or "none is set up"
            return JSONResponse({"error": f"no route {name}; known: {names}"}, 404)

        def act() -> str:
            route = made(spec)
            try:
                for notice in trial(name, self._alerts.environment):
                    route.send(notice)
            except Refused as refusal:
                return str(refusal)
            except Exception as error:
                return type(error).__name__
            return ""

        why = await run_in_threadpool(act)
        return JSONResponse({"route": name, "kind": spec.kind, "sent": not why, "why": why})

    async def findings(self, request: Request) -> Response:
        """Findings of the newest windows of a model; ``?windows=``."""
        most = min(whole(request, "windows", 20), 200)
        rows = await run_in_threadpool(finding_rows, self._alerts.store, request.path_params["model"], most)
        return JSONResponse({"findings": [{k: text(v) for k, v in row.items()} for row in rows]})

    async def past(self, request: Request) -> Response:
        """A page of analysed windows with their findings; ``?days=`` and ``?after=`` the last number."""
        since = datetime.now(UTC) - timedelta(days=whole(request, "days", 30))
        rows = await run_in_threadpool(history.page, self._alerts.store, whole(request, "after", 0), since)
        return JSONResponse({"windows": rows})

    async def fatigue(self, request: Request) -> Response:
        """How much was heard and how much of it was useful; ``?days=``."""
        since = datetime.now(UTC) - timedelta(days=whole(request, "days", 30))

        def figures() -> dict[str, Any]:
            recent = [a for a in self._alerts.store.alerts() if a.fired_at and a.fired_at >= since]
            return asdict(fatigue.of_the_past(recent, history.spans(self._alerts.store, since)))

        return JSONResponse(await run_in_threadpool(figures))

    async def metrics(self, request: Request) -> Response:
        """OpenMetrics text."""
        found = await run_in_threadpool(metrics.exposition, self._alerts.store)
        return Response(found, headers={"Content-Type": metrics.CONTENT_TYPE})

    def _record(self, act: str, target: str, before: dict[str, Any], after: dict[str, Any], why: str) -> None:
        if self._audit is not None:
            self._audit.append(act, target, before=before, after=after, why=why, source="service")


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UsageProblem("expected a JSON object", where="body")
    return body


def whole(request: Request, name: str, default: int) -> int:
    """A whole number of the query.

    Raises:
        UsageProblem: It is none.
    """
    given = request.query_params.get(name, str(default))
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise UsageProblem(f"{given[:20]!r} is no whole number", where=name)
    return int(given)


def _answer(alert: Alert | None) -> JSONResponse:
    if alert is None:
        return JSONResponse({"error": "no such alert"}, 404)
    return JSONResponse(plain(alert))


def plain(alert: Alert) -> dict[str, Any]:
    """An alert as JSON types."""
    return {key: text(value) for key, value in asdict(alert).items()}


def text(value: Any) -> Any:
    """A time as text; anything else as it is."""
    return value.isoformat() if isinstance(value, datetime) else value
