"""The watch of one model's concept: its errors in the order of its labelled windows."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Literal

import numpy as np

from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.concept.rise import Floats, RateRise, Rise

#: Losses of numbers count as errors beyond the 80th percentile of the first so many.
_FIRST = 200
_SHARE = 0.8


class ConceptWatch:
    """Finds that a model errs more than before although nothing else need have changed. What was found stays
    found until the errors have gone halfway back, or another version answers.

    Args:
        version: Whose errors these are.
        run_length: Labelled rows without a change in which one false alarm is accepted.
    """

    def __init__(self, version: str, run_length: float = 200_000) -> None:
        self.version, self.run_length = version, run_length
        self._detector = RateRise(run_length)
        self._limit: float | None = None
        self._first: list[float] = []
        self.changed: Rise | None = None

    def update(
        self, scores: Floats, labels: Floats, task: Literal["classification", "regression"]
    ) -> Finding | None:
        """Take the labelled rows of a window, ``n`` each; None: too few rows so far to tell errors apart."""
        known = np.isfinite(scores) & np.isfinite(labels)
        scores, labels = scores[known], labels[known]
        errors = (
            self._classified(scores, labels) if task == "classification" else self._beyond(scores, labels)
        )
        if not len(errors):
            return None
        rate = float(errors.mean())
        if self.changed is not None and rate < (self.changed.before + self.changed.after) / 2:
            self.changed, self._detector = None, RateRise(self.run_length)
        if self.changed is None:
            self.changed = self._detector.update(errors)
        return self._finding(rate, task)

    @staticmethod
    def _classified(scores: Floats, labels: Floats) -> Floats:
        # Scores that are no probabilities are margins, whose sign decides.
        cut = 0.5 if not len(scores) or (scores.min() >= 0 and scores.max() <= 1) else 0.0
        return np.asarray((scores >= cut) != (labels == 1), float)

    def _beyond(self, scores: Floats, labels: Floats) -> Floats:
        losses = np.abs(scores - labels)
        if self._limit is None:
            self._first += losses.tolist()
            if len(self._first) < _FIRST:
                return np.zeros(0)
            losses = np.asarray(self._first)
            self._limit, self._first = float(np.quantile(losses[:_FIRST], _SHARE)), []
        return np.asarray(losses > self._limit, float)

    def _finding(self, rate: float, task: str) -> Finding:
        what = "errs" if task == "classification" else "is far off"
        if self.changed is None:
            said = f"the model {what} in {rate:.1%} of the labelled rows, as before"
            return Finding("", "concept", "error_rate", rate, 0.0, 0.0, 1.0, 1.0, False, "none", said)
        rise = self.changed
        said = (
            f"the model {what} in {rate:.1%} of the labelled rows, before in {rise.before:.1%}: the concept "
            f"changed about {rise.length:,} labelled rows before it was seen"
        )
        chance = math.exp(-rise.ratio)
        effect = rate - rise.before
        return Finding("", "concept", "error_rate", rate, effect, 0.0, chance, chance, True, "ticket", said)

    def to_text(self) -> str:
        """Everything it knows, to go on from."""
        return json.dumps(
            {
                "version": self.version,
                "run_length": self.run_length,
                "detector": self._detector.to_text(),
                "limit": self._limit,
                "first": self._first,
                "changed": asdict(self.changed) if self.changed else None,
            }
        )

    @classmethod
    def from_text(cls, text: str) -> ConceptWatch:
        """What :meth:`to_text` made."""
        data = json.loads(text)
        made = cls(str(data["version"]), float(data["run_length"]))
        made._detector = RateRise.from_text(data["detector"])
        made._limit, made._first = data["limit"], list(data["first"])
        made.changed = Rise(**data["changed"]) if data["changed"] else None
        return made
