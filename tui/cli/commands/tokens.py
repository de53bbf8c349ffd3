"""``modelyard tokens``: who may call the gateway. A token is printed once, when it is made."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output

if TYPE_CHECKING:
    from mlops.serving.gateway.caller_store import CallerStore
    from tui.session import Session

_ACTS = ("list", "create", "rotate", "revoke")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "act", metavar="ACT", nargs="?", choices=_ACTS, default="list", help=" | ".join(_ACTS)
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the caller")
    parser.add_argument(
        "--model", metavar="MODEL", action="append", default=[], help="create: a model it may use; * for all"
    )
    parser.add_argument(
        "--rate", metavar="N", type=float, default=0.0, help="create: requests a second per gateway (0: any)"
    )
    parser.add_argument("--metrics", action="store_true", help="create: it may read /metrics")
    parser.add_argument(
        "--grace", metavar="TIME", default="1h", help="rotate: how long the last token stays valid (1h)"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="revoke: do not ask")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")


def run(args: Namespace, out: Output) -> int:
    """One of the acts."""
    grace = seconds(args.grace)
    from tui.session import Session

    if args.act != "list" and not args.name:
        raise UsageProblem("whose?", where=f"tokens {args.act}", expected="NAME", todo="modelyard tokens")
    with Session.open(args.folder, args.environment) as session:
        from mlops.serving.gateway.caller_store import CallerStore

        store = CallerStore(session.environment().storage)
        if args.act == "list":
            return _list(store, out)
        if args.act == "revoke":
            return _revoke(session, store, args, out)
        return _make(session, store, args, grace, out)


def seconds(text: str) -> float:
    """``30s``, ``10m``, ``1h``, ``2d`` or plain seconds.

    Raises:
        UsageProblem: It is none of these.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd]?)", text)
    if not found:
        raise UsageProblem(f"{text!r} is no time", where="--grace", expected="as 30s, 10m, 1h, 2d")
    return float(found[1]) * _UNITS[found[2] or "s"]


def _make(session: Session, store: CallerStore, args: Namespace, grace: float, out: Output) -> int:
    """A token for a new caller, or another for a known one."""
    facts: dict[str, object] = {"caller": args.name}
    if args.act == "create":
        facts |= {"models": args.model, "rate": args.rate, "metrics": args.metrics}
        token = store.create(args.name, args.model, args.rate, args.metrics)
    else:
        facts |= {"grace_seconds": grace}
        token = store.rotate(args.name, grace)
    # Recorded before it is shown: what nobody saw is only a caller without a user.
    session.record(f"caller.{args.act}", after=facts, why=args.why)
    out.line(token)
    out.say(f"the token of {args.name}; it is shown this once. Authorization: Bearer {token[:7]}…")
    if args.act == "rotate" and grace:
        out.say(f"the one before stays valid for {args.grace}")
    out.document({"caller": args.name, "token": token})
    return ExitCode.DONE


def _revoke(session: Session, store: CallerStore, args: Namespace, out: Output) -> int:
    if not args.yes:
        out.confirm(f"refuse every request of {args.name} from now on?", "add --yes")
    # Recorded first: an act that cannot be recorded is not done.
    session.record("caller.revoke", after={"caller": args.name}, why=args.why)
    store.revoke(args.name)
    out.say(f"{args.name} is revoked; gateways that reach the storage notice within seconds")
    out.document({"caller": args.name, "revoked": True})
    return ExitCode.DONE


def _list(store: CallerStore, out: Output) -> int:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    records = store.list()
    valid = [[each for each in record.tokens if each.valid(now)] for record in records]
    out.table(
        ("caller", "models", "per s", "metrics", "tokens", "newest", "expires"),
        (
            (
                record.name,
                ", ".join(record.models) or "none",
                record.rate or "any",
                "yes" if record.metrics else "no",
                len(tokens),
                tokens[-1].created if tokens else "",
                next((each.expires for each in tokens if each.expires), ""),
            )
            for record, tokens in zip(records, valid, strict=True)
        ),
        right=(2, 4),
    )
    if not records:
        out.say("only the environment's own token is known: modelyard tokens create NAME --model MODEL")
    out.document(
        {
            "callers": [
                {
                    "name": record.name,
                    "models": record.models,
                    "rate": record.rate,
                    "metrics": record.metrics,
                    "tokens": [{"created": each.created, "expires": each.expires or None} for each in tokens],
                }
                for record, tokens in zip(records, valid, strict=True)
            ]
        }
    )
    return ExitCode.DONE
