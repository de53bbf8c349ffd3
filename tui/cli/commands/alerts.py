"""``modelyard alerts``: list them, show one, acknowledge one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output, cell, since

if TYPE_CHECKING:
    from mlops.monitoring.alerts import Alert
    from tui.session import Session

SYMBOLS = {"page": "▲", "ticket": "△"}


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("action", nargs="?", choices=("list", "show", "acknowledge"), default="list")
    parser.add_argument("id", nargs="?", metavar="ID", help="of show and acknowledge")
    parser.add_argument("--all", action="store_true", help="acknowledged and resolved ones too")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason of an acknowledgement")


def run(args: Namespace, out: Output) -> int:
    """List firing alerts (``--all``: every one), or act on one."""
    from tui.session import Session

    if args.action != "list" and not args.id:
        raise UsageProblem(
            f"which alert to {args.action}?", where="alerts", expected="an ID that modelyard alerts lists"
        )
    with Session.open(args.folder, args.environment) as session:
        if args.action == "acknowledge":
            return _acknowledge(session, args, out)
        if args.action == "show":
            return _show(session, args, out)
        alerts = session.monitor().alerts() if args.all else session.monitor().alerts(state="firing")
    out.table(
        ("", "id", "state", "model", "feature", "seen", "what"),
        (
            (
                SYMBOLS.get(alert.severity, "△"),
                str(alert.id),
                alert.state,
                alert.subject,
                alert.feature,
                since(alert.last_seen),
                alert.summary,
            )
            for alert in alerts
        ),
        right=(1,),
    )
    if not alerts:
        out.say("no alert" + ("" if args.all else " is firing; modelyard alerts --all lists the others"))
    out.document({"alerts": alerts})
    return ExitCode.DONE


def _show(session: Session, args: Namespace, out: Output) -> int:
    alert = _alert(session, args.id)
    for name in ("id", "severity", "state", "model", "version", "feature", "statistic", "value", "threshold"):
        out.line(f"{name:<12} {cell(getattr(alert, name))}")
    out.line(f"{'what':<12} {alert.summary}")
    if alert.acknowledged_by:
        out.line(f"{'by':<12} {alert.acknowledged_by}: {alert.why}")
    out.line()
    current = dict(zip(alert.current.labels, alert.current.shares, strict=True))
    out.table(
        ("value", "reference", "current"),
        (
            (label, f"{share:.1%}", f"{current.get(label, 0.0):.1%}")
            for label, share in zip(alert.reference.labels, alert.reference.shares, strict=True)
        ),
        right=(1, 2),
    )
    out.document(alert)
    return ExitCode.DONE


def _acknowledge(session: Session, args: Namespace, out: Output) -> int:
    import getpass
    import socket

    # The monitor appends the act to the audit log before it answers, for every client alike.
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    after = session.monitor().acknowledge(_alert(session, args.id).id, who, args.why)
    out.line(f"{after.id}\t{after.state}")
    out.say(f"acknowledged: {after.summary}")
    out.document(after)
    return ExitCode.DONE


def _alert(session: Session, text: str) -> Alert:
    if not text.isdigit():
        raise UsageProblem(f"{text!r} is not the ID of an alert", where="alerts", expected="a whole number")
    return session.monitor().alert(int(text))
