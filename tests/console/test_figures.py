"""The page of figures, read off the screen: business and resources, what is usual, what is not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.console.fakes import NOW, FakeSession, alert
from tests.console.test_console import app_of, console, go, text_of, until


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    """Revenue that fell, with its alert."""
    found = FakeSession(tmp_path, alerts=0)
    found.alerts = [
        replace(
            alert(7), kind="kpi", severity="page", model="delay", version="", feature="revenue", fired_at=NOW,
            summary="revenue is 400 USD in the hour from Wed 23 Sep 12:00, expected 950 (760 to 1,140)",
        )
    ]  # fmt: skip
    return found


async def test_the_list_says_what_is_usual_and_what_is_not(session: FakeSession) -> None:
    async with console(session).run_test(size=(200, 60)) as pilot:
        await go(pilot, "8")
        shown = text_of(app_of(pilot))
        assert re.search(r"▲ revenue .* USD +-\d\d% +[\d,]+ to [\d,]+ USD +[▁▂▃▄▅▆▇█]{24} +delay", shown)
        assert shown.index("revenue") < shown.index("orders"), "what alerts comes first"
        assert re.search(r"● orders +[\d,.]+ +– +learning", shown)
        assert re.search(r"● gateway memory +\d+ MB +[+-]\d% +240 to 390 MB", shown)
        assert re.search(r"tracking answer +\d\.\d ms", shown)
        assert re.search(r"disk free +4\d% +– +–", shown)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_chart_and_the_periods(session: FakeSession, size: tuple[int, int]) -> None:
    async with console(session).run_test(size=size) as pilot:
        app = app_of(pilot)
        await go(pilot, "8")
        await pilot.press("enter")
        await until(pilot, lambda: "revenue is 400 USD in the hour" in text_of(app))
        shown = text_of(app)
        assert "░" in shown
        assert "expected" in shown or size[1] == 24


async def test_nothing_measured_yet_is_said(tmp_path: Path) -> None:
    async with console(FakeSession(tmp_path, empty=True)).run_test(size=(80, 24)) as pilot:
        await go(pilot, "8")
        assert "monitoring.kpis" in text_of(app_of(pilot))
