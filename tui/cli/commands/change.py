"""``preview``, ``up``, ``apply``, ``refresh`` and ``destroy``: the commands that run the engine."""

from __future__ import annotations

import signal
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from blueprints.errors import ExitCode, Problem, UsageProblem
from tui.cli import consent
from tui.cli.output import Output

if TYPE_CHECKING:
    from stacks.engine import Engine
    from stacks.engine.events import Outcome, Plan
    from tui.session import Session

Result = TypeVar("Result")


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options of the command ``name``."""
    if name == "preview":
        parser.add_argument("--all", action="store_true", help="list unchanged resources too")
        parser.add_argument("--save", metavar="FILE", type=Path, help="write the plan, for apply")
        return
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")
    if name in ("up", "apply"):
        consent.options(parser)
    if name == "up":
        parser.add_argument(
            "--wait",
            metavar="SECONDS",
            type=float,
            default=0.0,
            help="wait this long for another operation to end, instead of leaving with 3 at once",
        )
    if name == "apply":
        parser.add_argument("plan", metavar="FILE", type=Path, help="what preview --save wrote")
    if name == "destroy":
        parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
        parser.add_argument(
            "--delete-data",
            metavar="NAME",
            nargs="?",
            const="",
            default=None,
            help="delete databases, objects and logs as well; NAME is the environment's name",
        )


def run(args: Namespace, out: Output) -> int:
    """Run the command that ``args`` names."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        command: dict[str, Callable[[Session, Namespace, Output], int]] = {
            "preview": _preview,
            "up": _up,
            "apply": _apply,
            "refresh": _refresh,
            "destroy": _destroy,
        }
        return command[args.command](session, args, out)


def _preview(session: Session, args: Namespace, out: Output) -> int:
    plan = operate(session, out, lambda engine: engine.preview())
    show_plan(plan, out, everything=args.all)
    if args.save is not None:
        from stacks.engine import saved_plan

        saved_plan.save(plan, args.save)
        out.say(f"● plan saved: modelyard apply {args.save}")
    _warn_of_tags(session, out)
    out.document(plan_document(plan))
    return ExitCode.DONE


def _warn_of_tags(session: Session, out: Output) -> None:
    """Say before ``up`` does that a protected environment wants digests."""
    if session.spec().protected:
        from stacks.ci.files import require_pins

        try:
            require_pins(session.project, session.environment_name)
        except Problem as problem:
            out.say(f"△ up will be refused: {problem}")


def _up(session: Session, args: Namespace, out: Output) -> int:
    from stacks.engine.saved_plan import StalePlan

    deadline = time.monotonic() + args.wait
    while True:
        operate(session, out, lambda engine: engine.wait_for_turn(deadline - time.monotonic()))
        try:
            named = consent.lift(session, args, out)
            plan = operate(session, out, lambda engine: engine.preview())
            return _carry_out(session, plan, args, out, named)
        except Problem as problem:
            # Somebody was quicker between our look and our turn.
            late = problem.code is ExitCode.RETRY or isinstance(problem, StalePlan)
            if not late or time.monotonic() >= deadline:
                raise
            out.say("△ somebody else was quicker; waiting for them, then looking again")


def _apply(session: Session, args: Namespace, out: Output) -> int:
    """Carry out a saved plan, if what it was made from and what it found are still so."""
    from stacks.engine import saved_plan

    saved = saved_plan.load(args.plan)
    if (saved.project, saved.environment) != (session.project.name, session.environment_name):
        raise UsageProblem(
            f"is a plan for {saved.project}/{saved.environment}", where=str(args.plan), expected=session.title
        )
    named = consent.lift(session, args, out)
    plan = operate(session, out, lambda engine: engine.preview())
    assert plan.fingerprint is not None
    differences = saved.fingerprint.differences(plan.fingerprint)
    if not differences and plan.digest != saved.digest:
        differences = ("what is really there",)
    if differences:
        raise saved_plan.stale(differences, session.environment_name)
    return _carry_out(session, plan, args, out, named)


