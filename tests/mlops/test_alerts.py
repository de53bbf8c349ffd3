"""The life of an alert."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from blueprints.alerting import AlertsSpec
from blueprints.errors import UsageProblem
from mlops.monitoring import infrastructure, rollouts
from mlops.monitoring.alerts import Alerts, AlertStore, Observation, Window
from mlops.monitoring.distribution import Distribution
from mlops.monitoring.infrastructure import Reported
from mlops.monitoring.rollouts import RolloutReport


def seen(bad: bool, feature: str = "x", severity: str = "ticket") -> Observation:
    """One window's word on a feature."""
    shares = Distribution(("a", "b"), (0.5, 0.5))
    return Observation(
        "drift", severity, "m", "1", feature, "ks", 0.4, 0.1, 0.001, bad, "s", None, None, 100, shares, shares
    )


#: One bad window fires: persistence is for tests of the policy.
SPEC = AlertsSpec(windows=1, of_windows=1)


@pytest.fixture
def book(tmp_path: Path) -> Alerts:
    return Alerts(AlertStore(f"sqlite:///{tmp_path / 'alerts.db'}"), SPEC)


@pytest.fixture
def store(book: Alerts) -> AlertStore:
    return book.store


def test_many_bad_windows_are_one_alert(book: Alerts, store: AlertStore) -> None:
    for _ in range(5):
        book.observe([seen(True)])
    (alert,) = store.alerts()
    assert alert.state == "firing"
    assert alert.reference == Distribution(("a", "b"), (0.5, 0.5))


def test_it_resolves_only_after_enough_good_windows_in_a_row(book: Alerts, store: AlertStore) -> None:
    book.observe([seen(True)])
    for bad in (*[False] * (SPEC.clear_windows - 1), True, *[False] * (SPEC.clear_windows - 1)):
        book.observe([seen(bad)])
    assert store.alerts()[0].state == "firing"
    book.observe([seen(False)])
    assert store.alerts()[0].state == "resolved"


def test_a_resolved_alert_that_comes_back_is_a_new_one(book: Alerts, store: AlertStore) -> None:
    for bad in (True, *[False] * SPEC.clear_windows, True):
        book.observe([seen(bad)])
    assert sorted(alert.state for alert in store.alerts()) == ["firing", "resolved"]


def test_acknowledged_stays_so_while_it_is_bad_and_then_resolves(book: Alerts, store: AlertStore) -> None:
    book.observe([seen(True)])
    (alert,) = store.alerts("firing")
    acknowledged = store.acknowledge(alert.id, "ann", "known")
    assert acknowledged is not None
    assert (acknowledged.state, acknowledged.acknowledged_by, acknowledged.why) == (
        "acknowledged",
        "ann",
        "known",
    )
    book.observe([seen(True)])
    assert [each.id for each in store.alerts("acknowledged")] == [alert.id]
    for _ in range(SPEC.clear_windows):
        book.observe([seen(False)])
    assert [each.id for each in store.alerts("resolved")] == [alert.id]


def test_pages_come_before_tickets(book: Alerts, store: AlertStore) -> None:
    book.observe([seen(True, "auc", "page"), seen(True, "x")])
    assert [alert.severity for alert in store.alerts()] == ["page", "ticket"]


def test_place_and_alert_are_kept_together(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'alerts.db'}"
    store = AlertStore(url)
    book = Alerts(store, SPEC)
    book.observe([seen(True)], {"rows:m": "200"})
    # The window row is refused by the table, after the alert was written in the same transaction.
    nameless: Any = None
    now = datetime.now(UTC)

    def write() -> None:
        with store.transaction() as connection:
            store.advance(connection, [seen(True, "y")], book.policy.persistence, now)
            store.put_places(connection, {"rows:m": "300"})
            store.add_window(connection, Window("m", nameless, None, None, 1), [], now)

    with pytest.raises(Exception, match="version"):
        write()
    again = AlertStore(url)
    assert again.place("rows:m") == "200"
    assert [alert.feature for alert in again.alerts()] == ["x"]


def test_a_report_of_the_infrastructure_is_the_whole_truth(book: Alerts, store: AlertStore) -> None:
    """What it names fires, once; what it no longer names resolves at once; alerts of models stay."""
    book.observe([seen(True)])

    def report(*resources: str) -> dict[str, str]:
        reports = [Reported(name, "ticket", f"{name} is stopped") for name in resources]
        book.observe(infrastructure.observations(reports, store.alerts()))
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


def test_a_failed_rollout_fires_until_a_version_of_the_model_becomes_champion(
    book: Alerts, store: AlertStore
) -> None:
    book.observe([seen(True)])

    def report(it: RolloutReport) -> dict[tuple[str, str], str]:
        book.observe(rollouts.observations(it, store.alerts()))
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
