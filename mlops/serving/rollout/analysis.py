"""What the gates of a step say: the candidate against the champion in the same period, in three verdicts.

A gate fails when the candidate is surely worse than tolerated, passes when it is surely not, and is
inconclusive otherwise. "Surely" is a confidence sequence (:mod:`.sequential`): over all gates, steps and
looks of a rollout, a candidate that is as good as tolerated is rolled back with probability ``alpha`` at
most, and a worse one passes a gate with less. Too little traffic is inconclusive, never a pass, never a fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlops.serving.evidence import Evidence
from mlops.serving.rollout import sequential
from mlops.serving.rollout.gates import Gate
from mlops.serving.rollout.state import Judgement, Verdict
from mlops.serving.rollout.strategy import Strategy

#: Memory that differs by less is noise of the allocator, bytes.
MEMORY_NOISE = 128 * 2**20
_MOST_DOUBLINGS = 18


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of an arm's rows, one number each: a loss, a conversion, an amount.

    Attributes:
        n: How many.
        mean: Their mean.
        variance: Their variance (by n).
    """

    n: int
    mean: float
    variance: float

    def merged(self, other: Outcomes) -> Outcomes:
        """Both together."""
        n = self.n + other.n
        if not n:
            return self
        mean = (self.n * self.mean + other.n * other.mean) / n
        spread = self.n * (self.variance + (self.mean - mean) ** 2)
        spread += other.n * (other.variance + (other.mean - mean) ** 2)
        return Outcomes(n, mean, spread / n)


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything known about an arm since the step began.

    Attributes:
        evidence: What the gateway counted where it chose the arm.
        performance: A loss a row, from labels or estimated; less is better.
        metrics: Business metrics by name.
        memory: Bytes that a process of its own held at most; None: not measured.
        readings: How often memory was read.
    """

    evidence: Evidence
    performance: Outcomes | None = None
    metrics: Mapping[str, Outcomes] = field(default_factory=dict)
    memory: float | None = None
    readings: int = 0


@dataclass(frozen=True, slots=True)
class _Reading:
    """One gate's figures: how much worse the candidate is, each arm's own figure, and samples of both."""

    value: float
    low: float
    high: float
    champion: float
    candidate: float


_NOTHING = _Reading(math.nan, math.nan, math.nan, math.nan, math.nan)
_Measure = Callable[[float], _Reading]
"""The figures if there were so many times the samples, all else equal."""


def judge(
    strategy: Strategy, champion: Observed, candidate: Observed, *, plan: bool = True
) -> tuple[Verdict, ...]:
    """A verdict for each gate, in their order.

    Args:
        champion: Since the present step began.
        candidate: The same period.
        plan: Also say about how many samples are missing (costs about a millisecond a gate).
    """
    alpha = strategy.alpha / (len(strategy.gates) * strategy.judged)
    return tuple(_judge(gate, champion, candidate, alpha, plan) for gate in strategy.gates)


def _judge(gate: Gate, champion: Observed, candidate: Observed, alpha: float, plan: bool) -> Verdict:
    samples, base = _samples(gate, candidate), _samples(gate, champion)
    unit = _UNITS[gate.kind]
    if samples is None or base is None:
        who = "candidate" if samples is None else "champion"
        return Verdict(
            gate=gate.name,
            verdict="inconclusive",
            tolerance=gate.tolerance,
            samples=samples or 0,
            sentence=f"{gate.name}: nothing measured of the {who} yet{_WHY_NOT.get(gate.kind, '')}",
        )
    measure = _MEASURES[gate.kind](gate, champion, candidate, alpha)
    enough = min(samples, base) >= gate.samples
    reading = measure(1.0) if samples and base else None
    verdict: Judgement = _decided(gate, reading) if enough and reading else "inconclusive"
    figures = reading or _NOTHING
    needed = None
    if verdict == "inconclusive":
        missing = max(gate.samples - samples, 0)
        planned = _needed(gate, measure, samples) if plan and reading and samples >= 10 else None
        needed = max(missing, planned) if planned is not None else missing or None
    return Verdict(
        gate=gate.name,
        verdict=verdict,
        value=_finite(figures.value),
        low=_finite(figures.low),
        high=_finite(figures.high),
        tolerance=gate.tolerance,
        champion=_finite(figures.champion),
        candidate=_finite(figures.candidate),
        samples=samples,
        needed=needed,
        sentence=_sentence(gate, reading, verdict, samples, base, needed, unit),
    )


def _decided(gate: Gate, reading: _Reading) -> Judgement:
    if gate.kind == "better":
        # How much better: passes when surely more than asked for, fails when surely less.
        if reading.low > gate.tolerance:
            return "pass"
        return "fail" if reading.high < gate.tolerance else "inconclusive"
    if reading.low > gate.tolerance:
        return "fail"
    return "pass" if reading.high <= gate.tolerance else "inconclusive"


def _needed(gate: Gate, measure: _Measure, samples: int) -> int | None:
    """About how many more samples of the candidate decide the gate, the figures staying as they are."""
    low, high = 1.0, 2.0
    for _ in range(_MOST_DOUBLINGS):
        if _decided(gate, measure(high)) != "inconclusive":
            break
        low, high = high, high * 2
    else:
        return None
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        decided = _decided(gate, measure(middle)) != "inconclusive"
        low, high = (low, middle) if decided else (middle, high)
    return math.ceil((high - 1) * samples)


def _answered(evidence: Evidence) -> int:
    return evidence.requests - sum(evidence.errors.values())


def _predictions(evidence: Evidence) -> int:
    # Rows of one request are one caller's and alike; they are not worth more than the request.
    return max(0, min(evidence.rows, _answered(evidence)))


def _outcomes(gate: Gate, arm: Observed) -> Outcomes | None:
    return arm.performance if gate.kind == "performance" else arm.metrics.get(gate.metric.lstrip("-"))


def _samples(gate: Gate, arm: Observed) -> int | None:
    """Samples of an arm; None: this is not measured."""
    match gate.kind:
        case "errors" | "contract":
            return arm.evidence.requests
        case "latency":
            return arm.evidence.latency.total()
        case "drift":
            return _predictions(arm.evidence)
        case "memory":
            return None if arm.memory is None else arm.readings
    outcomes = _outcomes(gate, arm)
    return None if outcomes is None else outcomes.n


def _failures(gate: Gate, evidence: Evidence) -> int:
    contract = evidence.errors.get("contract", 0)
    return contract if gate.kind == "contract" else sum(evidence.errors.values()) - contract


def _rates(gate: Gate, champion: Observed, candidate: Observed, alpha: float) -> _Measure:
    n, base_n = candidate.evidence.requests, champion.evidence.requests
    bad, base_bad = _failures(gate, candidate.evidence), _failures(gate, champion.evidence)

    def measure(scale: float) -> _Reading:
        low, high = sequential.difference((bad * scale, n * scale), (base_bad * scale, base_n * scale), alpha)
        return _Reading(bad / n - base_bad / base_n, low, high, base_bad / base_n, bad / n)

    return measure


def _latency(gate: Gate, champion: Observed, candidate: Observed, alpha: float) -> _Measure:
    """The ratio of the arms' percentiles. A latency counts as the upper edge of its bin, for both arms alike,
    so that the width of a bin (9 %) blurs the tolerance but never sets the arms apart."""
    share = gate.percentile / 100
    new, old = candidate.evidence.latency, champion.evidence.latency
    n, base_n = new.total(), old.total()
    middle, base = new.quantile(share) or 0.0, old.quantile(share) or 0.0

    def measure(scale: float) -> _Reading:
        first, last = sequential.quantile_ranks(n * scale, share, alpha / 2)
        base_first, base_last = sequential.quantile_ranks(base_n * scale, share, alpha / 2)
        low = (new.quantile(first / (n * scale)) or 0.0) if first > 0 else 0.0
        high = (new.quantile(last / (n * scale)) or 0.0) if last < n * scale else math.inf
        base_low = (old.quantile(base_first / (base_n * scale)) or 0.0) if base_first > 0 else 0.0
        base_high = (
            (old.quantile(base_last / (base_n * scale)) or 0.0) if base_last < base_n * scale else math.inf
        )
        return _Reading(
            _ratio(middle, base) - 1, _ratio(low, base_high) - 1, _ratio(high, base_low) - 1, base, middle
        )

    return measure


def _ratio(one: float, other: float) -> float:
    if math.isinf(other):
        return 0.0
    if other <= 0:
        return math.inf if one > 0 else 1.0
    return one / other


def _drift(gate: Gate, champion: Observed, candidate: Observed, alpha: float) -> _Measure:
    """The largest difference of the arms' distribution functions, over one order of everything a model says:
    numbers, then words, then no prediction at all (so that a model that begins to answer NaN drifts)."""
    new, old = candidate.evidence, champion.evidence
    n, base_n = _predictions(new), _predictions(old)
    distance = _distance(new, old)

    def measure(scale: float) -> _Reading:
        radius = sequential.dkw(n * scale, alpha / 2, gate.samples)
        radius += sequential.dkw(base_n * scale, alpha / 2, gate.samples)
        return _Reading(distance, max(0.0, distance - radius), min(1.0, distance + radius), 0.0, distance)

    return measure


def _distance(new: Evidence, old: Evidence) -> float:
    rows, base_rows = max(new.rows, 1), max(old.rows, 1)
    share = base_share = largest = 0.0
    pairs = [
        (new.scores.counts.get(place, 0), old.scores.counts.get(place, 0))
        for place in sorted(new.scores.counts.keys() | old.scores.counts.keys())
    ]
    pairs += [
        (new.words.get(word, 0), old.words.get(word, 0))
        for word in sorted(new.words.keys() | old.words.keys())
    ]
    for count, base_count in pairs:
        share += count / rows
        base_share += base_count / base_rows
        largest = max(largest, abs(share - base_share))
    return min(1.0, largest)


def _means(gate: Gate, champion: Observed, candidate: Observed, alpha: float) -> _Measure:
    """How much worse the candidate's mean is (for ``better``: how much better), a share of the champion's.

    The question is asked of ``mean - (1 ± tolerance) * champion's mean``, which is linear, so that no ratio
    of two uncertain numbers needs an interval.
    """
    new, old = _outcomes(gate, candidate), _outcomes(gate, champion)
    assert new is not None
    assert old is not None
    less_is_better = gate.kind == "performance" or gate.metric.startswith("-")
    sign = 1.0 if less_is_better != (gate.kind == "better") else -1.0
    base = abs(old.mean)
    # Where the champion's mean is no scale at all, any difference is endless.
    factor = 1 + sign * gate.tolerance * (1 if old.mean >= 0 else -1)

    def relative(number: float) -> float:
        if base > 0:
            return sign * number / base + gate.tolerance
        return gate.tolerance + (math.copysign(math.inf, sign * number) if number else 0.0)

    def measure(scale: float) -> _Reading:
        low, high = sequential.contrast(
            (new.n * scale, new.mean, new.variance), (old.n * scale, old.mean, old.variance), factor, alpha
        )
        bounds = sorted((relative(low), relative(high)))
        value = relative(new.mean - factor * old.mean)
        if low == high:
            # Nothing varies yet: a mean without a spread says nothing about the next one.
            bounds = [-math.inf, math.inf]
        return _Reading(value, bounds[0], bounds[1], old.mean, new.mean)

    return measure


def _memory(gate: Gate, champion: Observed, candidate: Observed, alpha: float) -> _Measure:
    base, now = champion.memory or 0.0, candidate.memory or 0.0
    value = (now - MEMORY_NOISE) / base - 1 if base > 0 else 0.0
    return lambda scale: _Reading(value, value, value, base, now)


_MEASURES: dict[str, Callable[[Gate, Observed, Observed, float], _Measure]] = {
    "errors": _rates,
    "contract": _rates,
    "latency": _latency,
    "drift": _drift,
    "performance": _means,
    "business": _means,
    "better": _means,
    "memory": _memory,
}
_UNITS = {
    "errors": "requests",
    "contract": "requests",
    "latency": "requests",
    "drift": "predictions",
    "performance": "labelled rows",
    "business": "outcomes",
    "better": "outcomes",
    "memory": "readings",
}


_WHY_NOT = {"memory": "; a version that shares the gateway's process cannot be told apart from it"}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sentence(
    gate: Gate,
    reading: _Reading | None,
    verdict: Judgement,
    samples: int,
    base: int,
    needed: int | None,
    unit: str,
) -> str:
    if reading is None:
        return f"{gate.name}: {samples:,} {unit} of the candidate, {base:,} of the champion"
    figures = f"{_figure(gate, reading.candidate)} of {samples:,} {unit}"
    if gate.kind == "drift":
        text = f"{gate.name}: predictions {reading.value:.2f} apart over {samples:,}"
    else:
        text = f"{gate.name}: {figures} against {_figure(gate, reading.champion)} of {base:,}"
    how = "better" if gate.kind == "better" else "worse"
    asked = "asked for" if gate.kind == "better" else "tolerated"
    if math.isfinite(reading.low) and math.isfinite(reading.high) and gate.kind not in ("drift", "memory"):
        text += f", {how} by {_percent(reading.low)} to {_percent(reading.high)}"
    text += (
        f", {asked} {gate.tolerance:g}" if gate.kind == "drift" else f", {asked} {_percent(gate.tolerance)}"
    )
    if verdict == "inconclusive" and needed:
        text += f"; needs about {needed:,} more"
    return text


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _figure(gate: Gate, value: float) -> str:
    match gate.kind:
        case "errors" | "contract":
            return _percent(value)
        case "latency":
            return f"{value * 1000:.3g} ms"
        case "memory":
            return f"{value / 2**20:.0f} MB"
    return f"{value:.4g}"
