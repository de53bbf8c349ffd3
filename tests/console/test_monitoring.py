"""The monitoring page, read off the screen: map, series, lanes, and what is said of what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops.monitoring.answers import State
from tests.console.fakes import FakeSession
from tests.console.test_console import app_of, console, go, text_of, until
from tests.console.test_deployments import told
from tests.console.watched import heat
from tui.widgets.charts import coarser


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    """One model that drifts, one without predictions."""
    found = FakeSession(tmp_path, alerts=2)
    found.protected = False
    return found


async def test_the_list_says_what_is_known_of_each_model(session: FakeSession) -> None:
    async with console(session).run_test(size=(200, 60)) as pilot:
        await go(pilot, "5")
        shown = text_of(app_of(pilot))
        assert re.search(
            r"△ delay +v8 +2 +wind_1 differs .* auc 0\.678 realised +[▁▂▃▄▅▆▇█]{24} +1.234", shown
        )
        assert "price: no full window of predictions yet." in shown


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_map_the_shares_the_series_and_the_lanes(
    session: FakeSession, size: tuple[int, int]
) -> None:
    async with console(session).run_test(size=size) as pilot:
        app = app_of(pilot)
        page = await go(pilot, "5")
        await pilot.press("enter")
        await until(pilot, lambda: bool(re.search(r"dep_delay +[·░▒▓█]{48}", text_of(app))))
        assert re.search(r"dep_delay .*▒+▓+█+", text_of(app))
        assert re.search(r"name_3 {11}", text_of(app)), "what was not compared is not quiet"
        assert "· quiet  ░ near  ▒ found  ▓ 2×  █ 4× the floor" in text_of(app)
        await until(pilot, lambda: "ks at 6 times what matters" in text_of(app), "the newest window")
        assert "Moved most now: dep_delay 6×, visib 2.7×" in text_of(app)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "ks at 5.7 times what matters" in text_of(app), "the window before")
        await pilot.press("J", "J", *["left_square_bracket"] * 2)
        await until(pilot, lambda: "nothing found, at" in text_of(app), "a quiet feature")
        whole = _whole(page)
        for words in ("reference above, newest window below", "auc 0.678", "1,640 of 2,000 rows labelled"):
            assert words in whole
        assert re.search(r"◆ .*△ .*▲", whole), "what happened, below the series"
        assert re.search(r"4 drift dep_delay .*·+█+▒+", whole)
        assert re.search(r"5 performance auc +█+", whole)


async def test_segments_have_maps_of_their_own(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "5")
        await pilot.press("enter")
        await until(pilot, lambda: "14 features" in text_of(app))
        await pilot.press("s")
        await until(pilot, lambda: "How far from the reference in region=EU" in text_of(app))
        assert "reference above, newest window below" not in text_of(app), "those are of all rows"
        assert "auc 0.726 in region=EU  estimated" in _whole(app.page)
        assert "realised" not in _whole(app.page)
        await pilot.press("s")
        await until(pilot, lambda: "in region=US  7 features" in text_of(app))
        await pilot.press("s")
        await until(pilot, lambda: "reference  14 features" in text_of(app))
        session.watched.states = (State("delay", "8", "", True, 0),)
        await pilot.press("r")
        await until(pilot, lambda: not app.page.table.selected.state.segments)  # type: ignore[union-attr]
        await pilot.press("s")
        await until(pilot, lambda: "has no segments" in told(app))


def test_neighbouring_bins_of_a_number_are_joined_and_categories_are_not() -> None:
    labels = [f"{at} – {at + 1}" for at in range(40)]
    names, was, now = coarser(labels, [0.025] * 40, [0.0] * 39 + [1.0])
    assert names[0] == "0 – 4"
    assert len(names) == 10
    assert sum(was) == pytest.approx(1.0)
    assert now[-1] == 1.0
    words = [f"word {at}" for at in range(40)]
    assert coarser(words, [0.025] * 40, [0.025] * 40)[0] == words


async def test_more_features_than_fit_are_scrolled_to(session: FakeSession) -> None:
    session.watched.heat = heat(500)
    async with console(session).run_test(size=(80, 24)) as pilot:
        app = app_of(pilot)
        await go(pilot, "5")
        await pilot.press("enter")
        await until(pilot, lambda: "500 features, 48 windows" in text_of(app))
        await pilot.press(*["J"] * 60)
        await until(pilot, lambda: "long_name_58" in text_of(app) or "name_58" in text_of(app))
        assert not re.search(r"dep_delay +[·░▒▓█]{9}", text_of(app))


async def test_what_is_missing_is_said(session: FakeSession) -> None:
    session.watched.states = (
        State("broken", "1", "the registry answers 500", True, 0),
        State("blind", "1", "", False, 0),
        State("quiet", "1", "", True, 0),
        State("told", "1", "", True, 0, "Inputs are as before and 0 of 200 predictions have labels."),
    )
    session.watched.quality, session.watched.events, session.alerts = (), (), []
    async with console(session).run_test(size=(200, 60)) as pilot:
        app = app_of(pilot)
        await go(pilot, "5")
        shown = text_of(app)
        assert "broken v1 is not watched: the registry answers 500" in shown
        assert "blind v1 has no reference to compare with" in shown
        assert "quiet v1: nothing differs; no labels have come" in shown
        assert "told v1: Inputs are as before and 0 of 200" in shown
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: "so how good it is cannot be known" in _flat(app))
        await until(pilot, lambda: "No labels have come yet" in text_of(app))
        assert "No alert was ever raised for it." in text_of(app)


async def test_a_monitor_that_is_down_or_has_no_model_says_what_to_do(session: FakeSession) -> None:
    session.down = {"monitor"}
    async with console(session).run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        await until(pilot, lambda: "the monitor does not answer" in text_of(app_of(pilot)))
    session.down, session.empty = set(), True
    async with console(session).run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        await until(pilot, lambda: "modelyard demo --months 4-9" in text_of(app_of(pilot)))


def _flat(app: object) -> str:
    """The screen with its lines joined, for sentences that are wrapped."""
    return " ".join(text_of(app).split())  # type: ignore[arg-type]


def _whole(page: object) -> str:
    """Everything the detail holds, also what is out of sight."""
    from rich.console import Console

    drawn = Console(width=190, color_system=None)
    with drawn.capture() as held:
        drawn.print(page.panel.content)  # type: ignore[attr-defined]
    return held.get()
