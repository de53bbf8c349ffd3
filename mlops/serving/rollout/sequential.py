"""Intervals that hold at every look at once, so that a rollout may be looked at every two seconds.

A 95 % interval of the usual kind is wrong in one look of twenty; looked at a hundred times it is wrong far
more often. The ones here (confidence sequences) contain the truth at all looks together with probability
1 - alpha, however often and whenever one looks or stops.

All of them take the observations of an arm as independent draws of one distribution, for as long as the step
lasts. Callers with a key come back to the same arm; where few callers make most of the traffic, there are
fewer independent samples than requests and the intervals are too narrow.
"""

from __future__ import annotations

import math
from functools import lru_cache

_STEPS = 60
#: Prior of the mixture, Jeffreys': tight where rates are near 0 or 1, as error rates are.
_PRIOR = 0.5
_LOG_PRIOR = 2 * math.lgamma(_PRIOR) - math.lgamma(2 * _PRIOR)


def evidence_against(successes: float, trials: float, rate: float) -> float:
    """Log of the betting wealth against "the rate is ``rate``" after ``successes`` of ``trials``.

    A mixture of likelihood ratios over a Beta(1/2, 1/2) prior: a martingale of mean 1 if the rate is true, so
    it ever reaches 1 / alpha with probability alpha at most (Ville).

    Source: Robbins, "Statistical methods related to the law of the iterated logarithm" (Annals of
    Mathematical Statistics 41, 1970); Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric,
    nonasymptotic confidence sequences" (Annals of Statistics 49, 2021), on mixtures for Bernoulli data.
    """
    failures = trials - successes
    mixture = math.lgamma(_PRIOR + successes) + math.lgamma(_PRIOR + failures)
    mixture -= math.lgamma(2 * _PRIOR + trials) + _LOG_PRIOR
    if (successes > 0 and rate <= 0) or (failures > 0 and rate >= 1):
        return math.inf
    if successes > 0:
        mixture -= successes * math.log(rate)
    if failures > 0:
        mixture -= failures * math.log1p(-rate)
    return mixture


def bernoulli(successes: float, trials: float, alpha: float) -> tuple[float, float]:
    """Confidence sequence of a rate: the rates that :func:`evidence_against` does not rule out.

    Args:
        successes: 0 to ``trials``.
        trials: Observations so far.
        alpha: Chance that the interval ever misses the rate.

    Returns:
        Lowest and highest rate, within [0, 1].
    """
    if trials <= 0:
        return 0.0, 1.0
    limit = math.log(1 / alpha)
    centre = successes / trials
    low = _edge(successes, trials, limit, centre, 0.0) if successes > 0 else 0.0
    high = _edge(successes, trials, limit, centre, 1.0) if successes < trials else 1.0
    return low, high


def _edge(successes: float, trials: float, limit: float, inside: float, outside: float) -> float:
    # The wealth grows from the observed rate to either side, so halving finds where it reaches the limit.
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if evidence_against(successes, trials, middle) < limit:
            inside = middle
        else:
            outside = middle
        if abs(outside - inside) < 1e-9:
            break
    return outside


def difference(
    candidate: tuple[float, float], champion: tuple[float, float], alpha: float
) -> tuple[float, float]:
    """Confidence sequence of the candidate's rate less the champion's.

    Each arm's own sequence at alpha / 2, added by the union bound: valid whatever the shares of the traffic
    are. (The product of both arms' wealths is a martingale too; measured, its interval is narrower with equal
    arms by a tenth and wider by half with 5 % of the traffic on the candidate, because it pays for the
    mixture of an arm that is known well.)

    Args:
        candidate: Successes and trials.
        champion: Successes and trials.
        alpha: Chance that the interval ever misses the difference.
    """
    low, high = bernoulli(*candidate, alpha / 2)
    base_low, base_high = bernoulli(*champion, alpha / 2)
    return low - base_high, high - base_low


def quantile_ranks(trials: float, share: float, alpha: float) -> tuple[float, float]:
    """Between which ranks the true ``share`` quantile lies: how many of ``trials`` do not exceed it.

    The number of observations up to the true quantile is Bernoulli with rate ``share``; the ranks are the
    counts that :func:`evidence_against` that rate does not rule out.

    Source: Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification" (Bernoulli 28, 2022), section 3.

    Returns:
        Lowest and highest rank, 0 to ``trials``; at the ends the quantile is not bounded on that side.
    """
    if trials <= 0:
        return 0.0, 0.0
    limit = math.log(1 / alpha)
    centre = share * trials
    return _rank(trials, share, limit, centre, 0.0), _rank(trials, share, limit, centre, trials)


