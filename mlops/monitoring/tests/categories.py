"""All tests of one column of words."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.finding import Family
from mlops.monitoring.profile.columns import Categories, Ints
from mlops.monitoring.tests import distances, tails
from mlops.monitoring.tests.numbers import grouped_distances
from mlops.monitoring.tests.outcome import Outcome
from mlops.monitoring.tests.rules import Rules

#: Longer categories are free text, and may be anybody's secret.
_LONGEST_NAME = 24
_PICTURE = 11
_EXPECTED = 5.0
REST = "(other)"


def tests_of_categories(name: str, reference: Categories, current: Categories, rules: Rules) -> list[Outcome]:
    """Shares, new and vanished categories of a column.

    Args:
        reference, current: As :func:`~mlops.monitoring.profile.categories.comparable` gives them.
    """
    before, now = reference.counts, current.counts
    m, n = reference.rows - reference.missing, current.rows - current.missing
    if m <= 0 or n <= 0:
        return []
    family: Family = "prediction" if name in rules.predictions else "drift"
    first, second, names = pooled(_whole(reference), _whole(current))
    return [
        _chi_squared(name, first, second, names, rules, family),
        *grouped_distances(name, first, second, rules, family),
        _new(name, before, now, (m, n), rules),
        _vanished(name, before, now, (m, n), rules),
    ]


def _whole(column: Categories) -> Mapping[str, int]:
    """The counts of all rows: words that a large column keeps by their hash alone are a category a bucket,
    named as no word is that a sentence may show."""
    if column.beyond is None:
        return column.counts
    return {**column.counts, **{f"\0{at}": int(count) for at, count in enumerate(column.beyond)}}


def pooled(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[Ints, Ints, list[str]]:
    """Rows of both by category; categories of fewer than 5 expected rows are one, the last.

    Source: Cochran, "Some methods for strengthening the common chi-squared tests" (Biometrics 10, 1954).
    """
    names = sorted(before.keys() | now.keys())
    first = np.fromiter((before.get(each, 0) for each in names), np.int64, len(names))
    second = np.fromiter((now.get(each, 0) for each in names), np.int64, len(names))
    m, n = int(first.sum()), int(second.sum())
    rare = (first + second) * (min(m, n) / (m + n)) < _EXPECTED
    if rare.sum() < 2:
        return first, second, names
    kept = ~rare
    names = [each for each, keep in zip(names, kept, strict=True) if keep]
    return (
        np.append(first[kept], first[rare].sum()),
        np.append(second[kept], second[rare].sum()),
        [*names, REST],
    )


def _chi_squared(
    name: str, first: Ints, second: Ints, names: list[str], rules: Rules, family: Family
) -> Outcome:
    """Pearson's chi-squared of two samples (Philosophical Magazine 50, 1900); the effect is the total
    variation."""
    m, n = int(first.sum()), int(second.sum())
    distance, chance = distances.total_variation(first, second)
    rates = (first + second) / (m + n)
    with np.errstate(divide="ignore", invalid="ignore"):
        cells = (first / m - second / n) ** 2 / rates
    statistic = float(np.nan_to_num(cells).sum()) * m * n / (m + n)
    changes = second / n - first / m
    most = int(np.abs(changes).argmax())
    which = shown(name, names[most], rules)
    sentence = (
        f"{name} has other shares: {which} is {second[most] / n:.1%} of {n:,} rows, was {first[most] / m:.1%}"
    )
    log_p = tails.chi_squared(statistic, len(first) - 1) if len(first) > 1 else None
    return Outcome("chi2", family, statistic, distance, rules.floor("chi2"), sentence, log_p, chance)


def _new(
    name: str, before: Mapping[str, int], now: Mapping[str, int], sizes: tuple[int, int], rules: Rules
) -> Outcome:
    """Rows of categories that the reference does not have, against its own rows of categories seen once: each
    of those was new when it came, and their share is what is still to be expected of new ones.

    Sources: Good, "The population frequencies of species and the estimation of population parameters"
    (Biometrika 40, 1953); that estimate strays by more than a count of as many rows where many categories are
    seen once or twice: Esty, "A normal limit law for a nonparametric estimator of the coverage of a random
    sample" (Annals of Statistics 11, 1983). The more careful of both p-values holds.
    """
    m, n = sizes
    unseen = {each: count for each, count in now.items() if each not in before}
    rows, once = sum(unseen.values()), sum(1 for count in before.values() if count == 1)
    twice = sum(1 for count in before.values() if count == 2)
    share = rows / n
    largest = max(unseen, key=lambda each: (unseen[each], each), default="")
    which = f" ({shown(name, largest, rules)}, {unseen.get(largest, 0) / n:.1%} of rows)" if unseen else ""
    plural = "category" if len(unseen) == 1 else "categories"
    sentence = f"{name} has {len(unseen):,} new {plural}{which}"
    log_p = tails.fisher(once, m, rows, n) if rows else None
    spread = (once + 2 * twice - once**2 / m) / m**2 + share * (1 - share) / n
    if log_p is not None and once and spread > 0:
        log_p = max(log_p, tails.normal((share - once / m) / math.sqrt(spread)))
    excess = max(0.0, share - once / m)
    return Outcome("new", "quality", len(unseen), excess, rules.floor("new"), sentence, log_p, group="new")


def _vanished(
    name: str, before: Mapping[str, int], now: Mapping[str, int], sizes: tuple[int, int], rules: Rules
) -> Outcome:
    """Categories of the reference without a row in the window. Were nothing changed, all ``c`` rows of one
    lie in the reference with probability ``(m / (m + n))^c``; Bonferroni's bound over the categories."""
    m, n = sizes
    gone = {each: count for each, count in before.items() if each not in now}
    rows = sum(gone.values())
    largest = max(gone, key=lambda each: (gone[each], each), default="")
    log_p = min(0.0, math.log(len(before)) + gone[largest] * math.log(m / (m + n))) if gone else None
    count = sum(1 for each in gone.values() if each / m >= rules.floor("vanished"))
    plural = "category" if count == 1 else "categories"
    which = f" ({shown(name, largest, rules)}, was {gone.get(largest, 0) / m:.1%} of rows)" if gone else ""
    sentence = f"{name} has lost {count:,} {plural}{which}"
    effect = gone.get(largest, 0) / m
    return Outcome("vanished", "quality", len(gone), effect, rules.floor("vanished"), sentence, log_p,
                   chance=_expected_gone(before, n, m) if rows else 0.0, group="vanished")  # fmt: skip


