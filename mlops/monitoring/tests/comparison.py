"""Compare two profiles: every test of every column, corrected together."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.monitoring.finding import Finding, Severity
from mlops.monitoring.profile.profile import Profile
from mlops.monitoring.tests.baseline import Baseline
from mlops.monitoring.tests.columns import Tested, test_column
from mlops.monitoring.tests.correction import adjusted, combined
from mlops.monitoring.tests.outcome import Outcome
from mlops.monitoring.tests.rules import Rules

#: A break of the data itself, whoever made it: worth waking somebody, where a policy agrees.
_BREAKS = frozenset({"column", "type", "unit", "infinite", "reference"})
#: Of a column's findings, the one that says what happened comes before those that say how far.
_TELLS = (
    "reference",
    "column",
    "type",
    "unit",
    "infinite",
    "missing",
    "offset",
    "new",
    "vanished",
    "chi2",
    "wilcoxon",
)
_TELLING = {test: rank for rank, test in enumerate((*_TELLS, "mood", "range", "ks"))}
_GONE = 0.5
_LEAST_P = 1e-300


@dataclass(frozen=True)
class Comparison:
    """What two profiles say of each other.

    Attributes:
        rows: Of the reference and of the window.
        findings: Every test computed, found or not, by column.
        problem: Why nothing could be said, in a sentence; empty when the tests hold.
        alpha: Highest share of windows without difference that have a finding.
    """

    rows: tuple[int, int]
    findings: tuple[Finding, ...]
    problem: str = ""
    alpha: float = 0.01

    @property
    def found(self) -> tuple[Finding, ...]:
        """Those that hold, the least probable first."""
        held = [each for each in self.findings if each.found]
        return tuple(sorted(held, key=lambda each: (each.severity != "page", each.p_adjusted, -each.effect)))

    @property
    def summary(self) -> tuple[Finding, ...]:
        """The finding that says most of each column that has any: a break of the data explains the others."""
        best: dict[str, Finding] = {}
        for each in sorted(self.found, key=lambda each: _TELLING.get(each.test, len(_TELLING))):
            best.setdefault(each.column, each)
        return tuple(each for each in self.found if best[each.column] is each)


def compare(
    reference: Profile, current: Profile, rules: Rules | None = None, baseline: Baseline | None = None
) -> Comparison:
    """Every column of ``current`` against that of ``reference``.

    A finding holds when its p-value, corrected over everything tested here, is at most ``rules.alpha``, its
    effect exceeds the practical floor and what chance reaches with these rows, and both sides have enough
    rows. Rows are taken as independent unless ``baseline`` says how much the reference's own windows differ.

    Args:
        reference: What is normal.
        current: The window, best profiled with ``like=reference``.
        rules: What makes a difference a finding.
        baseline: Of windows of this size.
    """
    rules = rules or Rules()
    names = [*reference.columns, *(name for name in current.columns if name not in reference.columns)]
    tested = []
    for name in names:
        if not current.rows and name in current.columns:
            continue
        if name in reference.columns or rules.extra:
            tested.append(_tested(name, reference, current, rules, baseline))
    questions = _questions(tested)
    corrected = dict(zip(questions, adjusted(list(questions.values()), rules.correction), strict=True))
    problem = _problem(reference, current, rules)
    findings = [
        _finding(each, outcome, corrected.get((each.column, outcome.group), 1.0), rules, not problem)
        for each in tested
        for outcome in each.outcomes
    ]
    if problem:
        findings.insert(0, _unusable(reference, current, rules, problem))
    return Comparison((reference.rows, current.rows), tuple(findings), problem, rules.alpha)


def _tested(
    name: str, reference: Profile, current: Profile, rules: Rules, baseline: Baseline | None
) -> Tested:
    each = test_column(name, reference.columns.get(name), current.columns.get(name), rules)
    if baseline is None:
        return each
    outcomes = tuple(baseline.applied(name, outcome) for outcome in each.outcomes)
    return Tested(name, outcomes, each.reference, each.current)


def _questions(tested: list[Tested]) -> dict[tuple[str, str], float]:
    """One p-value for each question of each column: is its shape, its share of missing values, another?"""
    p_values: dict[tuple[str, str], list[float]] = {}
    for each in tested:
        for outcome in each.outcomes:
            if outcome.log_p is not None:
                p_values.setdefault((each.column, outcome.group), []).append(outcome.p_value)
    return {key: max(_LEAST_P, combined(values)) for key, values in p_values.items()}


def _finding(each: Tested, outcome: Outcome, p_group: float, rules: Rules, enough: bool) -> Finding:
    floor = max(outcome.practical, outcome.chance)
    own = outcome.p_value if outcome.log_p is not None else p_group
    # A test that does not see the difference itself cannot borrow that of another of its group.
    p_adjusted = min(1.0, max(own, p_group)) if not outcome.certain else 1.0
    large = outcome.effect >= floor
    found = outcome.certain or (enough and large and p_adjusted <= rules.alpha)
    return Finding(
        column=each.column,
        family=outcome.family,
        test=outcome.test,
        statistic=float(outcome.statistic),
        effect=float(outcome.effect),
        floor=float(floor),
        p_value=1.0 if outcome.certain else own,
        p_adjusted=p_adjusted,
        found=found,
        severity=_severity(outcome) if found else "none",
        sentence=outcome.sentence,
        reference=each.reference,
        current=each.current,
    )


def _severity(outcome: Outcome) -> Severity:
    if outcome.test in _BREAKS or (outcome.test == "missing" and outcome.statistic >= _GONE):
        return "page"
    return "ticket"


def _problem(reference: Profile, current: Profile, rules: Rules) -> str:
    least = rules.minimum_rows
    if reference.rows < least:
        return f"the reference has {reference.rows:,} rows, too few to compare with: {least} are needed"
    if not current.rows:
        return "the window is empty"
    if current.rows < least:
        return f"the window has {current.rows:,} rows, too few to say anything: {least} are needed"
    return ""


def _unusable(reference: Profile, current: Profile, rules: Rules, sentence: str) -> Finding:
    """A reference that is too small is a mistake somebody must mend; a small or empty window is a state."""
    wrong = reference.rows < rules.minimum_rows
    rows = reference.rows if wrong else current.rows
    return Finding(
        "", "quality", "reference" if wrong else "rows", rows, rows, rules.minimum_rows, 1.0, 1.0, wrong,
        "ticket" if wrong else "none", sentence,
    )  # fmt: skip
