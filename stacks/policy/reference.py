"""The reference of the rules in ``docs/policy.md``: ``python -m stacks.policy.reference docs/policy.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from stacks.policy.catalog import FAMILIES

BEGIN, END = "<!-- rules -->\n", "<!-- end of rules -->\n"


def reference() -> str:
    """Every rule by family, as Markdown."""
    lines: list[str] = []
    for family, rules in FAMILIES.items():
        lines += [f"### {family[0].upper()}{family[1:]}", ""]
        for rule in rules:
            types = ", ".join(f"`{token}`" for token in sorted(rule.types))
            lines += [
                f"**`{rule.id}`** ({rule.severity.value}). {rule.what}",
                "",
                f"- Why: {rule.why}",
                f"- Do: {rule.fix}",
                f"- Looks at: {types}",
                "",
            ]
    return "\n".join(lines)


def renewed(text: str) -> str:
    """``text`` of the document with the reference between its two marks."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{reference()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text()))
