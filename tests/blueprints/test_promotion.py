"""What moves from one environment to the next."""

from __future__ import annotations

import pytest

from blueprints.errors import UsageProblem
from blueprints.keys import assign
from blueprints.promotion import promote
from blueprints.spec import EnvironmentSpec

STAGING = assign(
    EnvironmentSpec(),
    [
        "serving.replicas=3",
        "tracking.port=5001",
        "monitoring.window_rows=500",
        'tracking.allowed_hosts=["a"]',
    ],
)


def test_everything_moves_but_ports_and_what_is_its_own() -> None:
    prod = assign(EnvironmentSpec(), ["protected=yes", "tracking.port=6001"])
    found = promote("staging", STAGING, prod)
    assert {path for path, _, _ in found.changed} == {
        "serving.replicas",
        "monitoring.window_rows",
        "tracking.allowed_hosts",
    }
    assert {path for path, _, _ in found.kept} == {"protected", "tracking.port"}
    assert (found.spec.serving.replicas, found.spec.tracking.port, found.spec.protected) == (3, 6001, True)
    assert found.spec.tracking.allowed_hosts == ("a",)
    # What has moved does not move again.
    assert promote("staging", STAGING, found.spec).changed == ()


def test_the_target_says_what_stays() -> None:
    prod = assign(EnvironmentSpec(), ["promotion.keep=*.port,serving.*"])
    found = promote("staging", STAGING, prod)
    assert "serving.replicas" not in {path for path, _, _ in found.changed}
    assert found.spec.serving.replicas == 1


def test_the_target_says_from_where() -> None:
    prod = assign(EnvironmentSpec(), ["promotion.accepts_from=staging"])
    assert promote("staging", STAGING, prod).changed
    with pytest.raises(UsageProblem, match="does not take over from dev"):
        promote("dev", STAGING, prod)


def test_a_combination_that_does_not_fit_is_refused() -> None:
    # The port that moves is one that another layer has here.
    prod = assign(EnvironmentSpec(), ["promotion.keep=database.port", "database.port=5001"])
    with pytest.raises(UsageProblem, match="give each its own"):
        promote("staging", STAGING, prod)


def test_a_pattern_is_checked() -> None:
    with pytest.raises(UsageProblem, match="for any part of it"):
        assign(EnvironmentSpec(), ["promotion.keep=Serving Replicas"])


def test_what_is_ignored_here_is_not_ignored_there() -> None:
    entry = '[{"resource": "s3.json", "reason": "being moved", "until": "2999-01-01"}]'
    staging = assign(STAGING, [f"drift.ignore={entry}"])
    assert promote("staging", staging, EnvironmentSpec()).spec.drift.ignore == ()