def _carry_out(session: Session, plan: Plan, args: Namespace, out: Output, named: bool) -> int:
    if plan.changes and not out.as_json:
        show_plan(plan, out)
    _warn_of_tags(session, out)
    consent.agree(session, plan, args, out, named)
    _record_exceptions(session, plan)
    outcome = recorded(session, "up", args.why, out, lambda engine: _applied(engine, plan))
    changed = f"{outcome.changes} changed" if outcome.changes else "nothing to change"
    out.say(f"● {session.title} is up: {changed}, {outcome.seconds:.1f} s")
    _tell(session, outcome, out)
    for name, url in outcome.urls.items():
        out.line(f"{name}\t{url}")
    return ExitCode.DONE


def _record_exceptions(session: Session, plan: Plan) -> None:
    """What the plan needs a rule waived for goes to the audit log before it is done."""
    from stacks.policy.results import exceptions_used

    for used in exceptions_used(plan.policy):
        session.record("policy.exception.used", after=used, why=used["reason"])


def _applied(engine: Engine, plan: Plan) -> Outcome:
    """Carry the plan out; one that has just looked at the truth and found nothing to do is done."""
    from stacks.engine.events import Outcome

    if plan.unchanged:
        return Outcome("up", plan.steps, plan.seconds, urls=plan.urls)
    return engine.up(plan)


def _refresh(session: Session, args: Namespace, out: Output) -> int:
    outcome = recorded(session, "refresh", args.why, out, lambda engine: engine.refresh())
    drifted = [
        step for step in outcome.steps if step.changed or step.verb.value in ("update", "delete", "create")
    ]
    for step in drifted:
        because = step.because or ", ".join(step.changed)
        out.line(f"{step.verb.symbol} {step.type} {step.name}  {because}".rstrip())
    if drifted:
        out.say(f"△ {len(drifted)} resources differ from what was recorded. modelyard up heals them")
    else:
        out.say("● the recorded state matches the machine")
    _tell(session, outcome, out)
    return ExitCode.DONE


def _destroy(session: Session, args: Namespace, out: Output) -> int:
    name = session.environment_name
    delete_data = args.delete_data is not None
    if delete_data:
        out.confirm_name(
            name,
            f"deletes every database, object, model and log of {session.title}; there is no way back",
            args.delete_data,
            f"modelyard destroy --env {name} --yes --delete-data={name}",
        )
    elif not args.yes and not consent.protected(session):
        out.confirm_name(
            name,
            f"stops every service of {session.title}; data is kept",
            None,
            f"modelyard destroy --env {name} --yes",
        )
    if consent.protected(session):
        consent.agree_to_protected(session, out, "destroy")
    action = "destroy-with-data" if delete_data else "destroy"
    outcome = recorded(session, action, args.why, out, lambda engine: engine.destroy(delete_data=delete_data))
    kept = "data deleted" if delete_data else f"data kept in {session.project.folder(name) / 'data'}"
    out.say(f"○ {session.title} is down: {outcome.changes} removed, {kept}")
    _tell(session, outcome, out)
    return ExitCode.DONE


def recorded(
    session: Session, action: str, why: str, out: Output, work: Callable[[Engine], Outcome]
) -> Outcome:
    """Run ``work`` between two audit entries: a killed command leaves its start."""
    session.record(f"environment.{action}.started", after=session.spec().model_dump(mode="json"), why=why)
    try:
        outcome = operate(session, out, work)
    except BaseException as error:
        reason = error.what if isinstance(error, Problem) else type(error).__name__
        session.record(f"environment.{action}.failed", after={"reason": reason}, why=why)
        raise
    session.record(f"environment.{action}.done", after=outcome_document(outcome)["counts"], why=why)
    return outcome


