"""The console by its keys: pages, filter, sort, compare, acknowledge, faults, empty pages, small sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.console.fakes import FakeSession
from tui.app import ConsoleApp
from tui.screens.page import ListPage
from tui.themes import palette
from tui.widgets.frame import Rule

Console = Pilot[None]


def text_of(app: ConsoleApp) -> str:
    """What stands on the screen, line by line."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    assert len(lines) == height
    assert width
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


async def until(pilot: Console, holds: Callable[[], bool], what: str = "", seconds: int = 10) -> None:
    """Wait for a condition, not for a time."""
    for _ in range(100 * seconds):
        if holds():
            return
        await pilot.pause(0.01)
    raise AssertionError(f"never held: {what}\n{text_of(app_of(pilot))}")


def app_of(pilot: Console) -> ConsoleApp:
    """The app a pilot steers."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    return app


async def go(pilot: Console, key: str) -> ListPage:
    """Open a page by its digit and wait for its rows."""
    await pilot.press(key)
    app = app_of(pilot)
    await until(
        pilot,
        lambda: isinstance(app.page, ListPage) and (app.page.snapshot is not None or bool(app.page.fault)),
        f"page {key} read",
    )
    await pilot.pause()
    page = app.page
    assert isinstance(page, ListPage)
    return page


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    """Twelve runs, three firing alerts, one model."""
    return FakeSession(tmp_path)


def console(session: FakeSession) -> ConsoleApp:
    """The console on a session."""
    return ConsoleApp(session.as_session())


async def test_overview_tells_services_alerts_and_protection(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: "3 of 3 well" in text_of(app) and "3 tickets" in text_of(app))
        assert "flights ▸ prod ■ protected" in text_of(app)
        # The frame has the colour of the symbol.
        colour = palette(app.current_theme).protected
        assert [str(rule.draw(10).style) for rule in app.query(Rule)] == [colour, colour]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("2", "train-11"),
        ("3", "champion"),
        ("4", "delay"),
        ("6", "wind_1 differs"),
        ("7", "artifacts ■"),
    ],
)
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_every_page_shows_its_rows_at_every_size(
    session: FakeSession, key: str, words: str, size: tuple[int, int]
) -> None:
    async with console(session).run_test(size=size) as pilot:
        await go(pilot, key)
        await until(pilot, lambda: words in text_of(app_of(pilot)), words)
        assert ": command" in text_of(app_of(pilot)).splitlines()[-1]


async def test_escape_goes_back_and_never_quits(session: FakeSession) -> None:
    async with console(session).run_test(size=(80, 24)) as pilot:
        page = await go(pilot, "2")
        await pilot.press("enter")
        opened = (page.detail_open, page.table.display)
        assert opened == (True, False)  # narrow: the detail takes the list's place
        await pilot.press("escape")
        closed = (page.detail_open, page.table.display)
        assert closed == (False, True)
        await pilot.press("escape")
        assert app_of(pilot).current == "overview"
        await pilot.press("escape", "escape")
        assert app_of(pilot).is_running


async def test_detail_stands_beside_the_list_when_it_is_wide(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "2")
        await pilot.press("enter")
        await until(pilot, lambda: "⣀" in text_of(app_of(pilot)) or "┤" in text_of(app_of(pilot)), "a chart")
        assert page.table.display
        assert "cb72762d" in text_of(app_of(pilot))


async def test_filter_by_condition_as_it_is_typed(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "2")
        await pilot.press("slash", *"metrics.auc>0.58")
        await until(pilot, lambda: len(page.table.rows) == 3)
        assert {row.name for row in page.table.rows} == {"train-9", "train-10", "train-11"}
        await pilot.press("enter")
        assert "3 of 12 · /metrics.auc>0.58" in text_of(app_of(pilot))
        await pilot.press("escape")
        assert len(page.table.rows) == 12


async def test_a_cancelled_filter_leaves_the_one_before(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "2")
        await pilot.press("slash", *"train-11", "enter")
        await pilot.press("slash", *"xyz", "escape")
        assert [row.name for row in page.table.rows] == ["train-11"]


async def test_sort_by_key_and_by_header(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "2")
        assert page.table.rows[0].name == "train-11"
        page.table.sort_by([("metrics.auc", False)])
        assert page.table.rows[0].name == "train-0"
        await pilot.press("R")
        assert page.table.rows[0].name == "train-11"
        await pilot.click(page.table, offset=(6, 0))
        assert page.table.sorts == [("name", False)]


async def test_compare_puts_differing_params_first(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "2")
        await pilot.press("c")  # nothing marked: told, not done
        await pilot.press("space", "space", "c")
        await until(pilot, lambda: "Params that differ" in text_of(app_of(pilot)))
        shown = text_of(app_of(pilot))
        assert shown.index("depth", shown.index("Params that differ")) < shown.index(
            "Params that are the same"
        )
        assert shown.rindex("boosting") > shown.index("Params that are the same")


async def test_acknowledge_asks_for_a_reason_and_leaves_a_trace(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "6")
        selected = page.table.selected
        assert selected is not None
        await pilot.press("a", "enter")
        await pilot.pause()
        assert session.alerts[0].state == "firing"  # no reason, no act
        await pilot.press("a", *"storm", "enter")
        await until(pilot, lambda: any(a.state == "acknowledged" for a in session.alerts))
        await until(pilot, lambda: bool(list(session.log.entries())))
        (entry,) = session.log.entries()
        assert (entry.action, entry.why, entry.source) == ("alert.acknowledge", "storm", "console")
        assert entry.target == f"flights/prod/alerts/{selected.id}"


async def test_a_service_that_is_down_is_told_and_the_rest_works(session: FakeSession) -> None:
    session.down = {"tracking"}
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: "MLflow is not running: killed." in text_of(app))
        assert "▲ 1 down" in text_of(app)
        await go(pilot, "2")
        assert "the tracking does not answer" in text_of(app)
        page = await go(pilot, "6")
        assert len(page.table.rows) == 3


async def test_rows_stay_when_their_service_goes_down(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "2")
        session.down = {"tracking"}
        page.poll()
        await until(pilot, lambda: bool(page.fault))
        assert len(page.table.rows) == 12


async def test_nothing_is_up(session: FakeSession) -> None:
    session.down = {"environment", "tracking", "gateway", "monitor"}
    async with console(session).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "modelyard up" in text_of(app_of(pilot)))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("2", "modelyard exec"),
        ("3", "Register one"),
        ("4", "champion"),
        ("6", "No alert"),
        ("7", "modelyard up"),
    ],
)
async def test_empty_pages_teach(tmp_path: Path, key: str, words: str) -> None:
    async with console(FakeSession(tmp_path, empty=True)).run_test(size=(80, 24)) as pilot:
        await go(pilot, key)
        await until(pilot, lambda: words in text_of(app_of(pilot)), words)


async def test_jump_help_theme_and_copy(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await pilot.press("colon", *"runs train-7", "enter")
        await until(pilot, lambda: app.current == "runs")
        await until(
            pilot,
            lambda: isinstance(app.page, ListPage) and [r.name for r in app.page.table.rows] == ["train-7"],
        )
        await pilot.press("y")
        assert app.clipboard == session.runs[7].id
        before = app.theme
        await pilot.press("t")
        assert app.theme != before
        await pilot.press("question_mark")
        await until(pilot, lambda: "Runs: keys" in text_of(app))
        assert "Marked runs side by side" in text_of(app)
        await pilot.press("escape")
        assert app.current == "runs"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_runs_page_reads_as_it_was_approved(session: FakeSession, size: tuple[int, int]) -> None:
    """Text of the body against a snapshot; delete the file to approve another look."""
    async with console(session).run_test(size=size) as pilot:
        await go(pilot, "2")
        await pilot.press("down", "space")
        await pilot.pause()
        # Line 1 tells the seconds since the last answer: left out.
        lines = [line.rstrip() for line in text_of(app_of(pilot)).splitlines()[1:]]
    approved = Path(__file__).parent / "__snapshots__" / f"runs-{size[0]}x{size[1]}.txt"
    if not approved.exists():
        approved.parent.mkdir(exist_ok=True)
        approved.write_text("\n".join(lines) + "\n")
        pytest.fail(f"wrote {approved.name}: look at it, then run again")
    assert lines == approved.read_text().splitlines()


async def test_secrets_stay_masked(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "7")
        await pilot.press("down", "enter")
        await until(pilot, lambda: "[secret]" in text_of(app_of(pilot)))
        assert page.detail_open


async def test_the_first_frame_does_not_wait(session: FakeSession) -> None:
    from threading import Event

    gate = Event()
    answer = session.environment

    def slow(again: bool = False) -> Any:
        gate.wait(20)
        return answer(again)

    session.environment = slow  # type: ignore[method-assign]
    async with console(session).run_test(size=(120, 40)) as pilot:
        assert "reading the environment" in text_of(app_of(pilot))
        await go(pilot, "6")  # keys work meanwhile
        gate.set()
        await until(pilot, lambda: "synced" in text_of(app_of(pilot)))


def test_every_binding_has_an_id() -> None:
    from textual.binding import Binding

    from tui.screens.alerts import AlertsPage
    from tui.screens.infra import InfraPage
    from tui.screens.runs import RunsPage
    from tui.widgets.virtual_table import VirtualTable

    for owner in (ConsoleApp, ListPage, RunsPage, AlertsPage, InfraPage, VirtualTable):
        for binding in owner.BINDINGS:
            assert isinstance(binding, Binding)
            assert binding.id
