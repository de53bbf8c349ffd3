"""What has to be agreed to before a plan is carried out."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import Problem, UsageProblem
from tui.cli.output import Output

if TYPE_CHECKING:
    from stacks.engine.events import Plan
    from tui.session import Session

#: Where nobody can type: the name of the protected environment that may be changed.
VARIABLE = "MODELYARD_CONFIRM"


def options(parser: ArgumentParser) -> None:
    """Declare the options by which a script agrees ahead."""
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument(
        "--allow-replace",
        metavar="NAME",
        action="append",
        default=[],
        help="a resource with data in it that may be replaced or deleted; may be repeated",
    )


def lift(session: Session, args: Namespace, out: Output) -> bool:
    """Let the engine touch the resources that ``--allow-replace`` names in a protected environment: it would
    not even plan it. Whether the environment's name was agreed to for that.

    Raises:
        UsageProblem: Nobody can be asked, or the name typed is another.
    """
    if not args.allow_replace or not protected(session):
        return False
    agree_to_protected(session, out, "up")
    session.engine().unprotect(args.allow_replace)
    return True


def agree(session: Session, plan: Plan, args: Namespace, out: Output, named: bool = False) -> None:
    """Return when everything that ``plan`` puts at stake has been agreed to.

    Nothing to change: no question. A resource with data in it that would be replaced or deleted: its name,
    typed or given to ``--allow-replace``. A protected environment: its name, typed or in
    ``MODELYARD_CONFIRM``, unless :func:`lift` has asked (``named``). Otherwise ``--yes``, or a yes at the
    terminal.

    Raises:
        UsageProblem: Nobody can be asked, or the name typed is another.
    """
    if plan.unchanged:
        return
    typed = _stateful(session, plan, args, out)
    if named:
        return
    if protected(session):
        agree_to_protected(session, out, "up")
    elif not args.yes and not typed:
        out.confirm(f"apply {plan.changes} changes to {session.title}?", "modelyard up --yes")


def agree_to_protected(session: Session, out: Output, command: str) -> None:
    """Return when the name of a protected environment was typed, or is in ``MODELYARD_CONFIRM``."""
    name = session.environment_name
    out.confirm_name(
        name,
        f"{session.title} is protected",
        os.environ.get(VARIABLE),
        f"{VARIABLE}={name} modelyard {command} --env {name}",
    )


def protected(session: Session) -> bool:
    """Whether the spec says so, or said so when the environment was last brought up: taking the protection
    off is a change of a protected environment."""
    applied = session.engine().applied()
    return session.spec().protected or (applied is not None and applied.spec.protected)


def protected_now(session: Session) -> bool:
    """Likewise, as far as the state can be read: one that cannot says nothing."""
    try:
        return protected(session)
    except Problem:
        return session.spec().protected


def _stateful(session: Session, plan: Plan, args: Namespace, out: Output) -> bool:
    """Ask for the name of each resource whose data is at stake; whether any was typed."""
    known = {step.name for step in plan.dangerous}
    for name in args.allow_replace:
        if name not in known:
            raise UsageProblem(
                f"the plan neither replaces nor deletes a resource with data called {name!r}",
                where="--allow-replace",
                expected=" or ".join(sorted(known)) or "nothing: no data is at stake",
            )
    typed = False
    again = " ".join(f"--allow-replace {name}" for name in sorted(known))
    for step in plan.dangerous:
        given = step.name if step.name in args.allow_replace else None
        out.confirm_name(
            step.name,
            f"data may be lost: {step.type} {step.name} would be {step.verb.value}d",
            given,
            f"modelyard up --env {session.environment_name} --yes {again}",
        )
        typed = typed or given is None
    return typed
