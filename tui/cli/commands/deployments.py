"""``modelyard deployments``: what the gateway serves, and how it fares."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode
from tui.cli.output import Output

if TYPE_CHECKING:
    from mlops.serving.client import Deployment


def add(parser: ArgumentParser, name: str) -> None:
    """No options of its own."""


def run(args: Namespace, out: Output) -> int:
    """A line per served model version."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        deployments = session.gateway().deployments()
    show(deployments, out)
    if not deployments:
        out.say("nothing is served: a model is served when a version of it has the alias champion")
    out.document({"deployments": deployments})
    return ExitCode.DONE


def show(deployments: Sequence[Deployment], out: Output) -> None:
    """The table."""
    out.table(
        (
            "model",
            "version",
            "alias",
            "state",
            "requests",
            "errors",
            "per s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "why",
        ),
        (
            (
                item.model,
                str(item.version),
                item.alias,
                item.state,
                item.requests,
                item.errors,
                item.rate_per_second,
                item.p50_ms,
                item.p95_ms,
                item.p99_ms,
                item.reason,
            )
            for item in deployments
        ),
        right=(1, 4, 5, 6, 7, 8, 9),
    )
