"""``modelyard deploy`` and the acts on a deployment: the gateway does them, at once and on every replica."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, UsageProblem
from tui.cli import consent
from tui.cli.output import Output
from tui.deploying import UNASKED, act, changed_flags, state

if TYPE_CHECKING:
    from mlops.serving.rollout.state import Deployment
    from tui.session import Session

_STRATEGY = (
    "rolling, blue-green, canary:5@2m,25@200n,100, shadow:1h or ab:50,metric=NAME "
    "(default: what the spec's serving.strategy says)"
)


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options of one of the commands."""
    model = "MODEL@VERSION" if name == "deploy" else "MODEL"
    version = "a version's number or an alias" if name == "deploy" else "name of the registered model"
    parser.add_argument("model", metavar=model, help=version)
    if name == "deploy":
        parser.add_argument("--strategy", metavar="TEXT", default="", help=_STRATEGY)
    if name in ("deploy", "promote", "resume"):
        parser.add_argument("--wait", action="store_true", help="until the rollout is over or waits")
    if name == "promote":
        parser.add_argument("--full", action="store_true", help="to the end, not to the next step")
    if name == "rollback":
        parser.add_argument(
            "--to", metavar="VERSION", default="", help="any version (default: the one before)"
        )
    if name == "shadow":
        parser.add_argument("version", metavar="VERSION", help="the version that gets copies, or off")
    if name == "flag":
        parser.add_argument("act", choices=("list", "add", "remove", "on", "off"), nargs="?", default="list")
        parser.add_argument("rule", metavar="RULE", nargs="?", default="", help="tier=gold:8, user%%10:8 …")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")


def run(args: Namespace, out: Output) -> int:
    """Do it, and say what the deployment is now."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        if args.command == "flag" and args.act == "list":
            return _flags(session, args.model, out)
        model, what = _asked(session, args)
        if args.command not in UNASKED and consent.protected_now(session):
            consent.agree_to_protected(session, out, args.command)
        done = act(session, model, args.command, what, args.why)
        out.say(str(done))
        after = done.after
        if getattr(args, "wait", False):
            after = _wait(session, model, after, out)
        out.document({"model": model, "deployment": after})
        failed = after.rollout is not None and after.rollout.phase == "failed"
        return ExitCode.FAILED if getattr(args, "wait", False) and failed else ExitCode.DONE


def _asked(session: Session, args: Namespace) -> tuple[str, dict[str, Any]]:
    if args.command == "deploy":
        model, _, version = args.model.rpartition("@")
        if not model or not version:
            raise UsageProblem(
                f"{args.model!r} names no version", where="deploy", expected="MODEL@VERSION, as in delay@8"
            )
        if not version.isdigit():
            version = session.tracking().alias(model, version).version
        return model, {"version": version, "strategy": args.strategy}
    if args.command == "rollback":
        return args.model, {"version": args.to}
    if args.command == "promote":
        return args.model, {"full": args.full}
    if args.command == "shadow":
        return args.model, {"version": "" if args.version == "off" else args.version}
    if args.command == "flag":
        return args.model, {"flags": _changed_flags(session, args)}
    return args.model, {}


def _changed_flags(session: Session, args: Namespace) -> dict[str, Any]:
    from mlops.serving.rollout.state import Flags

    found = state(session, args.model)
    return changed_flags(found.flags if found else Flags(), args.act, args.rule).model_dump(mode="json")


def _flags(session: Session, model: str, out: Output) -> int:
    from mlops.serving.rollout.rules import rule_text

    flags = session.gateway().deployment(model).desired.flags
    out.table(("rule", "version"), [(rule_text(rule), rule.version) for rule in flags.rules])
    out.say(f"flags of {model} are {'on' if flags.on else 'off'}; the first rule that matches decides")
    out.document({"model": model, "on": flags.on, "rules": [rule_text(rule) for rule in flags.rules]})
    return ExitCode.DONE


def _wait(session: Session, model: str, known: Deployment, out: Output) -> Deployment:
    """Until nothing moves by itself any more; says each event as it comes."""
    said = known.revision
    while known.active and known.active.phase not in ("paused", "frozen"):
        time.sleep(1.0)
        found = state(session, model)
        if found is None or found.revision <= said:
            continue
        fresh = [event for event in found.events if event.at > known.updated]
        known, said = found, found.revision
        for event in fresh:
            out.say(f"{model}: {event.text}")
    return known
