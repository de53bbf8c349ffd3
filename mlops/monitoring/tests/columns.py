"""All tests of one column, whatever it holds, and of columns that are not what they were."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.profile.categories import comparable
from mlops.monitoring.profile.columns import Categories, Column, Numbers
from mlops.monitoring.tests import categories, tails
from mlops.monitoring.tests.histogram import Pair
from mlops.monitoring.tests.numbers import tests_of_numbers
from mlops.monitoring.tests.outcome import Outcome
from mlops.monitoring.tests.rules import Rules

_NOTHING = Distribution((), ())


@dataclass(frozen=True)
class Tested:
    """A column's tests, and its pictures."""

    column: str
    outcomes: tuple[Outcome, ...]
    reference: Distribution = _NOTHING
    current: Distribution = _NOTHING


def test_column(name: str, reference: Column | None, current: Column | None, rules: Rules) -> Tested:
    """Compare one column; a side that does not have it is None."""
    if reference is None or current is None:
        return Tested(name, (_schema(name, current is None),))
    missing = _missing(name, reference, current, rules)
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        pair = Pair.of(reference, current)
        found = tests_of_numbers(name, reference, current, pair, rules)
        return Tested(name, (missing, *found), *pair.pictures())
    if isinstance(reference, Categories) and isinstance(current, Categories):
        reference, current = comparable(reference, current)
        found = categories.tests_of_categories(name, reference, current, rules)
        one, other = categories.pictures(name, reference, current, rules)
        return Tested(name, (missing, *found), one, other)
    if current.missing >= current.rows or reference.missing >= reference.rows:
        # A column without any value has no type to have changed.
        return Tested(name, (missing,))
    was, now = ("numbers", "words") if isinstance(reference, Numbers) else ("words", "numbers")
    changed = Outcome(
        "type", "quality", 1, 1, 0, f"{name} holds {now}, was {was}", group="type", certain=True
    )
    return Tested(name, (missing, changed))


# pytest would collect it otherwise, wherever it is imported.
test_column.__test__ = False  # type: ignore[attr-defined]


def _schema(name: str, gone: bool) -> Outcome:
    if gone:
        return Outcome("column", "quality", 1, 1, 0, f"{name} is not in the window, the reference has it",
                       group="column", certain=True)  # fmt: skip
    return Outcome("extra", "quality", 1, 1, 0, f"{name} is not in the reference, the window has it",
                   group="extra", certain=True)  # fmt: skip


def _missing(name: str, reference: Column, current: Column, rules: Rules) -> Outcome:
    before, now = reference.missing / max(reference.rows, 1), current.missing / max(current.rows, 1)
    log_p = tails.fisher(reference.missing, reference.rows, current.missing, current.rows)
    rate = (reference.missing + current.missing) / max(reference.rows + current.rows, 1)
    noise = (rate * (1 - rate) * (1 / max(reference.rows, 1) + 1 / max(current.rows, 1))) ** 0.5
    sentence = f"{name} is missing in {now:.1%} of {current.rows:,} rows, was {before:.1%}"
    outcome = Outcome("missing", "missing", now - before, abs(now - before), rules.floor("missing"), sentence,
                      log_p, 2.576 * noise, "missing")  # fmt: skip
    # With no missing value on either side, or nothing else, no window could have been significant (Tarone,
    # Biometrics 46, 1990): it does not count as a test.
    return outcome if 0 < rate < 1 else replace(outcome, log_p=None)
