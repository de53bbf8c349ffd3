"""A replica as the front sees one: health, a predict that takes a while, SIGTERM that leaves first.

``python -m tests.mlops.serving.replica PORT NUMBER FRONT_FOLDER SECONDS``
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

import uvicorn

from mlops.serving.front.client import leave

NUMBER, SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 0, float(sys.argv[4]) if len(sys.argv) > 4 else 0
in_flight = 0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the request's id and the number of this replica."""
    global in_flight
    if scope["type"] != "http":
        return
    sent = dict(scope["headers"]).get(b"x-request-id", b"")
    while (await receive()).get("more_body"):
        pass
    in_flight += 1
    try:
        if not scope["path"].startswith("/v2/health"):
            await asyncio.sleep(SECONDS)
        head = [(b"x-replica", str(NUMBER).encode()), (b"x-request-id", sent), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"{}"})
    finally:
        in_flight -= 1


async def main() -> None:
    """Serve until SIGTERM."""
    config = uvicorn.Config(app, port=int(sys.argv[1]), log_level="warning", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    asked = asyncio.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_handled(asked))
        serving = asyncio.create_task(server._serve())
        await asked.wait()
        await leave(Path(sys.argv[3]), NUMBER, lambda: in_flight)
        server.should_exit = True
        await serving


@contextlib.contextmanager
def _handled(asked: asyncio.Event) -> Any:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    yield


if __name__ == "__main__":
    asyncio.run(main())
