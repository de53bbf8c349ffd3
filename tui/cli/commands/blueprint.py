"""``modelyard blueprint``: what can be built; ``show`` one; ``check`` one against the conformance suite."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from blueprints import catalog
from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument("act", metavar="list|show|check", choices=("list", "show", "check"))
    parser.add_argument("name", metavar="NAME", nargs="?", help="of a blueprint")
    parser.add_argument(
        "--set",
        dest="assignments",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="check: a key of the spec it is brought up with",
    )
    parser.add_argument("--no-up", action="store_true", help="check: previews only, bring nothing up")
    parser.add_argument("--yes", "-y", action="store_true", help="check: do not ask before it is brought up")


def run(args: Namespace, out: Output) -> int:
    """List, show or check. Needs no project."""
    if args.act == "list":
        return _list(out)
    if not args.name:
        raise UsageProblem(
            "which blueprint?",
            where=f"modelyard blueprint {args.act}",
            expected=" or ".join(catalog.catalog()),
        )
    return _show(args.name, out) if args.act == "show" else _check(args, out)


def _list(out: Output) -> int:
    known = catalog.catalog()
    rows = [
        (each.name, "built" if each.built else "not yet", each.target.split(".")[0], each.title)
        for each in known.values()
    ]
    out.table(("blueprint", "this release", "from", "title"), rows)
    for name, why in catalog.broken().items():
        out.say(f"▲ {name} cannot be loaded: {why}")
    out.document(
        {
            "blueprints": [
                {"name": name, "built": built == "built", "package": package, "title": title}
                for name, built, package, title in rows
            ],
            "broken": catalog.broken(),
        }
    )
    return ExitCode.DONE


def _show(name: str, out: Output) -> int:
    from blueprints.keys import keys

    blueprint = catalog.find(name)
    own = [key for key in keys(blueprint=name) if key.path.startswith("extension.")]
    out.line(f"{name}: {blueprint.title}")
    for layer, words in blueprint.layers.items():
        out.line(f"  {layer.value:<14} {words}")
    out.line(f"  {'cost':<14} {blueprint.cost} a month")
    for key in own:
        out.line(f"  {key.path}  {key.meaning} ({key.expected}; default {key.default})")
    text = blueprint.text("docs")
    if text:
        out.line(f"\n{text.rstrip()}")
    out.document(
        {
            "name": name,
            "title": blueprint.title,
            "built": blueprint.built,
            "layers": blueprint.layers,
            "minutes": blueprint.minutes,
            "cost": blueprint.cost,
            "keys": [{"key": key.path, "meaning": key.meaning, "default": key.default} for key in own],
            "docs": text,
        }
    )
    return ExitCode.DONE


def _check(args: Namespace, out: Output) -> int:
    from stacks import conformance

    catalog.find(args.name)
    apply = not args.no_up
    if apply and not args.yes:
        out.confirm(
            f"bring {args.name} up in a temporary folder, and take it down with its data?",
            "add --yes, or --no-up",
        )
    found = []
    for point in conformance.check(args.name, tuple(args.assignments), apply=apply):
        found.append(point)
        out.line(f"{'●' if point.well else '▲'} {point.name:<12} {point.fact}")
        if point.todo:
            out.line(f"  {'':<12} do: {point.todo}")
    failed = sum(not point.well for point in found)
    out.say(f"{len(found)} points, {failed} failed" + ("" if apply else "; nothing was brought up (--no-up)"))
    out.document({"blueprint": args.name, "failed": failed, "applied": apply, "points": found})
    return ExitCode.FAILED if failed else ExitCode.DONE
