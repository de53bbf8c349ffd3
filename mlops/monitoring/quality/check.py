"""Rows that break what the reference implies: counted by reason, found where they are too many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from mlops.monitoring.finding import Finding
from mlops.monitoring.profile import Numbers, Profile

#: Share of a window's rows that may break a rule before it is a finding.
TOLERATED = 0.01
#: An event may be this far in the future before its clock is called wrong.
SKEW = timedelta(minutes=5)


class Read(Protocol):
    """What is known of a batch besides its profile (see ``service.rows.Columns``)."""

    @property
    def absent(self) -> frozenset[str]: ...
    @property
    def extra(self) -> frozenset[str]: ...
    @property
    def wrong(self) -> Mapping[str, int]: ...


@dataclass(frozen=True)
class Checked:
    """A batch that was checked.

    Attributes:
        findings: One for each rule that any row broke.
        invalid: Rows by reason: ``missing_column``, ``type``, ``infinite``, ``duplicate_id``, ``clock_skew``.
            For the first three it is the worst column's, since a row may break several.
    """

    findings: tuple[Finding, ...]
    invalid: Mapping[str, int]


def check(
    reference: Profile, current: Profile, read: Read, rows: Any, now: datetime | None = None
) -> Checked:
    """Check a batch.

    Args:
        reference: What is normal.
        current: Profile of the batch.
        read: What reading it met.
        rows: Arrow table with ``id``, ``time`` and ``event_time``.
        now: UTC; for the clock.
    """
    total = len(rows)
    findings = [
        _finding(name, "missing_column", total, total, f"{name} is in no row") for name in sorted(read.absent)
    ]
    for name, count in sorted(read.wrong.items()):
        words = f"{name} is no number in {count} of {total} rows"
        findings.append(_finding(name, "type", count, total, words))
    for name, column in current.columns.items():
        known = reference.columns.get(name)
        if not (isinstance(column, Numbers) and isinstance(known, Numbers)):
            continue
        if not sum(known.infinite) and (count := sum(column.infinite)):
            words = f"{name} is infinite in {count} of {total} rows"
            findings.append(_finding(name, "infinite", count, total, words))
    if repeated := _repeated(rows):
        words = f"{repeated} of {total} rows repeat the id of another prediction"
        findings.append(_finding("", "duplicate_id", repeated, total, words))
    if ahead := _ahead(rows, now or datetime.now(UTC)):
        words = f"{ahead} of {total} events are in the future: a clock is wrong"
        findings.append(_finding("", "clock_skew", ahead, total, words))
    if read.extra:
        shown = ", ".join(sorted(read.extra)[:5])
        words = f"{len(read.extra)} columns that the reference does not have: {shown}"
        findings.append(_finding("", "extra_columns", 0, total, words))
    invalid: dict[str, int] = {}
    for each in findings:
        if each.statistic:
            invalid[each.test] = max(invalid.get(each.test, 0), int(each.statistic))
    return Checked(tuple(findings), invalid)


def _repeated(rows: Any) -> int:
    import pyarrow.compute as pc

    return len(rows) - int(pc.count_distinct(rows.column("id"), mode="all").as_py())


def _ahead(rows: Any, now: datetime) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    times = rows.column("event_time")
    return int(pc.sum(pc.greater(times, pa.scalar(now + SKEW, times.type))).as_py() or 0)


def _finding(column: str, test: str, count: int, total: int, sentence: str) -> Finding:
    share = count / total if total else 0.0
    found = share >= TOLERATED
    severity: Any = "page" if found and share >= 0.5 else "ticket" if found else "none"
    return Finding(column, "quality", test, count, share, TOLERATED, 1.0, 1.0, found, severity, sentence)
