"""Have columns changed together, though each alone looks as before? This needs rows, not profiles: a bounded
sample of both sides, reservoir or newest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blueprints.errors import UsageProblem
from mlops.monitoring.finding import Finding
from mlops.monitoring.profile.columns import Floats
from mlops.monitoring.tests import tails
from mlops.monitoring.tests.correction import adjusted
from mlops.monitoring.tests.ranks import area
from mlops.monitoring.tests.rules import Rules

_MOST_ROWS = 5_000
#: Interactions grow with the square of the columns: only those of the first ones are given to the classifier.
_CROSSED = 12
_EXPLAINED = 0.65


@dataclass(frozen=True)
class _Result:
    test: str
    statistic: float
    effect: float
    chance: float
    log_p: float
    sentence: str


def compare_rows(
    reference: Mapping[str, Any], current: Mapping[str, Any], rules: Rules | None = None, seed: int = 0
) -> tuple[Finding, ...]:
    """PCA reconstruction, domain classifier and correlations of two samples of rows.

    Args:
        reference: Columns by name, ``m`` values each; numbers, or words (taken by their frequency).
        current: The same columns, ``n`` values each.
        rules: What makes a difference a finding; the three tests are corrected together.
        seed: Of the split into halves, and of the sample where there are more than 5,000 rows.

    Raises:
        UsageProblem: Fewer than two columns are in both.
    """
    rules = rules or Rules()
    names = [name for name in reference if name in current]
    if len(names) < 2:
        raise UsageProblem(
            f"{len(names)} column is in both samples", expected="at least two", todo="name the columns alike"
        )
    rng = np.random.default_rng(seed)
    before, now = _scores(reference, current, names, rng)
    if min(len(before), len(now)) < rules.minimum_rows:
        return ()
    results = [_pca(before, now, rng), _classifier(before, now, rng), _correlation(before, now, names)]
    corrected = adjusted([math.exp(max(each.log_p, -690)) for each in results], rules.correction)
    return tuple(_finding(each, p, rules) for each, p in zip(results, corrected, strict=True))


def _finding(result: _Result, p_adjusted: float, rules: Rules) -> Finding:
    floor = max(rules.floor(result.test), result.chance)
    found = p_adjusted <= rules.alpha and result.effect >= floor
    return Finding("", "drift", result.test, result.statistic, result.effect, floor, math.exp(result.log_p),
                   p_adjusted, found, "ticket" if found else "none", result.sentence)  # fmt: skip


def _pca(before: Floats, now: Floats, rng: np.random.Generator) -> _Result:
    """Is a row harder to rebuild from the reference's main components than a row of the reference's other
    half?

    Source: Shlens, "A tutorial on principal component analysis" (arXiv 1404.1100); the two means by Welch's
    test (Biometrika 34, 1947).
    """
    order = rng.permutation(len(before))
    fitted, held = before[order[::2]], before[order[1::2]]
    mean = fitted.mean(axis=0)
    _, weights, axes = np.linalg.svd(fitted - mean, full_matrices=False)
    share = np.cumsum(weights**2) / max(float((weights**2).sum()), 1e-300)
    # All components would rebuild anything.
    count = min(int(np.searchsorted(share, _EXPLAINED)) + 1, before.shape[1] - 1)
    kept = axes[:count]

    def errors(rows: Floats) -> Floats:
        centred = rows - mean
        return np.asarray(np.sqrt(((centred - centred @ kept.T @ kept) ** 2).sum(axis=1)))

    was, is_now = errors(held), errors(now)
    noise = math.sqrt(was.var() / len(was) + is_now.var() / len(is_now)) or 1e-300
    change, spread = float(is_now.mean() - was.mean()), float(was.std()) or 1e-300
    sentence = (
        f"rows are {'harder' if change > 0 else 'easier'} to rebuild from the reference's main components: "
        f"error {is_now.mean():.3g}, was {was.mean():.3g}"
    )
    return _Result("pca", float(is_now.mean()), abs(change) / spread, 2.576 * noise / spread,
                   tails.normal(change / noise), sentence)  # fmt: skip


def _classifier(before: Floats, now: Floats, rng: np.random.Generator) -> _Result:
    """Can a model tell the window's rows from the reference's? Logistic regression on the columns, their
    squares and products, judged by AUC on the half it was not fitted on, twice.

    Sources: Lopez-Paz, Oquab, "Revisiting classifier two-sample tests" (ICLR 2017); the AUC of no difference
    has the variance of Mann and Whitney (Annals of Mathematical Statistics 18, 1947).
    """
    features = _crossed(np.concatenate([before, now]))
    labels = np.concatenate([np.zeros(len(before)), np.ones(len(now))])
    half = rng.permutation(len(labels)) % 2 == 0
    areas, variance = [], 0.0
    for train in (half, ~half):
        weights = _logistic(features[train], labels[train])
        held = labels[~train]
        areas.append(area(features[~train] @ weights, held > 0))
        one, other = float(held.sum()), float(len(held) - held.sum())
        variance += (one + other + 1) / (12 * one * other) / 4
    mean = float(np.mean(areas))
    # The halves change roles, so that both areas may err together: their variances add as if they did.
    noise = math.sqrt(2 * variance)
    z = max(0.0, (mean - 0.5) / noise)
    sentence = f"a classifier tells the window's rows from the reference's with an AUC of {mean:.2f}"
    return _Result("classifier", mean, max(0.0, mean - 0.5), 2.326 * noise, tails.normal(z), sentence)


def _correlation(before: Floats, now: Floats, names: list[str]) -> _Result:
    """The pair of columns whose rank correlation changed most, whatever the columns' own distributions.

    Sources: Fisher's z (Metron 1, 1921) on normal scores; Bonferroni over the pairs. Normal scores are those
    of the reference, so that a change of one column alone moves a correlation little.
    """
    one, other = _correlations(before), _correlations(now)
    rows, columns = np.triu_indices(len(names), 1)
    noise = math.sqrt(1 / (len(before) - 3) + 1 / (len(now) - 3))
    limit = 1 - 1e-9
    was, is_now = one[rows, columns].clip(-limit, limit), other[rows, columns].clip(-limit, limit)
    z = np.abs(np.arctanh(was) - np.arctanh(is_now)) / noise
    most = int(z.argmax())
    log_p = min(0.0, tails.normal(float(z[most])) + math.log(len(z)))
    effect = float(abs(was[most] - is_now[most]))
    sentence = (
        f"{names[rows[most]]} and {names[columns[most]]} go together otherwise: correlation "
        f"{is_now[most]:.2f}, was {was[most]:.2f}"
    )
    return _Result("correlation", float(is_now[most] - was[most]), effect, 2.576 * noise, log_p, sentence)


def _scores(
    reference: Mapping[str, Any], current: Mapping[str, Any], names: list[str], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Both samples as normal scores of the reference's ranks, shapes ``(m, k)`` and ``(n, k)``: no column's
    shape or wild values decide for all."""
    sides: tuple[list[Floats], list[Floats]] = ([], [])
    picked = [_picked(len(each[names[0]]), rng) for each in (reference, current)]
    for name in names:
        before, now = _numbers(np.asarray(reference[name])[picked[0]], np.asarray(current[name])[picked[1]])
        known = np.sort(before[np.isfinite(before)])
        for side, values in zip(sides, (before, now), strict=True):
            side.append(_normal_scores(values, known))
    return np.column_stack(sides[0]), np.column_stack(sides[1])


