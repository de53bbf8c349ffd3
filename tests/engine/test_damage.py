"""Bad files, bad folders, full disks, a dead engine: one message, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from blueprints.errors import ExitCode, Problem
from blueprints.keys import assign
from blueprints.spec import EnvironmentSpec
from stacks.engine import Engine
from stacks.engine.faults import explained
from stacks.project import Project
from tests.servers import Answer, serving

#: The lightest environment there is.
LIGHT = assign(
    EnvironmentSpec(),
    ["database.kind=sqlite", "storage.kind=folder", "serving.enabled=false", "monitoring.enabled=false"],
)


def make(folder: Path) -> Project:
    return Project.create(folder, "yard", "dev", LIGHT)


def modelyard(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, that file modes bind even when root runs the tests."""
    command = [sys.executable, "-m", "tui.cli.main", "-C", str(root), *words]
    if os.geteuid() == 0:
        powers = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", "--", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "before", "after", "where", "what"),
    [
        ("Pulumi.dev.yaml", "config:", "encryptionsalt: v1:x\nconfig:", "encryptionsalt", "is damaged"),
        ("Pulumi.yaml", "path: .modelyard/bin", "path: nowhere", "environment dev", "no folder at path"),
        *(
            ("Pulumi.yaml", "url: file://./.modelyard/state", f"url: {url}", "backend.url", what)
            for url, what in (
                ("ftp://x", "no place for the state"),
                ("s3://", "no place for the state"),
                ("https://127.0.0.1:9/", "no place for the state"),
                ("file:///proc/nowhere", "no folder that can be opened"),
            )
        ),
    ],
)
def test_what_the_engine_cannot_read_is_told(
    tmp_path: Path, file: str, before: str, after: str, where: str, what: str
) -> None:
    project = make(tmp_path / "yard")
    path = project.root / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(Problem, match=what) as caught:
        Engine(project, "dev").preview()
    assert where in caught.value.where
    assert caught.value.todo
    assert not project.folder("dev").exists()


NO_AWS = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
CANARY = {
    "AWS_ACCESS_KEY_ID": "AKIACANARY",
    "AWS_SECRET_ACCESS_KEY": "canary-k",
    "AWS_SESSION_TOKEN": "canary-t",
}


@pytest.mark.parametrize(
    ("code", "status", "what", "todo"),
    [
        ("", 0, "there are no credentials for it", "log in"),
        ("ExpiredToken", 400, "the credentials have expired", "log in again"),
        ("AccessDenied", 403, "the credentials may not use it", "access"),
        ("InvalidAccessKeyId", 403, "the credentials are not accepted", "account"),
        ("NoSuchBucket", 404, "it is not there", "name"),
    ],
)
def test_a_bucket_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: int, what: str, todo: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in (NO_AWS | (CANARY if code else {"AWS_EC2_METADATA_DISABLED": "true"})).items():
        monkeypatch.setenv(name, value)
    project = make(tmp_path / "yard")
    path = project.root / "Pulumi.yaml"
    url = "s3://team-state?region=eu-central-1"
    path.write_text(path.read_text().replace("file://./.modelyard/state", url))
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()
    with serving(lambda _: Answer(status, body, {"Content-Type": "application/xml"})) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        for act in (Engine(project, "dev").preview, Engine(project, "dev").resources):
            with pytest.raises(Problem, match=what) as caught:
                act()
            assert caught.value.where == "Pulumi.yaml backend.url"
            assert todo in caught.value.todo
            assert not any(secret in str(caught.value) for secret in CANARY.values())


@pytest.mark.parametrize(("version", "told"), [("99.1.0", True), ("0.0.1", False)])
def test_a_spec_of_a_newer_modelyard_is_told_as_that(tmp_path: Path, version: str, told: bool) -> None:
    project = make(tmp_path / "yard")
    folder = project.home / "state" / ".pulumi" / "stacks" / "yard"
    folder.mkdir(parents=True)
    stack = {"urn": "urn:x", "type": "pulumi:pulumi:Stack", "outputs": {"modelyard": version}}
    latest = {"manifest": {}, "resources": [stack]}
    (folder / "dev.json").write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    path = project.root / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("serving:", "teleport: true\n    serving:"))
    document = json.loads(modelyard(project.root, "preview", "--json").stdout)
    assert document["exit"] == ExitCode.USAGE
    assert "teleport" in document["error"]
    assert ("a newer Modelyard (99.1.0) wrote this" in document["error"]) is told
    assert ("modelyard>=99.1.0" in document["do"]) is told


def test_a_damaged_state_is_told_by_every_reader(tmp_path: Path) -> None:
    project = make(tmp_path / "yard")
    folder = project.home / "state" / ".pulumi" / "stacks" / "yard"
    folder.mkdir(parents=True)
    for name in ("dev.json", "dev.json.bak"):
        (folder / name).write_text('{"version": 3, "checkp')
    for words in (["status"], ["up", "--yes"], ["destroy", "--yes"], ["preview"]):
        done = modelyard(project.root, *words, "--json")
        document = json.loads(done.stdout)
        assert done.returncode == document["exit"] == 1, words
        assert "state is damaged" in document["error"]
        assert "dev.json" in document["where"] or "state" in document["where"]
        assert "modelyard up" in document["do"]
        assert "Traceback" not in done.stderr
    doctor = json.loads(modelyard(project.root, "doctor", "--json").stdout)
    found = {check["name"]: check for check in doctor["checks"]}
    assert found["dev: state"]["status"] == "failed"


