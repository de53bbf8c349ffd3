"""``modelyard status``: the state of every service, as the machine has it now."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode
from tui.cli.output import Output, duration

if TYPE_CHECKING:
    from stacks.status import ServiceState

SYMBOLS = {"running": "●", "starting": "◐", "stopped": "○", "failed": "▲", "unknown": "○"}


def add(parser: ArgumentParser, name: str) -> None:
    """No options of its own."""


def run(args: Namespace, out: Output) -> int:
    """0: all well. 3: something is still starting. 1: something is down."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        states = session.services()
        code = verdict(states)
        show(states, out)
        out.document(
            {
                "project": session.project.name,
                "environment": session.environment_name,
                "well": code == ExitCode.DONE,
                "services": states,
            }
        )
        return code


def symbol(state: ServiceState) -> str:
    """The symbol of LOOK: a running service that fails its health check is degraded."""
    if state.state == "running" and state.healthy is False:
        return "△"
    return SYMBOLS[state.state]


def verdict(states: Sequence[ServiceState]) -> ExitCode:
    """The exit code the states amount to."""
    if all(state.state == "running" and state.healthy is not False for state in states):
        return ExitCode.DONE
    if all(state.state in ("running", "starting") for state in states):
        return ExitCode.RETRY
    return ExitCode.FAILED


def show(states: Sequence[ServiceState], out: Output) -> None:
    """One line per service, the reason under one that is not well."""
    out.table(
        ("", "service", "layer", "state", "up", "MB", "url", "reason"),
        (
            (
                symbol(state),
                state.name,
                state.layer,
                state.state,
                duration(state.uptime_seconds),
                None if state.memory_mb is None else round(state.memory_mb),
                state.url,
                "" if state.state == "running" and state.healthy is not False else state.reason,
            )
            for state in states
        ),
        right=(4, 5),
    )
