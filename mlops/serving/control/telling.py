"""Who hears of a rollout that ended: the registry keeps its evidence, the monitor alerts."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable

from blueprints.environment import MonitoringRef
from blueprints.errors import ExitCode, Problem
from mlops.monitoring.client import MonitorClient
from mlops.monitoring.rollouts import RolloutReport
from mlops.serving.control.ports import Ended
from mlops.tracking.client import TrackingClient

log = logging.getLogger(__name__)
#: Tag of a version: how its last rollout ended, and the verdicts.
TAG = "modelyard.rollout"
_MOST = 100
_TAG_CHARACTERS = 4_800


class Teller:
    """Keeps what could not be told yet, for registry and monitor may be away.

    Args:
        monitoring: Where alerts go; None: the environment has no monitor.
    """

    def __init__(self, registry: TrackingClient, monitoring: MonitoringRef | None) -> None:
        self._registry = registry
        self._monitor = MonitorClient(monitoring) if monitoring else None
        self._waiting: deque[tuple[str, str, Callable[[], None]]] = deque(maxlen=_MOST)

    def tell(self, ended: Ended) -> None:
        """Put a rollout that ended in line."""
        rollout = ended.after.rollout
        if rollout is None:
            return
        what = f"rollout of {ended.model} version {rollout.candidate}"
        self._waiting.append(("registry", what, lambda: self._record(ended)))
        if self._monitor is not None:
            self._waiting.append(("monitor", what, lambda: self._alert(ended)))

    def go_on(self) -> None:
        """Tell what waits; what fails waits for the next time. Whoever does not answer is asked only once a
        time: each question may take seconds, and rollouts are judged in between."""
        away: set[str] = set()
        for _ in range(len(self._waiting)):
            whom, what, tell = self._waiting.popleft()
            if whom in away:
                self._waiting.append((whom, what, tell))
                continue
            try:
                tell()
            except Problem as problem:
                log.warning("%s is not told yet: %s", what, problem.what)
                self._waiting.append((whom, what, tell))
                if problem.code is ExitCode.RETRY:
                    away.add(whom)

    def _record(self, ended: Ended) -> None:
        rollout = ended.after.rollout
        assert rollout is not None
        verdicts = [each.model_dump(mode="json", exclude_none=True) for each in rollout.verdicts]
        facts = {
            "id": rollout.id,
            "ended": rollout.phase,
            "reason": rollout.reason,
            "strategy": rollout.strategy.to_text(),
            "champion": ended.before.champion,
            "started": rollout.started,
            "at": ended.after.updated,
            "step": rollout.step,
        }
        text = json.dumps({**facts, "verdicts": verdicts}, separators=(",", ":"))
        if len(text) > _TAG_CHARACTERS:
            text = json.dumps(facts, separators=(",", ":"))
        self._registry.set_version_tag(ended.model, rollout.candidate, TAG, text)
        version = self._registry.version(ended.model, rollout.candidate)
        if not version.run_id:
            return
        lanes = {" ".join(lane): each.to_json() for lane, each in ended.evidence.items()}
        document = {**facts, "verdicts": verdicts, "evidence": lanes}
        content = json.dumps(document, indent=1).encode()
        try:
            self._registry.put_artifact(version.run_id, f"modelyard/rollouts/{rollout.id}.json", content)
        except Problem as problem:
            if problem.code is ExitCode.RETRY:
                raise
            # The verdicts are in the tag; a run whose artifacts are elsewhere or gone is no reason to repeat.
            log.warning("the evidence of %s is in its tag only: %s", rollout.id, problem.what)

    def _alert(self, ended: Ended) -> None:
        rollout = ended.after.rollout
        assert rollout is not None
        assert self._monitor is not None
        bad = rollout.phase == "failed"
        by_itself = ended.after.by == "modelyard"
        if bad and not by_itself:
            # A person rolled back and knows.
            return
        failed = next((each.gate for each in rollout.verdicts if each.verdict == "fail"), "loading")
        became = f"was rolled back: {rollout.reason}" if bad else f"is champion: {rollout.reason}"
        summary = f"{ended.model} version {rollout.candidate} {became}"[:500]
        self._monitor.rollout(
            RolloutReport(ended.model, rollout.candidate, bad, "page", failed if bad else "promoted", summary)
        )
