"""``modelyard doctor``: what this machine and the project have, and what to do where something is wrong."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, Problem
from tui.cli.output import Output

if TYPE_CHECKING:
    from stacks.doctor import Check
    from stacks.project import Project

SYMBOLS = {"ok": "●", "warning": "△", "failed": "▲"}


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "--blueprint", metavar="NAME", help="check for this blueprint (default: the project's, or local)"
    )


def run(args: Namespace, out: Output) -> int:
    """One line per check as it ends. 1 when a check failed; warnings do not count."""
    from blueprints import catalog
    from stacks import doctor

    project = _project(args)
    blueprint = catalog.find(args.blueprint or _blueprint(project, args.environment))
    found: list[Check] = []
    for check in doctor.checks(project, blueprint):
        found.append(check)
        out.line(f"{SYMBOLS[check.status]} {check.name:<12} {check.fact}")
        if check.todo and check.status != "ok":
            out.line(f"  {'':<12} do: {check.todo}")
    failed = sum(check.status == "failed" for check in found)
    warnings = sum(check.status == "warning" for check in found)
    out.say(f"{len(found)} checks, {failed} failed, {warnings} to look at")
    out.document({"blueprint": blueprint.name, "failed": failed, "warnings": warnings, "checks": found})
    return ExitCode.FAILED if failed else ExitCode.DONE


def _project(args: Namespace) -> Project | None:
    from stacks.project import Project

    try:
        return Project.find(args.folder)
    except Problem:
        # Doctor is also for a folder in which nothing works yet.
        return None


def _blueprint(project: Project | None, environment: str | None) -> str:
    from tui.session import choose_environment

    if project is None or not project.environments():
        return "local"
    return project.spec(choose_environment(project.environments(), environment)).blueprint
