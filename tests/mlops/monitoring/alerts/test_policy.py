"""Which findings anybody hears of."""

from __future__ import annotations

import pytest

from blueprints.alerting import AlertsSpec, RuleSpec
from mlops.monitoring.alerts import Window
from mlops.monitoring.alerts.policy import Policy
from tests.mlops.monitoring.alerts.made import finding

WINDOW = Window("m", "1", None, None, 1000)


def level(*findings: object, spec: AlertsSpec | None = None, column: str = "x") -> str:
    """What is said of a column: its level, or nothing."""
    seen = Policy.of(spec or AlertsSpec()).observations(findings, WINDOW)  # type: ignore[arg-type]
    return next((o.severity for o in seen if o.bad and o.feature == column), "")


@pytest.mark.parametrize(
    ("family", "severity", "expected"),
    [
        ("drift", "page", "ticket"),
        ("prediction", "page", "ticket"),
        ("concept", "page", "ticket"),
        ("missing", "ticket", "ticket"),
        ("missing", "page", "page"),
        ("quality", "page", "page"),
        ("quality", "ticket", "ticket"),
        ("performance", "page", "page"),
        ("kpi", "page", "page"),
        ("fairness", "page", "ticket"),
    ],
)
def test_pages_are_for_what_costs_somebody_something(family: str, severity: str, expected: str) -> None:
    assert level(finding("x", family, severity=severity)) == expected


def test_drift_pages_only_on_an_important_column_while_predictions_move() -> None:
    moved = finding("prediction", "prediction")
    still = finding("prediction", "prediction", found=False)
    important = finding("x", importance=0.3)
    assert level(important, moved) == "page"
    assert level(important, still) == "ticket"
    assert level(finding("x", importance=0.01), moved) == "ticket"
    assert level(finding("x", importance=None), moved) == "ticket"


def test_a_rule_of_the_spec_comes_first() -> None:
    quiet = AlertsSpec(rules=(RuleSpec(families=("drift",), columns="x_*", notify="none"),))
    assert level(finding("x_1"), spec=quiet, column="x_1") == ""
    assert level(finding("y"), spec=quiet, column="y") == "ticket"


def test_the_test_furthest_above_its_floor_speaks_for_the_column() -> None:
    near = finding("x", effect=0.11, floor=0.1, sentence="near")
    far = finding("x", effect=0.5, floor=0.1, sentence="far")
    (seen,) = Policy.of(AlertsSpec()).observations([near, far, finding("x", found=False, effect=9)], WINDOW)
    assert seen.summary == "far"


def test_too_few_rows_say_nothing() -> None:
    few = Window("m", "1", None, None, 50)
    assert Policy.of(AlertsSpec()).observations([finding("x")], few) == []
