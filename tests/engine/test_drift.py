"""Drift of the real environment: told from wishes, classified, raised as alerts, healed, adopted, ignored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from blueprints.errors import ExitCode
from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from mlops.governance.audit import AuditLog
from stacks.engine import Engine
from stacks.engine.drift import today
from stacks.local.home import Home
from stacks.local.supervisor import Supervisor
from tests.conftest import Live
from tests.tui.conftest import Told, run_modelyard
from tests.tui.test_live import secrets

pytestmark = pytest.mark.timeout(400)


class Yard:
    """The command line on the live environment."""

    def __init__(self, live: Live, capsys: pytest.CaptureFixture[str]) -> None:
        self.live, self._capsys = live, capsys
        self.project = live.project
        self.home = Home(live.project.folder("dev"))

    def told(self, *words: str) -> Told:
        return run_modelyard(self._capsys, "-C", self.project.root, *words)

    def drift(self, *words: str) -> tuple[int, dict[str, Any]]:
        told = self.told("drift", *words, "--json")
        return told.code, json.loads(told.out)

    def found(self, *words: str) -> dict[str, tuple[str, list[str]]]:
        code, document = self.drift(*words)
        assert code == (ExitCode.FAILED if document["drifted"] else ExitCode.DONE)
        return {
            f"{each['type']} {each['name']}": (each["change"], each["properties"])
            for each in document["drifts"]
            if not each["ignored"]
        }

    def s3(self) -> Any:
        storage = self.live.environment.storage
        return boto3.client(
            "s3",
            endpoint_url=storage.endpoint_url,
            aws_access_key_id=storage.access_key,
            aws_secret_access_key=storage.secret_key.get_secret_value(),
            region_name=storage.region,
        )

    def alerts(self) -> dict[str, tuple[str, str]]:
        found = json.loads(self.told("alerts", "--all", "--json").out)["alerts"]
        return {
            each["feature"]: (each["severity"], each["state"])
            for each in sorted(found, key=lambda each: int(each["id"]))
            if each["kind"] == "infrastructure"
        }


@pytest.fixture
def yard(live: Live, capsys: pytest.CaptureFixture[str]) -> Iterator[Yard]:
    """As ``up`` built it, before and after."""
    yield Yard(live, capsys)
    live.project.write_spec("dev", EnvironmentSpec())
    Engine(live.project, "dev").up()


def test_a_changed_wish_is_a_plan_and_no_drift(yard: Yard) -> None:
    yard.project.write_spec("dev", assign(EnvironmentSpec(), ["tracking.workers=2", "serving.replicas=2"]))
    assert yard.found() == {}
    assert Engine(yard.project, "dev").preview().changes > 2


def test_from_damage_to_alerts_to_healed(yard: Yard) -> None:
    home, supervisor = yard.home, Supervisor(yard.home)
    # A wish that waits is neither drift nor carried out by healing.
    yard.project.write_spec("dev", assign(EnvironmentSpec(), ["storage.versioning=false"]))
    with supervisor._rpc() as rpc:
        rpc.stopProcess("gateway")
    good = (home.config / "s3.json").read_text()
    (home.config / "s3.json").write_text("{}")
    yard.s3().delete_bucket(Bucket="backups")
    (home.config / "by-hand.ini").write_text("x")
    (home.run / "services" / "by-hand.conf").write_text("[program:by-hand]\ncommand=/bin/true\n")
    expected = {
        "bucket backups-bucket": ("deleted", []),
        "file by-hand.ini": ("added", []),
        "file s3.json": ("edited", ["text"]),
        "service by-hand": ("added", []),
        "service gateway": ("stopped", []),
    }
    assert yard.found("--alert") == expected
    tickets = dict.fromkeys(expected, ("ticket", "firing"))
    assert yard.alerts() == {**tickets, "bucket backups-bucket": ("page", "firing")}
    text = yard.told("drift").out
    assert "▲ bucket backups-bucket  deleted" in text
    assert "no resource owns it" in text
    # What was edited held the key of the storage.
    assert not [secret for secret in secrets(yard.live) if secret in text]

    until = (today() + timedelta(days=30)).isoformat()
    assert yard.drift("ignore", "s3.json", "--until", until, "--why", "being moved")[0] == 0
    code, document = yard.drift("heal", "--yes")
    assert (code, document["healed"]) == (0, 4)
    assert (home.config / "s3.json").read_text() == "{}"
    assert not (home.config / "by-hand.ini").exists()
    kept = {path.name for folder in document["aside"] for path in Path(folder).iterdir()}
    assert kept == {"by-hand.ini", "by-hand.conf"}
    assert {each["Name"] for each in yard.s3().list_buckets()["Buckets"]} == {"artifacts", "data", "backups"}
    assert yard.s3().get_bucket_versioning(Bucket="data")["Status"] == "Enabled"
    assert set(yard.alerts().values()) == {("page", "resolved"), ("ticket", "resolved")}
    assert yard.found() == {}

    # An entry whose day has passed counts for nothing.
    stack = yard.project.stack_file("dev")
    stack.write_text(stack.read_text().replace(until, "2026-01-01"))
    assert yard.found() == {"file s3.json": ("edited", ["text"])}
    assert yard.drift("heal", "--yes", "--why", "done")[0] == 0
    assert (home.config / "s3.json").read_text() == good
    acts = [entry.action for entry in AuditLog(yard.project.audit_file).entries()]
    for act in ("drift.ignore", "environment.heal.started", "environment.heal.done", "drift.put-aside"):
        assert act in acts


def test_what_a_key_decides_can_be_adopted_and_other_drift_cannot(yard: Yard) -> None:
    yard.s3().put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Suspended"})
    (yard.home.config / "s3.json").write_text("{}")
    code, document = yard.drift("adopt", "s3.json")
    assert code == ExitCode.FAILED
    assert "no key of the spec decides this (text)" in document["error"]
    code, document = yard.drift("adopt", "data-bucket", "--why", "cheaper")
    assert code == 0
    assert document["changed"] == [{"key": "storage.versioning", "before": True, "after": False}]
    assert yard.project.spec("dev").storage.versioning is False
    code, document = yard.drift("adopt", "tracking")
    assert (code, document["error"]) == (ExitCode.USAGE, "'tracking' has not drifted")
    entries = list(AuditLog(yard.project.audit_file).entries())
    [act] = [entry for entry in entries if entry.action == "drift.adopt"]
    assert (act.why, act.before) == ("cheaper", {"resource": "bucket data-bucket"})


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["ignore", "s3.json", "--why", "x", "--until", "soon"], "--until"),
        (["ignore", "s3.json", "--why", "x", "--until", "2020-01-01"], "--until"),
        (["ignore", "s3.json", "--until", "2999-01-01"], "--why"),
        (["ignore", "nobody", "--why", "x", "--until", "2999-01-01"], "drift ignore"),
        (["ignore"], "drift"),
    ],
)
def test_an_entry_needs_a_resource_a_day_and_a_reason(
    live: Live, capsys: pytest.CaptureFixture[str], words: list[str], where: str
) -> None:
    before = live.project.stack_file("dev").read_bytes()
    code, document = Yard(live, capsys).drift(*words)
    assert (code, document["where"]) == (ExitCode.USAGE, where)
    assert live.project.stack_file("dev").read_bytes() == before


def test_the_monitor_takes_reports_with_its_token_and_in_its_shape_only(live: Live) -> None:
    ref = live.environment.monitoring
    assert ref
    url, token = f"{ref.url}/observations", ref.token.get_secret_value()
    good = {"resource": "service x", "severity": "ticket", "summary": "s"}
    body = {"kind": "infrastructure", "drifts": [good]}
    assert httpx.post(url, json=body).status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    for drifts in ([{**good, "severity": "loud"}], [{**good, "more": 1}], [{"resource": ""}], "x", [7]):
        answer = httpx.post(url, headers=headers, json={**body, "drifts": drifts})
        assert answer.status_code == 400
        assert "expected" in answer.json()["error"]
    assert httpx.post(url, headers=headers, content=b"[").status_code == 400
    firing = httpx.get(f"{ref.url}/alerts?state=firing", headers=headers).json()["alerts"]
    assert not [each for each in firing if each["kind"] == "infrastructure"]
