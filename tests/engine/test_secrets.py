"""Secrets get another key, on the real engine: nothing restarts, and a kill leaves a key that opens them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
from moto.server import ThreadedMotoServer

from blueprints.errors import ExitCode, Problem, UsageProblem
from mlops.governance.audit import AuditLog
from stacks.engine import Engine, rotation
from stacks.engine.workspace import checkpoint_file, variables
from stacks.project import Project
from stacks.toolchain import find_engine
from tests.engine.test_damage import LIGHT
from tests.engine.test_small import pids
from tests.tui.conftest import run_modelyard


def opens(project: Project, environment: str, passphrase: str) -> bool:
    """Whether a passphrase opens state and configuration of an environment, by the engine's own word."""
    binary = find_engine()
    env = {**os.environ, **variables(project, binary), "PULUMI_CONFIG_PASSPHRASE": passphrase}
    commands = (["stack", "export", "--show-secrets"], ["config", "--show-secrets", "--json"])
    for words in commands:
        command = [str(binary.path), "--non-interactive", *words, "--stack", environment]
        done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, check=False)
        if done.returncode:
            return False
    return True


def set_secret(project: Project, environment: str, value: str) -> None:
    """A secret of a person's own in the configuration."""
    binary = find_engine()
    env = {**os.environ, **variables(project, binary)}
    words = ["config", "set", "--secret", "team:token", "--stack", environment, "--non-interactive"]
    done = subprocess.run(
        [str(binary.path), *words], cwd=project.root, env=env, input=value, text=True, check=False
    )
    assert done.returncode == 0


def start(project: Project) -> subprocess.Popen[bytes]:
    words = ["-C", str(project.root), "--env", "dev", "secrets", "rotate", "--yes"]
    return subprocess.Popen([sys.executable, "-m", "tui.cli.main", *words], stderr=subprocess.DEVNULL)


def passphrase(project: Project) -> str:
    return project.passphrase_file.read_text().strip()


@pytest.fixture(scope="module")
def pair() -> Iterator[Project]:
    """Two environments that share a passphrase; one is up, both have a secret of a person's own."""
    with tempfile.TemporaryDirectory(prefix="modelyard-secrets-") as folder:
        project = Project.create(Path(folder) / "pair", "pair", "dev", LIGHT)
        try:
            Engine(project, "dev").up()
            project.write_spec("two", LIGHT)
            Engine(project, "two").preview()
            for name in ("dev", "two"):
                set_secret(project, name, f"canary-{name}")
            yield project
        finally:
            Engine(project, "dev").destroy(delete_data=True)


def test_rotate_changes_the_passphrase_of_every_environment_and_touches_no_service(
    pair: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    old, before, outputs = passphrase(pair), pids(pair), Engine(pair, "dev").outputs()
    told = run_modelyard(
        capsys, "-C", pair.root, "--env", "dev", "--json", "secrets", "rotate", "--yes", "--why", "leaver"
    )
    assert told.code == 0, told.err
    assert json.loads(told.out)["environments"] == ["dev", "two"]
    new = passphrase(pair)
    assert new != old
    assert new not in told.out + told.err
    for name in ("dev", "two"):
        assert opens(pair, name, new), name
        assert not opens(pair, name, old), name
    assert pair.passphrase_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in pair.home.glob("passphrase*")] == ["passphrase"]
    assert rotation.pending(pair) is None
    assert Engine(pair, "dev").outputs() == outputs
    assert Engine(pair, "dev").preview().unchanged
    assert pids(pair) == before
    acts = [entry for entry in AuditLog(pair.audit_file).entries() if entry.action.startswith("secrets.")]
    assert [entry.action for entry in acts] == ["secrets.rotate.started", "secrets.rotate.done"]
    assert (acts[1].why, acts[1].after["environments"]) == ("leaver", ["dev", "two"])
    # What only the old passphrase opens is gone, and the backup is one that the new one opens.
    checkpoint = checkpoint_file(pair, "dev")
    assert checkpoint is not None
    checkpoint.write_text("")
    assert Engine(pair, "dev").up().steps
    assert pids(pair) == before


def file_changed(project: Project) -> Callable[[], bool]:
    """Whether the first environment's file has the new keeper and its state the old: the worst moment."""
    path = project.stack_file("dev")
    text = path.read_text()
    return lambda: path.read_text() != text


def first_moved(project: Project) -> Callable[[], bool]:
    path = checkpoint_file(project, "dev")
    assert path is not None
    text = path.read_text()
    return lambda: path.exists() and path.read_text() != text


