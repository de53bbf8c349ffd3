"""A live environment tells its secrets to nobody, and no part of it phones home."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stacks.engine import Engine
from stacks.engine.workspace import variables
from stacks.local.launch import QUIET
from stacks.local.processes import marked
from stacks.toolchain import find_engine
from tests.conftest import Live
from tests.console.test_console import go
from tests.tui.conftest import Modelyard
from tui.app import ConsoleApp
from tui.session import Session

#: Where a secret may lie, readable by its owner alone.
PRIVATE = ("data/secrets/", "config/", "run/services/")


def secrets_of(live: Live) -> dict[str, str]:
    """Every generated secret of the environment, and the passphrase of its state."""
    folder = live.project.folder("dev") / "data" / "secrets"
    found = {path.name: path.read_text() for path in folder.iterdir()}
    found["passphrase"] = live.project.passphrase_file.read_text().strip()
    assert len(found) > 10
    assert all(len(value) >= 32 for value in found.values())
    return found


def told(live: Live, text: str) -> list[str]:
    """Names of the secrets that ``text`` gives away."""
    return [name for name, value in secrets_of(live).items() if value in text]


@contextmanager
def watching() -> Iterator[dict[int, tuple[str, dict[str, str]]]]:
    """Command line and variables of every process of this machine, those that come and go included."""
    seen: dict[int, tuple[str, dict[str, str]]] = {}
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(0.05):
            for process in psutil.process_iter():
                with suppress(psutil.Error, OSError):
                    seen[process.pid] = (" ".join(process.cmdline()), process.environ())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


def test_no_file_but_the_private_ones_holds_a_secret(live: Live) -> None:
    root, folder = live.project.root, live.project.folder("dev")
    for path in (each for each in root.rglob("*") if each.is_file()):
        names = told(live, path.read_bytes().decode(errors="replace"))
        if not names:
            continue
        assert path.stat().st_mode & 0o077 == 0, (path, names)
        if path != live.project.passphrase_file:
            assert str(path.relative_to(folder)).startswith(PRIVATE), (path, names)


def test_no_command_line_holds_a_secret_and_nothing_phones_home(live: Live, modelyard: Modelyard) -> None:
    with watching() as seen:
        said = modelyard("-C", live.project.root, "up", "--yes", "--json")
    assert said.code == 0, said.err
    assert not told(live, said.out + said.err)
    assert not told(live, "\n".join(line for line, _ in seen.values()))
    root = str(live.project.root)
    engines = [
        variables
        for line, variables in seen.values()
        if variables.get("PULUMI_HOME", "").startswith(root) and "pulumi" in line
    ]
    assert engines
    assert {variables.get("PULUMI_SKIP_UPDATE_CHECK") for variables in engines} == {"true"}
    names = {service.name for service in live.environment.services}
    for name in names:
        family = marked(f"{live.project.folder('dev')}/{name}")
        assert family, name
        for process in family:
            assert process.environ().items() >= QUIET.items(), (name, process.cmdline())
    weed = marked(f"{live.project.folder('dev')}/storage")[0]
    assert "-master.telemetry=false" in weed.cmdline()


async def test_no_picture_of_the_console_shows_a_secret(live: Live) -> None:
    with Session.open(live.project.root) as session:
        app = ConsoleApp(session)
        async with app.run_test(size=(160, 50)) as pilot:
            for key in "123456":
                if key == "1":
                    await pilot.press(key)
                else:
                    await go(pilot, key)
                await pilot.pause()
                picture = app.export_screenshot()
                assert "<svg" in picture
                assert not told(live, picture)


@contextmanager
def canary(live: Live) -> Iterator[str]:
    """A secret of a person's own in the configuration, for a while; its value."""
    value, binary = "canary-in-the-configuration-7f3a", find_engine()
    file = live.project.stack_file("dev")
    before = file.read_text()
    words = ["config", "set", "--secret", "team:token", "--stack", "dev", "--non-interactive"]
    env = {**os.environ, **variables(live.project, binary)}
    subprocess.run([binary.path, *words], cwd=live.project.root, env=env, input=value, text=True, check=True)
    assert value not in file.read_text()
    try:
        yield value
    finally:
        file.write_text(before)


def test_no_event_plan_document_or_comment_holds_a_canary(
    live: Live, modelyard: Modelyard, tmp_path: Path
) -> None:
    root, plan = live.project.root, tmp_path / "plan.json"
    with canary(live) as value:
        events: list[object] = []
        for operation in ("preview", "refresh"):
            getattr(Engine(live.project, "dev", events.append), operation)()
        texts = {"events": repr(events), "resources": repr(Engine(live.project, "dev").resources())}
        assert len(events) > 10
        for words in (
            ["preview", "--all", "--save", plan],
            ["secrets"],
            ["cost"],
            ["policy"],
            ["doctor"],
            ["diff", "dev", "dev"],
            ["init", "--dry-run"],
            ["blueprint", "show", "local"],
        ):
            for form in ([], ["--json"]):
                said = modelyard("-C", root, *form, *words)
                assert said.out + said.err, words
                assert said.code in (0, 1), (words, said.err)
                texts[f"{words[0]} {form}"] = said.out + said.err
        document = tmp_path / "preview.json"
        document.write_text(texts["preview ['--json']"][: texts["preview ['--json']"].rindex("}") + 1])
        texts["comment"] = modelyard("-C", root, "ci", "comment", document).out
        assert texts["comment"]
        texts["plan file"] = plan.read_text()
        assert modelyard("-C", root, "outputs", "--show-secrets", "tracking.password").code == 0
        texts["audit"] = live.project.audit_file.read_text()
        for what, text in texts.items():
            assert not told(live, text), what
            assert value not in text, what
        for path in (each for each in root.rglob("*") if each.is_file()):
            assert value not in path.read_bytes().decode(errors="replace"), path


def test_faults_tell_no_secret(live: Live, modelyard: Modelyard, tmp_path: Path) -> None:
    for words in (
        ["runs", "--filter", "x="],
        ["runs", "--experiment", "no-such"],
        ["models", "no-such"],
        ["outputs", "no.such"],
        ["alerts", "show", "99999"],
        ["logs", "no-such"],
        ["demo", "--data", str(tmp_path / "no.parquet"), "--target", "a", "--time", "b"],
    ):
        said = modelyard("-C", live.project.root, "--json", *words)
        assert said.code in (1, 2), words
        assert not told(live, said.out + said.err)
        assert "internal fault" not in said.err
        assert "alerts" in words or said.code == 2, words
