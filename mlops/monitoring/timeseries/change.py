"""Change points: when the level of a series changed, and whether by more than chance.

A partition of the series into levels is searched that makes the sum of all losses plus a penalty for each
change smallest, over all partitions: the optimum of PELT (Killick, Fearnhead, Eckley, "Optimal detection of
changepoints with a linear computational cost", JASA 107, 2012). The loss of a value is its squared distance
from the level, but bounded: a single outlier, however far, is cheaper than two changes (biweight loss of
Fearnhead, Rigaill, "Changepoint detection in the presence of outliers", JASA 114, 2019). The mean does not
minimise this loss, so the recursion goes over possible levels, as theirs, and not over starts of segments.

Values that follow each other are alike. A first-order autoregression of coefficient ``phi`` makes means vary
``(1 + phi) / (1 - phi)`` times as much, and the losses are divided by that; without it quiet series have
many changes (Romano, Rigaill, Runge, Fearnhead, "Detecting abrupt changes in the presence of local
fluctuations and autocorrelated noise", JASA 117, 2022). Each change that was found is then tested with the
noise that is left around the levels; the one most likely by chance is taken out until all are beyond it.

What it cannot: a slow trend or a season of many values is told as steps, a short season counts as noise.
Take both out before. A random walk has no levels but is told as some: ``phi`` ends at 0.95, and of walks of
365 values half have a change. Correlated noise that is also skewed is not as quiet as promised: the
exponential of an autoregression of 0.7 has a change in one series of seven; take the logarithm before. A step
of 2 standard deviations in noise with a ``phi`` of 0.7 is found in two of five series of 100 values and in
nearly all of 500.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Probability, over all places where it could be, that a change at least so clear comes by chance.
CHANCE = 0.01
#: Penalty for a change, times ``log n``: the main part of the modified BIC of Zhang and Siegmund ("A modified
#: Bayes information criterion", Biometrics 63, 2007).
_PENALTY = 3.0
#: Largest loss of one value: 3 standard deviations of independent noise, as Fearnhead and Rigaill. It bounds
#: the loss that was divided: else short segments of correlated values never pay the penalty, however far.
_BOUND = 9.0
#: Levels that are tried in one standard deviation.
_GRAIN = 8.0
#: Nearer to 1 the penalty has no end.
_MOST_PHI = 0.95
_PHIS = np.linspace(0.0, _MOST_PHI, 96)
#: In standard deviations: what counts for a scale, where Huber's level bends, how far residuals may be.
_KEPT, _BEND, _DRAWN_IN = 3.0, 1.5, 2.5
#: Median absolute deviation of normal values, and the variance of those nearer than ``_KEPT``.
_MAD = 0.6744897501960817
_KEPT_VARIANCE = 1 - _KEPT * math.sqrt(2 / math.pi) * math.exp(-_KEPT * _KEPT / 2) / math.erf(
    _KEPT / math.sqrt(2)
)


@dataclass(frozen=True)
class Change:
    """A change of the level, levels in units of the series.

    Attributes:
        at: Index of the first value of the new level.
        before, after: Medians of the values up to the neighbouring changes.
        error: Standard error of ``after - before``, autocorrelation taken into account.
        p_value: Probability that noise alone shows a change so clear anywhere in the series; at most 0.01.
    """

    at: int
    before: float
    after: float
    error: float
    p_value: float


def changes(values: npt.NDArray[np.float64], least: int = 8) -> tuple[Change, ...]:
    """The changes of the level of a series, in order of time.

    Args:
        values: ``(n,)``, evenly spaced. What is not finite is left out, as if time had not passed.
        least: Fewest values between two changes, at least 2.

    Returns:
        Nothing when there is none, for a constant series and for fewer than ``2 * least`` values.
    """
    given = np.asarray(values, float).ravel()
    places = np.flatnonzero(np.isfinite(given))
    least = max(int(least), 2)
    if len(places) < 2 * least:
        return ()
    # A power of two loses no digit, and squares of the largest and the smallest floats stay finite.
    power = int(np.frexp(np.abs(given[places]).max())[1])
    x = np.ldexp(given[places], -power)
    deviation, phi = _noise(x)
    if deviation <= 0:
        return ()
    # Further away nothing is told from an outlier, and floats have no fractions left.
    with np.errstate(over="ignore"):
        scaled = np.clip((x - np.median(x)) / deviation, -1e12, 1e12)
    found = _beyond_chance(scaled, _partition(scaled, phi, least), least)
    edges = [0, *(at for at, _, _ in found), len(x)]
    medians = [np.median(x[start:stop]) for start, stop in pairwise(edges)]
    return tuple(
        Change(
            int(places[at]),
            float(np.ldexp(medians[place], power)),
            float(np.ldexp(medians[place + 1], power)),
            float(np.ldexp(error * deviation, power)),
            p_value,
        )
        for place, (at, error, p_value) in enumerate(found)
    )


def _scale(deviations: Floats) -> float:
    """Standard deviation about 0 of ``(n,)`` values, by those nearer than 3 of it (reweighted scale of
    Rousseeuw and Leroy, "Robust Regression and Outlier Detection", 1987, here until it stays), from the
    median absolute deviation on. The latter alone is too rough: a ``phi`` of 0.5, of 100 values, would have
    an error of 0.26 instead of 0.14. 0 when half of the values are."""
    sizes = np.abs(deviations)
    rough = float(np.median(sizes)) / _MAD if len(sizes) else 0.0
    if rough == 0:
        return 0.0
    with np.errstate(over="ignore"):
        # In units of the first guess: the squares of very small numbers are 0.
        sizes = sizes / rough
    ratio = 1.0
    for _ in range(50):
        kept = sizes[sizes <= _KEPT * ratio]
        before, ratio = ratio, math.sqrt(float(np.square(kept).mean()) / _KEPT_VARIANCE)
        if ratio == 0:
            return rough
        if abs(ratio - before) <= 1e-9 * before:
            break
    return ratio * rough


def _rare(deviations: Floats) -> float:
    """Standard deviation of ``(n,)`` values of which half or more are 0 exactly, as in counts of rare things;
    the others count up to 3 times their median size."""
    sizes = np.abs(deviations)
    moved = sizes[sizes > 0]
    if not len(moved):
        return 0.0
    typical = float(np.median(moved))
    with np.errstate(over="ignore"):
        return typical * math.sqrt(float(np.square(np.minimum(sizes / typical, _KEPT)).mean()))


def _noise(x: Floats) -> tuple[float, float]:
    """Standard deviation and autocorrelation of the noise of ``(n,)`` values, whatever their levels.

    Differences over 1, 2 and 3 steps know of a change only where it is. Their variances are
    ``2 * variance * (1 - phi ** steps)``, and ``phi`` is what fits the three best, between 0 and 0.95 (as
    Romano and others 2022 do)."""
    halves = np.asarray([_scale(x[step:] - x[:-step]) ** 2 / 2 for step in (1, 2, 3)])
    if halves.min() == 0:
        # Values that stay the same: nothing is told of phi, each difference may be a change.
        return _rare(np.diff(x)) / math.sqrt(2), 0.0
    shapes = 1 - _PHIS[:, None] ** np.arange(1, 4)
    variances = shapes[:, 1:] @ halves[1:] + shapes[:, 0] * halves[0]
    variances /= np.square(shapes).sum(axis=1)
    misfit = np.square(halves / (variances[:, None] * shapes) - 1).sum(axis=1)
    phi = float(_PHIS[misfit.argmin()])
    return math.sqrt(halves[0] / (1 - phi)), phi


def _partition(x: Floats, phi: float, least: int) -> list[int]:
    """Where segments of ``(n,)`` values, in standard deviations, begin but the first.

    ``best[g]`` is the least cost of all values so far when the last segment has level ``levels[g]``. This
    segment either goes on or began ``least`` values ago, at the cost of all before, the penalty and the
    losses since. It takes n times the number of levels, which are the values that occur, to an eighth."""
    penalty, share = _PENALTY * math.log(len(x)), (1 - phi) / (1 + phi)
    levels = np.unique(np.round(x * _GRAIN)) / _GRAIN
    best, start = np.full(len(levels), np.inf), np.zeros(len(levels), int)
    newest = np.zeros(len(levels))
    losses: deque[Floats] = deque()
    # A first segment costs no penalty.
    costs, begins = [-penalty], [0]
    for count, value in enumerate(x.tolist(), start=1):
        loss = np.minimum(share * np.square(levels - value), _BOUND)
        losses.append(loss)
        newest += loss
        best += loss
        if count > least:
            newest -= losses.popleft()
        if count < least:
            costs.append(math.inf)
            begins.append(0)
            continue
        began = count - least
        fresh = newest + (costs[began] + penalty)
        start[fresh < best] = began
        np.minimum(best, fresh, out=best)
        at = int(best.argmin())
        costs.append(float(best[at]))
        begins.append(int(start[at]))
    found, at = [], begins[-1]
    while at > 0:
        found.append(at)
        at = begins[at]
    return found[::-1]


def _level(x: Floats, deviation: float) -> float:
    """Huber's location of ``(n,)`` values of a known scale, from the median on (Huber 1964)."""
    found, bend = float(np.median(x)), _BEND * deviation
    for _ in range(30):
        step = float(np.clip(x - found, -bend, bend).mean())
        found += step
        if abs(step) <= 1e-9 * deviation:
            break
    return found


