"""What the conductor needs of others, and what it says to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from mlops.serving.evidence import Evidence
from mlops.serving.rollout.state import Deployment, Verdict
from mlops.serving.rollout.strategy import Strategy
from mlops.serving.traffic import Lane


@dataclass(frozen=True)
class Held:
    """Memory of a version's own processes since a step began.

    Attributes:
        most: Bytes at the reading when one process held most: what leaks is killed and begins anew, and
            must not look small then.
        readings: How often it was read.
    """

    most: int = 0
    readings: int = 0

    def read(self, held: int) -> Held:
        """With one more reading."""
        return Held(max(self.most, held), self.readings + 1)


class Judge(Protocol):
    """Says what the evidence of a step means."""

    def __call__(
        self, model: str, state: Deployment, evidence: Mapping[Lane, Evidence], memory: Mapping[str, Held]
    ) -> tuple[list[Verdict], int]:
        """Verdicts of the gates of the active rollout, and the requests of its candidate. ``memory``: by
        version."""
        ...

    def metrics(self, model: str) -> Collection[str]:
        """What can be measured for a model, as :attr:`Gate.source` names it; may raise :class:`Problem`."""
        ...


@dataclass(frozen=True)
class Ended:
    """A rollout is over: what a person, the monitor and the registry should hear of it."""

    model: str
    before: Deployment
    after: Deployment
    evidence: Mapping[Lane, Evidence]


@dataclass(frozen=True)
class Replica:
    """Who this replica is among the others.

    Attributes:
        name: In reports.
        leads: It judges rollouts and writes the registry.
        default: The strategy of deployments that name none.
    """

    name: str
    leads: bool
    default: Strategy


@dataclass(frozen=True)
class Seen:
    """What the last look at the present step of a rollout saw: newer than the verdicts in the state, which is
    written only when a judgement changes.

    Attributes:
        step: Of which rollout and step.
        verdicts: One a gate.
        requests: Of the candidate since the step began.
    """

    step: str
    verdicts: tuple[Verdict, ...]
    requests: int


class Listener(Protocol):
    """Hears of rollouts that ended."""

    def tell(self, ended: Ended) -> None:
        """Take it; returns at once."""
        ...

    def go_on(self) -> None:
        """Pass on what was taken; may wait for others, must not raise."""
        ...