def _picked(rows: int, rng: np.random.Generator) -> Any:
    return np.sort(rng.choice(rows, min(rows, _MOST_ROWS), replace=False))


def _numbers(before: Any, now: Any) -> tuple[Floats, Floats]:
    try:
        return before.astype(np.float64), now.astype(np.float64)
    except (TypeError, ValueError):
        # Words by their frequency in the reference: it keeps the common and the rare apart.
        names, counts = np.unique(before.astype(str), return_counts=True)
        frequency = dict(zip(names.tolist(), (counts + np.arange(len(counts)) * 1e-6).tolist(), strict=True))
        first = np.array([frequency[each] for each in before.astype(str)], np.float64)
        return first, np.array([frequency.get(each, 0.0) for each in now.astype(str)], np.float64)


def _normal_scores(values: Floats, known: Floats) -> Floats:
    if not len(known):
        return np.zeros(len(values))
    low, high = np.searchsorted(known, values, "left"), np.searchsorted(known, values, "right")
    share = ((low + high) / 2 + 0.5) / (len(known) + 1)
    # Missing and infinite values say nothing here; other tests count them.
    share = np.where(np.isfinite(values), share, 0.5)
    # Logit over 1.702 is the normal quantile to within 0.01 in probability, without SciPy.
    return np.asarray(np.log(share / (1 - share)) / 1.702)


def _correlations(scores: Floats) -> Floats:
    centred = scores - scores.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    return np.asarray((centred.T @ centred) / np.maximum(np.outer(size, size), 1e-12))


def _crossed(scores: Floats) -> Floats:
    few = scores[:, :_CROSSED]
    rows, columns = np.triu_indices(few.shape[1])
    features = np.concatenate([scores, few[:, rows] * few[:, columns]], axis=1)
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-9)
    return np.concatenate([np.ones((len(scores), 1)), features], axis=1)


def _logistic(features: Floats, labels: Floats, ridge: float = 10.0, steps: int = 8) -> Floats:
    """Ridge logistic regression by Newton's steps; both classes weigh the same."""
    share = float(labels.mean())
    importance = np.where(labels > 0, 0.5 / share, 0.5 / (1 - share))
    weights = np.zeros(features.shape[1])
    penalty = ridge * np.eye(features.shape[1])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        slope = features.T @ (importance * (labels - chance)) - ridge * weights
        curve = (features * (importance * chance * (1 - chance))[:, None]).T @ features + penalty
        step = np.linalg.solve(curve, slope)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-6:
            break
    return weights
