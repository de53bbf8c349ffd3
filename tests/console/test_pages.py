"""What each page promises to show, read off the screen."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.console.fakes import NOW, FakeSession, alert, run
from tests.console.test_console import app_of, console, go, text_of, until
from tui.themes import DARK, LIGHT
from tui.widgets.charts import line_chart
from tui.widgets.words import clip_middle

SNAPSHOTS = Path(__file__).parent / "__snapshots__"


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    """Twelve runs, three firing alerts, one model."""
    return FakeSession(tmp_path)


async def test_overview_has_health_counts_alerts_deploys_and_acts(session: FakeSession) -> None:
    session.record("environment.up.done")
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: "3 of 3 well" in text_of(app))
        shown = text_of(app)
        for words in (
            r"● MLflow +running +100 MB +1 min",
            r"runs +12",
            r"models +1",
            r"deployments +1",
            r"firing alerts +3",
            r"△ wind_1 differs from the reference",
            r"● delay v1  champion +3 d ago",
            r"30 requests, 1 failed, p95 2 ms",
            r"environment\.up\.done",
        ):
            assert re.search(words, shown), words


async def test_a_down_service_is_told_in_line_1_at_80_columns(session: FakeSession) -> None:
    session.down = {"tracking"}
    async with console(session).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "▲ 1 down" in text_of(app_of(pilot)).splitlines()[0])
        await go(pilot, "2")
        body = "\n".join(text_of(app_of(pilot)).splitlines()[4:])
        assert "the tracking does not answer. modelyard logs tracking" in body
        assert "Runs · – " in text_of(app_of(pilot))


async def test_runs_whose_params_differ_stand_in_one_table(session: FakeSession) -> None:
    session.runs = [run(1), replace(run(2), params={"rate": "0.016666666666666666"}, metrics={"loss": 1.5})]
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "2")
        shown = text_of(app_of(pilot))
        assert {"depth", "kind", "rate", "auc", "loss"} <= {c.title for c in page.table.columns}
        assert re.search(r"train-2 .* 1\.5 .* 0\.01667", shown)


async def test_params_and_metrics_sort_as_numbers(session: FakeSession) -> None:
    session.runs = [replace(run(n), params={"depth": str(depth)}) for n, depth in enumerate((9, 10, 2))]
    async with console(session).run_test(size=(120, 40)) as pilot:
        page = await go(pilot, "2")
        page.table.sort_by([("params.depth", True)])
        assert [row.params["depth"] for row in page.table.rows] == ["10", "9", "2"]


async def test_the_keys_line_and_the_breadcrumbs_follow_the_detail(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "2")
        await pilot.press("enter")
        await until(pilot, lambda: "Runs ▸ train-11 · 12" in text_of(app))
        assert "esc back" in text_of(app).splitlines()[-1]
        await pilot.press("down")
        await until(pilot, lambda: "Runs ▸ train-10 · 12" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "Runs · 12" in text_of(app))
        assert "⏎ open" in text_of(app).splitlines()[-1]


async def test_the_keys_scroll_a_detail_that_stands_alone(session: FakeSession) -> None:
    async with console(session).run_test(size=(80, 24)) as pilot:
        page = await go(pilot, "2")
        await pilot.press("enter")
        box = page.query_one("#detail-box")
        await until(pilot, lambda: box.max_scroll_y > 0, "a chart that does not fit")
        await pilot.press("down", "down", "pagedown")
        await until(pilot, lambda: box.scroll_offset.y > 0, "scrolled")
        await pilot.press("escape", "down")
        assert page.table.cursor == 1


async def test_columns_that_do_not_fit_are_a_key_away(session: FakeSession) -> None:
    async with console(session).run_test(size=(80, 24)) as pilot:
        app = app_of(pilot)
        await go(pilot, "2")
        header = text_of(app).splitlines()[4]
        assert header.rstrip().endswith("→")
        assert " by" not in header
        await pilot.press("right", "right")
        await pilot.pause()
        header = text_of(app).splitlines()[4]
        assert "←" in header
        assert " by" in header


async def test_long_names_keep_what_tells_them_apart(session: FakeSession) -> None:
    name = "sweep-with-a-rather-long-name-for-a-run-number"
    session.runs = [replace(run(n), name=f"{name}-{n}") for n in (1, 2)]
    async with console(session).run_test(size=(80, 24)) as pilot:
        await go(pilot, "2")
        assert re.search(r"sweep-with.*…\S*-1 ", text_of(app_of(pilot)))
        assert re.search(r"sweep-with.*…\S*-2 ", text_of(app_of(pilot)))


async def test_compared_runs_have_the_whole_width_and_their_distance(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        page = await go(pilot, "2")
        await pilot.press("space", "down", "space", "c")
        await until(pilot, lambda: "2 runs side by side" in text_of(app))
        assert not page.table.display
        assert re.search(r"auc +0\.61 +0\.59 -0\.02↓", text_of(app))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: page.table.display)
        assert "Params that differ" not in text_of(app)


async def test_a_version_leads_to_its_run_and_its_data(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "3")
        await pilot.press("enter")
        await until(pilot, lambda: "data flights cb72762d (training)" in text_of(app_of(pilot)))
        shown = text_of(app_of(pilot))
        assert "└─ run train-0 00000000" in shown
        assert "Models ▸ delay v1" in shown
        assert re.search(r"aliases +champion", shown)


async def test_deployments_are_live(session: FakeSession) -> None:
    (row,) = session.gateway().deployments()
    now = [row]
    session.gateway = lambda: SimpleNamespace(deployments=lambda: tuple(now))  # type: ignore[method-assign]
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        page = await go(pilot, "4")
        assert re.search(r"● delay +v1 +○ – +12\.5 +2 +3\.33% ", text_of(app))
        now[0] = replace(
            row, rate_per_second=80.0, requests=90, p95_ms=7.5, state="degraded", reason="v2 fails"
        )
        page.poll()
        await until(pilot, lambda: re.search(r"△ delay .* 80 +7\.5 +1\.11%", text_of(app)) is not None)
        await pilot.press("enter")
        await until(pilot, lambda: "rows a second  80" in text_of(app))
        shown = text_of(app)
        assert "p50 1  p95 7.5  p99 3 ms" in shown
        assert "v2 fails" in shown
        assert re.search(r"since +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d · 3 d ago", shown)


async def test_an_alert_shows_reference_and_current_side_by_side(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "6")
        await pilot.press("enter")
        await until(pilot, lambda: "wind_3: reference above, now below" in text_of(app))
        shown = text_of(app)
        assert re.search(r"calm +█+\S* +90\.0%", shown)
        assert re.search(r"█+\S* +60\.0% -30\.0↓", shown)
        assert re.search(r"█+\S* +40\.0% \+30\.0↑", shown)
        assert "Alerts ▸ 3 drift of wind_3" in shown


async def test_alerts_tell_what_became_of_them_and_how_much_is_heard(session: FakeSession) -> None:
    async with console(session).run_test(size=(160, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "6")
        assert "30 days: 3 alerts a model and week · 80 % useful" in text_of(app).replace("80%", "80 %")
        await pilot.press("enter")
        await until(pilot, lambda: "firing, ticket: alert 3 fired" in text_of(app))


async def test_what_another_alert_explains_is_listed_as_covered_and_counted_nowhere(
    session: FakeSession,
) -> None:
    session.alerts[0] = replace(session.alerts[0], inhibited_by="alert 2: the same in all rows")
    async with console(session).run_test(size=(160, 40)) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: "△2 tickets" in text_of(app).splitlines()[0])
        await go(pilot, "6")
        lines = text_of(app).splitlines()
        assert any("wind_1" in each and "covered" in each for each in lines)
        await pilot.press("end", "enter")
        await until(pilot, lambda: "alert 2: the same in all rows" in text_of(app))


async def test_an_acknowledgement_says_what_the_alert_was_worth(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "6")
        await pilot.press("a", *"noise", "enter")
        await pilot.pause()
        assert session.alerts[2].state == "firing", "a word on its worth is no reason"
        await pilot.press("a", *"noise a known sensor", "enter")
        await until(pilot, lambda: session.alerts[2].state == "acknowledged")
        assert (session.alerts[2].useful, session.alerts[2].why) == (False, "a known sensor")
        await until(pilot, lambda: bool(list(session.log.entries())))
        (entry,) = session.log.entries()
        assert entry.after["useful"] is False


async def test_alerts_like_one_are_silenced_for_a_time_and_the_silence_ends(session: FakeSession) -> None:
    async with console(session).run_test(size=(200, 60)) as pilot:
        app = app_of(pilot)
        await go(pilot, "6")
        await pilot.press("m", *"soon", "enter")
        await pilot.pause()
        assert not session.silences
        await pilot.press("m", *"2 a new sensor", "enter")
        await until(pilot, lambda: bool(session.silences))
        assert session.silences[0].matchers == {"model": "delay", "kind": "drift", "feature": "wind_3"}
        await pilot.press("enter")
        await until(pilot, lambda: "a new sensor" in text_of(app))
        await pilot.press("m")
        await until(pilot, lambda: not session.silences)
        await until(pilot, lambda: len(list(session.log.entries())) == 2)
        acts = [entry.action for entry in session.log.entries()]
        assert acts == ["alert.silence", "alert.unsilence"]


async def test_an_alert_of_the_infrastructure_names_its_resource(session: FakeSession) -> None:
    words = "bucket data-bucket is deleted"
    drifted = replace(alert(9), kind="infrastructure", severity="page", model="", version="", summary=words)
    session.alerts = [replace(drifted, feature="bucket data-bucket")]
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await go(pilot, "6")
        await until(pilot, lambda: re.search(rf"{words} .*firing", text_of(app)) is not None)
        assert "infrastructure" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: "modelyard drift" in text_of(app))
        assert re.search(r"resource +bucket data-bucket", text_of(app))


async def test_infra_is_a_tree_by_layer(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        await go(pilot, "7")
        assert re.search(r"▾ storage .*\n.*   artifacts ■", text_of(app_of(pilot)))
        await pilot.press("l")
        await pilot.pause()
        assert any("type service" in told.message for told in app_of(pilot)._notifications)


async def test_the_palette_runs_commands_and_opens_pages(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: app.current == "overview")
        await pilot.press("ctrl+p", *"Go to Alerts")
        await until(pilot, lambda: "Open the page Alerts" in text_of(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.current == "alerts")
        page = await go(pilot, "2")
        await pilot.press("ctrl+p", *"reverse")
        await until(pilot, lambda: "Turn the order round" in text_of(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: page.table.sorts == [("start", False)])


async def test_the_mouse_opens_pages_and_rows(session: FakeSession) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: app.current == "overview")
        line = text_of(app).splitlines()[1]
        await pilot.click("#pages-line", offset=(line.index("Runs"), 0))
        await until(pilot, lambda: app.current == "runs")
        page = await go(pilot, "2")
        await pilot.click(page.table, offset=(8, 4))
        await until(pilot, lambda: page.table.cursor == 3)
        assert not page.detail_open
        await pilot.click(page.table, offset=(8, 4))
        await until(pilot, lambda: page.detail_open)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
async def test_both_themes_draw_states_in_their_own_colours(session: FakeSession, theme: Any) -> None:
    async with console(session).run_test(size=(120, 40)) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: "3 of 3 well" in text_of(app))
        if theme is LIGHT:
            await pilot.press("t")
        await pilot.pause()
        colours = {
            segment.style.color.triplet.hex
            for strip in app.screen._compositor.render_strips()
            for segment in strip
            if "●" in segment.text and segment.style and segment.style.color and segment.style.color.triplet
        }
        assert colours == {theme.success}


def test_a_chart_names_its_ends_and_a_flat_one_has_one_label() -> None:
    flat = line_chart([(0.0, 0.0), (1.0, 0.0)], 30, 4, ("2 min ago", "now"), floor=0.0)
    assert sum("┤" in line for line in flat) == 1
    assert "2 min ago" in flat[-1]
    assert flat[-1].endswith("now")
    rising = line_chart([(0.0, 2.0), (9.0, 4.0)], 30, 4)
    assert rising[0].startswith("4 ┤")
    assert rising[3].startswith("2 ┤")
    assert rising[-1].endswith("step 9")


def test_a_name_is_cut_in_its_middle() -> None:
    assert clip_middle("a-long-name-7", 20) == "a-long-name-7"
    assert clip_middle("a-very-long-name-7", 12) == "a-very-l…e-7"
    assert len(clip_middle("a-very-long-name-7", 5)) == 5


@pytest.mark.parametrize(
    ("name", "keys"), [("compare", ("2", "space", "space", "c")), ("help", ("2", "t", "?"))]
)
async def test_svg_pictures_are_as_approved(session: FakeSession, name: str, keys: tuple[str, ...]) -> None:
    """Colours and styles too, which text does not have. Delete the file to approve another look."""
    session.runs = [replace(each, start=NOW - timedelta(days=400), end=NOW) for each in session.runs]
    async with console(session).run_test(size=(100, 30)) as pilot:
        app = app_of(pilot)
        await go(pilot, keys[0])
        await pilot.press(*keys[1:])
        await pilot.pause()
        # Line 1 tells the seconds since the last answer: left out.
        app.screen_stack[0].query_one("#where-line").visible = False
        await pilot.pause()
        # The fonts of an exported picture are on another host.
        picture = re.sub(r"\s*@font-face \{.*?\}", "", app.export_screenshot(), flags=re.DOTALL)
    approved = SNAPSHOTS / f"{name}-100x30.svg"
    if not approved.exists():
        approved.write_text(picture)
        pytest.fail(f"wrote {approved.name}: look at it, then run again")
    assert picture == approved.read_text()
