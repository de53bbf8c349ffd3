"""``modelyard policy``: the rules, one rule (``policy RULE``), or the pack's folder (``policy path``)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, UsageProblem
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
    """All rules, one rule, or the pack's folder. Needs no project."""
    from stacks.policy import pack_folder
    from stacks.policy.catalog import BY_ID, FAMILIES

    if args.rule == "path":
        out.line(str(pack_folder()))
        out.document({"path": str(pack_folder())})
    elif args.rule:
        rule = _find(args.rule, BY_ID)
        for text in (rule.id, rule.severity.value, rule.what, f"why  {rule.why}", f"do   {rule.fix}"):
            out.line(text)
        out.document(_document(rule))
    else:
        rows = [(rule.id, rule.severity.value, rule.what) for rule in BY_ID.values()]
        out.table(("rule", "severity", "demand"), rows)
        out.document(
            {
                "path": str(pack_folder()),
                "rules": [
                    {"family": family} | _document(rule)
                    for family, rules in FAMILIES.items()
                    for rule in rules
                ],
            }
        )
    return ExitCode.DONE


def _document(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "severity": rule.severity,
        "what": rule.what,
        "why": rule.why,
        "fix": rule.fix,
        "types": sorted(rule.types),
    }


def _find(name: str, known: dict[str, Rule]) -> Rule:
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        raise UsageProblem(
            f"no rule is called {name!r}",
            where="modelyard policy",
            expected="an id that modelyard policy lists, or path",
            todo=f"did you mean {near[0]}?" if near else "modelyard policy",
        )
    return known[name]
