"""Callers: made, rotated, revoked, followed; while the storage is away; their rates."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from blueprints.environment import StorageRef
from blueprints.errors import Problem
from mlops.data.files import Files
from mlops.serving.gateway.caller_store import CallerStore
from mlops.serving.gateway.callers import FixedCallers, FollowedCallers
from mlops.serving.gateway.identity import Identity
from tests.mlops.serving.gateway_parts import Sum, columns, yard


@pytest.fixture
def storage(tmp_path: Path) -> StorageRef:
    """A folder."""
    return StorageRef(kind="folder", buckets={"data": (tmp_path / "da ta").as_uri()})


def sent(token: str) -> bytes:
    """The header."""
    return f"Bearer {token}".encode()


def test_a_caller_from_its_first_token_to_its_revocation(storage: StorageRef, tmp_path: Path) -> None:
    store, gateway = CallerStore(storage), FollowedCallers(storage, tmp_path, "let-me-in")
    first = store.create("app", ["sum"], rate=5)
    assert gateway.identify(sent(first)) is None
    gateway.look()
    caller = gateway.identify(sent(first))
    assert caller is not None
    assert (caller.name, caller.administrator, caller.may("sum"), caller.may("other")) == (
        "app",
        False,
        True,
        False,
    )
    second = store.rotate("app", grace_seconds=60)
    gateway.look()
    assert gateway.identify(sent(first)) is gateway.identify(sent(second)) is caller
    # Two are valid at once and no more: a third ends the first.
    third = store.rotate("app", grace_seconds=60)
    gateway.look()
    assert gateway.identify(sent(first)) is None
    assert gateway.identify(sent(second)) is gateway.identify(sent(third)) is caller
    store.rotate("app", grace_seconds=0)
    gateway.look()
    assert gateway.identify(sent(third)) is None
    store.revoke("app")
    gateway.look()
    assert gateway.identify(sent(third)) is None
    assert store.list() == ()
    administrator = gateway.identify(sent("let-me-in"))
    assert administrator is not None
    assert administrator.administrator
    for wrong in (b"", b"Bearer ", b"let-me-in", b"Basic let-me-in", b"Bearer \xff"):
        assert gateway.identify(wrong) is None


def test_the_last_token_ends_after_its_grace(
    storage: StorageRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, gateway = CallerStore(storage), FollowedCallers(storage, tmp_path, "t")
    first = store.create("app", ["*"])
    store.rotate("app", grace_seconds=60)
    gateway.look()
    assert gateway.identify(sent(first)) is not None
    later = time.time() + 61
    monkeypatch.setattr("mlops.serving.gateway.callers.time.time", lambda: later)
    assert gateway.identify(sent(first)) is None


def test_no_token_is_kept_anywhere(storage: StorageRef, tmp_path: Path) -> None:
    store, gateway = CallerStore(storage), FollowedCallers(storage, tmp_path, "let-me-in")
    tokens = [store.create("one", ["*"]), store.create("two", metrics=True), store.rotate("one")]
    assert len({*tokens}) == 3
    assert all(len(each) >= 43 for each in tokens)
    gateway.look()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) == 3
    for path in kept:
        assert path.stat().st_mode & 0o077 == 0
        assert not any(each[4:] in path.read_text() for each in [*tokens, "xxxxlet-me-in"])
    assert not any(each in repr(store.list()) for each in tokens)


def test_known_callers_go_on_while_the_storage_is_away(storage: StorageRef, tmp_path: Path) -> None:
    token = CallerStore(storage).create("app", ["sum"])
    FollowedCallers(storage, tmp_path, "t").look()
    away = StorageRef(
        kind="s3",
        buckets={"data": "s3://data"},
        endpoint_url="http://127.0.0.1:9",
        access_key="a",
        secret_key=SecretStr("b"),
    )
    gateway = FollowedCallers(away, tmp_path, "t", interval=0.05)
    caller = gateway.identify(sent(token))
    assert caller is not None
    assert caller.may("sum")
    (tmp_path / "callers.json").write_text("{")
    assert FollowedCallers(away, tmp_path, "t").identify(sent(token)) is None


def test_a_damaged_record_touches_nobody_else(storage: StorageRef, tmp_path: Path) -> None:
    store, gateway = CallerStore(storage), FollowedCallers(storage, tmp_path, "t")
    one, two = store.create("one", ["*"]), store.create("two", ["*"])
    gateway.look()
    files = Files(storage, "data", "serving", "callers")
    for text in (
        b"{",
        b"[]",
        b'{"name": 1}',
        b'{"name":"one","models":[],"tokens":[{"sha256":"x","created":""}]}',
    ):
        files.write("one.json", text)
        gateway.look()
        assert gateway.identify(sent(one)) is not None
        assert gateway.identify(sent(two)) is not None
    with pytest.raises(Problem, match="damaged"):
        store.rotate("one")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("App", ["*"]), "no caller can be called"),
        (("administrator", ["*"]), "no caller can be called"),
        (("../x", ["*"]), "no caller can be called"),
        (("x",), "a caller that may use nothing"),
        (("x", ["*"], -1.0), "no such rate"),
        (("x", ["*"], float("nan")), "no such rate"),
        (("app", ["*"]), "there already"),
    ],
)
def test_callers_that_cannot_be(storage: StorageRef, arguments: Any, expected: str) -> None:
    store = CallerStore(storage)
    store.create("app", ["*"])
    with pytest.raises(Problem, match=expected):
        store.create(*arguments)
    for act in (store.rotate, store.revoke):
        with pytest.raises(Problem, match="there is no caller nobody"):
            act("nobody")


def test_on_s3(tmp_path: Path) -> None:
    import boto3

    server = ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="data")  # type: ignore[call-overload]
        storage = StorageRef(
            kind="s3",
            buckets={"data": "s3://data"},
            endpoint_url=url,
            access_key="a",
            secret_key=SecretStr("b"),
        )
        store, gateway = CallerStore(storage), FollowedCallers(storage, tmp_path, "t", interval=0.1)
        assert store.list() == ()
        gateway.start()
        token = store.create("app", ["sum"])
        until = time.monotonic() + 10
        while gateway.identify(sent(token)) is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        second = store.rotate("app", 0)
        store.create("other", metrics=True)
        assert [each.name for each in store.list()] == ["app", "other"]
        while gateway.identify(sent(second)) is None or gateway.identify(sent(token)) is not None:
            assert time.monotonic() < until
            time.sleep(0.02)
        store.revoke("app")
        while gateway.identify(sent(second)) is not None:
            assert time.monotonic() < until
            time.sleep(0.02)
        gateway.stop()
        assert gateway.fault == ""
    finally:
        server.stop()


def test_a_rate_is_a_bucket_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("mlops.serving.gateway.identity.time.monotonic", lambda: now)
    caller = Identity("app", ["*"], rate=2)
    assert [caller.wait() for _ in range(3)] == [0.0, 0.0, 0.5]
    now += 0.5
    assert [caller.wait() for _ in range(2)] == [0.0, 0.5]
    now += 100
    assert [caller.wait() for _ in range(3)] == [0.0, 0.0, 0.5]
    slow = Identity("slow", ["*"], rate=0.1)
    assert [slow.wait(), round(slow.wait())] == [0.0, 10]


async def test_a_caller_beyond_its_rate_is_told_when(storage: StorageRef, tmp_path: Path) -> None:
    callers = FollowedCallers(storage, tmp_path, "t")
    token = CallerStore(storage).create("app", ["sum"], rate=0.5)
    callers.look()
    async with yard(Sum(columns("a")), callers=callers) as here:
        here.client.headers["authorization"] = f"Bearer {token}"
        assert (await here.invoke({"inputs": [[1]]})).status_code == 200
        answer = await here.invoke({"inputs": [[1]]})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        assert "app sends more than its rate allows" in answer.json()["error"]
        assert here.log.rows[0][3].caller == "app"


def test_an_environment_without_a_token_is_open(storage: StorageRef, tmp_path: Path) -> None:
    for callers in (FixedCallers(""), FollowedCallers(storage, tmp_path, "")):
        found = callers.identify(b"")
        assert found is not None
        assert found.administrator


def test_times_of_tokens_are_plain_json(storage: StorageRef) -> None:
    store = CallerStore(storage)
    store.create("app", ["*"])
    store.rotate("app", 60)
    old, new = json.loads(store.list()[0].to_json())["tokens"]
    assert datetime.fromisoformat(old["expires"]) < datetime.now(UTC) + timedelta(seconds=61)
    assert new["expires"] == ""
