"""Finding the engine: the order, and what is said when nothing works."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from blueprints.errors import Problem
from stacks.engine import Event
from stacks.toolchain import find, find_engine, install
from stacks.toolchain.hosts import write_language_host


def fake(path: Path, version: str) -> Path:
    """An executable that says it is ``version`` of Pulumi."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho v{version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no Pulumi, no Go and no network."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(install, "_SCRIPT_URL", "http://127.0.0.1:9/install.sh")
    return tmp_path


def test_path_comes_first_when_new_enough(bare: Path) -> None:
    fake(find.cache_folder() / f"v{find.VERSION}" / "pulumi", find.VERSION)
    on_path = fake(bare / "bin" / "pulumi", "3.300.1")
    found = find_engine()
    assert (found.path, found.version, found.source) == (on_path, "3.300.1", "path")
    fake(bare / "bin" / "pulumi", "3.100.0")
    assert find_engine().source == "cache"


def test_nothing_works_says_what_was_tried(bare: Path) -> None:
    fake(bare / "bin" / "pulumi", "3.100.0")
    with pytest.raises(Problem) as caught:
        find_engine()
    text = str(caught.value)
    for part in ("3.100.0", "official download", "no go on PATH", "https://go.dev/dl"):
        assert part in text
    assert not list(find.cache_folder().glob(".part-*"))


def go(bare: Path, script: str) -> None:
    path = bare / "bin" / "go"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


BUILD = """
while [ "$1" != -o ]; do shift; done
test -f go.mod && test -f go.sum || exit 3
echo built >> "$COUNT"
sleep 0.5
printf '#!/bin/sh\\necho v%s\\n' "$VERSION" > "$2"; chmod +x "$2"
"""


def test_a_build_lands_whole_and_once_for_two_processes(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(bare, BUILD)
    monkeypatch.setenv("COUNT", str(bare / "count"))
    monkeypatch.setenv("VERSION", find.VERSION)
    events: list[Event] = []
    found: list[find.EngineBinary] = []
    threads = [threading.Thread(target=lambda: found.append(find_engine(events.append))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.source for each in found) == ["build", "cache"]
    assert (bare / "count").read_text() == "built\n"
    assert any("building" in getattr(each, "message", "") for each in events)
    assert (found[0].folder / "pulumi-language-python").exists()


def test_a_failed_build_tells_the_reason_and_leaves_nothing(bare: Path) -> None:
    go(bare, "echo 'dial tcp: lookup proxy.example: no such host' >&2; exit 1")
    with pytest.raises(Problem, match="no such host"):
        find_engine()
    assert find.installed() is None
    assert not list(find.cache_folder().glob(".part-*"))


def test_the_official_language_host_is_not_overwritten(tmp_path: Path) -> None:
    official = tmp_path / "pulumi-language-python"
    official.write_bytes(b"\x7fELF official")
    write_language_host(tmp_path)
    assert official.read_bytes() == b"\x7fELF official"


def test_the_host_serves_and_says_its_port(tmp_path: Path) -> None:
    write_language_host(tmp_path)
    process = subprocess.Popen(
        [tmp_path / "pulumi-language-python", "127.0.0.1:1"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 1024
    finally:
        process.terminate()
        process.communicate()