def _left(x: Floats, begins: list[int]) -> tuple[float, float]:
    """Standard deviation and autocorrelation of what is left of ``(n,)`` values around their levels.

    Outliers are drawn in. A level takes a part of the noise with it: the variance is that of ``n`` less the
    levels, and ``phi`` is corrected to the order 1/n (Kendall, "Note on bias in the estimation of
    autocorrelation", Biometrika 41, 1954, for one level; each further one is taken to add as much)."""
    edges = [0, *begins, len(x)]
    parts = [x[start:stop] for start, stop in pairwise(edges)]
    left = np.concatenate([part - _level(part, 1.0) for part in parts])
    deviation, n, k = _scale(left) or _rare(left), len(x), len(parts)
    if deviation == 0:
        return 0.0, 0.0
    with np.errstate(over="ignore"):
        left = np.clip(left / deviation, -_DRAWN_IN, _DRAWN_IN)
    products = left[1:] * left[:-1]
    # Over a change the residuals are of two levels, of which neither is known so near.
    products[np.asarray(begins, int) - 1] = 0.0
    phi = float(products.sum() / np.square(left).sum())
    corrected = (n * phi + k) / max(n - 3 - k, 1)
    return deviation * math.sqrt(n / max(n - k, 1)), min(max(corrected, 0.0), _MOST_PHI)


