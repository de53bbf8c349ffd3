"""Exceptions of the spec: which violation they let pass, and until when."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from blueprints.errors import UsageProblem

if TYPE_CHECKING:
    from blueprints.spec import PolicyException
    from stacks.policy.rule import Rule

Exceptions = tuple["PolicyException", ...]


def today() -> date:
    """The day by which exceptions expire, UTC: the same for a laptop and for CI."""
    return datetime.now(UTC).date()


def exception_for(
    rule: str, resource: str, exceptions: Iterable[PolicyException]
) -> tuple[PolicyException | None, PolicyException | None]:
    """``(the one that counts, the one that has expired)`` for a violation of ``rule`` by ``resource``."""
    day = today()
    fitting = [each for each in exceptions if each.rule == rule and each.resource in ("", resource)]
    fitting.sort(key=lambda each: each.until)
    current = next((each for each in reversed(fitting) if each.until >= day), None)
    expired = next((each for each in reversed(fitting) if each.until < day), None)
    return current, None if current else expired


def check_exceptions(exceptions: Iterable[PolicyException], rules: Iterable[Rule] = ()) -> None:
    """Every exception names a rule that there is: one of ``rules``, or of the pack.

    Raises:
        UsageProblem: One does not; names the nearest rule.
    """
    for number, each in enumerate(exceptions):
        from stacks.policy.catalog import BY_ID

        known = {*BY_ID, *(rule.id for rule in rules)}
        if each.rule not in known:
            near = difflib.get_close_matches(each.rule, known, n=1, cutoff=0.4)
            raise UsageProblem(
                f"no rule is called {each.rule!r}",
                where=f"modelyard:spec policy.exceptions.{number}.rule",
                expected="an id that modelyard policy lists",
                todo=f"did you mean {near[0]}?" if near else "modelyard policy",
            )
