"""The ``modelyard`` command line: reads the arguments, loads one command, tells faults in words.

It starts without any heavy library: the table below names the commands, and a command's module is imported
only when its name is among the arguments.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from blueprints.errors import ExitCode, Problem, UsageProblem
from tui.cli.output import Output

#: Command -> (module under tui.cli.commands, what it does).
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "write a project: answers become a typed spec"),
    "blueprint": ("blueprint", "what can be built; check one of another package"),
    "preview": ("change", "show what up would change"),
    "cost": ("cost", "what a month costs; the difference between two; newer prices"),
    "up": ("change", "bring the environment up, or to what its spec says"),
    "apply": ("change", "carry out a plan that preview --save wrote, if nothing has changed since"),
    "refresh": ("change", "compare the recorded state with the machine"),
    "destroy": ("change", "take the environment down; data is kept unless asked"),
    "drift": ("drift", "what is not as the last up built it; heal, adopt or ignore it"),
    "recover": ("recover", "after a crash: what is wrong, and one step at a time out of it"),
    "diff": ("environments", "how two environments are configured differently"),
    "promote-env": ("environments", "carry what one environment runs over to another's configuration"),
    "ci": ("ci", "write CI files for a platform; render and post a plan as a comment"),
    "pin": ("pin", "pin actions, images and modelyard itself to digests"),
    "policy": ("policy", "the rules that every preview and up is held to"),
    "outputs": ("outputs", "endpoints and credentials of the environment"),
    "secrets": ("secrets", "which secrets there are, what keeps them; give them another key"),
    "tokens": ("tokens", "who may call the gateway: make, rotate, revoke tokens"),
    "status": ("status", "state of every service"),
    "logs": ("logs", "log of one service"),
    "doctor": ("doctor", "check this machine and the project"),
    "demo": ("demo", "real flights: train, deploy, replay, drift"),
    "runs": ("runs", "runs of the tracking server"),
    "models": ("models", "registered models, versions, aliases"),
    "deploy": ("deploy", "roll a version out: rolling, blue-green, canary, shadow, A/B"),
    "deployments": ("deployments", "served models: arms, traffic, latency, errors, rollouts"),
    "pause": ("deploy", "hold a rollout where it is"),
    "resume": ("deploy", "let a rollout go on"),
    "promote": ("deploy", "move a rollout on, whatever its gates say"),
    "rollback": ("deploy", "all traffic back to the version before, at once"),
    "freeze": ("deploy", "nothing of a model may be deployed or promoted"),
    "unfreeze": ("deploy", "it may again"),
    "shadow": ("deploy", "give copies of a model's traffic to a version"),
    "flag": ("deploy", "rules on request attributes that choose the version"),
    "alerts": ("alerts", "alerts of the monitor: acknowledge, silence, try a route"),
    "monitor": ("monitor", "alerts of the past under another policy; rules and dashboards"),
    "console": ("console", "the console on the environment"),
    "web": ("web", "the console in a browser, loopback only"),
    "exec": ("exec", "run a command with the environment's endpoints and credentials"),
    "env": ("env", "the same as shell lines, with references instead of secrets"),
}

EPILOG = (
    "without a command: the console inside a project, the guide in an empty folder. "
    "exit codes: 0 done, 1 failed, 2 usage, 3 the same may work later, 130 interrupted"
)


class Parser(argparse.ArgumentParser):
    """argparse that raises :class:`UsageProblem` instead of printing in a form of its own."""

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(message, where=self.prog, todo=f"{self.prog} --help")


class Version(argparse.Action):
    """``--version``: reads the installed metadata only when asked."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version

        sys.stdout.write(f"modelyard {version('modelyard')}\n")
        raise SystemExit(0)


def _global_options(parser: argparse.ArgumentParser, top: bool) -> None:
    """The options that are valid before and after the command. Only the top parser has defaults: a
    sub-parser's default would overwrite what was given before the command."""

    def default(value: object) -> object:
        return value if top else argparse.SUPPRESS

    group = parser.add_argument_group("everywhere")
    group.add_argument(
        "-C",
        dest="folder",
        metavar="DIR",
        default=default("."),
        help="project folder (default: here or above)",
    )
    group.add_argument("--env", dest="environment", metavar="NAME", default=default(None), help="environment")
    group.add_argument(
        "--json", dest="json", action="store_true", default=default(False), help="one JSON document on stdout"
    )
    group.add_argument(
        "--quiet", dest="quiet", action="store_true", default=default(False), help="no narration on stderr"
    )


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the options of those commands filled in that ``words`` mentions."""
    parser = Parser(
        prog="modelyard",
        description="A complete MLOps environment through Pulumi, and the console beside it.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version")
    _global_options(parser, top=True)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for name, (module, summary) in COMMANDS.items():
        if name not in words:
            commands.add_parser(name, help=summary, add_help=False)
            continue
        child = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        import_module(f"tui.cli.commands.{module}").add(child, name)
        _global_options(child, top=False)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Everything after ``--`` is the child's command and never read as an option of ours.

    Raises:
        UsageProblem: They make no sense; names the nearest command.
    """
    words = list(argv)
    rest: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, rest = words[:at], words[at + 1 :]
    _known_command(words)
    args = build_parser(words).parse_args(words)
    args.rest = [*getattr(args, "child", []), *rest]
    if rest and args.command != "exec":
        raise UsageProblem(f"unexpected arguments after --: {' '.join(rest)}", where="modelyard")
    return args


def _known_command(words: Sequence[str]) -> None:
    skip = False
    for word in words:
        if skip or word.startswith("-"):
            skip = not skip and word in ("-C", "--env")
            continue
        if word not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.5)
            raise UsageProblem(
                f"no command is called {word!r}",
                where="modelyard",
                expected="one of " + ", ".join(COMMANDS),
                todo=f"did you mean modelyard {near[0]}?" if near else "modelyard --help",
            )
        return


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code (0, 1, 2, 3 or 130; ``exec`` returns its child's)."""
    words = list(sys.argv[1:] if argv is None else argv)
    before = words[: words.index("--")] if "--" in words else words
    out = Output(as_json="--json" in before, quiet="--quiet" in before)
    try:
        args = parse(words)
        # An option of the child (exec without --) is not ours.
        out = Output(as_json=args.json, quiet=args.quiet)
        code = _run(args, out)
        sys.stdout.flush()
        return code
    except Problem as problem:
        out.problem(problem)
        return int(problem.code)
    except KeyboardInterrupt:
        out.problem(Problem("interrupted", code=ExitCode.INTERRUPTED))
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (| head). Point stdout elsewhere, or the interpreter complains when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception as error:
        out.problem(_internal(error, words))
        return int(ExitCode.FAILED)


def _run(args: argparse.Namespace, out: Output) -> int:
    args.folder = Path(args.folder)
    module = COMMANDS[args.command][0] if args.command else "start"
    code: int = import_module(f"tui.cli.commands.{module}").run(args, out)
    return code


def _internal(error: Exception, words: Sequence[str]) -> Problem:
    """A fault of ours: the traceback goes to a private file, one line to the screen."""
    import tempfile
    import traceback

    command = next((word for word in words if word in COMMANDS), "start")
    with tempfile.NamedTemporaryFile(
        "w", prefix="modelyard-fault-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        # No locals and no arguments: they may hold secrets.
        file.write(f"modelyard {command}\n")
        file.writelines(traceback.format_exception(error))
    return Problem(
        f"internal fault ({type(error).__name__}); it is not caused by your input",
        where=f"modelyard {command}",
        todo=f"report it with the file {file.name}",
    )


if __name__ == "__main__":
    sys.exit(main())
