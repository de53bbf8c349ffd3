"""The recommender takes the smallest blueprint that carries what a team says of itself."""

from __future__ import annotations

import pytest

from blueprints.keys import assign
from blueprints.recommend import Needs, recommend
from blueprints.spec import EnvironmentSpec


@pytest.mark.parametrize(
    ("needs", "name"),
    [
        (Needs(), "local"),
        (Needs(users="company", data="machine", has_aws=True, has_cluster=True), "local"),
        (Needs(users="me", data="cloud", has_aws=True), "local"),
        (Needs(users="team", data="cloud", has_aws=True), "aws"),
        (Needs(users="team", data="cloud", has_cluster=True), "kubernetes"),
        (Needs(users="company", data="cluster", has_cluster=True, has_aws=True), "kubernetes"),
        (Needs(users="team", data="cloud"), "local"),
    ],
)
def test_the_blueprint_fits_and_says_why(needs: Needs, name: str) -> None:
    found = recommend(needs)
    assert found.blueprint.name == found.spec.blueprint == name
    assert found.because


def test_load_becomes_workers_and_replicas_within_bounds() -> None:
    found = recommend(Needs(runs_per_day=20_000, predictions_per_day=1_000_000_000))
    assert found.spec.tracking.workers == 5
    assert found.spec.serving.replicas == 16
    assert assign(EnvironmentSpec(), found.settings) == found.spec


def test_a_small_team_gets_the_defaults() -> None:
    assert recommend(Needs()).settings == ()
    assert recommend(Needs()).spec == EnvironmentSpec()
