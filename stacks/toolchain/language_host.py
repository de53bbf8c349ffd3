"""``pulumi-language-python ENGINE``: runs the Python program of a project for a CLI built from Go modules.

The official download brings its own host; this one serves the same protocol with the SDK's own protobufs. It
runs the program in its own process: one start of Python less than a child would take.
"""

from __future__ import annotations

import os
import sys
from concurrent import futures
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.automation._server import LanguageServer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from stacks import program


class Host(LanguageServer):
    """The SDK's in-process server, with a program that lies in a file."""

    def __init__(self, engine: str) -> None:
        super().__init__(lambda: None)
        self.engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine says hello."""
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Our version."""
        return plugin_pb2.PluginInfo(version="0.1.0")

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """There is nothing to ask."""
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The virtual environment that holds us holds everything."""
        return iter(())

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine ends us right after."""
        return empty_pb2.Empty()

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Run the program against the engine's monitor."""
        entry = request.info.entry_point
        name = "__main__.py" if entry in ("", ".") else entry
        folder = Path(request.info.program_directory)
        os.chdir(request.pwd or folder)
        self.program = partial(program.run, folder, name)
        del request.args[:]
        request.args.append(self.engine)
        return super().Run(request, context)  # type: ignore[no-untyped-call]


def main() -> None:
    """Serve until the engine is done with us."""
    engine = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    server = grpc.server(futures.ThreadPoolExecutor(4), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # The first line tells the engine the port; what the program prints must not be taken for it.
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(0)


if __name__ == "__main__":
    main()