def _expected_gone(before: Mapping[str, int], n: int, m: int) -> float:
    # The largest share that one of these categories may have and still be absent 1 time in 100.
    return min(1.0, math.log(100 * len(before)) / n)


def shown(column: str, category: str, rules: Rules) -> str:
    """A category as a sentence may show it."""
    if category == REST:
        return "all rare ones together"
    if column in rules.private or len(category) > _LONGEST_NAME or not category.isprintable():
        return "one category"
    return category


def pictures(
    name: str, reference: Categories, current: Categories, rules: Rules
) -> tuple[Distribution, Distribution]:
    """The most frequent categories of both, and the rest."""
    before, now = reference.counts, current.counts
    m, n = max(reference.rows - reference.missing, 1), max(current.rows - current.missing, 1)
    weight = {each: before.get(each, 0) / m + now.get(each, 0) / n for each in before.keys() | now.keys()}
    top = sorted(weight, key=lambda each: (-weight[each], each))[:_PICTURE]
    labels = [shown(name, each, rules) for each in top]
    labels = [
        f"category {index + 1}" if label == "one category" else label for index, label in enumerate(labels)
    ]
    one, other = [before.get(each, 0) / m for each in top], [now.get(each, 0) / n for each in top]
    if len(weight) > len(top) or reference.beyond is not None:
        labels.append(REST)
        one.append(max(0.0, 1 - sum(one)) if reference.rows > reference.missing else 0.0)
        other.append(max(0.0, 1 - sum(other)) if current.rows > current.missing else 0.0)
    return Distribution(tuple(labels), tuple(one)), Distribution(tuple(labels), tuple(other))
