"""What the rules said of one operation: typed results from the engine's policy events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stacks.policy.exceptions import exception_for
from stacks.policy.rule import Rule, Severity

if TYPE_CHECKING:
    from blueprints.spec import PolicyException

#: Name of the pack's policy that tells of an exception in use: this and the rule's id.
EXCEPTED = "excepted-"
_MORE = "\n  "


class Verdict(StrEnum):
    """What came of one rule: ``violated`` stopped the operation, ``warned`` did not (advisory), ``excepted``
    would have, but for an exception of the spec."""

    PASSED = "passed"
    WARNED = "warned"
    EXCEPTED = "excepted"
    VIOLATED = "violated"


@dataclass(frozen=True)
class Finding:
    """One violation of a rule.

    Attributes:
        urn: The resource; empty when the engine named none.
        resource: Its name for people.
        what: What about it breaks the rule; never a secret.
        reason, until: Of the exception that lets it pass, ``until`` as ``YYYY-MM-DD``; empty: none does.
    """

    urn: str
    resource: str
    what: str
    reason: str = ""
    until: str = ""


@dataclass(frozen=True)
class PolicyResult:
    """What came of one rule of the pack; there is one for every rule.

    Attributes:
        rule: Its id.
        severity: ``mandatory`` or ``advisory``.
        verdict: The worst of its findings.
        findings: Every violation, excepted ones included.
    """

    rule: str
    severity: Severity
    verdict: Verdict
    findings: tuple[Finding, ...] = ()


def headline(results: Sequence[PolicyResult]) -> str:
    """``policy ● 34 rules``, and how many of them warn or were let pass."""
    count = {verdict: sum(each.verdict is verdict for each in results) for verdict in Verdict}
    symbol = "△" if count[Verdict.WARNED] else "●"
    said = [f"{count[each]} {each.value}" for each in (Verdict.WARNED, Verdict.EXCEPTED) if count[each]]
    return ", ".join([f"policy {symbol} {len(results)} rules", *said])


def advice(results: Sequence[PolicyResult]) -> list[str]:
    """A line for every finding that stopped nothing: of an advisory rule, or let pass by an exception."""
    return [
        f"○ {result.rule}: {found.resource}: {found.what}; let pass until {found.until}: {found.reason}"
        if found.until
        else f"△ {result.rule}: {found.resource}: {found.what}"
        for result in results
        for found in result.findings
    ]


def exceptions_used(results: Sequence[PolicyResult]) -> list[dict[str, str]]:
    """What the audit log keeps of every violation that an exception let pass."""
    return [
        {
            "rule": result.rule,
            "resource": found.resource,
            "finding": found.what,
            "until": found.until,
            "reason": found.reason,
        }
        for result in results
        for found in result.findings
        if found.until
    ]


def told(rule: Rule, finding: str, expired: PolicyException | None = None) -> str:
    """The message of a violation, as the engine carries it and plain ``pulumi`` shows it."""
    over = f" (its exception expired on {expired.until})" if expired else ""
    return f"{finding}{over}{_MORE}why: {rule.why}{_MORE}do: {rule.fix}"


def told_excepted(finding: str, exception: PolicyException) -> str:
    """The message of a violation that an exception lets pass."""
    return f"{finding}{_MORE}let pass until {exception.until}: {exception.reason}"


class PolicyReport:
    """Collects the policy events of one operation.

    Args:
        exceptions: Of the environment's spec.
        rules: Those of its blueprint; none: the pack's.
    """

    def __init__(self, exceptions: Iterable[PolicyException] = (), rules: Iterable[Rule] = ()) -> None:
        from stacks.policy.catalog import RULES

        self._rules = {rule.id: rule for rule in tuple(rules) or RULES}
        self._exceptions = tuple(exceptions)
        self._found: dict[str, dict[Finding, None]] = {}

    def hear(self, policy: str, urn: str, message: str) -> None:
        """Take one event of our pack."""
        rule = self._rules.get(policy.removeprefix(EXCEPTED))
        if rule is None:
            return
        # The rule's demand comes first, on a line of its own.
        text = message.strip().removeprefix(rule.what).strip()
        name = urn.rsplit("::", 1)[-1]
        finding = Finding(urn, name, text.split(_MORE, 1)[0].strip())
        current = exception_for(rule.id, name, self._exceptions)[0]
        if policy.startswith(EXCEPTED) and current is not None:
            finding = Finding(urn, name, finding.what, current.reason, current.until.isoformat())
        self._found.setdefault(rule.id, {})[finding] = None

    def results(self) -> tuple[PolicyResult, ...]:
        """One result for each rule of the pack."""
        return tuple(self._result(rule, self._findings(rule)) for rule in self._rules.values())

    def violations(self) -> list[tuple[Rule, Finding]]:
        """Every finding of a mandatory rule that no exception lets pass."""
        return [
            (self._rules[result.rule], finding)
            for result in self.results()
            if result.severity is Severity.MANDATORY
            for finding in result.findings
            if not finding.until
        ]

    def _findings(self, rule: Rule) -> tuple[Finding, ...]:
        """In an order of their own: the engine works on many resources at once."""
        return tuple(sorted(self._found.get(rule.id, ()), key=lambda each: (each.resource, each.what)))

    def _result(self, rule: Rule, findings: tuple[Finding, ...]) -> PolicyResult:
        counting = [each for each in findings if not each.until]
        if counting:
            mandatory = rule.severity is Severity.MANDATORY
            verdict = Verdict.VIOLATED if mandatory else Verdict.WARNED
        else:
            verdict = Verdict.EXCEPTED if findings else Verdict.PASSED
        return PolicyResult(rule.id, rule.severity, verdict, findings)