@pytest.mark.parametrize("moment", [file_changed, first_moved], ids=lambda each: each.__name__)
def test_kill_9_in_the_middle_then_rotate_again_converges(
    pair: Project, capsys: pytest.CaptureFixture[str], moment: Callable[[Project], Callable[[], bool]]
) -> None:
    old, before, outputs = passphrase(pair), pids(pair), Engine(pair, "dev").outputs()
    reached = moment(pair)
    process = start(pair)
    while not reached() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -9
    assert passphrase(pair) == old
    with pytest.raises(Problem, match="not finished") as caught:
        Engine(pair, "dev").up()
    assert (caught.value.code, caught.value.where) == (ExitCode.RETRY, str(pair.home / "rotation.json"))
    told = run_modelyard(capsys, "-C", pair.root, "--env", "dev", "--json", "secrets", "rotate", "--yes")
    assert told.code == 0, told.err
    assert json.loads(told.out)["resumed"] is True
    new = passphrase(pair)
    assert new != old
    assert opens(pair, "two", new)
    assert not opens(pair, "dev", old)
    assert Engine(pair, "dev").outputs() == outputs
    assert pids(pair) == before
    assert [path.name for path in pair.home.glob("passphrase*")] == ["passphrase"]


def test_a_wrong_present_passphrase_changes_nothing(pair: Project, tmp_path: Path) -> None:
    right, file = passphrase(pair), pair.stack_file("dev").read_text()
    pair.passphrase_file.write_text("not the right one\n")
    try:
        with pytest.raises(Problem, match="does not open"):
            rotation.rotate(pair, "dev")
        assert rotation.pending(pair) is None
        assert pair.stack_file("dev").read_text() == file
    finally:
        pair.passphrase_file.write_text(right + "\n")
    assert opens(pair, "dev", right)


def test_a_chosen_passphrase_comes_from_a_file(
    pair: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "next"
    words: list[str | Path] = [
        "-C",
        pair.root,
        "--env",
        "two",
        "secrets",
        "rotate",
        "--yes",
        "--passphrase-file",
        file,
    ]
    assert run_modelyard(capsys, *words).code == ExitCode.USAGE
    file.write_text("short\n")
    assert run_modelyard(capsys, *words).code == ExitCode.USAGE
    file.write_text("correct horse battery staple\n")
    assert run_modelyard(capsys, *words).code == 0
    assert passphrase(pair) == "correct horse battery staple"
    assert opens(pair, "dev", "correct horse battery staple")


def test_what_keeps_no_secrets_is_refused(pair: Project) -> None:
    with pytest.raises(UsageProblem, match="keeps no secrets"):
        rotation.rotate(pair, "dev", "plaintext://x")


def test_secrets_are_listed_by_key_and_never_by_value(
    pair: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run_modelyard(capsys, "-C", pair.root, "--env", "dev", "--json", "secrets")
    document = json.loads(told.out)
    assert (document["provider"], document["key"]) == ("passphrase", str(pair.passphrase_file))
    listed = {(each["key"], each["kind"]) for each in document["secrets"]}
    assert {("team:token", "config"), ("tracking.password", "output")} <= listed
    generated = {path.name: path.read_text() for path in (pair.folder("dev") / "data" / "secrets").iterdir()}
    assert {(name, "generated") for name in generated} <= listed
    for value in (*generated.values(), "canary-dev", passphrase(pair)):
        assert value not in told.out + told.err


@contextmanager
def key_service() -> Iterator[tuple[str, str]]:
    """A KMS that speaks AWS's protocol, and a key in it: ``(address, key id)``."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        client = boto3.client("kms", endpoint_url=address, region_name="eu-central-1")
        yield address, client.create_key()["KeyMetadata"]["KeyId"]
    finally:
        server.stop()


def test_a_key_service_keeps_the_secrets_and_gives_them_back(
    pair: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-aws")
    outputs, before = Engine(pair, "dev").outputs(), pids(pair)
    words = ["-C", str(pair.root), "--env", "dev", "--json", "secrets", "rotate", "--yes", "--provider"]
    with key_service() as (address, key):
        url = f"awskms:///{key}?region=eu-central-1&endpoint={quote(address, safe='')}"
        told = run_modelyard(capsys, *words, url)
        assert told.code == 0, told.err
        assert json.loads(told.out)["environments"] == ["dev"]
        assert "encryptionsalt" not in pair.settings("dev")
        # No passphrase opens it now; the other environment still has the shared one.
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "any other")
        assert Engine(pair, "dev").outputs() == outputs
        assert Engine(pair, "dev").preview().unchanged
        monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
        assert opens(pair, "two", passphrase(pair))
        document = json.loads(run_modelyard(capsys, "-C", pair.root, "--env", "dev", "--json", "secrets").out)
        assert (document["provider"], document["key"]) == (url, url)
        wrong = run_modelyard(capsys, *words, url.replace(key, "00000000-0000-0000-0000-000000000000"))
        assert wrong.code == 1
        assert "it is not there" in wrong.err
        assert "canary-of-aws" not in wrong.out + wrong.err
        assert Engine(pair, "dev").outputs() == outputs
        assert run_modelyard(capsys, *words, "passphrase").code == 0
    assert opens(pair, "dev", passphrase(pair))
    assert Engine(pair, "dev").outputs() == outputs
    assert pids(pair) == before
    nobody = run_modelyard(capsys, *words, url)
    assert nobody.code == ExitCode.RETRY
    assert "cannot be reached" in nobody.err
    assert opens(pair, "dev", passphrase(pair))
