"""LocalServer: textual-serve for one person on one machine.

Three things differ. The page asks no other host for anything. A request must come from a page of ours:
somebody else's page, open in the same browser, reaches loopback too, and a console takes keys. stdout stays
data.
"""

from __future__ import annotations

import logging
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.server import Server


class LocalServer(Server):
    """Serves the command on a loopback address.

    Args:
        command: What each browser tab runs, as a shell reads it.
        host: Loopback address.
        port: TCP port.
        title: Of the page.
    """

    def __init__(self, command: str, host: str, port: int, title: str) -> None:
        super().__init__(command, host=host, port=port, title=title, templates_path=Path(__file__).parent)
        self._names = frozenset(f"{name}:{port}" for name in (host, "localhost"))

    def initialize_logging(self) -> None:
        """Only what went wrong, on stderr."""
        logging.basicConfig(level=logging.WARNING, format="%(message)s")

    async def on_startup(self, app: web.Application) -> None:
        """The command has printed the address; nothing more is to be said."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        return app

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            # Host: a name somebody else points at loopback. Origin: a page that was served by somebody else.
            origin = request.headers.get("Origin")
            ours = origin is None or origin.removeprefix("http://") in self._names
            if request.host not in self._names or not ours:
                raise web.HTTPForbidden(text=f"This console is opened at {self.public_url}.\n")
            return await handler(request)

        return guard
