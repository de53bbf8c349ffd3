"""The guide, driven as a person drives it; applied for real once, in tmux."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from blueprints import catalog
from blueprints.keys import keys
from stacks.policy.catalog import RULES
from stacks.project import Project
from tests.extension import Installed
from tui.guide.app import Finished, GuideApp, LeaveScreen
from tui.guide.preview import PreviewStep
from tui.guide.state import Answers

MODELYARD = str(Path(sys.executable).parent / "modelyard")
WIDE, NARROW = (120, 40), (80, 24)


def text_of(app: GuideApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_team_is_recommended_a_blueprint_while_it_answers(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=size) as pilot:
        assert "local" in text_of(app, "#advice")
        # who: my team, data: a cloud account, an AWS account is at hand
        await pilot.press("right", "down", "right", "right", "down", "down", "down", "down", "right")
        await pilot.pause()
        assert "aws" in text_of(app, "#advice")
        assert "cannot build it yet" in text_of(app, "#advice")
        assert "--blueprint aws" in text_of(app, "#same")


async def test_many_predictions_a_day_set_replicas(tmp_path: Path) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("down", "down", "down", "right", "right")
        await pilot.pause()
        assert "--set serving.replicas=5" in text_of(app, "#same")


async def test_a_blueprint_this_release_cannot_build_is_refused_plainly(tmp_path: Path) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("right", "enter")
        await pilot.pause()
        assert "cannot build it yet" in text_of(app, "#reason")
        await pilot.press("left", "enter")
        await pilot.pause()
        assert app.screen.query("#form")


async def test_each_blueprint_is_shown_on_a_narrow_screen(tmp_path: Path) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert "PostgreSQL 18" in text_of(app, "#catalog")
        await pilot.press("right")
        await pilot.pause()
        assert "CloudNativePG" in text_of(app, "#catalog")
        assert "PostgreSQL 18" not in text_of(app, "#catalog")


async def test_a_wrong_answer_is_told_beside_its_field_and_blocks(tmp_path: Path) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        field = app.screen.query_one("#serving--replicas", Input)
        field.value = "99"
        await pilot.pause()
        assert "16" in text_of(app, "#fault-serving--replicas")
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(app.screen, PreviewStep)
        assert not (tmp_path / "flights" / "Pulumi.yaml").exists()
        field.value = "2"
        await pilot.pause()
        assert "--set serving.replicas=2" in text_of(app, "#same")


@pytest.fixture
def example(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """The example blueprint, in this process and in those it starts."""

    def look_anew() -> None:
        catalog._installed.cache_clear()
        keys.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "team_blueprint"]:
            del sys.modules[name]

    monkeypatch.syspath_prepend(installed.site)
    monkeypatch.setenv("PYTHONPATH", str(installed.site))
    look_anew()
    yield installed
    monkeypatch.undo()
    look_anew()


async def to_answers_of_the_example(app: GuideApp, pilot: Pilot[Finished]) -> None:
    await pilot.press("enter")
    await pilot.pause()
    # The last of the catalog is left of the first.
    await pilot.press("left", "enter")
    await pilot.pause()
    assert app.answers.blueprint == "example"


@pytest.mark.usefixtures("example")
async def test_the_keys_of_another_packages_blueprint_are_asked_for_like_ours(tmp_path: Path) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=WIDE) as pilot:
        await to_answers_of_the_example(app, pilot)
        groups = [str(each.render()) for each in app.screen.query(".group").results(Static)]
        assert groups[-1] == "example · keys of the blueprint's own · defaults are safe"
        field = app.screen.query_one("#extension--tracking_url", Input)
        assert field.value == "http://127.0.0.1:5000"
        assert text_of(app, "#fault-extension--tracking_url") == "Address of the team's MLflow server."
        field.focus()
        field.value = "nowhere"
        await pilot.pause()
        assert text_of(app, "#fault-extension--tracking_url").startswith("▲ 'nowhere'")
        await pilot.press("enter")
        await pilot.pause()
        assert not (tmp_path / "flights" / "Pulumi.yaml").exists()
        field.value = "https://mlflow.team.example"
        await pilot.pause()
        assert "--set extension.tracking_url=https://mlflow.team.example" in text_of(app, "#same")
        await pilot.press("enter")
        for _ in range(240):
            await pilot.pause(0.25)
            if "to create" in text_of(app, "#headline"):
                break
        # Its rules hold the plan, too.
        assert f"policy ● {len(RULES) + 1} rules" in text_of(app, "#headline")
        await pilot.press("ctrl+q", "y")
    spec = Project.find(tmp_path / "flights").spec("dev")
    assert spec.extension.model_dump()["tracking_url"] == "https://mlflow.team.example"


async def test_a_blueprint_whose_keys_cannot_be_read_is_refused_plainly(
    example: Installed, tmp_path: Path
) -> None:
    (example.site / "team_blueprint" / "settings.py").unlink()
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=WIDE) as pilot:
        await to_answers_of_the_example(app, pilot)
        assert "its settings is 'team_blueprint.settings:Settings'" in text_of(app, "#reason")
        assert not app.screen.query("#form")


def asks_to_leave(app: GuideApp) -> bool:
    return isinstance(app.screen, LeaveScreen)


async def test_leaving_asks(tmp_path: Path) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert asks_to_leave(app)
        await pilot.press("n")
        await pilot.pause()
        assert not asks_to_leave(app)
        await pilot.press("ctrl+q", "y")
        await pilot.pause()
    assert app.return_value is None


async def test_the_plan_is_the_engines(tmp_path: Path) -> None:
    app = GuideApp(tmp_path / "flights")
    async with app.run_test(size=WIDE) as pilot:
        for _ in range(3):
            await pilot.press("enter")
            await pilot.pause()
        for _ in range(240):
            await pilot.pause(0.5)
            if "to create" in text_of(app, "#headline"):
                break
        assert "37 to create" in text_of(app, "#headline")
        assert Project.find(tmp_path / "flights").spec("dev").blueprint == "local"
        await pilot.press("ctrl+q", "y")


def test_the_command_says_the_same_as_the_answers() -> None:
    answers = Answers("flights").set("serving.replicas", "2").set("database.kind", "postgres")
    assert answers.command() == (
        "modelyard init --blueprint local --project flights --set serving.replicas=2 --yes"
    )
    assert answers.spec().serving.replicas == 2


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[str]:
    name = f"modelyard-test-{time.time_ns()}"
    yield name
    subprocess.run(["tmux", "kill-session", "-t", name], check=False, capture_output=True)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.timeout(400)
def test_the_whole_guide_in_a_terminal(tmp_path: Path, terminal: str) -> None:
    folder = tmp_path / "flights"
    folder.mkdir()

    def tmux(*words: str) -> str:
        return subprocess.run(["tmux", *words], check=True, capture_output=True, text=True).stdout

    def see(text: str, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while True:
            screen = tmux("capture-pane", "-p", "-t", terminal)
            if text in screen:
                return screen
            assert time.monotonic() < deadline, f"{text!r} not seen:\n{screen}"
            time.sleep(0.3)

    def press(key: str) -> None:
        tmux("send-keys", "-t", terminal, key)

    tmux("new-session", "-d", "-s", terminal, "-x", "120", "-y", "40", "-c", str(folder), MODELYARD)
    try:
        see("who uses it", 60)
        press("Enter")
        see("← recommended", 30)
        press("Enter")
        see("defaults are safe", 30)
        press("Enter")
        see("37 to create", 120)
        press("Enter")
        see("opens the console", 240)
        press("Enter")
        see("1 Overview", 60)
    finally:
        if (folder / "Pulumi.yaml").exists():
            subprocess.run(
                [MODELYARD, "destroy", "--yes", "--delete-data", "dev"],
                cwd=folder,
                check=True,
                capture_output=True,
            )
    assert not (folder / ".modelyard" / "dev" / "run").exists()
