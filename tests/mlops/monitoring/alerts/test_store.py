"""The tables, in both databases, and those of an earlier release."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa

from blueprints.alerting import AlertsSpec, RouteSpec
from mlops.monitoring.alerts import Alerts, AlertStore, Window
from mlops.monitoring.alerts.outbox import Outbox
from tests.mlops.monitoring.alerts.made import finding

HERE = Path(__file__).parent


def check_earlier(url: str) -> None:
    """What an earlier release wrote is all there, announced to nobody after the fact, and goes on."""
    store = AlertStore(url)
    states = {a.feature: (a.state, a.acknowledged_by, a.kind) for a in store.alerts()}
    assert states == {
        "rmse": ("firing", "", "performance"),
        "x": ("acknowledged", "ann", "drift"),
        "y": ("resolved", "", "drift"),
    }
    assert store.place("log:delay") == "7"
    assert store.windows("delay")[0]["rows"] == 2000
    alerts = Alerts(store, AlertsSpec(routes=(RouteSpec(name="all", kind="desktop"),)), "prod")
    alerts.tick()
    assert Outbox(store).backlog() == []
    window = Window("delay", "3", None, None, 2000)
    for _ in range(3):
        alerts.record([finding("rmse", "performance", found=False)], window, {})
    assert {a.feature: a.state for a in store.alerts()}["rmse"] == "resolved"
    assert [b.waiting for b in Outbox(store).backlog()] == [1]
    # Once brought up to date, it opens again as it is.
    store.close()
    assert len(AlertStore(url).alerts()) == 3


def test_a_sqlite_database_of_an_earlier_release_catches_up(tmp_path: Path) -> None:
    file = tmp_path / "alerts.db"
    with sqlite3.connect(file) as connection:
        connection.executescript((HERE / "earlier.sqlite.sql").read_text())
    check_earlier(f"sqlite:///{file}")


def test_a_postgres_database_of_an_earlier_release_catches_up(postgres: str) -> None:
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        connection.exec_driver_sql((HERE / "earlier.postgres.sql").read_text())
    check_earlier(postgres)
    # The whole path in PostgreSQL: findings, states, notices, silences.
    store = AlertStore(postgres)
    alerts = Alerts(store, AlertsSpec(routes=(RouteSpec(name="all", kind="desktop"),)), "prod")
    number = alerts.silence({"feature": "hushed"}, 1, "ann", "")
    for _ in range(2):
        window = Window("m", "1", None, None, 2000, good={"error": (1, 1000)}, invalid={"type": 3})
        alerts.record([finding("x"), finding("hushed")], window, {"log:m": "1"})
    states = {a.feature: a.state for a in store.alerts() if a.model == "m"}
    assert states == {"x": "firing", "hushed": "silenced", "error": "firing"}
    assert alerts.unsilence(number)
    (alert,) = [a for a in store.alerts("firing") if a.feature == "error"]
    seen = alerts.acknowledge(alert.id, "ann", "on it", useful=False)
    assert seen is not None
    assert (seen.state, seen.useful) == ("acknowledged", False)
    alerts.tick()
