"""``modelyard cost``: what a month costs, the difference between two environments or specs, newer prices."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output

if TYPE_CHECKING:
    from blueprints.cost import Estimate
    from stacks.project import Project
    from tui.session import Session

USAGE = "modelyard cost, modelyard cost diff FROM [TO], modelyard cost update"


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "act",
        nargs="?",
        choices=("diff", "update"),
        help="diff: between two environments (or files Pulumi.NAME.yaml); update: ask AWS for prices",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="for diff: FROM and TO (default: --env)")
    parser.add_argument("--region", metavar="R", help="for update: the region (default: cost.region)")


def run(args: Namespace, out: Output) -> int:
    """Estimate, compare or refresh."""
    if args.region and args.act != "update":
        raise UsageProblem("--region is for update", where="modelyard cost", todo=USAGE)
    if args.act == "diff":
        return _diff(args, out)
    if args.names:
        raise UsageProblem(f"unexpected {args.names[0]!r}", where=f"modelyard cost {args.act}", todo=USAGE)
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        return _update(session, args, out) if args.act == "update" else _show(session, out)


def _show(session: Session, out: Output) -> int:
    from tui.cli.costs import show

    cost = _estimate(session, out)
    show(cost, out)
    out.document({"project": session.project.name, "environment": session.environment_name, "cost": cost})
    return ExitCode.DONE


def _diff(args: Namespace, out: Output) -> int:
    from blueprints.cost import difference
    from stacks.costs import spec_in
    from stacks.project import Project
    from tui.cli.costs import show_difference
    from tui.session import choose_environment

    project = Project.find(args.folder)
    if len(args.names) == 1:
        args.names.append(choose_environment(project.environments(), args.environment))
    if len(args.names) != 2:
        raise UsageProblem(
            f"{len(args.names)} names", where="modelyard cost diff", expected="FROM and TO", todo=USAGE
        )
    for name in args.names:
        if name not in project.environments():
            # Refused before the first preview, not after it.
            spec_in(Path(name).expanduser(), project)
    before, after = (_of(name, project, out) for name in args.names)
    first, second = args.names
    show_difference((first, second), before, after, out)
    out.document(
        {
            "from": first,
            "to": second,
            "difference": after.total - before.total,
            "layers": difference(before, after),
            "before": before,
            "after": after,
        }
    )
    return ExitCode.DONE


def _of(name: str, project: Project, out: Output) -> Estimate:
    """The estimate of an environment, or of the spec in a file."""
    from stacks.costs import project_of
    from tui.session import Session

    if name in project.environments():
        return _estimate(Session(project, name), out)
    with project_of(Path(name).expanduser(), project) as (other, environment):
        return _estimate(Session(other, environment), out)


def _estimate(session: Session, out: Output) -> Estimate:
    from stacks.costs import Costs
    from tui.cli.commands.change import operate

    plan = operate(session, out, lambda engine: engine.preview(over_budget=True))
    assert plan.cost is not None
    Costs.of(session.project, session.environment_name).require_known_region(plan.cost)
    return plan.cost


def _update(session: Session, args: Namespace, out: Output) -> int:
    from stacks.costs import FILE
    from stacks.price_list import refresh

    region = args.region or session.spec().cost.region
    found = refresh(session.project, region, out.say)
    session.record("prices.update", after={"region": region, "taken": len(found.taken)})
    for key, why in found.left.items():
        out.line(f"left as it was: {key}: {why}")
    out.say(f"● {len(found.taken)} prices of {region} in {FILE}, {len(found.left)} left as they were")
    out.document({"region": region, "file": FILE, "taken": found.taken, "left": found.left})
    return ExitCode.DONE
