"""The life of an alert."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from blueprints.errors import UsageProblem
from mlops.monitoring import infrastructure, rollouts
from mlops.monitoring.alerts import CLEAR_AFTER, AlertStore, Observation
from mlops.monitoring.distribution import Distribution
from mlops.monitoring.infrastructure import Reported
from mlops.monitoring.rollouts import RolloutReport


def seen(bad: bool, feature: str = "x", severity: str = "ticket") -> Observation:
    """One window's word on a feature."""
    shares = Distribution(("a", "b"), (0.5, 0.5))
    return Observation(
        "drift", severity, "m", "1", feature, "ks", 0.4, 0.1, 0.001, bad, "s", None, None, 100, shares, shares
    )


@pytest.fixture
def store(tmp_path: Path) -> AlertStore:
    return AlertStore(f"sqlite:///{tmp_path / 'alerts.db'}")


def test_many_bad_windows_are_one_alert(store: AlertStore) -> None:
    for _ in range(5):
        store.record([seen(True)], None, {})
    (alert,) = store.alerts()
    assert alert.state == "firing"
    assert alert.reference == Distribution(("a", "b"), (0.5, 0.5))


def test_it_resolves_only_after_enough_good_windows_in_a_row(store: AlertStore) -> None:
    store.record([seen(True)], None, {})
    for bad in (*[False] * (CLEAR_AFTER - 1), True, *[False] * (CLEAR_AFTER - 1)):
        store.record([seen(bad)], None, {})
    assert store.alerts()[0].state == "firing"
    store.record([seen(False)], None, {})
    assert store.alerts()[0].state == "resolved"


def test_a_resolved_alert_that_comes_back_is_a_new_one(store: AlertStore) -> None:
    for bad in (True, *[False] * CLEAR_AFTER, True):
        store.record([seen(bad)], None, {})
    assert sorted(alert.state for alert in store.alerts()) == ["firing", "resolved"]


def test_acknowledged_stays_so_while_it_is_bad_and_then_resolves(store: AlertStore) -> None:
    store.record([seen(True)], None, {})
    (alert,) = store.alerts("firing")
    acknowledged = store.acknowledge(alert.id, "ann", "known")
    assert acknowledged is not None
    assert (acknowledged.state, acknowledged.acknowledged_by, acknowledged.why) == (
        "acknowledged",
        "ann",
        "known",
    )
    store.record([seen(True)], None, {})
    assert [each.id for each in store.alerts("acknowledged")] == [alert.id]
    for _ in range(CLEAR_AFTER):
        store.record([seen(False)], None, {})
    assert [each.id for each in store.alerts("resolved")] == [alert.id]


def test_pages_come_before_tickets(store: AlertStore) -> None:
    store.record([seen(True, "auc", "page"), seen(True, "x")], None, {})
    assert [alert.severity for alert in store.alerts()] == ["page", "ticket"]


def test_place_and_alert_are_kept_together(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'alerts.db'}"
    store = AlertStore(url)
    store.record([seen(True)], None, {"rows:m": "200"})
    # The window row is refused by the table, after the alert was written in the same transaction.
    with pytest.raises(Exception, match="version"):
        store.record([seen(True, "y")], {"model": "m", "rows": 1, "drifted": "[]"}, {"rows:m": "300"})
    again = AlertStore(url)
    assert again.place("rows:m") == "200"
    assert [alert.feature for alert in again.alerts()] == ["x"]


def test_a_report_of_the_infrastructure_is_the_whole_truth(store: AlertStore) -> None:
    """What it names fires, once; what it no longer names resolves at once; alerts of models stay."""
    store.record([seen(True)], None, {})

    def report(*resources: str) -> dict[str, str]:
        reports = [Reported(name, "ticket", f"{name} is stopped") for name in resources]
        store.record(infrastructure.observations(reports, store.alerts()), None, {})
        return {each.feature: each.state for each in store.alerts()}

    assert report("service a", "service b") == {"x": "firing", "service a": "firing", "service b": "firing"}
    assert report("service b")["service a"] == "resolved"
    assert report("service b", "service b")["service b"] == "firing"
    assert len(store.alerts()) == 3
    assert report() == {"x": "firing", "service a": "resolved", "service b": "resolved"}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"kind": "drift", "drifts": []},
        {"kind": "infrastructure", "drifts": {}},
        {"kind": "infrastructure", "drifts": [{"resource": "a", "severity": "ticket", "summary": "x" * 501}]},
        {"kind": "infrastructure", "drifts": [{"resource": "a", "severity": "loud", "summary": "x"}]},
        {"kind": "infrastructure", "drifts": [{"resource": "a", "severity": "page"}]},
    ],
)
def test_what_is_no_report_is_refused(body: object) -> None:
    with pytest.raises(UsageProblem, match="expected"):
        infrastructure.reported(body)


def _report(version: str, bad: bool, metric: str = "errors") -> RolloutReport:
    return RolloutReport("delay", version, bad, "page", metric, f"delay v{version} was rolled back")


def test_a_failed_rollout_fires_until_a_version_of_the_model_becomes_champion(store: AlertStore) -> None:
    store.record([seen(True)], None, {})

    def report(it: RolloutReport) -> dict[tuple[str, str], str]:
        store.record(rollouts.observations(it, store.alerts()), None, {})
        return {(each.version, each.feature): each.state for each in store.alerts() if each.kind == "rollout"}

    report(_report("8", bad=True))
    assert report(_report("9", bad=True, metric="latency")) == {
        ("8", "errors"): "firing",
        ("9", "latency"): "firing",
    }
    other = RolloutReport("other", "1", False, "page", "promoted", "other v1 is champion")
    assert set(report(other).values()) == {"firing"}
    assert set(report(_report("10", bad=False)).values()) == {"resolved"}
    assert [each.state for each in store.alerts() if each.kind == "drift"] == ["firing"]


@pytest.mark.parametrize("spoilt", [{"bad": "yes"}, {"severity": "loud"}, {"model": ""}, {"more": 1}])
def test_what_is_no_report_of_a_rollout_is_refused(spoilt: dict[str, object]) -> None:
    body = {"kind": "rollout", **asdict(_report("8", bad=True))}
    assert rollouts.reported(body) == _report("8", bad=True)
    with pytest.raises(UsageProblem, match="expected"):
        rollouts.reported({**body, **spoilt})