def operate(session: Session, out: Output, work: Callable[[Engine], Result]) -> Result:
    """Run ``work`` with progress. ctrl+c asks the engine to stop in order; a second one stops waiting for it.

    Raises:
        KeyboardInterrupt: Interrupted; the engine has ended or was given up.
        Problem: The operation failed.
    """
    from tui.cli.progress import progress

    results: list[Result] = []
    errors: list[BaseException] = []
    ended = Event()
    with progress(out) as show:
        engine = session.engine(show)

        def target() -> None:
            try:
                results.append(work(engine))
            except BaseException as error:
                errors.append(error)
            finally:
                ended.set()

        # The engine blocks in a child process; the main thread stays free for signals.
        worker = Thread(target=target, name="engine", daemon=True)
        previous = signal.signal(signal.SIGTERM, _interrupt)
        worker.start()
        try:
            _wait(ended)
        except KeyboardInterrupt:
            out.say(
                "stopping in order: running steps end first (ctrl+c again: leave now, modelyard up recovers)"
            )
            engine.cancel()
            _wait(ended)
            if errors:
                raise errors[0] from None
            raise
        finally:
            signal.signal(signal.SIGTERM, previous)
    if errors:
        raise errors[0]
    return results[0]


def _wait(ended: Event) -> None:
    # Not Thread.join: before Python 3.13 an interrupted join takes a running thread for ended (bpo-45274).
    while not ended.wait(0.2):
        pass


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def show_plan(plan: Plan, out: Output, everything: bool = False) -> None:
    """The plan as text on stdout: a heading per layer, a line per resource, counts last."""
    from stacks.engine.events import Verb
    from stacks.policy.results import advice, headline

    heading: object = ""
    for step in plan.steps:
        if step.type in ("component", "stack", "provider"):
            continue
        if step.verb in (Verb.SAME, Verb.READ, Verb.REFRESH) and not everything:
            continue
        if step.layer != heading:
            heading = step.layer
            out.line(step.layer.value if step.layer else "environment")
        danger = "  ▲ data may be lost" if step.dangerous else ""
        because = step.because or ", ".join(step.changed)
        out.line(f"  {step.verb.symbol} {step.type} {step.name}  {because}".rstrip() + danger)
    counts = ", ".join(
        f"{plan.count(verb)} to {verb.value}"
        for verb in (Verb.CREATE, Verb.UPDATE, Verb.REPLACE, Verb.DELETE)
        if plan.count(verb)
    )
    out.line(f"{counts or 'nothing to change'}, {plan.count(Verb.SAME)} unchanged")
    if plan.cost is not None:
        from tui.cli.costs import lines

        for line in lines(plan.cost, plan.cost_before):
            out.line(line)
    out.line(headline(plan.policy))
    for line in advice(plan.policy):
        out.line(f"  {line}")


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan for ``--json``."""
    return {
        "project": plan.project,
        "environment": plan.environment,
        "seconds": plan.seconds,
        "changes": plan.changes,
        "digest": plan.digest,
        "counts": _counts(plan),
        "dangerous": [step.urn for step in plan.dangerous],
        "cost": plan.cost,
        "cost_before": plan.cost_before,
        "steps": plan.steps,
        "policy": plan.policy,
    }


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """The outcome for ``--json`` and the audit log."""
    return {
        "verb": outcome.verb,
        "seconds": outcome.seconds,
        "changes": outcome.changes,
        "counts": _counts(outcome),
        "steps": outcome.steps,
        "diagnostics": outcome.diagnostics,
        "policy": outcome.policy,
    }


def _counts(result: Plan | Outcome) -> dict[str, int]:
    from stacks.engine.events import Verb

    return {verb.value: result.count(verb) for verb in Verb}


def _tell(session: Session, outcome: Outcome, out: Output) -> None:
    out.document(
        {
            "project": session.project.name,
            "environment": session.environment_name,
            **outcome_document(outcome),
        }
    )
