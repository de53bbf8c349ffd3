"""Realised performance: predictions joined with labels that come later, by id, judged once they are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.judge import Estimate, Floats, compare, corrected
from mlops.monitoring.performance.metrics import lower_is_worse, metric

#: Below this share of labelled rows the labelled ones may be of another kind than the rest.
LEAST_COVERAGE = 0.8
_NAMED = 5


@dataclass(frozen=True)
class Joined:
    """Labels laid beside ``n`` predictions.

    Attributes:
        labels: ``n``, NaN where none has come, or the row is not mature.
        mature: ``n``, rows whose labels were due when it was looked.
        kept: ``n``, False for a prediction whose id came again later.
        unknown: Labels for ids that nobody predicted.
        unknown_ids: The first few of them.
        repeated_labels, repeated_predictions: Taken for older versions of a row; the newest counts.
    """

    labels: Floats
    mature: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    unknown: int
    unknown_ids: tuple[str, ...]
    repeated_labels: int
    repeated_predictions: int

    @property
    def rows(self) -> int:
        """Predictions whose labels are due."""
        return int((self.mature & self.kept).sum())

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Rows that can be scored."""
        return self.mature & self.kept & ~np.isnan(self.labels)

    @property
    def coverage(self) -> float:
        """Share of the due rows that have a label; 0 when none is due."""
        return float(self.labelled.sum() / self.rows) if self.rows else 0.0

    def sentence(self) -> str:
        """What was joined, and what did not fit."""
        waiting = int((self.kept & ~self.mature).sum())
        said = f"{int(self.labelled.sum())} of {self.rows} due rows have labels"
        if waiting:
            said += f", {waiting} are not due yet"
        if self.unknown:
            more = " …" if self.unknown > len(self.unknown_ids) else ""
            said += f", {self.unknown} labels are for unknown ids ({', '.join(self.unknown_ids)}{more})"
        if self.repeated_labels or self.repeated_predictions:
            said += f", {self.repeated_labels + self.repeated_predictions} repeated ids (the newest counts)"
        return said


def join(
    ids: Sequence[object],
    times: npt.ArrayLike,
    label_ids: Sequence[object],
    labels: npt.ArrayLike,
    label_times: npt.ArrayLike,
    *,
    now: float,
    delay: float,
) -> Joined:
    """Lay labels beside predictions.

    A label that came before its row was due waits with the others: labels that come fast are often of one
    kind (a fraud is reported at once, its absence never), and a window half labelled would be judged by them.

    Args:
        ids: ``n`` ids of predictions.
        times: ``n``, seconds; when each was made.
        label_ids: ``m`` ids.
        labels: ``m`` true values.
        label_times: ``m``, seconds; of two labels for one id the newest counts. A label from after ``now``
            has not come yet.
        now: Seconds; when it is looked.
        delay: Seconds after which the label of a prediction is due.
    """
    made, came = np.asarray(times, float), np.asarray(label_times, float)
    values = np.asarray(labels, float)
    names = np.asarray([str(each) for each in ids], dtype=object)
    given = np.asarray([str(each) for each in label_ids], dtype=object)
    newest = _newest(names, made)
    kept = np.zeros(len(names), bool)
    kept[list(newest.values())] = True
    here = np.flatnonzero(came <= now)
    last = _newest(given[here], came[here])
    found = np.full(len(names), np.nan)
    unknown = []
    for name, place in last.items():
        row = newest.get(name)
        if row is None:
            unknown.append(name)
        else:
            found[row] = values[here[place]]
    mature = made + delay <= now
    found[~mature] = np.nan
    return Joined(
        found,
        mature,
        kept,
        len(unknown),
        tuple(unknown[:_NAMED]),
        len(here) - len(last),
        len(names) - len(newest),
    )


def _newest(names: npt.NDArray[np.object_], times: Floats) -> dict[str, int]:
    # Later entries of a dictionary replace earlier ones.
    return {names[place]: int(place) for place in np.argsort(times, kind="stable")}


@dataclass(frozen=True)
class Realised:
    """What labels say of a window.

    Attributes:
        estimates: By metric, over all rows.
        findings: One for each metric and segment, corrected together.
        judged: False: the labels of the window are not due yet, and nothing is judged.
        sentence: What was joined.
    """

    estimates: Mapping[str, Estimate]
    findings: tuple[Finding, ...]
    judged: bool
    sentence: str


def realised(
    joined: Joined,
    scores: npt.ArrayLike,
    reference: Mapping[str, Estimate],
    floors: Mapping[str, float],
    *,
    segments: npt.NDArray[np.object_] | None = None,
    segment_references: Mapping[str, Mapping[str, Estimate]] | None = None,
    weights: npt.ArrayLike | None = None,
    threshold: float = 0.5,
) -> Realised:
    """Realised performance of a window beside the reference.

    Args:
        joined: The predictions of the window with their labels.
        scores: ``n`` predictions, or ``n x k`` probabilities.
        reference: By metric; which metrics are measured.
        floors: By metric: the least loss that matters, in its unit.
        segments: ``n`` names (``region=EU``); each is judged as well, beside its own reference.
        segment_references: By segment, by metric; a segment without one is judged beside all rows of the
            reference.
        weights: ``n``.
        threshold: From which a binary score is called positive.
    """
    given = np.asarray(scores, float)
    mass = np.ones(len(joined.labels)) if weights is None else np.asarray(weights, float)
    early = bool((joined.kept & ~joined.mature).any())
    said = joined.sentence()
    labelled = joined.labelled
    suffix = ""
    if joined.coverage < LEAST_COVERAGE:
        suffix = f"; only {joined.coverage:.0%} of the due rows have labels, they may not stand for the rest"

    def measured(rows: npt.NDArray[np.bool_]) -> dict[str, Estimate]:
        return {
            name: metric(name, joined.labels[rows], given[rows], mass[rows], threshold=threshold)
            for name in reference
        }

    estimates = measured(labelled)
    if early or not joined.rows:
        return Realised(estimates, (), False, said)
    findings = []
    for segment, rows in {"": labelled, **_by_segment(segments, labelled)}.items():
        theirs = (segment_references or {}).get(segment, reference)
        for name, current in (measured(rows) if segment else estimates).items():
            findings.append(
                compare(
                    current,
                    theirs.get(name, reference[name]),
                    floors[name],
                    lower_is_worse=lower_is_worse(name),
                    segment=segment,
                    suffix=suffix,
                )
            )
    return Realised(estimates, tuple(corrected(findings)), True, said)


def _by_segment(
    segments: npt.NDArray[np.object_] | None, rows: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.bool_]]:
    if segments is None:
        return {}
    names = segments.astype(str)
    return {str(name): rows & (names == name) for name in np.unique(names)}
