"""``modelyard policy``: the rules, one rule (``policy RULE``), or the pack's folder (``policy path``)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, Problem, UsageProblem
from tui.cli.output import Output

if TYPE_CHECKING:
    from stacks.policy.rule import Rule


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    parser.add_argument(
        "rule",
        metavar="RULE",
        nargs="?",
        help="one rule, with why and what to do; path: the folder for pulumi preview --policy-pack",
    )


def run(args: Namespace, out: Output) -> int:
    """All rules, those of other packages' blueprints too, one rule, or the pack's folder; no project."""
    from stacks.policy import pack_folder

    folder = str(pack_folder())
    if args.rule == "path":
        out.line(folder)
        out.document({"path": folder})
        return ExitCode.DONE
    families = _families(out)
    if args.rule:
        family, rule = _find(args.rule, families)
        for text in (rule.id, rule.severity.value, rule.what, f"why  {rule.why}", f"do   {rule.fix}"):
            out.line(text)
        out.line(f"of   {family}")
        out.document({"family": family} | _document(rule))
        return ExitCode.DONE
    listed = [(family, rule) for family, rules in families.items() for rule in rules]
    out.table(
        ("rule", "severity", "of", "demand"),
        [(rule.id, rule.severity.value, family, rule.what) for family, rule in listed],
    )
    out.document({"path": folder, "rules": [{"family": family} | _document(rule) for family, rule in listed]})
    return ExitCode.DONE


def _families(out: Output) -> dict[str, tuple[Rule, ...]]:
    """The pack's families, then one for each blueprint that brings rules of its own. One whose rules cannot
    be read is told, and hides nothing else."""
    from blueprints.catalog import catalog
    from stacks.policy.catalog import FAMILIES

    found = dict(FAMILIES)
    for name, blueprint in catalog().items():
        try:
            own = tuple(blueprint.attribute("rules", ()))
        except Problem as problem:
            out.say(f"▲ {problem}")
            continue
        if own:
            found[f"the blueprint {name}"] = own
    return found


def _document(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "severity": rule.severity,
        "what": rule.what,
        "why": rule.why,
        "fix": rule.fix,
        "types": sorted(rule.types),
    }


def _find(name: str, families: dict[str, tuple[Rule, ...]]) -> tuple[str, Rule]:
    """The rule called ``name``, and its family.

    Raises:
        UsageProblem: There is none; names the nearest.
    """
    for family, rules in families.items():
        for rule in rules:
            if rule.id == name:
                return family, rule
    import difflib

    known = [rule.id for rules in families.values() for rule in rules]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    raise UsageProblem(
        f"no rule is called {name!r}",
        where="modelyard policy",
        expected="an id that modelyard policy lists, or path",
        todo=f"did you mean {near[0]}?" if near else "modelyard policy",
    )
