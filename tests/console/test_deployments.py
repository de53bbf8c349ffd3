"""The Deployments page: what it shows of a rollout, and the acts on it, as they are asked, done, recorded."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops.serving.rollout.state import Event
from tests.console import deployed
from tests.console.fakes import FakeSession
from tests.console.test_console import Console, app_of, console, go, text_of, until
from tui import rollouts
from tui.app import ConsoleApp
from tui.screens.ask import AskScreen
from tui.screens.deploy import DeployScreen


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    """One model with a canary in the middle, in an environment that nothing protects."""
    made = FakeSession(tmp_path)
    made.protected = False
    made.served = (deployed.canary(),)
    return made


def told(app: ConsoleApp) -> str:
    """What was told in passing."""
    return "\n".join(each.message for each in app._notifications)


async def asked(pilot: Console) -> None:
    """A question stands on the screen."""
    await until(pilot, lambda: isinstance(app_of(pilot).screen, AskScreen), "a question")
    await pilot.pause()


async def test_the_list_has_the_rollout_the_split_and_the_marks(session: FakeSession) -> None:
    session.served = (deployed.canary(), deployed.failed("b"), deployed.frozen("c"), deployed.shadowed("d"))
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        shown = text_of(app_of(pilot))
        assert re.search(
            r"● delay +v7  ◐ canary 25 % · step 3 of 5 · 412 more +120 +3\.1 +0\.01%  ━{6}── ", shown
        )
        assert re.search(r"● b +v7  △ v8 went back: latency: 16 ms", shown)
        assert re.search(r"△ c +v7  ● v7 arrived .* ■ ○2 ", shown)
        assert re.search(r"● d +v7 .* ◐v9 ●1 ", shown)


async def test_the_detail_has_arms_side_by_side_gates_steps_and_words(session: FakeSession) -> None:
    async with console(session).run_test(size=(200, 100)) as pilot:
        app = app_of(pilot)
        await go(pilot, "4")
        await pilot.press("enter")
        await until(pilot, lambda: "Gates of this step" in text_of(app))
        shown = text_of(app)
        for words in (
            r"5 % ●──── 10 % ●──── 25 % ◐──── 50 % ○──── 100 % ○",
            r"champion v7 █+░+ +75 %",
            r"canary +v8 █+░+ +25 %",
            r" champion +canary",
            r"kind +onnx +native",
            r"errors +<0\.01% +1\.03%",
            r"  contract +0 +1",
            r"● errors +pass +\+0\.01 %  ≤ 2 %  \(-0\.4 % to \+1\.1 %\)",
            r"◐ latency +no verdict",
            r"needs about 412 more",
            r"Strategy  canary:5@2m,10@2m,25@2m\+500n,50@2m,100",
            r"previous +v6, not loaded",
            r"3 min ago  grace@hopper",
        ):
            assert re.search(words, shown), words
        assert "canary 25 % · step 3 of 5 · 412 more" in shown.splitlines()[2]


async def test_a_shadow_tells_copies_dropped_and_largest_difference(session: FakeSession) -> None:
    session.served = (deployed.shadowed(),)
    async with console(session).run_test(size=(120, 60)) as pilot:
        app = app_of(pilot)
        await go(pilot, "4")
        await pilot.press("enter")
        await until(pilot, lambda: "largest diff" in text_of(app))
        shown = text_of(app)
        assert re.search(r"champion +flag +shadow", shown)
        assert re.search(r"share +100 % +by rule +copies", shown)
        assert re.search(r"dropped +31", shown)
        assert re.search(r"largest diff +0\.0312", shown)
        assert "tier=gold → v6" in shown


async def test_pause_is_done_at_once_and_recorded(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        await pilot.press("p")
        await until(pilot, lambda: bool(session.acts), "paused")
        ((model, action, what),) = session.acts
        assert (model, action) == ("delay", "pause")
        assert "@" in what["by"]
        await until(pilot, lambda: bool(session.log.tail(1)))
        entry = session.log.tail(1)[0]
        assert (entry.action, entry.target, entry.source) == (
            "deployment.pause",
            "flights/prod/delay",
            "console",
        )
        assert entry.before["candidate"] == "8"


async def test_a_rollback_shows_what_will_answer_and_takes_one_enter(session: FakeSession) -> None:
    session.protected = True
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        await pilot.press("R")
        await asked(pilot)
        shown = text_of(app_of(pilot))
        assert "v7 answers everything, at once. v8 gets nothing any more." in shown
        assert "v7" in shown.split("nothing any more.")[-1]
        await pilot.press("escape")
        assert session.acts == []
        await pilot.press("R")
        await asked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: [act[1] for act in session.acts] == ["rollback"], "rolled back")
        assert "version" not in session.acts[0][2], "the gateway knows which"


async def test_a_rollback_goes_to_the_version_that_is_typed(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        await pilot.press("R")
        await asked(pilot)
        await pilot.press("backspace", "8", "enter")
        await until(pilot, lambda: "▲" in text_of(app_of(pilot)))
        assert session.acts == []
        await pilot.press("backspace", "5", "enter")
        await until(pilot, lambda: bool(session.acts), "rolled back")
        assert (session.acts[0][1], session.acts[0][2]["version"]) == ("rollback", "5")


async def test_a_promotion_past_all_steps_is_typed(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        await pilot.press("P")
        await asked(pilot)
        await pilot.press(*"all", "enter")
        await until(pilot, lambda: "Nothing, or end." in text_of(app_of(pilot)))
        await pilot.press(*["backspace"] * 3, *"end", "enter")
        await until(pilot, lambda: bool(session.acts), "promoted")
        assert (session.acts[0][1], session.acts[0][2]["full"]) == ("promote", True)


async def test_flag_rules_are_added_removed_and_switched(session: FakeSession) -> None:
    session.served = (deployed.frozen(),)

    async def typed(text: str) -> dict[str, Any]:
        session.acts.clear()
        await pilot.press("L")
        await asked(pilot)
        await pilot.press(*text, "enter")
        await until(pilot, lambda: bool(session.acts), text)
        ((_, action, what),) = session.acts
        assert action == "flags"
        flags: dict[str, Any] = what["flags"]
        return flags

    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        await pilot.press("L")
        await asked(pilot)
        shown = text_of(app_of(pilot))
        assert "1  tier=gold,silver:6" in shown
        assert "They are off; the first that fits a request decides." in shown
        await pilot.press(*"tier", "enter")
        await until(pilot, lambda: "'tier' is no rule" in text_of(app_of(pilot)))
        await pilot.press("escape")
        assert (await typed("on"))["on"] is True
        assert [rule["op"] for rule in (await typed("1"))["rules"]] == ["percent"]
        assert [rule["attribute"] for rule in (await typed("user^=t:6"))["rules"]] == ["tier", "user", "user"]


async def test_a_promotion_in_a_protected_environment_takes_its_name(session: FakeSession) -> None:
    session.protected = True
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        await pilot.press("P")
        await asked(pilot)
        assert "it gets 50 % of the traffic" in text_of(app_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "prod is protected" in text_of(app_of(pilot)))
        shown = text_of(app_of(pilot))
        assert "it gets 50 % of the traffic" in shown
        assert "prod is protected: type prod to go on" in shown
        await pilot.press(*"dev", "enter")
        await until(pilot, lambda: "'dev' is not the name" in text_of(app_of(pilot)))
        assert session.acts == []
        await pilot.press(*["backspace"] * 3, *"prod", "enter")
        await until(pilot, lambda: [act[1] for act in session.acts] == ["promote"], "promoted")


async def test_a_freeze_needs_a_reason_and_stops_the_dialog_of_deployments(session: FakeSession) -> None:
    session.served = (deployed.champion(),)
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "4")
        await pilot.press("F")
        await asked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "needs a reason" in text_of(app))
        await pilot.press(*"audit", "enter")
        await until(pilot, lambda: bool(session.acts))
        assert (session.acts[0][1], session.acts[0][2]["why"]) == ("freeze", "audit")
        session.served = (deployed.frozen(),)
        app.page.poll()  # type: ignore[union-attr]
        await until(pilot, lambda: "F unfreeze" in text_of(app).splitlines()[-1])
        await pilot.press("D")
        await until(pilot, lambda: "the model is frozen (audit week" in told(app))
        assert not isinstance(app.screen, DeployScreen)


async def test_a_deployment_says_what_will_happen_and_refuses_a_wrong_strategy(session: FakeSession) -> None:
    session.served = (deployed.champion(),)
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "4")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DeployScreen))
        await until(pilot, lambda: "v1 is loaded, then gets 25" in text_of(app))
        await pilot.press("enter", "down", "down", "down")
        await until(pilot, lambda: "canary:5@1m,25@1m,50@1m,100" in text_of(app))
        await until(pilot, lambda: "each for at least" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "⏎ deploy" in text_of(app))
        await pilot.press("end", "backspace")
        await until(pilot, lambda: "▲ the last step is 100, after" in text_of(app))
        await pilot.press("enter")
        assert isinstance(app.screen, DeployScreen)
        await pilot.press("0", "enter")
        await until(pilot, lambda: bool(session.acts))
        assert session.acts[0][:2] == ("delay", "deploy")
        assert session.acts[0][2]["strategy"] == "canary:5@1m,25@1m,50@1m,100"
        assert session.acts[0][2]["version"] == "1"


async def test_the_models_page_deploys_the_selected_version(session: FakeSession) -> None:
    session.served = (deployed.champion(),)
    async with console(session).run_test(size=(80, 24)) as pilot:
        app = app_of(pilot)
        await go(pilot, "3")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DeployScreen))
        await pilot.press("tab", "tab", "enter")
        await until(pilot, lambda: bool(session.acts))
        assert session.acts[0][2]["version"] == "1"


async def test_a_shadow_is_chosen_among_the_versions_and_stopped(session: FakeSession) -> None:
    session.served = (deployed.champion(),)
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "4")
        await pilot.press("S")
        await asked(pilot)
        await pilot.press("9", "enter")
        await until(pilot, lambda: "delay has no version 9" in text_of(app))
        await pilot.press("backspace", "1", "enter")
        await until(pilot, lambda: bool(session.acts))
        assert session.acts[0][2]["version"] == "1"
        session.served = (deployed.shadowed(),)
        app.page.poll()  # type: ignore[union-attr]
        await until(pilot, lambda: "S shadow off" in text_of(app).splitlines()[-1])
        await pilot.press("S")
        await asked(pilot)
        assert "v9 gets no more copies" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: len(session.acts) == 2)
        assert session.acts[1][2]["version"] == ""


async def test_a_refusal_of_the_gateway_is_told_and_not_recorded(session: FakeSession) -> None:
    session.refusal = "nothing here measures what these gates ask"
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "4")
        await pilot.press("p")
        await until(pilot, lambda: "refused. nothing here measures" in told(app_of(pilot)))
        assert not session.log.tail(1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_every_situation_is_drawn_at_every_size(session: FakeSession, size: tuple[int, int]) -> None:
    session.served = tuple(deployed.sixteen())
    async with console(session).run_test(size=size) as pilot:
        app = app_of(pilot)
        await go(pilot, "4")
        await pilot.press("enter")
        for at in range(6):
            await until(pilot, lambda at=at: f"▸ model-0{at}" in text_of(app).splitlines()[2])  # type: ignore[misc]
            assert app.page is not None
            assert not app.page.fault
            await pilot.press("escape", "down", "enter")


async def test_a_first_version_that_loads_is_told_as_such(session: FakeSession) -> None:
    session.served = (deployed.first(),)
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "4")
        assert re.search(r"◐ delay +v1  ◐ rolling · loading", text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "it answers once it is loaded" in text_of(app))
        assert "25 % ○──── 50 % ○" in text_of(app)
        await pilot.press("R")
        await asked(pilot)
        assert "v1 is not loaded, and no version answers" in text_of(app)


def test_words_for_what_is_left() -> None:
    item = deployed.canary()
    rollout = item.desired.active
    assert rollout is not None
    at = rollout.since + 75.2
    assert rollouts.left(item, at)[:2] == ["00:45 left", "412 more"]
    assert rollouts.clock(3 * 3600 + 252) == "3:04:12"
    bare = replace(item, verdicts=(), step_requests=100)
    assert rollouts.missing(bare) == 400
    assert rollouts.left(replace(item, step_requests=None, verdicts=()), rollout.since + 500) == []


def test_words_for_strategies() -> None:
    from mlops.serving.rollout.strategy import parse

    def words(text: str) -> list[str]:
        return [
            each.replace("\N{NO-BREAK SPACE}", " ") for each in rollouts.strategy(parse(text), "v8", "v7")
        ]

    one = words("canary:5@2m,25@200n,100,fail=freeze,inconclusive=rollback:2h")
    assert one[0] == (
        "v8 is loaded, then gets 5 % for at least 2 min, then 25 %"
        " for at least 200 requests, then everything from v7."
    )
    assert one[2] == (
        "A fail holds the traffic as it is, until a person decides."
        " Without a verdict: it goes back after 2 h."
    )
    shadow = words("shadow:1h")
    assert shadow[0] == "v8 is loaded, then gets copies of the traffic for at least 1 h; a person decides."
    assert "better by 0" in words("ab:50,metric=conversion")[1]


def test_events_of_others_keep_who_and_when() -> None:
    from tui.themes import DARK, palette
    from tui.widgets.deployment_text import events

    item = deployed.champion()
    desired = item.desired.but(events=(Event(at=time.time() - 90, by="ci@runner", text="it is done"),))
    assert re.search(
        r"[12] min ago  ci@runner  \d{4}-", events(replace(item, desired=desired), 80, palette(DARK)).plain
    )
