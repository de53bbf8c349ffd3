"""``modelyard drift``: what is not as the last up built it; heal it, adopt it, or ignore it for a while."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import date
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, Problem, UsageProblem
from tui.cli import consent
from tui.cli.commands import change
from tui.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stacks.engine.drift import Drift, DriftReport
    from tui.session import Session


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("action", nargs="?", choices=("check", "heal", "adopt", "ignore"), default="check")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the resource, of adopt and ignore")
    parser.add_argument(
        "--alert", action="store_true", help="report to the monitor: raise and resolve alerts"
    )
    parser.add_argument("--until", metavar="YYYY-MM-DD", default="", help="last day of ignore")
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")
    consent.options(parser)


def run(args: Namespace, out: Output) -> int:
    """0: as built, or done. 1: something differs."""
    from tui.session import Session

    if args.action in ("adopt", "ignore") and not args.name:
        raise UsageProblem(
            f"which resource to {args.action}?", where="drift", expected="a NAME that modelyard drift lists"
        )
    with Session.open(args.folder, args.environment) as session:
        act = {"check": _check, "heal": _heal, "adopt": _adopt, "ignore": _ignore}[args.action]
        return act(session, args, out)


def _check(session: Session, args: Namespace, out: Output) -> int:
    report = change.operate(session, out, lambda engine: engine.drift())
    _show(report, out)
    alerted = _alert(session, report.counted, out) if args.alert else None
    out.document(_document(session, report) | ({} if alerted is None else {"alerted": alerted}))
    return ExitCode.FAILED if report.counted else ExitCode.DONE


def _alert(session: Session, drifts: Sequence[Drift], out: Output) -> bool:
    """Tell the monitor everything that differs; whether it heard. One that is down is often the drift itself
    and must not hide it; one that this machine cannot reach (a runner of CI) or that is not there is none.
    """
    from mlops.monitoring.infrastructure import Reported

    try:
        reports = [
            Reported(each.title, each.severity, f"{each.title} is {each.words}"[:500]) for each in drifts
        ]
        firing = session.monitor().infrastructure(reports)
    except Problem as problem:
        out.say(f"△ no alert was {'raised' if drifts else 'resolved'}: {problem.what}")
        return False
    out.say(f"{len(firing)} alerts of the infrastructure fire: modelyard alerts")
    return True


def _show(report: DriftReport, out: Output) -> None:
    for each in report.drifts:
        mark = "○" if each.ignored else "▲" if each.severity == "page" else "△"
        out.line(f"{mark} {each.title}  {each.words}")
        for name, recorded, true in each.detail:
            if recorded != true:
                out.line(f"    {name}: {recorded} -> {true}")
        out.line(f"    {each.ignored or each.how}")
    count = len(report.counted)
    if count:
        out.say(f"△ {count} differ from what was built. modelyard drift heal | adopt NAME | ignore NAME")
    else:
        out.say("● the environment is as it was built")


def _document(session: Session, report: DriftReport) -> dict[str, Any]:
    return {
        "project": session.project.name,
        "environment": session.environment_name,
        "drifted": len(report.counted),
        "drifts": report.drifts,
    }


def _heal(session: Session, args: Namespace, out: Output) -> int:
    report = change.operate(session, out, lambda engine: engine.drift())
    _show(report, out)
    strays = [each for each in report.counted if not each.urn]
    aside: list[str] = []
    if report.counted:
        if report.plan.changes and not out.as_json:
            change.show_plan(report.plan, out)
        _agree(session, report, strays, args, out)
        if report.plan.changes:
            change.recorded(session, "heal", args.why, out, lambda engine: engine.heal(report))
        aside = [_put_aside(session, each, args.why, out) for each in strays]
        _resolve(session)
    out.say(f"● {len(report.counted)} healed" if report.counted else "● nothing to heal")
    out.document(_document(session, report) | {"healed": len(report.counted), "aside": aside})
    return ExitCode.DONE


def _agree(
    session: Session, report: DriftReport, strays: Sequence[Drift], args: Namespace, out: Output
) -> None:
    consent.agree(session, report.plan, args, out)
    if not report.plan.unchanged:
        return
    if consent.protected(session):
        consent.agree_to_protected(session, out, "drift heal")
    elif not args.yes:
        out.confirm(f"put {len(strays)} out of use that no resource owns?", "modelyard drift heal --yes")


def _put_aside(session: Session, drift: Drift, why: str, out: Output) -> str:
    from stacks.local.home import Home
    from stacks.local.strays import Stray, put_aside

    session.record("drift.put-aside", before={"resource": drift.title, "how": drift.how}, why=why)
    home = Home(session.project.folder(session.environment_name))
    kept = put_aside(home, Stray(drift.type, drift.name, drift.how))
    out.say(f"● {drift.title} is out of use; kept in {kept}")
    return str(kept)


def _resolve(session: Session) -> None:
    """Alerts of what has just been healed resolve now, if there is a monitor and it answers."""
    try:
        session.monitor().infrastructure([])
    except Problem:
        return


def _adopt(session: Session, args: Namespace, out: Output) -> int:
    from blueprints import keys
    from stacks.engine.adopt import assignments

    report = change.operate(session, out, lambda engine: engine.drift())
    drift = next((each for each in report.drifts if each.name == args.name), None)
    if drift is None:
        raise UsageProblem(
            f"{args.name!r} has not drifted",
            where="drift adopt",
            expected=" or ".join(each.name for each in report.drifts) or "nothing: all is as it was built",
        )
    before = session.spec()
    after = keys.assign(before, assignments(drift, before))
    changed = [{"key": key, "before": old, "after": new} for key, old, new in keys.differences(before, after)]
    session.record("drift.adopt", before={"resource": drift.title}, after={"changed": changed}, why=args.why)
    session.project.write_spec(session.environment_name, after)
    for each in changed:
        out.line(f"{each['key']}: {each['before']} -> {each['after']}")
    out.say(f"● the spec asks for what is there; modelyard up --env {session.environment_name} records it")
    out.document({"resource": drift.title, "changed": changed})
    return ExitCode.DONE


def _ignore(session: Session, args: Namespace, out: Output) -> int:
    from stacks.engine.drift import today

    try:
        until = date.fromisoformat(args.until)
    except ValueError:
        raise UsageProblem(f"{args.until!r} is no day", where="--until", expected="YYYY-MM-DD") from None
    if until < today():
        raise UsageProblem(f"{until} is past", where="--until", expected=f"{today()} or later")
    if not args.why.strip():
        raise UsageProblem("a reason is needed", where="--why", expected="why it may differ")
    known = sorted({each.name for each in session.engine().resources() if each.type != "component"})
    if args.name not in known:
        raise UsageProblem(
            f"no resource is called {args.name!r}", where="drift ignore", expected=" or ".join(known)
        )
    from blueprints import keys

    spec = session.spec()
    entry = {"resource": args.name, "reason": args.why.strip(), "until": until.isoformat()}
    data = spec.model_dump(mode="json")
    kept = [each for each in data["drift"]["ignore"] if each["resource"] != args.name]
    data["drift"]["ignore"] = [*kept, entry]
    session.record("drift.ignore", after=entry, why=args.why)
    session.project.write_spec(session.environment_name, keys.validate(data))
    out.say(f"● drift of {args.name} does not count until {until}: drift.ignore of the spec")
    out.document(entry)
    return ExitCode.DONE
