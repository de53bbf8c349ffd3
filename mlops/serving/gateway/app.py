"""The gateway as an ASGI application: paths, tokens, limits, errors. No framework is on the way of a row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

import orjson

from mlops.serving.gateway import answers, bodies, metrics, openapi
from mlops.serving.gateway.answers import wire
from mlops.serving.gateway.errors import RequestError, busy
from mlops.serving.gateway.forms import Form
from mlops.serving.gateway.headers import Names, call_of, deadline
from mlops.serving.gateway.heads import Head, Heads
from mlops.serving.gateway.labels import read_labels
from mlops.serving.gateway.limits import Bodies, Limits, before
from mlops.serving.gateway.ports import AdminHandler, Caller, Callers, Choice, Log, Router
from mlops.serving.gateway.predict import Owed, Predictor
from mlops.serving.gateway.routes import Route, Routes
from mlops.serving.rows import Call

log = logging.getLogger(__name__)
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
#: Answers larger than this are worth a timer against clients that do not take them.
_LARGE_ANSWER = 256 * 1024
_MOST_QUICK = 256


class Answer(NamedTuple):
    """Status, body, and the headers besides length and id."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", answers.JSON),)


@dataclass(slots=True)
class Request:
    """A request whose sender may make it; ``caller`` is None on public paths."""

    scope: Scope
    route: Route
    headers: dict[bytes, bytes]
    call: Call
    receive: Receive
    caller: Caller | None = None


