"""Kinds that run no process: what they refuse, adopt, and see when someone else changed things."""

from __future__ import annotations

import os
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blueprints.errors import Problem
from stacks.local.home import Home
from stacks.local.kinds import STATEFUL, token
from stacks.provider.file import DataFolder, File
from stacks.provider.kind import Kind
from stacks.provider.port import Port
from stacks.provider.secret import Secret
from stacks.provider.server import KINDS, schema
from stacks.provider.service import Service


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("kind", "inputs", "named", "words"),
    [
        (File, {"name": "a.ini"}, "text", "missing"),
        (File, {"name": "../a.ini", "text": ""}, "name", "plain file name"),
        (File, {"name": "a.ini", "text": 3}, "text", "expected text, got int"),
        (File, {"name": "a.ini", "text": "", "colour": "red"}, "colour", "unknown property"),
        (Port, {"name": "web", "number": 80}, "number", "1024 to 65535, got 80"),
        (Port, {"name": "web", "count": True}, "count", "a whole number, got bool"),
        (Secret, {"name": "key", "length": 4}, "length", "16 to 128, got 4"),
        (Service, {"name": "web", "argv": []}, "argv", "empty list"),
        (Service, {"name": "web", "argv": ["true"], "stop": "KILL"}, "stop", "TERM, INT or QUIT"),
        (DataFolder, {"name": "a/b"}, "name", "plain file name"),
    ],
)
def test_bad_input_is_named_by_its_property(
    home: Home, kind: type[Kind], inputs: dict[str, object], named: str, words: str
) -> None:
    [(key, reason)] = kind(home).check(inputs)
    assert key == named
    assert words in reason


def test_schema_describes_every_kind_and_what_is_secret() -> None:
    resources = schema()["resources"]
    assert set(resources) == set(KINDS)
    assert set(resources) >= STATEFUL
    assert resources[token("Secret")]["properties"]["value"]["secret"] is True
    assert resources[token("File")]["requiredInputs"] == ["name", "text"]
    assert resources[token("Service")]["inputProperties"]["grace"]["default"] == 15


def test_a_secret_is_private_and_adopted_when_the_state_is_lost(home: Home) -> None:
    kind = Secret(home)
    inputs = kind.filled({"name": "key"})
    first = kind.create(inputs)
    path = home.secrets / "key"
    assert len(first["value"]) == 32
    assert mode(path) == 0o600
    assert mode(home.secrets) == 0o700
    kind.delete(first)
    assert kind.create(inputs)["value"] == first["value"]


def test_a_deleted_secret_is_put_back_not_changed(home: Home) -> None:
    kind = Secret(home)
    state = kind.create(kind.filled({"name": "key"}))
    (home.secrets / "key").unlink()
    assert kind.read(state) == state
    assert (home.secrets / "key").read_text() == state["value"]
    assert kind.changed(state, kind.filled({"name": "key", "length": 64})) == []


@pytest.mark.parametrize("text", ["", "mine", "\ufffd"])
def test_an_edited_secret_is_put_back_and_an_empty_one_is_none(home: Home, text: str) -> None:
    kind = Secret(home)
    inputs = kind.filled({"name": "key"})
    state, path = kind.create(inputs), home.secrets / "key"
    path.write_bytes(text.encode("utf-16"))
    assert kind.read(state) == state
    assert path.read_text() == state["value"]
    path.write_text("")
    assert len(kind.create(inputs)["value"]) == 32


def test_a_file_that_is_no_text_any_more_is_drift(home: Home) -> None:
    kind = File(home)
    inputs = {"name": "a.ini", "text": "one"}
    state = kind.create(inputs)
    Path(state["path"]).write_bytes(b"\xff\xfe\x00")
    seen = kind.read(state)
    assert seen is not None
    assert kind.changed(seen, inputs) == ["text"]
    kind.update(seen, inputs)
    assert Path(state["path"]).read_text() == "one"


def test_a_file_shows_drift_and_is_healed(home: Home) -> None:
    kind = File(home)
    inputs = {"name": "a.ini", "text": "one"}
    state = kind.create(inputs)
    path = Path(state["path"])
    assert mode(path) == 0o600
    assert kind.read(state) == state
    path.write_text("two")
    drifted = kind.read(state)
    assert drifted is not None
    assert kind.changed(drifted, inputs) == ["text"]
    assert kind.update(drifted, inputs) == state
    assert path.read_text() == "one"
    path.unlink()
    assert kind.read(state) is None
    kind.delete(state)


def test_a_file_others_may_read_is_drift(home: Home) -> None:
    kind = File(home)
    inputs = {"name": "a.ini", "text": "one"}
    state = kind.create(inputs)
    Path(state["path"]).chmod(0o644)
    drifted = kind.read(state)
    assert drifted is not None
    assert kind.changed(drifted, inputs) == ["private"]
    kind.update(drifted, inputs)
    assert mode(Path(state["path"])) == 0o600


def test_a_digest_says_whether_the_text_changed(home: Home) -> None:
    kind = File(home)
    one, again = kind.create({"name": "a", "text": "1"}), kind.create({"name": "a", "text": "1"})
    other = kind.create({"name": "a", "text": "2"})
    assert one["digest"] == again["digest"] != other["digest"]


def test_ports_are_distinct_even_when_chosen_at_once(home: Home) -> None:
    kind = Port(home)
    gate = threading.Barrier(8)

    def choose(number: int) -> list[int]:
        gate.wait()
        return list(kind.create(kind.filled({"name": f"service-{number % 2}", "count": 3}))["numbers"])

    with ThreadPoolExecutor(8) as pool:
        chosen = [port for ports in pool.map(choose, range(8)) for port in ports]
    assert len(set(chosen)) == len(chosen) == 24


def test_a_certain_port_that_is_taken_names_its_holder(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with pytest.raises(Problem) as caught:
            Port(home).create({"name": "tracking", "number": number, "count": 1})
    words = str(caught.value)
    assert f"port {number} is in use by" in words
    assert f"pid {os.getpid()}" in words
    assert "tracking.port" in words
    state = Port(home).create({"name": "tracking", "number": number, "count": 1})
    assert state["numbers"] == [number]


def test_data_survives_delete(home: Home) -> None:
    kind = DataFolder(home)
    state = kind.create({"name": "storage"})
    (Path(state["path"]) / "row").write_text("kept")
    kind.delete(state)
    assert (Path(state["path"]) / "row").read_text() == "kept"
    assert kind.read(state) == state
