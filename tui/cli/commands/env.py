"""``modelyard env --shell sh``: the environment's variables as shell lines, secrets as references."""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentParser, Namespace

from blueprints.errors import ExitCode
from tui.cli.output import Output


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "--shell", choices=("sh", "fish"), default=None, help="sh (bash, zsh) or fish (default: by $SHELL)"
    )


def run(args: Namespace, out: Output) -> int:
    """Lines to evaluate. A secret is a command that the shell runs itself, so no screen or file holds it."""
    from mlops import access
    from tui.session import Session

    shell = args.shell or ("fish" if os.environ.get("SHELL", "").endswith("fish") else "sh")
    with Session.open(args.folder, args.environment) as session:
        environment = session.environment()
        values = access.variables(environment, secrets=False)
        fetch = [
            "modelyard",
            "-C",
            str(session.project.root),
            "--env",
            session.environment_name,
            "outputs",
            "--show-secrets",
        ]
        references = {name: shlex.join([*fetch, key]) for name, key in access.references(environment).items()}
    for name, value in values.items():
        out.line(assignment(shell, name, shlex.quote(value)))
    for name, command in references.items():
        out.line(assignment(shell, name, f'"$({command})"' if shell == "sh" else f"({command})"))
    out.document({"values": values, "references": references})
    return ExitCode.DONE


def assignment(shell: str, name: str, value: str) -> str:
    """One exported variable; ``value`` is quoted already."""
    return f"export {name}={value}" if shell == "sh" else f"set -gx {name} {value}"