class Gateway:
    """The application.

    Args:
        admin: By path prefix, handlers for the administrator (``/v2/deployments``).
    """

    def __init__(
        self,
        router: Router,
        prediction_log: Log,
        callers: Callers,
        limits: Limits | None = None,
        admin: Mapping[str, AdminHandler] | None = None,
    ) -> None:
        self._router, self._log, self._callers = router, prediction_log, callers
        self.limits = limits or Limits()
        self._admin = dict(admin or {})
        self.predictor = Predictor(router, prediction_log, self.limits)
        self.bodies = Bodies(self.limits)
        #: Requests that no arm is blamed for, by class.
        self.refusals: dict[str, int] = {}
        self._routes, self._names = Routes(), Names()
        #: Paths whose model answers without a wait, learned from requests that were answered.
        self._quick: dict[bytes, Route] = {}
        self.heads = Heads(self._names)
        self._handlers = {
            "infer": self._infer,
            "invocations": self._invocations,
            "metadata": self._metadata,
            "model_ready": self._model_ready,
            "labels": self._labels,
            "live": self._live,
            "ready": self._ready,
            "server": self._server,
            "metrics": self._metrics,
            "openapi": self._openapi,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan of the server."""
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        headers = dict(scope["headers"])
        call = call_of(scope["headers"], headers, self._names)
        request = Request(scope, self._routes.find(scope["path"]), headers, call, receive)
        try:
            answer = await self._answer(request)
        except RequestError as error:
            answer = self._refused(error)
        except Exception:
            answer = self._broken(call)
        await self._send(answer, call, scope["method"] == "HEAD", send)

    async def _answer(self, request: Request) -> Answer:
        scope, route = request.scope, request.route
        if not route.methods:
            return await self._administer(request)
        if scope["method"] not in route.methods:
            allowed = ", ".join(route.methods)
            raise RequestError(405, f"{scope['path'][:100]} takes {allowed}", headers={"allow": allowed})
        if not route.public:
            self._admit(request)
        return await self._handlers[route.kind](request)

    def quick(self, path: bytes, sent: list[tuple[bytes, bytes]], body: bytes) -> bytes | None:
        """The whole answer, head and body, to a POST that can be answered without a wait: a prediction by a
        :class:`~mlops.serving.gateway.ports.QuickRuntime`. None: ask this application as usual.

        The server calls this before it makes a task, an event and a scope, which together cost as much as
        the model.
        """
        route = self._quick.get(path)
        if route is None:
            return None
        head = Head(path, route, sent, self._names)
        owed = self._owe(head, head.call, body)
        return self.settle([owed])[0] if isinstance(owed, Owed) else owed

    def again(self, head: Head, body: bytes) -> Owed | bytes | None:
        """As :meth:`quick`, for a head that is known: what :meth:`settle` makes an answer of, for several
        requests with one write of the log; bytes: a refusal, which is the answer."""
        return self._owe(head, head.next_call(), body) if head.path in self._quick else None

    def settle(self, owed: Sequence[Owed]) -> list[bytes]:
        """Record answers; each as it is sent then."""
        return [
            self._told(each, error) for each, error in zip(owed, self.predictor.settle(owed), strict=True)
        ]

    def _told(self, owed: Owed, error: RequestError | None) -> bytes:
        call = owed.call
        try:
            if error is not None:
                return wire(*self._refused(error), call)
            return wire(200, *owed.form.write(owed.choice, call, owed.batch, owed.outputs), call)
        except Exception:
            return wire(*self._broken(call), call)

    def learn(self, raw: bytes, path: bytes, sent: list[tuple[bytes, bytes]], length: int) -> None:
        """A head that was answered quickly, as the bytes it came in, and how long its body was."""
        route = self._quick.get(path)
        if route is not None:
            self.heads.learn(raw, path, route, sent, length)

    def _owe(self, head: Head, call: Call, body: bytes) -> Owed | bytes | None:
        route, form = head.route, head.form
        try:
            choice = self.predictor.choose(route.model, route.version, call)
            if not hasattr(choice.runtime, "answer_now"):
                self._quick.pop(head.path)
                return None
            self._admitted(head.headers, call, route.model)
            if form is None:
                self.bodies.announced(head.headers)
                form = head.form = Form(route.kind == "infer", head.headers, self.limits.rows)
            owed = self.predictor.predict_now(choice, call, form.again(), body)
            if owed is None:
                self._quick.pop(head.path)
            return owed
        except RequestError as error:
            return wire(*self._refused(error), call)
        except Exception:
            return wire(*self._broken(call), call)

    def _admit(self, request: Request) -> Caller:
        """The caller, if it may.

        Raises:
            RequestError: 401, 403 or 429.
        """
        call = request.call
        caller = request.caller = self._admitted(request.headers, call, request.route.model)
        return caller

    def _admitted(self, headers: dict[bytes, bytes], call: Call, model: str) -> Caller:
        caller = self._callers.identify(headers.get(b"authorization", b""))
        if caller is None:
            raise RequestError(
                401, "send a token: Authorization: Bearer …", headers={"www-authenticate": "Bearer"}
            )
        call.caller = caller.name
        if model and not caller.may(model):
            raise _out_of_scope(caller, model)
        seconds = caller.wait()
        if seconds > 0:
            raise busy(f"{caller.name} sends more than its rate allows", seconds, 429)
        return caller

    async def _infer(self, request: Request) -> Answer:
        return await self._predict(request, request.route.model, True)

    async def _invocations(self, request: Request) -> Answer:
        return await self._predict(request, request.route.model or self._only_model(request), False)

    async def _predict(self, request: Request, model: str, inference: bool) -> Answer:
        form = Form(inference, request.headers, self.limits.rows)
        body, held = await self._body(request)
        try:
            call = request.call
            choice, batch, outputs = await self.predictor.predict(
                model, request.route.version, call, form, body
            )
            if request.route.model and hasattr(choice.runtime, "answer_now"):
                self._remember(request)
            written, headers = form.write(choice, call, batch, outputs)
            return Answer(200, written, headers)
        finally:
            self.bodies.release(held)

    def _remember(self, request: Request) -> None:
        """The next request to this path may be answered quickly."""
        path = request.scope.get("raw_path")
        if path and len(self._quick) < _MOST_QUICK:
            self._quick[path] = request.route

    def _only_model(self, request: Request) -> str:
        """The model meant by a path without one: the only one that this caller may use."""
        caller = request.caller
        names = {each.runtime.model for each in self._router.served()}
        names = {name for name in names if caller is not None and caller.may(name)}
        if len(names) != 1:
            raise RequestError(
                404, f"{len(names)} models are served for this token; use /models/NAME/invocations"
            )
        return names.pop()

    async def _body(self, request: Request) -> tuple[bytes, int]:
        """The body; the deadline counts from its end, for a slow sender is not the model's fault."""
        headers = request.headers
        self.bodies.announced(headers)
        seconds = self.limits.deadline_seconds
        if b"x-modelyard-deadline-ms" in headers:
            seconds = deadline(headers, self.limits)
        time = asyncio.get_running_loop().time
        found = await self.bodies.receive(request.receive, time())
        request.call.deadline = time() + seconds
        return found

    async def _administer(self, request: Request) -> Answer:
        """A path that another part of the gateway answers, for the administrator."""
        path = request.scope["path"]
        handler = next(
            (each for prefix, each in self._admin.items() if path == prefix or path.startswith(prefix + "/")),
            None,
        )
        if handler is None:
            raise RequestError(404, f"nothing is at {path[:100]}; /openapi.json says what is")
        caller = self._admit(request)
        if not caller.administrator:
            raise RequestError(403, "only the environment's own token may do this")
        body, held = await self._body(request)
        try:
            asked = {
                **request.scope,
                "modelyard.caller": caller.name,
                "modelyard.request": request.call.id,
            }
            status, document = await handler(asked, body)
            return Answer(status, orjson.dumps(document, default=str))
        finally:
            self.bodies.release(held)

    async def _labels(self, request: Request) -> Answer:
        caller = request.caller
        body, held = await self._body(request)
        try:
            found = read_labels(bodies.document(body), self.limits.rows)
            if caller is None or not caller.may(found.model):
                raise _out_of_scope(caller, found.model)
            self._log.label(found.model, found.ids, found.labels, found.times, found.name)
            return Answer(200, orjson.dumps({"accepted": len(found.ids)}))
        except OSError:
            log.exception("labels of request %s", request.call.id)
            sentence = "the label log cannot be written; nothing was accepted"
            raise busy(sentence, 2.0, reason="log") from None
        finally:
            self.bodies.release(held)

    async def _live(self, request: Request) -> Answer:
        return Answer(200, b'{"live":true}')

    async def _ready(self, request: Request) -> Answer:
        reason = self._router.fault()
        return Answer(503 if reason else 200, orjson.dumps({"ready": not reason, "reason": reason}))

    async def _server(self, request: Request) -> Answer:
        return Answer(200, orjson.dumps(SERVER))

    async def _metrics(self, request: Request) -> Answer:
        caller = request.caller
        if caller is None or not caller.may_watch():
            raise RequestError(403, "this token may not read metrics: modelyard tokens create … --metrics")
        text = metrics.exposition(
            self._router.served(), self.predictor.gates, self._log, self.refusals, self.bodies.held
        )
        return Answer(200, text, ((b"content-type", metrics.CONTENT_TYPE),))

    async def _openapi(self, request: Request) -> Answer:
        caller = request.caller
        arms = [each for each in self._router.served() if caller and caller.may(each.runtime.model)]
        return Answer(200, orjson.dumps(openapi.document(arms, self.limits, version("modelyard"))))

    async def _metadata(self, request: Request) -> Answer:
        arms = self._arms(request.route)
        return Answer(200, orjson.dumps(answers.metadata(arms)))

    async def _model_ready(self, request: Request) -> Answer:
        self._arms(request.route)
        return Answer(200, orjson.dumps({"name": request.route.model, "ready": True}))

    def _arms(self, route: Route) -> list[Choice]:
        """Arms of a model that are ready, those of one version where one is asked for.

        Raises:
            RequestError: 404 or 503, as a prediction would be refused.
        """
        found = [each for each in self._router.served() if each.runtime.model == route.model]
        if route.version is not None:
            found = [each for each in found if each.runtime.version == route.version]
        if not found:
            refusal = self._router.choose(route.model, Call(""), route.version)
            if isinstance(refusal, Choice):
                return [refusal]
            raise RequestError(refusal.status, refusal.sentence)
        return found

    def _broken(self, call: Call) -> Answer:
        """A fault of ours: our log says what, the sender where to look."""
        log.exception("request %s failed", call.id)
        sentence = f"the gateway failed; its log has request {call.id}"
        return self._refused(RequestError(500, sentence, "gateway"))

    def _refused(self, error: RequestError) -> Answer:
        self.refusals[error.reason] = self.refusals.get(error.reason, 0) + 1
        more = tuple(
            (name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()
        )
        return Answer(
            error.status,
            orjson.dumps({"error": str(error)}),
            ((b"content-type", answers.JSON), *more),
        )

    async def _send(self, answer: Answer, call: Call, head: bool, send: Send) -> None:
        status, body, more = answer
        headers = [*more, (b"content-length", b"%d" % len(body)), (b"x-request-id", call.id.encode())]
        if call.trace:
            headers.append((b"traceparent", call.trace.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if head:
            body = b""
        if len(body) < _LARGE_ANSWER:
            await send({"type": "http.response.body", "body": body})
            return
        until = asyncio.get_running_loop().time() + self.limits.send_seconds
        await before(until, send({"type": "http.response.body", "body": body}))  # type: ignore[arg-type]

    def in_flight(self) -> int:
        """Predictions being worked on."""
        return sum(gate.active + gate.waiting for gate in self.predictor.gates.values())

    def close(self) -> None:
        """Give back the threads."""
        self.predictor.close()


SERVER = {"name": "modelyard", "version": "2", "extensions": ["binary_tensor_data"]}


def _out_of_scope(caller: Caller | None, model: str) -> RequestError:
    name = caller.name if caller else "this token"
    return RequestError(403, f"{name} may not use {model[:100]}")


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """The server starts and ends; websockets are not spoken."""
    if scope["type"] != "lifespan":
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
