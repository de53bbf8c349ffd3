"""From what the gateways counted to the verdicts on a step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from mlops.serving.control.ports import Held
from mlops.serving.evidence import Evidence
from mlops.serving.rollout import analysis
from mlops.serving.rollout.analysis import Observed, Outcomes
from mlops.serving.rollout.machine import ALWAYS, GATEWAYS
from mlops.serving.rollout.state import Deployment, Rollout, Verdict
from mlops.serving.rollout.weights import CHAMPION, SHADOW, candidate_arm
from mlops.serving.traffic import Lane


class Truth(Protocol):
    """What became of predictions: labels and business metrics, from the log's tables."""

    def metrics(self, model: str) -> Collection[str]:
        """What there is for a model: ``performance``, ``business:NAME``."""
        ...

    def observed(
        self, model: str, rollout: Rollout, arms: Mapping[str, str]
    ) -> Mapping[str, tuple[Outcomes | None, Mapping[str, Outcomes]]]:
        """By version: the loss a row and the business metrics of its rows since the step began.

        Args:
            arms: Version by the name of its arm.
        """
        ...


class GateJudge:
    """Implements the conductor's ``Judge``."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def metrics(self, model: str) -> Collection[str]:
        """What can be measured for a model."""
        return ALWAYS | set(self._truth.metrics(model))

    def __call__(
        self, model: str, state: Deployment, evidence: Mapping[Lane, Evidence], memory: Mapping[str, Held]
    ) -> tuple[list[Verdict], int]:
        """Verdicts, and the candidate's requests in this step."""
        rollout = state.active
        assert rollout is not None
        arm = SHADOW if rollout.mirrored else candidate_arm(rollout)
        champion = evidence.get(Lane(model, str(state.champion), CHAMPION), Evidence())
        candidate = evidence.get(Lane(model, rollout.candidate, arm), Evidence())
        arms = {CHAMPION: str(state.champion), arm: rollout.candidate}
        stored = any(gate.source not in GATEWAYS for gate in rollout.strategy.gates)
        found = self._truth.observed(model, rollout, arms) if stored else {}
        base, other = (
            _observed(seen, found.get(version), memory.get(version))
            for seen, version in ((champion, str(state.champion)), (candidate, rollout.candidate))
        )
        verdicts = analysis.judge(rollout.strategy, base, other)
        return list(verdicts), candidate.requests


def _observed(
    evidence: Evidence, found: tuple[Outcomes | None, Mapping[str, Outcomes]] | None, held: Held | None
) -> Observed:
    performance, metrics = found or (None, {})
    if held is None:
        return Observed(evidence, performance, metrics)
    return Observed(evidence, performance, metrics, held.most, held.readings)
