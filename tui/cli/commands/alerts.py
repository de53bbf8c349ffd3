"""``modelyard alerts``: list them, show one, say what it was worth, silence some, try a route."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output, cell, since

if TYPE_CHECKING:
    from mlops.monitoring.alerts import Alert
    from tui.session import Session

SYMBOLS = {"page": "▲", "ticket": "△", "digest": "·"}
#: What each action takes beside the options.
_NEEDS = {
    "show": "an ID that modelyard alerts lists",
    "ack": "an ID that modelyard alerts lists",
    "acknowledge": "an ID that modelyard alerts lists",
    "history": "an ID that modelyard alerts lists",
    "silence": "matchers such as model=delay kind=drift feature=dep_*",
    "unsilence": "an ID that modelyard alerts silences lists",
    "source": "the name of a source of monitoring.alerts.sources",
    "test-route": "the name of a route of monitoring.alerts.routes",
}
_ACTIONS = ("list", *_NEEDS, "silences")


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("action", nargs="?", choices=_ACTIONS, default="list")
    parser.add_argument("what", nargs="*", metavar="WHAT", help="ID, matchers FIELD=PATTERN, or a route")
    parser.add_argument("--all", action="store_true", help="acknowledged and resolved ones too")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason of ack, silence and --down")
    state = parser.add_mutually_exclusive_group()
    state.add_argument("--down", action="store_true", help="of source: it is down; needs --why")
    state.add_argument("--up", action="store_true", help="of source: it is up again")
    judged = parser.add_mutually_exclusive_group()
    judged.add_argument("--useful", action="store_const", const=True, dest="useful", help="it was worth it")
    judged.add_argument("--noise", action="store_const", const=False, dest="useful", help="it was not")
    parser.add_argument("--hours", type=float, default=1.0, metavar="N", help="length of a silence (1)")


def run(args: Namespace, out: Output) -> int:
    """List firing alerts (``--all``: every one), or act."""
    from tui.session import Session

    if args.action in _NEEDS and not args.what:
        raise UsageProblem(f"what to {args.action}?", where="alerts", expected=_NEEDS[args.action])
    if args.action not in ("silence",) and len(args.what) > 1:
        raise UsageProblem(f"one at a time, not {' '.join(args.what)}", where="alerts")
    acts = {
        "list": _list,
        "show": _show,
        "ack": _acknowledge,
        "acknowledge": _acknowledge,
        "history": _history,
        "silence": _silence,
        "silences": _silences,
        "unsilence": _unsilence,
        "source": _source,
        "test-route": _test_route,
    }
    with Session.open(args.folder, args.environment) as session:
        return acts[args.action](session, args, out)


def _list(session: Session, args: Namespace, out: Output) -> int:
    alerts = session.monitor().alerts() if args.all else session.monitor().alerts(state="firing")
    out.table(
        ("", "id", "state", "model", "feature", "seen", "what"),
        (
            (
                SYMBOLS.get(alert.severity, "△"),
                str(alert.id),
                alert.state,
                alert.subject,
                f"{alert.feature} [{alert.segment}]" if alert.segment else alert.feature,
                since(alert.last_seen),
                alert.summary + (f" (explained by {alert.inhibited_by})" if alert.inhibited_by else ""),
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
    alert = _alert(session, args.what[0])
    for name in ("id", "severity", "state", "model", "version", "feature", "statistic", "value", "threshold"):
        out.line(f"{name:<12} {cell(getattr(alert, name))}")
    out.line(f"{'what':<12} {alert.summary}")
    if alert.inhibited_by:
        out.line(f"{'explained by':<12} {alert.inhibited_by}")
    if alert.acknowledged_by:
        judged = (
            {True: " (useful)", False: " (noise)"}.get(alert.useful, "") if alert.useful is not None else ""
        )
        out.line(f"{'by':<12} {alert.acknowledged_by}: {alert.why}{judged}")
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


def _who() -> str:
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"


def _acknowledge(session: Session, args: Namespace, out: Output) -> int:
    # The monitor appends the act to the audit log before it answers, for every client alike.
    number = _alert(session, args.what[0]).id
    after = session.monitor().acknowledge(number, _who(), args.why, args.useful)
    out.line(f"{after.id}\t{after.state}")
    out.say(f"acknowledged: {after.summary}")
    out.document(after)
    return ExitCode.DONE


def _history(session: Session, args: Namespace, out: Output) -> int:
    changes = session.monitor().changes(_number(args.what[0]))
    out.table(
        ("at", "state", "severity", "what"),
        ((c.at.isoformat(" ", "seconds"), c.state, c.severity, c.words) for c in changes),
    )
    if not changes:
        out.say("nothing is remembered of it")
    out.document({"changes": changes})
    return ExitCode.DONE


def _silence(session: Session, args: Namespace, out: Output) -> int:
    pairs = [each.partition("=") for each in args.what]
    if any(not sign for _, sign, _ in pairs):
        raise UsageProblem("that is no matcher", where="alerts", expected=_NEEDS["silence"])
    matchers = {name: pattern for name, _, pattern in pairs}
    number = session.monitor().silence(matchers, args.hours, _who(), args.why)
    out.line(str(number))
    out.say(f"silent for {args.hours:g} h; modelyard alerts unsilence {number} ends it")
    out.document({"id": number})
    return ExitCode.DONE


def _silences(session: Session, args: Namespace, out: Output) -> int:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    known = [each for each in session.monitor().silences() if args.all or each.ends > now]
    out.table(
        ("id", "until", "who", "what", "why"),
        (
            (
                str(each.id),
                each.ends.isoformat(" ", "minutes"),
                each.who,
                " ".join(f"{name}={pattern}" for name, pattern in each.matchers.items()),
                each.why,
            )
            for each in known
        ),
        right=(0,),
    )
    if not known:
        out.say("nothing is silenced")
    out.document({"silences": known})
    return ExitCode.DONE


def _unsilence(session: Session, args: Namespace, out: Output) -> int:
    number = _number(args.what[0])
    session.monitor().unsilence(number, _who())
    out.say(f"silence {number} is over")
    out.document({"id": number})
    return ExitCode.DONE


def _source(session: Session, args: Namespace, out: Output) -> int:
    name = args.what[0]
    if args.down == args.up or (args.down and not args.why):
        raise UsageProblem(f"how is {name}?", where="alerts source", expected="--down --why TEXT, or --up")
    session.record("alert.source", target=name, after={"state": "down" if args.down else "up"}, why=args.why)
    session.monitor().source(name, args.why if args.down else "")
    words = "down: alerts of the models on it are held back" if args.down else "up"
    out.say(f"{name} is {words}")
    out.document({"source": name, "down": args.down})
    return ExitCode.DONE


def _test_route(session: Session, args: Namespace, out: Output) -> int:
    """0: the other side took it. 3: it did not, and may later."""
    name = args.what[0]
    why = session.monitor().test_route(name)
    out.line(f"{name}\t{why or 'taken'}")
    out.document({"route": name, "sent": not why, "why": why})
    return ExitCode.RETRY if why else ExitCode.DONE


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageProblem(f"{text!r} is not an ID", where="alerts", expected="a whole number")
    return int(text)


def _alert(session: Session, text: str) -> Alert:
    return session.monitor().alert(_number(text))
