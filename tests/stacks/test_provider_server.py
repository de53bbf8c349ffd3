"""The provider as the engine meets it: a process that speaks gRPC."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto import provider_pb2_grpc

from stacks.local.home import Home
from stacks.local.kinds import token

#: Starts the provider, hands its port on and stays, as the engine does.
ENGINE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "stacks.provider.server"], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline().strip(), flush=True)
time.sleep(600)
"""


def struct(**values: Any) -> Any:
    made = pb.CreateRequest().properties
    made.update(values)
    return made


def urn(kind: str) -> str:
    return f"urn:pulumi:dev::yard::{token(kind)}::it"


@contextmanager
def provider(home: Home) -> Iterator[tuple[Any, int, subprocess.Popen[str]]]:
    engine = subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    pid, port = (int(word) for word in engine.stdout.readline().split())
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Configure(pb.ConfigureRequest(args=struct(home=str(home.root)), acceptSecrets=True))
            yield stub, pid, engine
    finally:
        engine.kill()
        engine.wait()


def test_a_fault_is_one_message_without_a_stack(home: Home) -> None:
    with provider(home) as (stub, _, _), socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(grpc.RpcError) as caught:
            stub.Create(
                pb.CreateRequest(urn=urn("Port"), properties=struct(name="web", number=number, count=1))
            )
        words = caught.value.details()
        assert f"port {number} is in use by" in words
        assert f"pid {os.getpid()}" in words
        assert "Traceback" not in words
        assert 'File "' not in words


def test_bad_input_fails_the_check_by_property(home: Home) -> None:
    with provider(home) as (stub, _, _):
        answer = stub.Check(pb.CheckRequest(urn=urn("Port"), news=struct(name="web", number=80)))
    assert [(each.property, each.reason) for each in answer.failures] == [
        ("number", "expected 1024 to 65535, got 80")
    ]


def test_a_secret_leaves_the_provider_marked_as_one(home: Home) -> None:
    with provider(home) as (stub, _, _):
        answer = stub.Create(pb.CreateRequest(urn=urn("Secret"), properties=struct(name="key", length=32)))
    value = answer.properties["value"]
    assert value["4dabf18193072939515e22adb298388d"] == "1b47061264138c4ac30d75fd1eb44270"
    assert value["value"] == (home.secrets / "key").read_text()


def test_what_was_deleted_has_no_id_and_what_changed_differs(home: Home) -> None:
    with provider(home) as (stub, _, _):
        made = stub.Create(pb.CreateRequest(urn=urn("File"), properties=struct(name="a.ini", text="one")))
        asked = pb.ReadRequest(
            urn=urn("File"),
            id=made.id,
            properties=made.properties,
            inputs=struct(name="a.ini", text="one"),
        )
        assert stub.Read(asked).id == made.id
        (home.config / "a.ini").write_text("two")
        found = stub.Read(asked)
        differs = stub.Diff(
            pb.DiffRequest(
                urn=urn("File"), id=made.id, olds=found.properties, news=struct(name="a.ini", text="one")
            )
        )
        assert differs.changes == pb.DiffResponse.DIFF_SOME
        assert list(differs.diffs) == ["text"]
        (home.config / "a.ini").unlink()
        assert stub.Read(asked).id == ""


def test_a_preview_touches_nothing(home: Home) -> None:
    with provider(home) as (stub, _, _):
        for kind, inputs in (
            ("File", {"name": "a.ini", "text": "one"}),
            ("Secret", {"name": "key", "length": 32}),
            ("Service", {"name": "web", "argv": ["true"]}),
        ):
            stub.Create(pb.CreateRequest(urn=urn(kind), properties=struct(**inputs), preview=True))
    assert not home.root.exists()


def test_the_provider_ends_with_its_engine(home: Home) -> None:
    with provider(home) as (_, pid, engine):
        watched = psutil.Process(pid)
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        deadline = time.monotonic() + 10
        while watched.is_running() and watched.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_fault_of_ours_is_one_line_and_its_traceback_a_private_file(home: Home) -> None:
    with provider(home) as (stub, _, _), pytest.raises(grpc.RpcError) as caught:
        # A property that the engine's check would have refused.
        stub.Create(pb.CreateRequest(urn=urn("Service"), properties=struct(argv=["true"])))
    words = caught.value.details() or ""
    assert "internal fault (KeyError)" in words
    assert "Traceback" not in words
    report = Path(words.split("with the file ")[1].strip())
    assert "Traceback" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0
    report.unlink()
