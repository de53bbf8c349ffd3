"""``modelyard web``: the console in a browser, on the loopback interface only."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from blueprints.errors import ExitCode, Problem, UsageProblem
from tui.cli.output import Output

LOOPBACK = "127.0.0.1"


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="TCP port (default 8000)")


def run(args: Namespace, out: Output) -> int:
    """Serve until ctrl+c. The page has the power of the console, so it never listens beyond this machine."""
    import shlex
    import sys

    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        root, environment = session.project.root, session.environment_name
    try:
        from tui.web.server import LocalServer
    except ImportError:
        raise Problem(
            "the console in a browser is an extra that is not installed",
            where="modelyard web",
            expected="textual-serve",
            todo="pip install 'modelyard[web]'",
        ) from None
    _free(args.port)
    command = [sys.executable, "-m", "tui.cli.main", "-C", str(root), "--env", environment, "console"]
    url = f"http://{LOOPBACK}:{args.port}"
    out.line(url)
    out.document({"url": url})
    out.say("ctrl+c ends it")
    sys.stdout.flush()
    LocalServer(shlex.join(command), LOOPBACK, args.port, f"modelyard {environment}").serve()
    return ExitCode.DONE


def _free(port: int) -> None:
    import socket

    if not 1 <= port <= 65535:
        raise UsageProblem(f"{port} is not a port", where="--port", expected="1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise Problem(
                f"port {port} cannot be used: {error.strerror}",
                where="--port",
                expected="a free port",
                todo=f"modelyard web --port {port + 1}",
            ) from None
