"""``modelyard alerts`` and ``modelyard monitor`` against a monitor process over a past."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from blueprints.environment import DatabaseRef, Environment, MonitoringRef, StorageRef, TrackingRef
from mlops.governance.audit import AuditLog
from mlops.monitoring.alerts import Alerts, AlertStore, Window
from tests.mlops.monitoring.alerts.made import finding
from tests.mlops.yard import free_port, process, until
from tests.servers import Answer, Request, serving
from tests.tui.conftest import Modelyard
from tui.session import Session

KEY = "a-signing-key"


def fill(url: str) -> None:
    """Five days of a model: noise in single windows, and a drift of ``x`` that goes on."""
    now = datetime.now(UTC) - timedelta(days=5)

    def clock() -> datetime:
        return now

    book = Alerts(AlertStore(url), environment="dev", clock=clock)
    for number in range(40):
        now += timedelta(hours=3)
        found = [finding("n", found=number % 7 == 0), finding("x", found=number >= 36)]
        book.record(found, Window("m", "1", now - timedelta(hours=3), now, 1000), {})
    book.store.close()


@pytest.fixture
def monitored(tmp_path: Path, yard: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    """A monitor of the project ``yard``; yields what its route was sent."""
    got: list[Request] = []

    def answer(request: Request) -> Answer:
        got.append(request)
        return Answer(200, {})

    url = f"sqlite:///{tmp_path / 'alerts.db'}"
    fill(url)
    (tmp_path / "key").write_text(KEY)
    database = DatabaseRef.model_validate({"name": "monitoring", "url": url})
    at = f"http://127.0.0.1:{free_port()}"
    environment = Environment(
        project="p",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url=f"http://127.0.0.1:{free_port()}"),
        storage=StorageRef(kind="folder", buckets={"data": (tmp_path / "data").as_uri()}),
        databases={"monitoring": database},
        monitoring=MonitoringRef.model_validate({"url": at, "token": "see", "database": database}),
    )
    with serving(answer) as receiver:
        hook = {"name": "hook", "kind": "webhook", "url": receiver, "secret": f"file:{tmp_path / 'key'}"}
        down = {"name": "down", "kind": "slack", "url": f"file:{tmp_path / 'nothing'}", "levels": ["page"]}
        source = {"name": "orders", "models": ["m"]}
        spec = {"monitoring": {"alerts": {"routes": [hook, down], "sources": [source]}}}
        variables = {
            "MODELYARD_ENVIRONMENT": json.dumps(environment.revealed()),
            "MODELYARD_SPEC": json.dumps(spec),
            "MODELYARD_AUDIT_FILE": str(tmp_path / "audit.jsonl"),
            "MODELYARD_PORT": at.rpartition(":")[2],
            "MODELYARD_DATA_DIR": str(tmp_path / "monitor"),
        }
        log = tmp_path / "monitor.log"
        with process([sys.executable, "-m", "mlops.monitoring"], log, **variables):
            until(lambda: httpx.get(f"{at}/health", trust_env=False).status_code == 200)
            monkeypatch.setattr(Session, "environment", lambda self, again=False: environment)
            yield got
        assert KEY not in log.read_text()


def test_an_alert_is_listed_judged_silenced_and_its_route_tried(
    tmp_path: Path, yard: Path, modelyard: Modelyard, monitored: list[Request]
) -> None:
    def told(*words: str) -> str:
        said = modelyard("-C", yard, *words)
        assert said.code == 0, (words, said.err)
        return said.out

    (alert,) = json.loads(told("alerts", "--json"))["alerts"]
    assert (alert["feature"], alert["state"]) == ("x", "firing")
    number = str(alert["id"])
    assert "x moved" in told("alerts", "show", number)
    assert [line.split()[2] for line in told("alerts", "history", number).splitlines()[1:]] == [
        "pending",
        "firing",
    ]

    silence = told("alerts", "silence", "model=m", "feature=x*", "--hours", "2", "--why", "planned").strip()
    assert told("alerts").splitlines()[1:] == []
    assert "feature=x*" in told("alerts", "silences")
    told("alerts", "unsilence", silence)
    assert "feature=x*" not in told("alerts", "silences")

    after = json.loads(told("alerts", "ack", number, "--useful", "--why", "real", "--json"))
    assert (after["state"], after["useful"]) == ("acknowledged", True)
    assert "(useful)" in told("alerts", "show", number)
    acts = [entry.action for entry in AuditLog(tmp_path / "audit.jsonl").tail(10)]
    assert {"alert.silence", "alert.unsilence", "alert.acknowledge"} <= set(acts)

    told("alerts", "source", "orders", "--down", "--why", "the warehouse is full")
    assert "the warehouse is full" in told("alerts")
    assert "(explained by alert" in told("alerts", "--all")
    told("alerts", "source", "orders", "--up")
    assert "the warehouse is full" not in told("alerts")
    assert "no source others" in modelyard("-C", yard, "alerts", "source", "others", "--up").err

    assert told("alerts", "test-route", "hook") == "hook\ttaken\n"
    trials = [r.data["status"] for r in monitored if r.data["entries"][0]["kind"] == "trial"]
    assert trials == ["firing", "resolved"]
    refused = modelyard("-C", yard, "alerts", "test-route", "down")
    assert (refused.code, "FileNotFoundError" in refused.out) == (3, True)
    for words, code in (
        (("test-route", "none"), 1),
        (("silence", "colour=red"), 1),
        (("silence", "model"), 2),
        (("ack",), 2),
        (("ack", "x"), 2),
        (("unsilence", "99"), 1),
        (("source", "orders"), 2),
        (("source", "orders", "--down"), 2),
        (("source", "others", "--up"), 1),
    ):
        assert modelyard("-C", yard, "alerts", *words).code == code, words


def test_a_policy_is_tried_on_the_past_and_thresholds_fit_a_budget(
    tmp_path: Path, yard: Path, modelyard: Modelyard, monitored: list[Request]
) -> None:
    loud = tmp_path / "loud.yaml"
    loud.write_text("windows: 1\nof_windows: 1\nclear_windows: 1\n")

    def replayed(*words: str | Path) -> dict[str, object]:
        said = modelyard("-C", yard, "monitor", "replay", *words, "--over", "1w", "--json")
        assert said.code == 0, said.err
        found: dict[str, object] = json.loads(said.out)
        return found

    quiet, noisy = replayed(), replayed(loud)
    assert quiet["windows"] == noisy["windows"] == 40
    assert [a["feature"] for a in quiet["alerts"]] == ["x"]  # type: ignore[attr-defined]
    assert len(noisy["alerts"]) == 7  # type: ignore[arg-type]
    text = modelyard("-C", yard, "monitor", "replay", loud, "--over", "7d").out
    assert "alerts a model week" in text
    assert "time to acknowledge" in text

    tuned = modelyard("-C", yard, "monitor", "tune", loud, "--budget", "2/week", "--over", "7d", "--json")
    assert tuned.code == 0, tuned.err
    document = json.loads(tuned.out)
    assert document["fits"] is True
    assert document["per_week"] <= 2
    fatigue = json.loads(modelyard("-C", yard, "monitor", "fatigue", "--json").out)
    assert fatigue["alerts"] == 1

    rules = yaml.safe_load(modelyard("-C", yard, "monitor", "rules").out)
    assert rules["groups"][0]["rules"]
    board = json.loads(modelyard("-C", yard, "monitor", "dashboards").out)
    assert board["panels"]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("colour: red\n")
    for words in (("replay", wrong), ("replay", tmp_path / "none"), ("tune",), ("fatigue", "--over", "x")):
        assert modelyard("-C", yard, "monitor", *words).code == 2, words