def _beyond_chance(x: Floats, begins: list[int], least: int) -> list[tuple[int, float, float]]:
    """Of the changes those beyond chance: where, the error of the difference of medians, p-value.

    The p-value is told by Huber's levels, which know more of normal noise than medians do. The change of the
    largest goes first, then its neighbours are longer and the noise is another."""
    begins = list(begins)
    while begins:
        deviation, phi = _left(x, begins)
        edges = [0, *begins, len(x)]
        found = []
        for start, at, stop in zip(edges, edges[1:], edges[2:], strict=False):
            old, new = x[start:at], x[at:stop]
            per_value = deviation * math.sqrt(1 / len(old) + 1 / len(new))
            error = per_value * math.sqrt((1 + phi) / (1 - phi))
            distance = abs(_level(new, deviation) - _level(old, deviation))
            if np.median(old) == np.median(new):
                # Nothing that could be told: counts of rare things, nearly all of them 0.
                distance = 0.0
            ratio = distance / error if error > 0 else math.inf * distance if distance else 0.0
            p_value = _chance(ratio, len(old) + len(new), least, len(x))
            found.append((at, per_value * math.sqrt(_median_factor(phi)), p_value))
        worst = max(range(len(found)), key=lambda place: found[place][2])
        if found[worst][2] <= CHANCE:
            return found
        del begins[worst]
    return []


def _median_factor(phi: float) -> float:
    """How much more the median of n normal values of an autoregression varies than one value divided by n.

    Its variance is that of the sign, ``1 + 4 / pi * sum(arcsin(phi ** lag))`` over all lags, divided by the
    square of twice the density: ``pi / 2`` of independent values."""
    lags = np.arange(1, 400)
    return math.pi / 2 * (1 + 4 / math.pi * float(np.arcsin(phi**lags).sum()))


def _chance(ratio: float, length: int, least: int, count: int) -> float:
    """Probability that the largest ratio of a difference to its error is so large by noise alone, over all
    places in ``length`` values ``least`` away from the ends (Vostrikova, "Detection of a disorder in a Wiener
    process", Theory of Probability 26, 1981; Csörgő and Horváth, "Limit Theorems in Change-Point Analysis",
    1997), times how often so many values fit into all ``count`` (Bonferroni)."""
    if ratio < 1.5:
        # The series is for large ratios.
        return 1.0
    if ratio > 37:
        return 0.0
    edge = min(least / length, 0.5)
    places = 2 * math.log((1 - edge) / edge)
    density = math.exp(-ratio * ratio / 2) / math.sqrt(2 * math.pi)
    tail = ratio * density * ((1 - 1 / ratio**2) * places + 4 / ratio**2)
    return min(1.0, tail * count / length)
