"""``modelyard logs SERVICE``: the last lines of a service's log, or its log as it grows."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("service", metavar="SERVICE", help="a name that status lists")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until ctrl+c")
    parser.add_argument("-n", "--lines", type=int, default=200, metavar="N", help="last N (default 200)")


def run(args: Namespace, out: Output) -> int:
    """Print the lines. With ``--follow --json`` each line is a JSON document of its own."""
    import threading

    from stacks import logs
    from tui.session import Session

    if args.lines < 0:
        raise UsageProblem(f"{args.lines} is not a number of lines", where="--lines", expected="0 or more")
    with Session.open(args.folder, args.environment) as session:
        environment = session.environment()
        lines = logs.tail(environment, args.service, lines=args.lines)
        if not args.follow:
            out.document({"service": args.service, "lines": lines})
            for line in lines:
                out.line(line)
            return ExitCode.DONE
        stop = threading.Event()
        try:
            for line in lines:
                _emit(line, args.service, out)
            for line in logs.follow(environment, args.service, stop):
                _emit(line, args.service, out)
        except KeyboardInterrupt:
            # The usual way to end following: not a fault.
            pass
        finally:
            stop.set()
    return ExitCode.DONE


def _emit(line: str, service: str, out: Output) -> None:
    import json
    import sys

    text = json.dumps({"service": service, "line": line}, ensure_ascii=False) if out.as_json else line
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
