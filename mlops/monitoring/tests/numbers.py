"""All tests of one column of numbers."""

from __future__ import annotations

import math

import numpy as np

from mlops.monitoring.finding import Family
from mlops.monitoring.profile.columns import Ints, Numbers
from mlops.monitoring.tests import distances, tails
from mlops.monitoring.tests.histogram import Pair
from mlops.monitoring.tests.outcome import Outcome
from mlops.monitoring.tests.ranks import kolmogorov_smirnov, rank_tests
from mlops.monitoring.tests.rules import Rules
from mlops.monitoring.tests.units import unit_tests

_GROUPS = 20
_SHARES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def tests_of_numbers(
    name: str, reference: Numbers, current: Numbers, pair: Pair, rules: Rules
) -> list[Outcome]:
    """Shape, range, infinities of a column; not its missing values, which columns of words have too."""
    family: Family = "prediction" if name in rules.predictions else "drift"
    found = [_infinite(name, reference, current, rules)]
    if pair.m and pair.n:
        found += [_range(name, pair, rules), *unit_tests(name, pair, rules)]
        found += _shape(name, pair, rules, family)
    return found


def _shape(name: str, pair: Pair, rules: Rules, family: Family) -> list[Outcome]:
    distance, log_ks = kolmogorov_smirnov(pair)
    (moved, log_moved), (wider, log_wider) = rank_tests(pair)
    noise = pair.noise
    (was, quarter_was), (now, quarter_now) = _middle_and_width(pair)
    medians = f"median {_n(now)}, was {_n(was)}"
    spreads = f"interquartile range {_n(quarter_now)}, was {_n(quarter_was)}"
    up, wide = "higher" if moved > 0 else "lower", "wider" if wider > 0 else "narrower"
    outcomes = [
        Outcome("ks", family, distance, distance, rules.floor("ks"),
                f"{name} is distributed differently: {distance:.1%} of its rows lie elsewhere; {medians}",
                log_ks, 1.628 * noise),
        Outcome("wilcoxon", family, moved, abs(moved), rules.floor("wilcoxon"),
                f"{name} is {up} by about {abs(moved):.2f} standard deviations: {medians}",
                log_moved, 2.576 * noise),
        Outcome("mood", family, wider, abs(wider), rules.floor("mood"),
                f"{name} is spread {wide}: {spreads}", log_wider, 2.576 * noise),
    ]  # fmt: skip
    return outcomes + _distances(name, pair, rules, family)


def _distances(name: str, pair: Pair, rules: Rules, family: Family) -> list[Outcome]:
    one, other = pair.cumulated
    scale = pair.scale
    far, null = distances.wasserstein(pair.middles, one, other, pair.noise)
    before, after = pair.quantiles(_SHARES)
    with np.errstate(over="ignore"):
        shifts = (after - before) / scale
    worst = int(np.abs(shifts).argmax())
    outcomes = [
        Outcome("wasserstein", family, far, far / scale, rules.floor("wasserstein"),
                f"{name} has moved by {_n(far)} on average, {far / scale:.2f} of its standard deviation",
                chance=null / scale),
        Outcome("quantiles", family, float(after[worst] - before[worst]), abs(float(shifts[worst])),
                rules.floor("quantiles"),
                f"{_SHARES[worst]:.0%} of {name} lie below {_n(after[worst])}, was {_n(before[worst])}",
                chance=_quantile_noise(pair, worst, scale)),
    ]  # fmt: skip
    first, second = pair.grouped(_GROUPS)
    return outcomes + grouped_distances(name, first, second, rules, family)


def grouped_distances(name: str, first: Ints, second: Ints, rules: Rules, family: Family) -> list[Outcome]:
    """PSI, Jensen-Shannon and Hellinger of counts in the same groups."""
    outcomes = []
    for test, title, compute in (
        ("psi", "population stability index", distances.psi),
        ("jensen_shannon", "Jensen-Shannon distance", distances.jensen_shannon),
        ("hellinger", "Hellinger distance", distances.hellinger),
    ):
        value, chance = compute(first, second)
        sentence = (
            f"{name} is distributed differently: {title} {value:.3f}, chance alone reaches {chance:.3f}"
        )
        outcomes.append(Outcome(test, family, value, value, rules.floor(test), sentence, chance=chance))
    return outcomes


def _quantile_noise(pair: Pair, index: int, scale: float) -> float:
    # How far the reference's own quantile lies apart at shares that chance alone confuses.
    share = _SHARES[index]
    step = 2.576 * math.sqrt(share * (1 - share)) * pair.noise
    low, high = pair.quantiles(np.clip(np.array([share - step, share + step]), 1e-6, 1 - 1e-6))[0]
    return float(high - low) / 2 / scale


def _infinite(name: str, reference: Numbers, current: Numbers, rules: Rules) -> Outcome:
    before, now = sum(reference.infinite), sum(current.infinite)
    was, share = before / max(reference.rows, 1), now / max(current.rows, 1)
    log_p = tails.fisher(before, reference.rows, now, current.rows)
    sentence = f"{name} is infinite in {share:.1%} of {current.rows:,} rows, was {was:.1%}"
    possible = before + now > 0
    return Outcome("infinite", "quality", share - was, max(0.0, share - was), rules.floor("infinite"),
                   sentence, log_p if possible else None, group="infinite")  # fmt: skip


def _range(name: str, pair: Pair, rules: Rules) -> Outcome:
    """Rows outside the reference's range. Without drift the ``r`` most extreme of all rows belong to the
    window with probability ``q^r``, ``q = n / (n + m)``, on either side: no assumption about the distribution
    is needed.

    Source: Rosenbaum, "Tables for a nonparametric test of location" (Annals of Mathematical Statistics 25,
    1954).
    """
    (inside,) = np.nonzero(pair.first)
    below, above = int(pair.second[: inside[0]].sum()), int(pair.second[inside[-1] + 1 :].sum())
    r, q = below + above, pair.n / (pair.n + pair.m)
    # Sum of two geometric counts, one a side: P(R >= r) = q^r (1 + r (1 - q)).
    log_p = min(0.0, r * math.log(q) + math.log1p(r * (1 - q)))
    share = r / pair.n
    low, high = float(pair.low[inside[0]]), float(pair.high[inside[-1]])
    sentence = f"{name} lies outside {_n(low)} to {_n(high)} in {share:.1%} of {pair.n:,} rows"
    return Outcome("range", "quality", r, share, rules.floor("range"), sentence, log_p if r else None,
                   group="range")  # fmt: skip


def _middle_and_width(pair: Pair) -> tuple[tuple[float, float], tuple[float, float]]:
    first, second = pair.quantiles(np.array([0.25, 0.5, 0.75]))
    return (float(first[1]), float(first[2] - first[0])), (float(second[1]), float(second[2] - second[0]))


def _n(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.3g}"
