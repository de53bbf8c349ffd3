"""What one window shows: at once in its rows, later in its labels. Computes; keeps and tells nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from mlops.monitoring.answers import Point
from mlops.monitoring.finding import Finding
from mlops.monitoring.performance import columns, fairness
from mlops.monitoring.performance.attribution import explained, grouped, losses
from mlops.monitoring.performance.concept.watch import ConceptWatch
from mlops.monitoring.performance.knowable import knowledge
from mlops.monitoring.profile import Profile
from mlops.monitoring.quality import check
from mlops.monitoring.service import segments, series
from mlops.monitoring.service.labels import in_order, judged
from mlops.monitoring.service.reference import PREDICTION, Reference
from mlops.monitoring.service.rows import columns as read_columns
from mlops.monitoring.tests import Rules, compare

Span = tuple[datetime | None, datetime | None]
#: The window that ends with a block of a segment (``""``: of all rows).
Window = Callable[[str, Profile], Profile]


@dataclass(frozen=True, eq=False)
class Seen:
    """What was found.

    Attributes:
        profiles: Of the block's rows, by segment; ``""`` of all.
        invalid: Rows that broke the contract, by reason.
        words: What can be known of the performance.
    """

    findings: list[Finding]
    points: list[Point]
    profiles: Mapping[str, Profile]
    invalid: Mapping[str, int]
    words: str


def of_rows(reference: Reference, rows: Any, version: str, span: Span, window: Window, alpha: float) -> Seen:
    """What a block of rows shows, and the window that it ends.

    Args:
        rows: Arrow table in the schema of ``predictions``.
        alpha: Share of windows without any change in which a drift finding may appear.
    """
    read = read_columns(rows, reference.profile)
    block = Profile.of(read.table, like=reference.profile)
    season = reference.seasons.reference(rows) if reference.seasons else None
    # A window of several blocks is of several seasons.
    whole = window("", block)
    findings = _with_reasons(drift(reference, block if season else whole, alpha, season))
    apart = segments.of_window(read.table, reference.segments)
    parts = segments.profiles(apart, reference.segments)
    windows = {name: window(name, part) for name, part in parts.items()}
    if reference.seasons is None:
        # A segment's reference is of all seasons together: by night each would differ from it.
        findings += segments.compared(reference.segments, windows, _rules(alpha))
    if reference.rates:
        groups = segments.places(read.table, [name for name in reference.rates if name])
        now = fairness.by_group(read.table[PREDICTION].to_numpy(), None, groups)
        findings += fairness.compared(reference.rates, now, labelled=False)
    broken = check(reference.profile, block, read, rows)
    findings += broken.findings
    points = _estimated(reference, {"": read.table, **apart}, version, span)
    moved = any(each.found for each in findings if each.family in ("drift", "missing"))
    known = knowledge(len(rows), 0, inputs_moved=moved, estimated=bool(points))
    return Seen(findings, points, {"": block, **parts}, dict(broken.invalid), known.sentence)


def _with_reasons(findings: list[Finding]) -> list[Finding]:
    """Moved predictions say which columns moved them."""
    why = columns.explained(each for each in findings if each.column != PREDICTION)
    return [
        replace(each, sentence=columns.joined(each.sentence, [why]))
        if each.found and each.family == "prediction"
        else each
        for each in findings
    ]


def drift(
    reference: Reference, window: Profile, alpha: float, season: tuple[str, Profile] | None = None
) -> list[Finding]:
    """All rows of a window against the reference, or against those of its season."""
    name, profile = season or ("", reference.profile)
    # What the log redacts is no column of the window, and nothing can be said of it.
    seen = {column: each for column, each in profile.columns.items() if column in window.columns}
    found = compare(Profile(profile.rows, seen), window, _rules(alpha), reference.baseline).findings
    said = f" (against {name})" if name else ""
    return [
        replace(each, importance=reference.importance.get(each.column), sentence=f"{each.sentence}{said}")
        for each in found
    ]


def _rules(alpha: float) -> Rules:
    return Rules(alpha=alpha, predictions=frozenset({PREDICTION}), extra=False)


def _estimated(reference: Reference, parts: Mapping[str, Any], version: str, span: Span) -> list[Point]:
    """How good the outputs of all rows and of each segment are to be expected, labels or not."""
    if reference.estimator is None:
        return []
    made: list[Point] = []
    for segment, rows in parts.items():
        found = reference.estimator.estimates(rows.column(PREDICTION).to_numpy())
        made += _points(reference, "estimated", found, segment, version, span, len(rows), 0)
    return made


def of_labels(
    reference: Reference,
    rows: Any,
    joined: Any,
    version: str,
    span: Span,
    watch: ConceptWatch,
    alpha: float,
) -> tuple[list[Finding], list[Point]]:
    """What the labels of a window show.

    Args:
        rows: The window, as in :func:`of_rows`.
        joined: Arrow table of the labelled rows: ``id``, ``score``, ``label``, in any order.
        watch: Of the version's concept; takes these labels in.
        alpha: As in :func:`of_rows`, of what explains a loss.
    """
    joined, at = in_order(rows, joined)
    scores, labels = (joined.column(name).to_numpy().astype(float) for name in ("score", "label"))
    table = read_columns(rows, reference.profile).table.take(at)
    apart = segments.places(table, reference.segments)
    points: list[Point] = []
    for segment, mine in {"": np.arange(len(joined)), **apart}.items():
        found = series.measured(reference, scores[mine], labels[mine])
        points += _points(reference, "realised", found, segment, version, span, len(rows), len(mine))
    findings: list[Finding] = []
    worse = judged(reference, joined)
    if worse is not None:
        lost = losses(scores, labels, reference.task) if worse.found else None
        why: list[str] = []
        if lost is not None:
            why.append(explained(reference.groups, grouped(lost, apart)))
            unusual = grouped(lost, columns.edges(reference.profile, table))
            why.append(columns.costly(reference.edges, unusual))
            block = Profile.of(table, like=reference.profile)
            season = reference.seasons.reference(rows) if reference.seasons else None
            moved = drift(reference, block, alpha, season)
            why.append(columns.explained(each for each in moved if each.column != PREDICTION))
        findings.append(replace(worse, sentence=columns.joined(worse.sentence, why)))
    if reference.rates:
        groups = {name: mine for name, mine in apart.items() if name in reference.rates}
        now = fairness.by_group(scores, labels, groups)
        findings += fairness.compared(reference.rates, now, labelled=True)
    concept = watch.update(scores, labels, reference.task)
    findings += [concept] if concept else []
    return findings, points


def _points(
    reference: Reference,
    kind: str,
    found: Any,
    segment: str,
    version: str,
    span: Span,
    rows: int,
    labelled: int,
) -> list[Point]:
    # What the reference had was of all rows.
    expected = {} if segment else reference.expected
    made = series.points(kind, found, expected, version, span, rows, labelled)
    return [replace(each, segment=segment) for each in made]
