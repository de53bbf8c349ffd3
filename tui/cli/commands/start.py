"""``modelyard`` without a command: the console inside a project, the guide where there is none."""

from __future__ import annotations

import sys
from argparse import Namespace

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output


def run(args: Namespace, out: Output) -> int:
    """Decide by the folder: a project opens the console, an empty place the guide."""
    from stacks.project import Project
    from tui.cli.commands import console

    terminal = sys.stdin.isatty() and sys.stdout.isatty() and not out.as_json
    try:
        Project.find(args.folder)
    except UsageProblem:
        if not terminal:
            raise
        return _guide(args)
    return console.run(args, out)


def _guide(args: Namespace) -> int:
    from tui.guide.app import GuideApp

    finished = GuideApp(args.folder).run()
    if finished is None:
        return ExitCode.DONE
    from tui.cli.commands.console import open_console
    from tui.session import Session

    with Session(finished.project, finished.environment) as session:
        return open_console(session)
