"""The guide's last steps on a stand-in engine: what a person sees when it fails, waits or endangers data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.color import Color
from textual.pilot import Pilot
from textual.widgets import Input, RichLog, Static

import tui.guide.app as guide
from blueprints.cost import estimate
from blueprints.layers import Layer
from blueprints.pricebook import packaged
from blueprints.spec import UsageSpec
from mlops.governance.audit import AuditLog
from stacks.engine.events import Verb
from stacks.policy.results import Finding, PolicyResult, Verdict
from stacks.policy.rule import Severity
from tests.blueprints.aws_resources import team
from tests.console.guide_engine import STEPS, FakeEngine, step
from tui.guide.app import Finished, GuideApp
from tui.themes import palette
from tui.widgets.resource_tree import ResourceTree


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GuideApp:
    monkeypatch.setattr(guide, "Engine", FakeEngine)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    FakeEngine.reset()
    return GuideApp(tmp_path / "flights")


def text_of(app: GuideApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


async def until(pilot: Pilot[Finished], condition: Callable[[], bool]) -> None:
    for _ in range(400):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError("it never came to be so")


async def to_preview(app: GuideApp, pilot: Pilot[Finished]) -> None:
    for _ in range(3):
        await pilot.press("enter")
        await pilot.pause()
    await until(pilot, lambda: "to create" in text_of(app, "#headline"))


async def to_apply(app: GuideApp, pilot: Pilot[Finished]) -> None:
    await to_preview(app, pilot)
    await pilot.press("enter")
    await pilot.pause()


def progress(app: GuideApp) -> dict[str, str]:
    return {
        f"{row.step.type} {row.step.name}": row.progress for row in app.screen.query_one(ResourceTree).rows()
    }


async def test_everything_up_opens_the_console_and_is_in_the_audit_log(app: GuideApp) -> None:
    FakeEngine.hold = "gateway"
    async with app.run_test(size=(120, 40)) as pilot:
        await to_apply(app, pilot)
        await until(pilot, FakeEngine.holding.is_set)
        await until(pilot, lambda: progress(app)["service gateway"] == "doing")
        assert progress(app)["service monitor"] == "planned"
        await until(pilot, lambda: "7 of 9" in text_of(app, "#headline"))
        FakeEngine.release.set()
        await until(pilot, lambda: "opens the console" in text_of(app, "#headline"))
        assert set(progress(app).values()) == {"done"}
        await pilot.press("enter")
        await pilot.pause()
    assert app.return_value is not None
    assert app.return_value.environment == "dev"
    actions = [entry.action for entry in AuditLog(app.return_value.project.audit_file).entries()]
    assert actions == ["environment.init", "environment.up.started", "environment.up.done"]


async def test_the_plan_says_how_the_rules_fared_and_an_exception_is_in_the_audit_log(app: GuideApp) -> None:
    found = Finding("urn", "data-bucket", "versioned is false", "a trial", "2027-01-01")
    FakeEngine.policy = (
        PolicyResult("edge-tls", Severity.MANDATORY, Verdict.PASSED),
        PolicyResult("objects-versioned", Severity.MANDATORY, Verdict.EXCEPTED, (found,)),
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await to_preview(app, pilot)
        assert "policy ● 2 rules, 1 excepted" in text_of(app, "#headline")
        await pilot.press("enter")
        await until(pilot, lambda: "opens the console" in text_of(app, "#headline"))
    assert app.project is not None
    entries = {each.action: each for each in AuditLog(app.project.audit_file).entries()}
    used = entries["policy.exception.used"]
    assert (used.after["rule"], used.after["resource"]) == ("objects-versioned", "data-bucket")
    assert used.after["reason"] == "a trial"
    assert used.number < entries["environment.up.started"].number


async def test_a_failure_tells_what_and_retry_goes_on(app: GuideApp) -> None:
    FakeEngine.fail = "gateway"
    async with app.run_test(size=(80, 24)) as pilot:
        await to_apply(app, pilot)
        await until(pilot, lambda: "r retries" in text_of(app, "#headline"))
        said = text_of(app, "#headline")
        assert "port 5000 is in use by postgres, pid 812" in said
        assert "end that process" in said
        assert progress(app)["service gateway"] == "failed"
        await pilot.press("enter")
        await pilot.pause()
        assert app.return_value is None
        FakeEngine.fail = ""
        await pilot.press("r")
        await until(pilot, lambda: "opens the console" in text_of(app, "#headline"))
        # Rules over the whole stack, and what is at stake, are seen before anything more is made.
        assert FakeEngine.calls == ["preview", "up", "preview", "up"]


async def test_a_retry_puts_no_more_at_stake_than_was_agreed_to(app: GuideApp) -> None:
    FakeEngine.fail = "gateway"
    async with app.run_test(size=(80, 24)) as pilot:
        await to_apply(app, pilot)
        await until(pilot, lambda: "r retries" in text_of(app, "#headline"))
        FakeEngine.fail = ""
        FakeEngine.plan = (step("bucket", "data", Layer.STORAGE, Verb.REPLACE, stateful=True),)
        await pilot.press("r")
        await until(pilot, lambda: "nobody was asked about: bucket data" in text_of(app, "#headline"))
        assert FakeEngine.calls == ["preview", "up", "preview"]


async def test_the_selected_failed_resource_shows_its_message(app: GuideApp) -> None:
    FakeEngine.fail = "gateway"
    async with app.run_test(size=(120, 40)) as pilot:
        await to_apply(app, pilot)
        await until(pilot, lambda: progress(app)["service gateway"] == "failed")
        tree = app.screen.query_one(ResourceTree)
        for _ in range(20):
            if tree.cursor_node and tree.cursor_node.data and tree.cursor_node.data.step.name == "gateway":
                break
            await pilot.press("down")
        await pilot.pause()
        log = app.screen.query_one(RichLog)
        assert any("port 5000 is in use" in line.text for line in log.lines)


async def test_cancel_asks_once_and_stops_the_engine(app: GuideApp) -> None:
    FakeEngine.hold = "gateway"
    async with app.run_test(size=(120, 40)) as pilot:
        await to_apply(app, pilot)
        await until(pilot, FakeEngine.holding.is_set)
        await pilot.press("escape", "c")
        await pilot.pause()
        assert "cancel" not in FakeEngine.calls
        await pilot.press("c")
        await until(pilot, lambda: "it was cancelled" in text_of(app, "#headline"))
        assert "cancel" in FakeEngine.calls
        assert progress(app)["service gateway"] == "planned"


async def test_leaving_while_the_engine_works_stops_it(app: GuideApp) -> None:
    FakeEngine.hold = "gateway"
    async with app.run_test(size=(120, 40)) as pilot:
        await to_apply(app, pilot)
        await until(pilot, FakeEngine.holding.is_set)
        await pilot.press("ctrl+q", "y")
        await until(pilot, lambda: "cancel" in FakeEngine.calls)
    assert app.return_value is None


async def test_the_headline_has_the_cost_of_the_plan_itself(app: GuideApp) -> None:
    FakeEngine.cost = estimate(team(), packaged(), "us-east-1", UsageSpec())
    async with app.run_test(size=(120, 40)) as pilot:
        await to_preview(app, pilot)
        assert f"cost {FakeEngine.cost.headline} / month" in text_of(app, "#headline")


async def test_data_at_stake_wants_the_name_typed(app: GuideApp) -> None:
    FakeEngine.plan = (*STEPS[:4], replace(STEPS[4], verb=Verb.DELETE), *STEPS[5:])
    async with app.run_test(size=(120, 40)) as pilot:
        await to_preview(app, pilot)
        assert "1 to delete" in text_of(app, "#headline")
        assert "data at stake" in text_of(app, "#headline")
        await pilot.press("enter")
        await pilot.pause()
        assert "bucket artifacts" in str(app.screen.query_one("#ask Static", Static).render())
        await pilot.press(*"artifact", "enter")
        await pilot.pause()
        assert FakeEngine.calls == ["preview"]
        await pilot.press("s", "enter")
        await until(pilot, lambda: "up" in FakeEngine.calls)


async def test_a_protected_environment_wants_its_name_typed(app: GuideApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await to_preview(app, pilot)
        app.answers = app.answers.set("protected", "yes")
        await pilot.press("enter")
        await pilot.pause()
        assert "dev is protected" in str(app.screen.query_one("#ask Static", Static).render())
        await pilot.press(*"dev", "enter")
        await until(pilot, lambda: "up" in FakeEngine.calls)


async def test_back_from_the_preview_keeps_answers_and_the_names_on_disk(app: GuideApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await to_preview(app, pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.query_one("#project", Input).disabled
        app.screen.query_one("#serving--replicas", Input).value = "3"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: FakeEngine.calls == ["preview", "preview"])
    assert app.project is not None
    assert app.project.spec("dev").serving.replicas == 3


async def test_a_cluster_at_hand_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("apiVersion: v1\n")
    monkeypatch.setenv("KUBECONFIG", str(config))
    assert GuideApp(tmp_path).answers.needs.has_cluster
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert not GuideApp(tmp_path).answers.needs.has_cluster


async def test_the_headline_has_elapsed_and_expected_and_the_log_is_the_selected_services(
    app: GuideApp,
) -> None:
    FakeEngine.hold = "monitor"
    async with app.run_test(size=(120, 40)) as pilot:
        await to_preview(app, pilot)
        log = app.log_file("gateway")
        log.parent.mkdir(parents=True)
        log.write_text("listening on loopback\n")
        await pilot.press("enter")
        await until(pilot, FakeEngine.holding.is_set)
        assert "select a resource" in log_text(app)
        # The engine said 12 s, from earlier runs.
        await until(pilot, lambda: re.search(r"8 of 9 · \d+ s, about \d+ s left", headline(app)) is not None)
        assert "bringing the environment up" in headline(app)
        await until(pilot, lambda: "creating" in tree_text(app))
        assert re.search(r"◐ service +monitor +creating \d+ s of ~4 s", tree_text(app))
        assert re.search(r"● service +gateway +0\.4 s", tree_text(app))
        await select(app, pilot, "gateway")
        await until(pilot, lambda: "listening on loopback" in log_text(app))
        log.write_text("listening on loopback\nserving delay v1\n")
        await until(pilot, lambda: "serving delay v1" in log_text(app))
        FakeEngine.release.set()


async def test_the_keys_are_the_ones_that_do_something_now(app: GuideApp) -> None:
    FakeEngine.fail = "gateway"
    async with app.run_test(size=(120, 40)) as pilot:
        await to_apply(app, pilot)
        await until(pilot, lambda: "r retry" in text_of(app, "#keys"))
        assert "cancel" not in text_of(app, "#keys")
        FakeEngine.fail, FakeEngine.hold = "", "gateway"
        await pilot.press("r")
        await until(pilot, lambda: "c cancel" in text_of(app, "#keys"))
        FakeEngine.release.set()
        await until(pilot, lambda: "⏎ open the console" in text_of(app, "#keys"))
        assert "retry" not in text_of(app, "#keys")


async def test_what_loses_data_is_red_and_nothing_else(app: GuideApp) -> None:
    FakeEngine.plan = (*STEPS[:3], replace(STEPS[3], verb=Verb.REPLACE), *STEPS[4:])
    async with app.run_test(size=(120, 40)) as pilot:
        await to_preview(app, pilot)
        tree = app.screen.query_one(ResourceTree)
        red = {
            row.step.name for row in tree.rows() if tree._line(row).style == palette(app.current_theme).bad
        }
        assert red == {"tracking"}
        assert "data at stake: database tracking" in headline(app)
        await select(app, pilot, "tracking")
        await until(pilot, lambda: "Data can be lost" in text_of(app, "#detail"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_refusals_and_reasons_are_in_sight(app: GuideApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("right", "enter")
        await pilot.pause()
        reason = app.screen.query_one("#reason")
        assert reason.region.bottom <= app.screen.query_one("#body").region.bottom
        assert "cannot build it yet" in " ".join(screen_text(app).split())
        await pilot.press("left", "enter")
        await pilot.pause()
        field = app.screen.query_one("#serving--replicas", Input)
        field.focus()
        field.value = "99"
        await until(pilot, lambda: "▲ 99 is too large; expected whole number 1 to 16" in screen_text(app))


async def test_the_guide_has_both_themes(app: GuideApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(3):
            before = app.current_theme.dark
            await pilot.press("ctrl+t")
            await pilot.pause()
            assert app.current_theme.dark is not before
            drawn = app.screen.query_one("#same", Static).render()
            wanted = Color.parse(palette(app.current_theme).text)
            assert str(wanted) in str(drawn._spans)  # type: ignore[union-attr]
            await pilot.press("enter")
            await pilot.pause()


def headline(app: GuideApp) -> str:
    return text_of(app, "#headline")


def screen_text(app: GuideApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def tree_text(app: GuideApp) -> str:
    tree = app.screen.query_one(ResourceTree)
    return "\n".join(tree._line(row).plain for row in tree.rows())


def log_text(app: GuideApp) -> str:
    return "\n".join(line.text for line in app.screen.query_one(RichLog).lines)


async def select(app: GuideApp, pilot: Pilot[Finished], name: str) -> None:
    """Move the tree's cursor to the resource called ``name``."""
    tree = app.screen.query_one(ResourceTree)
    for _ in range(30):
        node = tree.cursor_node
        if node and node.data and node.data.step.name == name:
            return
        await pilot.press("down")
    raise AssertionError(f"no resource is called {name}")