def _rank(trials: float, share: float, limit: float, inside: float, outside: float) -> float:
    if evidence_against(outside, trials, share) < limit:
        return outside
    while abs(outside - inside) > 0.25:
        middle = (inside + outside) / 2
        if evidence_against(middle, trials, share) < limit:
            inside = middle
        else:
            outside = middle
    return outside


@lru_cache(maxsize=256)
def _dkw_constant(alpha: float, leading: float = 0.85) -> float:
    low, high = 1.0, 200.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _dkw_error(leading, middle) <= alpha else (middle, high)
    return high


def _dkw_error(leading: float, constant: float) -> float:
    """Crossing probability of the band with these constants, least over the peeling ratio."""
    best = 1.0
    for part in range(1, 100):
        ratio = 1 + (2 * leading**2 - 1) * part / 400
        root = math.sqrt(2 / ratio) * (leading - math.sqrt(2 * (ratio - 1) / constant))
        if root <= 1:
            continue
        square = root * root
        error = 4 * math.exp(-square * constant) * (1 + 1 / ((square - 1) * math.log(ratio)))
        best = min(best, error)
    return best


def dkw(trials: float, alpha: float, first: int = 1) -> float:
    """Radius of a band around an empirical distribution function that ever misses the true one, anywhere,
    with probability alpha: the Dvoretzky-Kiefer-Wolfowitz inequality, valid at all looks together.

    The band is ``0.85 sqrt((log log(e t / m) + C) / t)`` from ``m = first`` observations on.

    Source: Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification" (Bernoulli 28, 2022), theorem 2; C by numerical search over its bound.

    Args:
        trials: Observations so far; fewer than ``first`` give a radius of 1.
        alpha: Chance that the band ever misses.
        first: Observations before the first look that counts.
    """
    if trials < first or trials <= 0:
        return 1.0
    constant = _dkw_constant(float(f"{alpha:.6g}"))
    return min(1.0, 0.85 * math.sqrt((math.log(1 + math.log(trials / first)) + constant) / trials))


def mean_radius(trials: float, variance: float, alpha: float, planned: float = 2_000.0) -> float:
    """Radius of the asymptotic confidence sequence of a mean: a Gaussian mixture boundary.

    For the difference of two arms dealt at random, ``trials`` are those of both and ``variance`` is
    ``trials * (v1 / n1 + v0 / n0)``: that of the inverse-weighted difference of the next caller. Asymptotic:
    it holds once the central limit theorem does, so start after 100 samples an arm or more.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences" (Annals of Statistics 52, 2024; arXiv 2103.06476), the sequences for means and for
    treatment effects in randomized experiments.

    Args:
        trials: Observations so far.
        variance: Estimated variance of one observation.
        alpha: Chance that the interval ever misses.
        planned: Where the interval is tightest; it is valid everywhere.
    """
    if trials <= 0:
        return math.inf
    log = -2 * math.log(alpha)
    rho = (log + math.log(log) + 1) / planned if log > 1 else 1 / planned
    scaled = trials * rho + 1
    return math.sqrt(2 * variance * scaled / (trials * trials * rho) * math.log(math.sqrt(scaled) / alpha))


def contrast(
    candidate: tuple[float, float, float],
    champion: tuple[float, float, float],
    factor: float,
    alpha: float,
) -> tuple[float, float]:
    """Confidence sequence of ``mean(candidate) - factor * mean(champion)``.

    Args:
        candidate: Samples, mean, variance.
        champion: Samples, mean, variance.
        factor: 1 for the plain difference; 1.05 to ask for "no more than 5 % above".
        alpha: Chance that the interval ever misses.
    """
    n, mean, variance = candidate
    base_n, base_mean, base_variance = champion
    if n <= 0 or base_n <= 0:
        return -math.inf, math.inf
    # An arm with few samples of a rare outcome may have seen none and look certain: the other knows better.
    variance = base_variance = max(variance, base_variance)
    total = n + base_n
    radius = mean_radius(total, total * (variance / n + factor**2 * base_variance / base_n), alpha)
    middle = mean - factor * base_mean
    return middle - radius, middle + radius
