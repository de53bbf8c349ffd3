"""What one arm of a deployment did, as counts that add up over replicas and time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Bins per octave: values in one bin differ by 9 % at most.
_PARTS = 8
_LOW, _HIGH = -40, 40  # octaves: 1e-12 to 1e12, everything else in the outermost bins
_MIDDLE = (_HIGH - _LOW) * _PARTS + 1
_DOUBLE = 2 * _PARTS
_FIRST = 1 - _PARTS - (_LOW + 1) * _PARTS
SIZE = 2 * _MIDDLE + 1
_MOST_WORDS = 100


def bin_of(value: float) -> int:
    """The bin of a number: bins grow geometrically from zero in both directions, in order of value."""
    if value == 0.0 or value != value:
        return _MIDDLE
    fraction, exponent = math.frexp(abs(value))
    if exponent <= _LOW:
        return _MIDDLE
    if fraction > 1.0:
        return 2 * _MIDDLE if value > 0 else 0
    # As the sum of the octave's first bin and the part of it: fractions are from 0.5 to 1.
    place = exponent * _PARTS + int(fraction * _DOUBLE) + _FIRST
    if place > _MIDDLE:
        place = _MIDDLE
    return _MIDDLE + place if value > 0 else _MIDDLE - place


def edge(number: int) -> float:
    """The lower edge of a bin above zero, the upper edge of one below."""
    place = abs(number - _MIDDLE)
    if place == 0:
        return 0.0
    octave, part = divmod(place - 1, _PARTS)
    size = math.ldexp(0.5 + part / (2 * _PARTS), octave + _LOW + 1)
    return size if number > _MIDDLE else -size


class Histogram:
    """Counts per bin (:func:`bin_of`), sparse; two of them add up."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    def add(self, value: float) -> None:
        """Count one value."""
        place = bin_of(value)
        counts = self.counts
        counts[place] = counts.get(place, 0) + 1

    def total(self) -> int:
        """How many values."""
        return sum(self.counts.values())

    def merged(self, other: Histogram, sign: int = 1) -> Histogram:
        """Both together; ``sign`` -1: what was counted since ``other``, an earlier state of this one."""
        counts = dict(self.counts)
        for place, count in other.counts.items():
            counts[place] = counts.get(place, 0) + sign * count
        return Histogram({place: count for place, count in counts.items() if count > 0})

    def quantile(self, share: float) -> float | None:
        """The value that ``share`` of the counted ones do not exceed (upper edge of its bin); None: empty."""
        total = self.total()
        if not total:
            return None
        wanted, seen = share * total, 0
        for place in sorted(self.counts):
            seen += self.counts[place]
            if seen >= wanted:
                return edge(place + 1) if place >= _MIDDLE else edge(place)
        return None

    def above(self, value: float) -> int:
        """How many were surely larger than ``value``: those in higher bins."""
        limit = bin_of(value)
        return sum(count for place, count in self.counts.items() if place > limit)


@dataclass
class Evidence:
    """One arm's requests since some moment.

    Attributes:
        requests: Answered or failed, refusals of the caller's own fault (size, token) not counted.
        rows: Rows answered.
        errors: Requests by class: ``contract`` (the signature refuses the rows), ``model``, ``busy``,
            ``deadline``, ``gateway``.
        latency: Seconds of a request inside the gateway.
        scores: Predictions that are numbers.
        words: Predictions that are texts or classes, the first 100 different ones.
    """

    requests: int = 0
    rows: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    scores: Histogram = field(default_factory=Histogram)
    words: dict[str, int] = field(default_factory=dict)

    def answered(self, rows: int, seconds: float, scores: Sequence[float | None]) -> None:
        """Count an answer."""
        self.requests += 1
        self.rows += rows
        self.latency.add(seconds)
        for score in scores:
            if score is not None:
                self.scores.add(score)

    def failed(self, reason: str) -> None:
        """Count a failure by its class."""
        self.requests += 1
        self.errors[reason] = self.errors.get(reason, 0) + 1

    def said(self, words: Iterable[str]) -> None:
        """Count predictions that are no numbers."""
        for word in words:
            if word in self.words or len(self.words) < _MOST_WORDS:
                self.words[word] = self.words.get(word, 0) + 1

    def merged(self, other: Evidence, sign: int = 1) -> Evidence:
        """Both together; ``sign`` -1: what happened since ``other``, an earlier state of this one."""
        return Evidence(
            self.requests + sign * other.requests,
            self.rows + sign * other.rows,
            _merged(self.errors, other.errors, sign),
            self.latency.merged(other.latency, sign),
            self.scores.merged(other.scores, sign),
            _merged(self.words, other.words, sign),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, for another process."""
        return {
            "requests": self.requests,
            "rows": self.rows,
            "errors": self.errors,
            "latency": sorted(self.latency.counts.items()),
            "scores": sorted(self.scores.counts.items()),
            "words": self.words,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """What :meth:`to_json` made."""
        return cls(
            int(data["requests"]),
            int(data["rows"]),
            dict(data["errors"]),
            Histogram({int(place): int(count) for place, count in data["latency"]}),
            Histogram({int(place): int(count) for place, count in data["scores"]}),
            dict(data["words"]),
        )


def _merged(one: Mapping[str, int], other: Mapping[str, int], sign: int) -> dict[str, int]:
    counts = dict(one)
    for name, count in other.items():
        counts[name] = counts.get(name, 0) + sign * count
    return {name: count for name, count in counts.items() if count > 0}
