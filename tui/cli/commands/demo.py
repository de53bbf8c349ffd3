"""``modelyard demo``: a real workload: train, register, deploy, replay with late labels."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from blueprints.errors import ExitCode, Problem, UsageProblem
from tui.cli.output import Output


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "--months", default="4-12", metavar="A-B", help="months of 2013 to replay (default 4-12)"
    )
    parser.add_argument(
        "--speed", default="max", metavar="N", help="times real time, as 3600, or max (default)"
    )
    parser.add_argument(
        "--data", metavar="FILE", type=Path, help="your own table, Parquet, instead of flights"
    )
    parser.add_argument("--target", metavar="COLUMN", help="what to predict (with --data)")
    parser.add_argument("--time", metavar="COLUMN", help="when a row happened (with --data)")
    parser.add_argument("--again", action="store_true", help="train and replay even if it was done before")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")


def run(args: Namespace, out: Output) -> int:
    """Run it with progress on stderr; the result on stdout."""
    from tui.session import Session

    _check(args)
    with Session.open(args.folder, args.environment) as session:
        environment = session.environment()
        from mlops import demo

        began = time.monotonic()

        def narrate(event: object) -> None:
            out.say(f"{time.monotonic() - began:6.1f} s  {event}")

        asked = {"months": args.months, "speed": args.speed, "data": args.data, "target": args.target}
        session.record("demo.started", after=_text(asked), why=args.why)
        try:
            result = demo.run(
                environment,
                months=args.months,
                speed=args.speed,
                on_event=narrate,
                data=args.data,
                target=args.target,
                time=args.time,
                again=args.again,
            )
        except BaseException as error:
            reason = error.what if isinstance(error, Problem) else type(error).__name__
            session.record("demo.failed", after={"reason": reason}, why=args.why)
            raise
        session.record("demo.done", after=_text(asked), why=args.why)
    out.document({"result": result})
    out.line(str(result))
    sys.stdout.flush()
    return ExitCode.DONE


def _text(values: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _check(args: Namespace) -> None:
    """Refuse what can be seen to be wrong before anything starts."""
    if args.data is None:
        if args.target or args.time:
            raise UsageProblem(
                "--target and --time belong to a table of your own", where="demo", expected="--data FILE"
            )
        return
    if not args.data.is_file():
        raise UsageProblem(
            "no such file", where=str(args.data), expected="a Parquet file", todo="--data FILE"
        )
    if not args.target or not args.time:
        raise UsageProblem(
            "a table of your own needs to say what to predict and when a row happened",
            where="--data",
            expected="--target COLUMN --time COLUMN",
        )
