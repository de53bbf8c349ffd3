"""``modelyard tokens``: on an environment whose outputs are given, without anything up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blueprints.environment import Environment, StorageRef, TrackingRef
from mlops.serving.gateway.callers import FollowedCallers
from tests.tui.conftest import Modelyard
from tui.session import Session


@pytest.fixture
def storage(yard: Path, monkeypatch: pytest.MonkeyPatch) -> StorageRef:
    """The environment's, a folder."""
    storage = StorageRef(kind="folder", buckets={"data": (yard / "bucket").as_uri()})
    environment = Environment(
        project="yard",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url="http://127.0.0.1:9"),
        storage=storage,
        databases={},
    )
    monkeypatch.setattr(Session, "environment", lambda self, again=False: environment)
    return storage


def test_a_token_is_shown_once_and_every_act_is_recorded(
    modelyard: Modelyard, yard: Path, storage: StorageRef, tmp_path: Path
) -> None:
    made = modelyard(
        "-C", yard, "tokens", "create", "app", "--model", "delay", "--rate", "5", "--why", "new app"
    )
    assert made.code == 0, made.err
    token = made.out.strip()
    gateway = FollowedCallers(storage, tmp_path, "t")
    gateway.look()
    caller = gateway.identify(f"Bearer {token}".encode())
    assert caller is not None
    assert caller.may("delay")
    rotated = json.loads(modelyard("-C", yard, "--json", "tokens", "rotate", "app", "--grace", "10m").out)
    told = modelyard("-C", yard, "tokens")
    assert "app" in told.out
    assert "delay" in told.out
    listed = json.loads(modelyard("-C", yard, "tokens", "list", "--json").out)["callers"][0]
    assert (listed["name"], listed["rate"], len(listed["tokens"])) == ("app", 5.0, 2)
    assert modelyard("-C", yard, "tokens", "revoke", "app").code == 2
    assert modelyard("-C", yard, "tokens", "revoke", "app", "--yes").code == 0
    assert json.loads(modelyard("-C", yard, "tokens", "--json").out) == {"callers": []}
    with Session.open(yard) as session:
        audit = session.project.audit_file.read_text()
    entries = [json.loads(line) for line in audit.splitlines()]
    assert [each["action"] for each in entries][-3:] == ["caller.create", "caller.rotate", "caller.revoke"]
    assert entries[-3]["why"] == "new app"
    for secret in (token, rotated["token"]):
        assert secret[4:] not in audit + told.out + told.err + json.dumps(listed)
    assert made.err.count(token) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["create"], "whose?"),
        (["create", "app"], "a caller that may use nothing"),
        (["create", "app", "--model", "*", "--rate", "-1"], "no such rate"),
        (["rotate", "nobody"], "there is no caller nobody"),
        (["rotate", "nobody", "--grace", "soon"], "'soon' is no time"),
        (["revoke", "nobody", "--yes"], "there is no caller nobody"),
    ],
)
def test_what_cannot_be_is_said(
    modelyard: Modelyard, yard: Path, storage: StorageRef, words: list[str], expected: str
) -> None:
    told = modelyard("-C", yard, "tokens", *words)
    assert told.code in (1, 2)
    assert expected in told.err
