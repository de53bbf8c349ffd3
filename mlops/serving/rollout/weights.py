"""The desired state as what a gateway has to do: shares of the traffic, copies, and what must be loaded."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.serving.rollout.state import Deployment, Rollout

#: Where it is not called canary.
_NAMES = {"ab": "challenger"}
CHAMPION, CANARY, SHADOW, FLAG, EXPLICIT, PREVIOUS = (
    "champion",
    "canary",
    "shadow",
    "flag",
    "explicit",
    "previous",
)


@dataclass(frozen=True, slots=True)
class Arm:
    """A version with a share of the traffic, 0 to 1."""

    version: str
    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class Table:
    """What a state means now.

    Attributes:
        arms: Weights sum to 1; empty: no version answers yet. The champion comes first.
        shadow: Gets a copy of every request.
        warm: Versions that must be loaded, the most needed first.
    """

    revision: int
    arms: tuple[Arm, ...]
    shadow: str | None
    warm: tuple[str, ...]

    def weight(self, version: str) -> float:
        """Share of the traffic of a version."""
        return sum(arm.weight for arm in self.arms if arm.version == version)


def candidate_arm(rollout: Rollout) -> str:
    """What the candidate of a rollout is called while it has a share of the traffic."""
    return _NAMES.get(rollout.strategy.kind, CANARY)


def table(state: Deployment, now: float) -> Table:
    """Shares, copies and versions to keep loaded at ``now`` (seconds since the epoch)."""
    rollout = state.active
    arms: tuple[Arm, ...] = ()
    if state.champion:
        share = rollout.weight if rollout else 0.0
        arms = (Arm(state.champion, CHAMPION, 1.0 - share),)
        if rollout and share:
            arms += (Arm(rollout.candidate, candidate_arm(rollout), share),)
    shadow = rollout.candidate if rollout and rollout.mirrored and state.champion else state.shadow
    warm = [
        state.champion,
        rollout.candidate if rollout else None,
        state.previous if now < state.keep_until else None,
        *state.flags.versions,
        shadow,
    ]
    return Table(state.revision, arms, shadow, tuple(dict.fromkeys(each for each in warm if each)))
