"""What the monitor says of itself: also that nobody hears it, and also when it cannot say so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from starlette.testclient import TestClient

from blueprints.measures import KpiSpec
from mlops.monitoring.alerts import Alerts, AlertStore
from mlops.monitoring.answers import Point
from mlops.monitoring.service import series
from mlops.monitoring.service.api import Api
from mlops.monitoring.service.figures import Figures
from tests.mlops.monitoring.service.watched import SPEC, monitor
from tests.mlops.serving.logs import environment
from tests.mlops.yard import until


def health(folder: Path, undelivered: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
    book = Alerts(AlertStore(f"sqlite:///{folder}/alerts.db"), SPEC.alerts, "dev")
    figures = Figures(environment(folder), SPEC, book)
    app = Api(monitor(folder, {}), figures, book, "secret", None, undelivered).app()
    return cast("dict[str, Any]", TestClient(app).get("/health").json())


def test_notices_that_wait_are_a_fault_of_the_monitor(tmp_path: Path) -> None:
    assert health(tmp_path, dict)["healthy"] is True
    waiting = {"route team": "3 notices wait: answer 403"}
    told = health(tmp_path, lambda: waiting)
    assert told["healthy"] is False
    assert told["faults"] == waiting


def test_figures_and_their_faults_over_http(tmp_path: Path) -> None:
    """Both watched by the real thread, of this machine and of a function that is not there."""
    spec = SPEC.model_copy(
        update={
            "interval_seconds": 0.5,
            "kpis": (
                KpiSpec(name="typo", function="nowhere:nothing"),
                KpiSpec(name="cores", function="os:getpgid", unit="GB"),
            ),
        }
    )
    book = Alerts(AlertStore(f"sqlite:///{tmp_path}/alerts.db"), SPEC.alerts, "dev")
    start = datetime.now(UTC) - timedelta(minutes=5)
    made = [
        Point("", start, start + timedelta(minutes=5), name, 3.5, kind=kind)
        for kind, name in (("kpi", "cores"), ("resource", "gateway memory"))
    ]
    with book.store.transaction() as connection:
        series.write(connection, "", made)
    figures = Figures(environment(tmp_path), spec, book)
    threading.Thread(target=figures.run, daemon=True).start()
    app = Api(monitor(tmp_path, {}), figures, book, "secret", None).app()
    client, known = TestClient(app), {"authorization": "Bearer secret"}
    until(lambda: len(client.get("/health").json()["faults"]) == 2, 20)
    faults = client.get("/health").json()["faults"]
    figures.stop()
    assert "nowhere:nothing cannot be imported" in faults["kpi typo"]
    assert faults["kpi cores"].startswith("TypeError")
    assert client.get("/series/kpi").status_code == 401
    (row,) = client.get("/series/kpi", headers=known).json()["series"]
    assert (row["model"], row["metric"], row["value"], row["unit"]) == ("", "cores", 3.5, "GB")
    (row,) = client.get("/series/resource", headers=known).json()["series"]
    assert row["unit"] == "bytes"


def test_it_is_alive_while_its_database_is_away(tmp_path: Path) -> None:
    def away() -> dict[str, str]:
        raise OSError("connection refused\nand more")

    assert health(tmp_path, away)["faults"] == {"alerts": "connection refused"}