@dataclass(frozen=True)
class Disk:
    """A small disk.

    Attributes:
        real: A file system of its own; False: only this process is told that its disk is full.
    """

    folder: Path
    real: bool
    monkeypatch: pytest.MonkeyPatch

    def fill(self) -> None:
        if self.real:
            with (self.folder / "fill").open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            return

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.monkeypatch.setattr(os, "fsync", full)

    def free(self) -> None:
        (self.folder / "fill").unlink(missing_ok=True)
        self.monkeypatch.undo()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk of 8 MB where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "true", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    real = os.geteuid() == 0 and bool(mount) and not subprocess.run(command, check=False).returncode
    try:
        yield Disk(folder, real, monkeypatch)
    finally:
        if real:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def files(folder: Path) -> dict[str, bytes]:
    """What a person would find there; Pulumi's own private files aside."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != "fill"]
    return {str(path): path.read_bytes() for path in found if ".modelyard" not in path.parts}


def test_a_full_disk_leaves_files_whole_and_up_works_when_there_is_room(disk: Disk) -> None:
    from tui.cli.main import main

    root = disk.folder / "yard"
    project = make(root)
    before = files(disk.folder)
    disk.fill()
    for words in (
        ["-C", str(disk.folder / "new"), "init"],
        ["-C", str(root), "init", "--set", "protected=true"],
    ):
        assert main([*words, "--yes"]) == 1
    assert files(disk.folder) == before
    if disk.real:
        for operation in ("up", "preview"):
            words = [operation, "--json", *(["--yes"] if operation == "up" else [])]
            done = modelyard(root, *words)
            assert done.returncode == 1
            assert json.loads(done.stdout)["error"] == "the disk is full"
            assert "Traceback" not in done.stderr
    disk.free()
    assert Engine(project, "dev").preview().changes > 5
    assert project.spec("dev") == LIGHT


def test_no_permission_is_told_with_the_path(tmp_path: Path) -> None:
    root = tmp_path / "yard"
    make(root)
    before = files(tmp_path)
    every = [tmp_path, *tmp_path.rglob("*")]
    modes = {path: path.stat().st_mode for path in every if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        for words in (["init", "--set", "protected=true", "--yes"], ["up", "--yes"], ["preview"]):
            done = modelyard(root, *words, "--json")
            document = json.loads(done.stdout)
            assert done.returncode == document["exit"] == 1, (words, done.stderr)
            assert "no permission" in document["error"]
            assert document["where"].startswith(str(root))
            assert document["do"]
            assert "Traceback" not in done.stderr
        done = modelyard(tmp_path / "new", "init", "--yes", "--json")
        assert "no permission" in json.loads(done.stdout)["error"]
        doctor = json.loads(modelyard(root, "doctor", "--json").stdout)
        folder = next(check for check in doctor["checks"] if check["name"] == "folder")
        assert (folder["status"], bool(folder["todo"])) == ("failed", True)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert files(tmp_path) == before


def test_without_an_engine_or_a_way_to_get_one_nothing_is_begun(tmp_path: Path) -> None:
    project = make(tmp_path / "yard")
    before = sorted(path for path in project.root.rglob("*") if path.name != "audit.jsonl.head")
    # No pulumi and no go on PATH, an empty cache, and downloads that go to a port where nobody listens.
    env = {
        **os.environ,
        "PATH": "/nowhere",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path / "home"),
        "https_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "tui.cli.main", "-C", str(project.root), "up", "--yes", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert done.returncode == document["exit"] == 1
    assert document["error"].startswith("no Pulumi engine, and no way to get one")
    assert "https://www.pulumi.com" in document["do"]
    assert "Traceback" not in done.stderr
    assert not project.folder("dev").exists()
    assert before == sorted(path for path in project.root.rglob("*") if path.name != "audit.jsonl.head")


def test_an_engine_killed_from_outside_is_told(tmp_path: Path) -> None:
    project = make(tmp_path / "yard")
    command = [sys.executable, "-m", "tui.cli.main", "-C", str(project.root), "preview", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed = False
    while process.poll() is None and not killed:
        for child in psutil.Process(process.pid).children():
            if "pulumi" in child.name():
                child.kill()
                killed = True
        time.sleep(0.01)
    out, err = process.communicate()
    assert killed
    document = json.loads(out)
    assert (process.returncode, document["exit"]) == (ExitCode.RETRY, ExitCode.RETRY)
    assert "ended from outside (signal 9)" in document["error"]
    assert "modelyard up" in document["do"]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("stderr", "what", "where"),
    [
        ("error: no such luck", "no such luck", "environment dev"),
        ("error: open /a/meta.yaml: read-only file system", "no permission", "/a/meta.yaml"),
        ("error: write /a/x: No space left on device", "the disk is full", "environment dev"),
    ],
)
def test_what_the_engine_says_is_found_after_its_label(stderr: str, what: str, where: str) -> None:
    output = f"\n code: 255\n stdout: Previewing update (dev):\n\n stderr: {stderr}\n"
    told = explained(output, None, "environment dev", None)
    assert (told.what, told.where) == (what, where)
