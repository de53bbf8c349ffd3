"""``modelyard exec -- cmd``: run a process that has the environment's endpoints and credentials."""

from __future__ import annotations

import os
import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from pathlib import Path

from blueprints.errors import Problem, UsageProblem
from tui.cli.output import Output


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")
    parser.add_argument("child", nargs=REMAINDER, metavar="-- COMMAND", help="the command and its arguments")


def run(args: Namespace, out: Output) -> int:
    """Become the command: this process is replaced, so signals and the exit code are the child's own.

    Credentials are only in its environment variables: never in arguments, files, or the calling shell. That
    they were given is recorded: which, and the command's name without its arguments.
    """
    from mlops import access
    from tui.session import Session

    if not args.rest:
        raise UsageProblem(
            "which command?",
            where="modelyard exec",
            expected="-- COMMAND",
            todo="modelyard exec -- python train.py",
        )
    with Session.open(args.folder, args.environment) as session:
        environment = session.environment()
        variables = access.variables(environment)
        given = {"keys": sorted(access.references(environment).values()), "command": Path(args.rest[0]).name}
        session.record("secret.give", after=given, why=args.why)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(args.rest[0], args.rest, {**os.environ, **variables})
    except OSError as error:
        raise Problem(
            f"cannot be started: {error.strerror}",
            where=args.rest[0],
            expected="a command on PATH or a path to one",
        ) from None
