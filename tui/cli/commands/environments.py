"""``diff`` and ``promote-env``: two environments of a project side by side."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output

if TYPE_CHECKING:
    from blueprints.spec import EnvironmentSpec
    from stacks.project import Project
    from tui.session import Session


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options of the command ``name``."""
    parser.add_argument("source", metavar="FROM", help="an environment")
    parser.add_argument("target", metavar="TO", help="another one")
    if name == "promote-env":
        parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
        parser.add_argument("--dry-run", action="store_true", help="say what would move, write nothing")
        parser.add_argument("--why", metavar="TEXT", default="", help="reason, for the audit log")


def run(args: Namespace, out: Output) -> int:
    """Run the command that ``args`` names."""
    from stacks.project import Project

    project = Project.find(args.folder)
    for name in (args.source, args.target):
        project.stack_file(name)
    return _diff(project, args, out) if args.command == "diff" else _promote(project, args, out)


def _diff(project: Project, args: Namespace, out: Output) -> int:
    from blueprints.keys import differences, keys

    source, target = project.spec(args.source), project.spec(args.target)
    meanings = {key.path: key.meaning for key in keys(blueprint=target.blueprint)}
    found = differences(source, target)
    out.table(
        ("key", args.source, args.target, "meaning"),
        ((path, words(before), words(after), meanings[path].split(". ")[0]) for path, before, after in found),
    )
    if not found:
        out.say(f"{args.source} and {args.target} are configured alike")
    rows = [{"key": path, args.source: before, args.target: after} for path, before, after in found]
    out.document({"from": args.source, "to": args.target, "differences": rows})
    return ExitCode.DONE


def _promote(project: Project, args: Namespace, out: Output) -> int:
    from blueprints.promotion import promote
    from tui.cli import consent
    from tui.session import Session

    with Session(project, args.source) as source, Session(project, args.target) as target:
        ran = _what_ran(source)
        before = target.spec()
        promotion = promote(args.source, ran, before)
        for path, old, new in promotion.changed:
            out.line(f"{path}: {words(old)} → {words(new)}")
        for path, old, _ in promotion.kept:
            out.say(f"{path} stays {words(old)}")
        if not promotion.changed:
            out.say(f"{args.target} has everything that {args.source} runs")
        elif not args.dry_run:
            if consent.protected(target):
                consent.agree_to_protected(target, out, f"promote-env {args.source} {args.target}")
            elif not args.yes:
                out.confirm(f"write {len(promotion.changed)} keys to {args.target}?", "add --yes")
            project.write_spec(args.target, promotion.spec)
            target.record(
                "environment.promote",
                before=before.model_dump(mode="json"),
                after=promotion.spec.model_dump(mode="json"),
                why=args.why or f"promoted from {args.source}",
            )
            out.say(f"next: modelyard --env {args.target} up")
    document = {
        "from": args.source,
        "to": args.target,
        "written": bool(promotion.changed) and not args.dry_run,
    }
    out.document(document | {"changed": _rows(promotion.changed), "kept": _rows(promotion.kept)})
    return ExitCode.DONE


def _what_ran(source: Session) -> EnvironmentSpec:
    """The spec that the source was last brought up with, if its file still says the same.

    Raises:
        UsageProblem: It never ran, or its file has what never ran.
    """
    from blueprints.keys import differences

    name = source.environment_name
    applied = source.engine().applied()
    if applied is None:
        raise UsageProblem(
            f"{name} was never brought up, and only what ran is promoted",
            where=f"environment {name}",
            todo=f"modelyard --env {name} up",
        )
    ahead = differences(applied.spec, source.spec())
    if ahead:
        path, before, after = ahead[0]
        more = f" (and {len(ahead) - 1} more)" if len(ahead) > 1 else ""
        raise UsageProblem(
            f"its file says {path} = {words(after)}, and what ran is {words(before)}{more}",
            where=f"environment {name}",
            expected="what the environment runs",
            todo=f"modelyard --env {name} up",
        )
    return applied.spec


def words(value: Any) -> str:
    """A value of the spec as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return "–" if value is None or value == "" else str(value)


def _rows(changes: tuple[tuple[str, Any, Any], ...]) -> list[dict[str, Any]]:
    return [{"key": path, "before": before, "after": after} for path, before, after in changes]
