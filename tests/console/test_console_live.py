"""The console on a live environment: real engine, real services."""

from __future__ import annotations

from tests.conftest import Live
from tests.console.test_console import go, text_of, until
from tui.app import ConsoleApp
from tui.session import Session


async def test_pages_of_a_live_environment(live: Live) -> None:
    with Session.open(live.project.root) as session:
        app = ConsoleApp(session)
        async with app.run_test(size=(120, 40)) as pilot:
            count = len(live.environment.services)
            await until(
                pilot, lambda: f"{count} of {count} well" in text_of(app), "all services well", seconds=60
            )
            for key in "345":
                page = await go(pilot, key)
                assert not page.fault
            page = await go(pilot, "7")
            names = {row.name for row in page.table.rows if row.type == "service"}
            assert names
            page.set_filter("type=service")
            await pilot.press("l")
            await until(pilot, lambda: "live" in text_of(app), "the log")
            secrets = [live.environment.tracking.password.get_secret_value()]
            await pilot.press("o")
            await until(pilot, lambda: "Outputs of the stack" in text_of(app), "the outputs")
            assert live.environment.tracking.url in text_of(app)
            assert "[secret]" in text_of(app)
            assert not any(secret in text_of(app) for secret in secrets)
