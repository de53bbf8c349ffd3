"""``modelyard runs``: runs of the tracking server, filtered and sorted by the server."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output, since

if TYPE_CHECKING:
    from mlops.tracking.client import TrackingClient
    from mlops.tracking.entities import Run


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("--filter", metavar="TEXT", default="", help="as metrics.auc > 0.7")
    parser.add_argument("--experiment", metavar="NAME", help="runs of one experiment (default: all)")
    parser.add_argument("--sort", metavar="KEY", help="as metrics.auc or -start_time; - sorts downwards")
    parser.add_argument("--limit", metavar="N", type=int, default=50, help="at most N runs (default 50)")


def run(args: Namespace, out: Output) -> int:
    """A line per run, newest first unless sorted otherwise."""
    from tui.session import Session

    if args.limit < 1:
        raise UsageProblem(f"{args.limit} is not a number of runs", where="--limit", expected="1 or more")
    with Session.open(args.folder, args.environment) as session:
        client = session.tracking()
        runs, more = collect(client, args.experiment, args.filter, order(args.sort), args.limit)
    metrics = sorted({key for run in runs for key in run.metrics})[:4]
    out.table(
        ("run", "name", "status", "started", "user", *metrics),
        (
            (
                run.id,
                run.name,
                run.status,
                since(run.start),
                run.user,
                *(run.metrics.get(key) for key in metrics),
            )
            for run in runs
        ),
        right=tuple(range(5, 5 + len(metrics))),
    )
    if not runs:
        out.say("no runs match. modelyard demo logs one")
    elif more:
        out.say(f"the first {len(runs)}; more with --limit")
    out.document({"runs": runs, "more": more})
    return ExitCode.DONE


def order(key: str | None) -> tuple[str, ...]:
    """The server's order of ``--sort``: ``-metrics.auc`` is ``metrics.auc DESC``."""
    if not key:
        return ("attributes.start_time DESC",)
    name, _, direction = key.lstrip("-").partition(" ")
    down = key.startswith("-") or direction.strip().lower() == "desc"
    return (f"{name} {'DESC' if down else 'ASC'}",)


def collect(
    client: TrackingClient, experiment: str | None, text: str, order_by: tuple[str, ...], limit: int
) -> tuple[list[Run], bool]:
    """At most ``limit`` runs, page by page, and whether there are more.

    Raises:
        UsageProblem: There is no such experiment; names those that there are.
    """
    ids = None
    if experiment:
        known = {found.name: found.id for found in client.experiments()}
        if experiment not in known:
            raise UsageProblem(
                f"no experiment is called {experiment!r}", where="--experiment", expected=", ".join(known)
            )
        ids = [known[experiment]]
    runs: list[Run] = []
    token = ""
    while len(runs) < limit:
        page = client.runs(
            ids, filter=text, order_by=order_by, page_size=min(1000, limit - len(runs)), token=token
        )
        runs.extend(page.runs)
        token = page.next_token
        if not token:
            break
    return runs[:limit], bool(token)
