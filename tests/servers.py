"""Small HTTP servers on loopback that stand for what a test cannot reach."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    data: Any


@dataclass(frozen=True)
class Answer:
    """What goes out; ``body`` becomes JSON unless it is bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[str]:
    """Serve until the block ends. Yields ``http://127.0.0.1:PORT``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            parts = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            headers = {key.lower(): value for key, value in self.headers.items()}
            told = answer(
                Request(self.command, parts.path, query, headers, json.loads(sent) if sent else None)
            )
            body = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
            self.send_response(told.status)
            for key, value in {"Content-Length": str(len(body)), **told.headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815 - http.server calls these

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class PullRequest:
    """The comments of pull request 7 as GitHub, GitLab and Azure keep them; call it to answer a request."""

    token: str = "t0ken"
    comments: dict[int, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.token not in (given, request.headers.get("private-token")):
            return Answer(401, {"message": f"bad credentials {given}"})
        if "pullRequests" in request.path:
            return self._azure(request)
        listing = re.fullmatch(
            r"/repos/team/flights/issues/7/comments|/projects/42/merge_requests/7/notes", request.path
        )
        one = re.fullmatch(
            r"/repos/team/flights/issues/comments/(\d+)|/projects/42/merge_requests/7/notes/(\d+)",
            request.path,
        )
        if listing and request.method == "GET":
            size, page = int(request.query["per_page"]), int(request.query["page"])
            pairs = list(self.comments.items())[(page - 1) * size : page * size]
            return Answer(200, [{"id": key, "body": body} for key, body in pairs])
        if listing and request.method == "POST":
            return Answer(201, {"id": self._add(request.data["body"])})
        verb = "PATCH" if "/issues/" in request.path else "PUT"
        if one and request.method == verb:
            self.comments[int(one[1] or one[2])] = request.data["body"]
            return Answer(200, {})
        return Answer(404, {})

    def _azure(self, request: Request) -> Answer:
        base = "/team/My%20Project/_apis/git/repositories/r1/pullRequests/7/threads"
        if request.query.get("api-version") != "7.1":
            return Answer(400, {})
        if request.path == base and request.method == "GET":
            threads = [
                {"id": key, "comments": [{"id": 1, "content": text}]} for key, text in self.comments.items()
            ]
            return Answer(200, {"value": [{"id": 0, "comments": []}, *threads]})
        if request.path == base and request.method == "POST":
            return Answer(200, {"id": self._add(request.data["comments"][0]["content"])})
        one = re.fullmatch(re.escape(base) + r"/(\d+)/comments/1", request.path)
        if one and request.method == "PATCH":
            self.comments[int(one[1])] = request.data["content"]
            return Answer(200, {})
        return Answer(404, {})

    def _add(self, text: str) -> int:
        key = max(self.comments, default=100) + 1
        self.comments[key] = text
        return key
