"""``modelyard recover``: after a crash, what is wrong, and one step at a time out of it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode
from tui.cli import consent
from tui.cli.commands import change
from tui.cli.output import Output

if TYPE_CHECKING:
    from stacks.engine import Engine
    from stacks.engine.diagnosis import Diagnosis
    from tui.session import Session


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")
    consent.options(parser)


def run(args: Namespace, out: Output) -> int:
    """0: nothing is wrong. 1: something is, or still is after the step. 3: somebody is at work."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        found = _diagnose(session, out)
        done: dict[str, Any] | None = None
        _show(found, out)
        if args.yes and found.faults and not _somebody_works(found):
            done = _act(session, found, args, out)
            out.say(f"● done: {found.step}")
            found = _diagnose(session, out)
            _show(found, out)
        out.document(
            {
                "project": session.project.name,
                "environment": session.environment_name,
                "done": done,
                "faults": found.faults,
                "next": found.remedy,
                "step": found.step,
            }
        )
        if _somebody_works(found):
            return ExitCode.RETRY
        return ExitCode.FAILED if found.faults else ExitCode.DONE


def _diagnose(session: Session, out: Output) -> Diagnosis:
    from stacks.engine.diagnosis import diagnose

    return change.operate(session, out, diagnose)


def _somebody_works(found: Diagnosis) -> bool:
    from stacks.engine.diagnosis import Remedy

    return found.remedy is Remedy.WAIT


def _show(found: Diagnosis, out: Output) -> None:
    for each in found.faults:
        out.line(f"△ {f'{each.resource}: ' if each.resource else ''}{each.what}")
        if each.resource:
            out.line(f"    state: {each.recorded}")
            out.line(f"    truth: {each.truth}")
    if not found.faults:
        out.say("● nothing to recover: modelyard drift tells what differs from what was built")
    elif _somebody_works(found):
        out.say(f"next: {found.step}")
    else:
        out.say(f"next: {found.step}. modelyard recover --yes does it")


def _act(session: Session, found: Diagnosis, args: Namespace, out: Output) -> dict[str, Any]:
    """Take the next step, recorded in the audit log before it is done."""
    from stacks.engine.diagnosis import Remedy
    from stacks.engine.remedies import carry_out

    assert found.remedy is not None
    faults = [each.what for each in found.faults if each.remedy is found.remedy]
    if found.remedy is Remedy.UP:
        plan = change.operate(session, out, lambda engine: engine.preview())
        consent.agree(session, plan, args, out)
        change.recorded(session, "up", args.why, out, lambda engine: engine.up(plan))
        return {"step": found.remedy, "faults": faults}
    if consent.protected_now(session):
        consent.agree_to_protected(session, out, "recover --yes")
    session.record(
        f"recover.{found.remedy.value}", before={"faults": faults}, after={"step": found.step}, why=args.why
    )

    def work(engine: Engine) -> dict[str, Any]:
        return carry_out(engine, found)

    return {"step": found.remedy, "faults": faults, **change.operate(session, out, work)}
