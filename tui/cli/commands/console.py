"""``modelyard console``: the console on a terminal; a summary where there is none."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, Problem
from tui.cli.output import Output

if TYPE_CHECKING:
    from tui.session import Session


def add(parser: ArgumentParser, name: str) -> None:
    """No options of its own."""


def run(args: Namespace, out: Output) -> int:
    """Open the console, or print the summary when nobody looks at a terminal."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        # textual-serve gives its child pipes, and names the driver that draws into a browser.
        served = "TEXTUAL_DRIVER" in os.environ
        if (served or (sys.stdin.isatty() and sys.stdout.isatty())) and not out.as_json:
            return open_console(session)
        return summary(session, out)


def open_console(session: Session) -> int:
    """Run the Textual app until it is left."""
    from tui.app import ConsoleApp

    ConsoleApp(session).run()
    return ExitCode.DONE


def summary(session: Session, out: Output) -> int:
    """What the Overview page shows, as text. A part that does not answer is told in its place."""
    from tui.cli.commands import deployments, status

    faults: dict[str, str] = {}

    def ask(part: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Problem as problem:
            faults[part] = problem.what
            return ()

    services = ask("services", session.services)
    # Nothing is up: the other parts would only say so again.
    parts: dict[str, Callable[[], Any]] = {
        "models": lambda: session.tracking().models(),
        "deployments": lambda: session.gateway().deployments(),
        "alerts": lambda: session.monitor().firing(),
    }
    found = {part: ask(part, question) for part, question in parts.items()} if not faults else {}
    out.line(f"modelyard  {session.project.name} ▸ {session.environment_name}")
    if services:
        out.line()
        status.show(services, out)
    if found.get("deployments"):
        out.line()
        deployments.show(found["deployments"], out)
    out.line()
    names = [f"{model.name} ({_aliases(model)})" for model in found.get("models", ())]
    if names:
        out.line(f"models  {', '.join(names)}")
    alerts = found.get("alerts", ())
    if "alerts" in found and "alerts" not in faults:
        out.line(f"firing alerts  {len(alerts)}")
    for alert in alerts[:5]:
        out.line(f"  {'▲' if alert.severity == 'page' else '△'} {alert.summary}")
    for part, what in faults.items():
        out.line(f"○ {part}: {what}")
    out.document(
        {
            "project": session.project.name,
            "environment": session.environment_name,
            "services": services,
            **found,
            "faults": faults,
        }
    )
    return ExitCode.DONE


def _aliases(model: Any) -> str:
    return ", ".join(f"{alias} v{version}" for alias, version in model.aliases.items()) or "no alias"
