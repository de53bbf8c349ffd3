"""What the arms of this process did: counted where the arm is chosen, remembered for a minute."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from mlops.serving.evidence import Evidence

#: Seconds over which rates are means, and over which percentiles are taken.
RATE_SECONDS, RECENT_SECONDS = 10.0, 60.0


class Lane(NamedTuple):
    """One arm of one model, as it is counted."""

    model: str
    version: str
    arm: str


class Traffic:
    """Evidence of every arm since this process started.

    Attributes:
        boot: Names this life of the process: counts of two lives do not subtract.
    """

    def __init__(self) -> None:
        self.boot = uuid.uuid4().hex[:12]
        self._lanes: dict[Lane, Evidence] = {}
        self._past: deque[tuple[float, Mapping[Lane, Evidence]]] = deque()

    def evidence(self, lane: Lane) -> Evidence:
        """The counts of an arm, made when they are first asked for."""
        return self._lanes.setdefault(lane, Evidence())

    def lanes(self, model: str = "") -> list[Lane]:
        """Every arm that was counted; of one model when it is named."""
        return [lane for lane in list(self._lanes) if not model or lane.model == model]

    def copied(self) -> dict[Lane, Evidence]:
        """All counts as they are now. Safe from any thread: each count is copied in one step."""
        return {lane: each.merged(Evidence()) for lane, each in list(self._lanes.items())}

    def remember(self) -> None:
        """Keep the counts of this moment, so that :meth:`recent` can tell what happened since."""
        now = time.monotonic()
        self._past.append((now, self.copied()))
        while len(self._past) > 1 and now - self._past[1][0] > RECENT_SECONDS:
            self._past.popleft()

    def recent(self, lane: Lane, seconds: float) -> tuple[Evidence, float]:
        """What an arm did in the last ``seconds`` or so, and the seconds that really are."""
        now = time.monotonic()
        past = list(self._past)
        at, before = next(
            ((at, before) for at, before in past if now - at <= seconds), past[-1] if past else (now, {})
        )
        known = before.get(lane, Evidence())
        return self._lanes.get(lane, Evidence()).merged(known, -1), max(now - at, 1e-9)
