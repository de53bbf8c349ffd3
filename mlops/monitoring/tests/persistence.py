"""Persistence: one bad window is no news, two of three are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blueprints.errors import UsageProblem
from mlops.monitoring.finding import Finding

#: Column, family and segment: what must come back. The test need not be the same in every window.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Persistence:
    """How many of the last windows must have a finding of the same column and family.

    Attributes:
        needed: Windows with it.
        of: Windows looked at, the current one among them.
    """

    needed: int = 2
    of: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.of:
            raise UsageProblem(f"{self.needed} of {self.of} windows", expected="1 <= needed <= of")

    def keys(self, history: Sequence[Iterable[Finding]]) -> frozenset[Key]:
        """Columns and families that persist; ``history`` has a window's findings each, oldest first."""
        counts: dict[Key, int] = {}
        for window in history[-self.of :]:
            for key in {key_of(each) for each in window if each.found}:
                counts[key] = counts.get(key, 0) + 1
        return frozenset(key for key, count in counts.items() if count >= self.needed)


def persistent(history: Sequence[Iterable[Finding]], needed: int = 2, of: int = 3) -> tuple[Finding, ...]:
    """Findings of the latest window that were found in ``needed`` of the last ``of`` windows."""
    if not history:
        return ()
    keys = Persistence(needed, of).keys(history)
    return tuple(each for each in history[-1] if each.found and key_of(each) in keys)


def key_of(finding: Finding) -> Key:
    """What must come back for a finding to persist."""
    return finding.column, finding.family, finding.segment
