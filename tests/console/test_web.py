"""``modelyard web``: the console arrives in a browser, and nobody beyond this machine can ask for it."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from blueprints.spec import EnvironmentSpec
from stacks.project import Project


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command on a free port, and the address it prints. Nothing is up: the console says so."""
    Project.create(tmp_path / "flights", "flights", "dev", EnvironmentSpec())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tui.cli.main", "-C", str(tmp_path / "flights"), "web", "--port"]
    process = subprocess.Popen(
        [*command, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(20)
        process.stdout.close()
        psutil.wait_procs(children, timeout=20)
        assert not [child for child in children if child.is_running()]


async def page_of(client: aiohttp.ClientSession, url: str) -> str:
    """The page, as soon as the server takes connections."""
    for _ in range(200):
        try:
            async with client.get(url) as response:
                assert response.status == 200
                return await response.text()
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.1)
    raise AssertionError(f"{url} never answered")


async def frame_of(client: aiohttp.ClientSession, url: str, words: bytes) -> bytes:
    """What the console draws until ``words`` are in it; then a key leaves it."""
    drawn = b""
    async with asyncio.timeout(60), client.ws_connect(f"{url}/ws?width=120&height=40") as socket_:
        async for message in socket_:
            if message.type is aiohttp.WSMsgType.BINARY:
                drawn += message.data
            if words in drawn:
                await socket_.send_json(["stdin", "q"])
                return drawn
    raise AssertionError(f"the console ended before it drew {words!r}: {drawn[-500:]!r}")


@pytest.mark.timeout(120)
async def test_the_console_arrives_in_a_browser(served: tuple[subprocess.Popen[str], str]) -> None:
    _, url = served
    async with aiohttp.ClientSession() as client:
        page = await page_of(client, url)
        assert f"{url.replace('http', 'ws')}/ws" in page
        # Nothing is asked of another host: no font, no script.
        assert {found.group() for found in re.finditer(r"\w+://[\w.:-]+", page)} <= {
            url,
            url.replace("http", "ws"),
        }
        drawn = await frame_of(client, url, b"Deployments")
        assert b"flights" in drawn
        assert b"modelyard up" in await frame_of(client, url, b"modelyard up")


@pytest.mark.timeout(120)
async def test_it_listens_on_the_loopback_address_only(served: tuple[subprocess.Popen[str], str]) -> None:
    process, url = served
    async with aiohttp.ClientSession() as client:
        await page_of(client, url)
    listening = {
        each.laddr.ip
        for each in psutil.Process(process.pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.timeout(120)
async def test_a_page_of_somebody_else_cannot_take_the_keys(
    served: tuple[subprocess.Popen[str], str],
) -> None:
    _, url = served
    async with aiohttp.ClientSession() as client:
        await page_of(client, url)
        for headers in ({"Origin": "https://example.org"}, {"Origin": "null"}, {"Host": "example.org"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{url}/ws", headers=headers)
            assert refused.value.status == 403
