"""``preview``, ``up``, ``refresh`` and ``destroy``: the commands that run the engine."""

from __future__ import annotations

import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from blueprints.errors import ExitCode, Problem
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
        return
    parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")
    if name in ("up", "destroy"):
        parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
        parser.add_argument(
            "--confirm",
            metavar="NAME",
            help="the environment's name: needed where data or protection is at stake",
        )
    if name == "destroy":
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
            "refresh": _refresh,
            "destroy": _destroy,
        }
        return command[args.command](session, args, out)


def _preview(session: Session, args: Namespace, out: Output) -> int:
    plan = operate(session, out, lambda engine: engine.preview())
    show_plan(plan, out, everything=args.all)
    out.document(plan_document(plan))
    return ExitCode.DONE


def _up(session: Session, args: Namespace, out: Output) -> int:
    plan = operate(session, out, lambda engine: engine.preview())

    if plan.changes and not out.as_json:
        show_plan(plan, out)
    _allow(session, plan, args, out)
    _record_exceptions(session, plan)
    outcome = _recorded(session, "up", args.why, out, lambda engine: engine.up())
    session.environment(again=True)
    changed = f"{outcome.changes} changed" if outcome.changes else "nothing to change"
    out.say(f"● {session.title} is up: {changed}, {outcome.seconds:.1f} s")
    _tell(session, outcome, out)
    for service in session.environment().services:
        if service.url:
            out.line(f"{service.name}\t{service.url}")
    return ExitCode.DONE


def _record_exceptions(session: Session, plan: Plan) -> None:
    """What the plan needs a rule waived for goes to the audit log before it is done."""
    from stacks.policy.results import exceptions_used

    for used in exceptions_used(plan.policy):
        session.record("policy.exception.used", after=used, why=used["reason"])


def _allow(session: Session, plan: Plan, args: Namespace, out: Output) -> None:
    """Ask what has to be asked before ``plan`` is applied.

    Nothing to change: no question. Otherwise ``--yes`` or a yes at the terminal. Where a stateful resource
    would be replaced or deleted, or the environment is protected, its name has to be typed.
    """
    if not plan.changes:
        return
    name = session.environment_name
    again = f"modelyard up --env {name} --yes --confirm {name}"
    if plan.dangerous:
        lost = ", ".join(f"{step.type} {step.name} ({step.verb.value})" for step in plan.dangerous)
        out.confirm_name(name, f"data may be lost: {lost}", args.confirm, again)
        return
    if session.spec().protected:
        out.confirm_name(name, f"{session.title} is protected", args.confirm, again)
        return
    if not args.yes:
        out.confirm(f"apply {plan.changes} changes to {session.title}?", "modelyard up --yes")


def _refresh(session: Session, args: Namespace, out: Output) -> int:
    outcome = _recorded(session, "refresh", args.why, out, lambda engine: engine.refresh())
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
            args.delete_data or args.confirm,
            f"modelyard destroy --env {name} --yes --delete-data={name}",
        )
    elif session.spec().protected:
        out.confirm_name(
            name,
            f"{session.title} is protected",
            args.confirm,
            f"modelyard destroy --env {name} --yes --confirm {name}",
        )
    elif not args.yes:
        out.confirm_name(
            name,
            f"stops every service of {session.title}; data is kept",
            args.confirm,
            f"modelyard destroy --env {name} --yes",
        )
    action = "destroy-with-data" if delete_data else "destroy"
    outcome = _recorded(
        session, action, args.why, out, lambda engine: engine.destroy(delete_data=delete_data)
    )
    kept = "data deleted" if delete_data else f"data kept in {session.project.folder(name) / 'data'}"
    out.say(f"○ {session.title} is down: {outcome.changes} removed, {kept}")
    _tell(session, outcome, out)
    return ExitCode.DONE


def _recorded(
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
        "counts": _counts(plan),
        "dangerous": [step.urn for step in plan.dangerous],
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
