"""The recommender: a few questions about the team, one blueprint and its spec, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blueprints.catalog import AWS, KUBERNETES, LOCAL, Blueprint
from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec

Users = Literal["me", "team", "company"]
DataPlace = Literal["machine", "cluster", "cloud"]


@dataclass(frozen=True)
class Needs:
    """What a team says of itself.

    Attributes:
        users: Who uses it.
        data: How far data may travel: this machine only, our own cluster, a cloud account.
        runs_per_day: Training runs logged in a day.
        predictions_per_day: Predictions served in a day.
        has_cluster: A Kubernetes cluster is at hand.
        has_aws: An AWS account is at hand.
    """

    users: Users = "me"
    data: DataPlace = "machine"
    runs_per_day: int = 20
    predictions_per_day: int = 10_000
    has_cluster: bool = False
    has_aws: bool = False


@dataclass(frozen=True)
class Recommendation:
    """The blueprint that fits, why, the spec to start from, and what was left out for the moment."""

    blueprint: Blueprint
    because: tuple[str, ...]
    spec: EnvironmentSpec
    settings: tuple[str, ...]
    """The ``key=value`` settings that differ from the defaults."""


#: Predictions one gateway process answers in a day with ample head-room (about 60 a second).
_PER_REPLICA = 5_000_000
#: Runs a day that one tracking worker takes with ample head-room.
_PER_WORKER = 5_000


def recommend(needs: Needs) -> Recommendation:
    """The blueprint for ``needs``: the smallest that carries them."""
    blueprint, because = _choose(needs)
    settings = _settings(needs)
    spec = assign(EnvironmentSpec(blueprint=blueprint.name), settings)
    return Recommendation(blueprint, tuple(because), spec, tuple(settings))


def _choose(needs: Needs) -> tuple[Blueprint, list[str]]:
    if needs.data == "machine":
        return LOCAL, ["data stays on this machine"]
    if needs.users == "me":
        return LOCAL, ["one person uses it: nothing to share, nothing to pay"]
    if needs.data == "cloud" and needs.has_aws:
        return AWS, [f"a {needs.users} uses it", "data may live in a cloud account, and there is one"]
    if needs.has_cluster:
        return KUBERNETES, [f"a {needs.users} uses it", "a cluster is at hand"]
    return LOCAL, ["neither a cluster nor a cloud account is at hand: start here, move later"]


def _settings(needs: Needs) -> list[str]:
    settings = []
    workers = min(16, 1 + needs.runs_per_day // _PER_WORKER)
    replicas = min(16, 1 + needs.predictions_per_day // _PER_REPLICA)
    if workers > 1:
        settings.append(f"tracking.workers={workers}")
    if replicas > 1:
        settings.append(f"serving.replicas={replicas}")
    return settings
