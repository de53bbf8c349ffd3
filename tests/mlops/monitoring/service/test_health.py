"""What the monitor says of itself: also that nobody hears it, and also when it cannot say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from starlette.testclient import TestClient

from mlops.monitoring.alerts import Alerts, AlertStore
from mlops.monitoring.service.api import Api
from tests.mlops.monitoring.service.watched import SPEC, monitor


def health(folder: Path, undelivered: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
    book = Alerts(AlertStore(f"sqlite:///{folder}/alerts.db"), SPEC.alerts, "dev")
    app = Api(monitor(folder, {}), book, "secret", None, undelivered).app()
    return cast("dict[str, Any]", TestClient(app).get("/health").json())


def test_notices_that_wait_are_a_fault_of_the_monitor(tmp_path: Path) -> None:
    assert health(tmp_path, dict)["healthy"] is True
    waiting = {"route team": "3 notices wait: answer 403"}
    told = health(tmp_path, lambda: waiting)
    assert told["healthy"] is False
    assert told["faults"] == waiting


def test_it_is_alive_while_its_database_is_away(tmp_path: Path) -> None:
    def away() -> dict[str, str]:
        raise OSError("connection refused\nand more")

    assert health(tmp_path, away)["faults"] == {"alerts": "connection refused"}
