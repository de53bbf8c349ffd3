"""Limits: sizes, places, deadlines, slow clients; and that each caller gets its own row."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from mlops.serving.gateway import server as serving
from mlops.serving.gateway.callers import FixedCallers
from mlops.serving.gateway.heads import Head
from mlops.serving.gateway.limits import Gate, Limits, before
from mlops.serving.gateway.predict import Owed
from mlops.serving.rows import BusyError, Runtime
from tests.mlops.serving.gateway_parts import Onnx, Sum, Yard, columns, logistic, yard

AB = columns("a", "b")


async def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    async with yard(Sum(AB), limits=Limits(body_bytes=1000)) as here:
        answer = await here.invoke({"inputs": [[1, 2]] * 1000})
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")
        assert "at most 1000 bytes" in answer.json()["error"]

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" " * 100

        answer = await here.client.post("/invocations/sum", content=parts())
        assert answer.status_code == 413
        assert here.gateway.bodies.held == 0
        assert here.evidence().requests == 0


async def test_rows_are_limited() -> None:
    async with yard(Sum(AB), limits=Limits(rows=2)) as here:
        answer = await here.invoke({"inputs": [[1, 2]] * 3})
        assert (answer.status_code, answer.json()["error"]) == (400, "expected 1 to 2 rows, got 3")


async def test_bodies_of_all_requests_are_limited() -> None:
    async with yard(Sum(AB, seconds=0.2), limits=Limits(buffered_bytes=100)) as here:
        body = {"inputs": [[1, 2]], "pad": "x" * 40}
        answers = await asyncio.gather(*(here.invoke(body) for _ in range(3)))
        assert sorted(each.status_code for each in answers) == [200, 503, 503]
        assert here.gateway.bodies.held == 0


async def test_compressed_bodies_are_not_taken() -> None:
    async with yard(Sum(AB)) as here:
        answer = await here.invoke({"inputs": [[1, 2]]}, headers={"content-encoding": "gzip"})
        assert answer.status_code == 415


async def test_large_bodies_are_parsed_beside_the_loop() -> None:
    async with yard(Sum(AB), limits=Limits(inline_bytes=100)) as here:
        rows = [[index, 1] for index in range(200)]
        answer = await here.invoke({"inputs": rows})
        assert answer.json()["predictions"] == [float(index + 1) for index in range(200)]


async def test_overload_is_told_at_once_and_never_stalls() -> None:
    async with yard(Sum(AB, seconds=0.1), limits=Limits(concurrency=2, queue=3)) as here:
        start = time.perf_counter()
        answers = await asyncio.gather(*(here.invoke({"inputs": [[1, 2]]}) for _ in range(20)))
        codes = [each.status_code for each in answers]
        assert (codes.count(200), codes.count(503)) == (5, 15)
        assert all(each.headers["retry-after"] == "1" for each in answers if each.status_code == 503)
        assert time.perf_counter() - start < 2
        assert here.evidence().errors == {"busy": 15}
        assert here.gateway.predictor.gates["sum"].active == 0
        assert (await here.invoke({"inputs": [[1, 2]]})).status_code == 200


async def test_a_deadline_ends_the_wait_for_the_model_and_for_a_place() -> None:
    async with yard(Sum(AB, seconds=5), limits=Limits(concurrency=1)) as here:
        headers = {"x-modelyard-deadline-ms": "50"}
        start = time.perf_counter()
        answers = await asyncio.gather(
            *(here.invoke({"inputs": [[1, 2]]}, headers=headers) for _ in range(3))
        )
        assert time.perf_counter() - start < 2
        for each in answers:
            assert each.status_code == 503
            assert "deadline passed" in each.json()["error"]
        assert here.evidence().errors == {"deadline": 3}
        assert here.gateway.predictor.gates["sum"].active == 0
        assert here.gateway.predictor.gates["sum"].waiting == 0
        for wrong in ("0", "-1", "soon", "1e3"):
            answer = await here.invoke({"inputs": [[1, 2]]}, headers={"x-modelyard-deadline-ms": wrong})
            assert answer.status_code == 400


async def test_each_caller_gets_its_own_row() -> None:
    names = [f"f{index}" for index in range(20)]
    rows = np.random.default_rng(3).normal(size=(200, 20)).astype("float32")
    runtime = Onnx(logistic(), names)
    async with yard(runtime, Sum(columns(*names), seconds=0.001), limits=Limits(queue=1000)) as here:

        async def one(index: int) -> tuple[float, float]:
            tensor = {"name": "x", "shape": [1, 20], "datatype": "FP32", "data": rows[index].tolist()}
            exact = (await here.infer([tensor], model="lr")).json()
            total = (await here.infer([tensor])).json()
            assert exact["id"] != total["id"]
            return exact["outputs"][0]["data"][0], total["outputs"][0]["data"][0]

        found = await asyncio.gather(*(one(index) for index in range(200)))
        expected = logistic().predict_proba(rows)[:, 1]
        assert np.abs(np.array([each[0] for each in found]) - expected).max() < 1e-5
        assert np.allclose([each[1] for each in found], rows.sum(axis=1, dtype=float), atol=1e-4)
        assert len({row[3].id for row in here.log.rows}) == 400


async def test_a_gate_gives_places_in_order_and_loses_none() -> None:
    gate = Gate(1, 2)
    loop = asyncio.get_running_loop()
    far = loop.time() + 60
    await gate.enter(far)
    order: list[int] = []

    async def wait(number: int, deadline: float) -> None:
        await gate.enter(deadline)
        order.append(number)
        gate.leave()

    first = asyncio.create_task(wait(1, far))
    late = asyncio.create_task(wait(2, loop.time() + 0.01))
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        await late
    cancelled = asyncio.create_task(wait(3, far))
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await gate.enter(far)
    cancelled.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cancelled
    second = asyncio.create_task(wait(4, far))
    await asyncio.sleep(0)
    gate.leave()
    await asyncio.gather(first, second)
    assert order == [1, 4]
    assert (gate.active, gate.waiting) == (0, 0)


async def test_before() -> None:
    async def work(seconds: float, fault: bool = False) -> int:
        if seconds:
            await asyncio.sleep(seconds)
            await asyncio.sleep(0)
        if fault:
            raise ValueError("mine")
        return 7

    now = asyncio.get_running_loop().time()
    assert await before(now + 5, work(0)) == 7
    assert await before(now + 5, work(0.01)) == 7
    for seconds in (0, 0.01):
        with pytest.raises(ValueError, match="mine"):
            await before(now + 5, work(seconds, fault=True))
    with pytest.raises(TimeoutError):
        await before(now + 0.05, work(5))
    task = asyncio.create_task(before(now + 60, work(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@asynccontextmanager
async def live(*runtimes: Runtime, limits: Limits | None = None) -> AsyncIterator[tuple[str, Yard]]:
    """A gateway on a real socket; yields its address."""
    async with yard(*runtimes, limits=limits) as here:
        with socket.socket() as made:
            made.bind(("127.0.0.1", 0))
            made.listen(100)
            port = made.getsockname()[1]
            server = serving.server(here.gateway, 5)
            task = asyncio.create_task(server._serve([made]))
            # uvicorn has a flag here, no event.
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            try:
                yield f"127.0.0.1:{port}", here
            finally:
                server.should_exit = True
                await task


HEAD = b"POST /invocations/sum HTTP/1.1\r\nhost: x\r\nauthorization: Bearer let-me-in\r\n"


async def answer_to(address: str, *parts: bytes, pause: float = 0.0, size: int = 65536) -> bytes:
    """What a raw connection gets for these bytes until it is closed or silent."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(size), 10)
    finally:
        writer.close()


async def test_a_slow_body_is_ended_and_others_are_served_meanwhile() -> None:
    async with live(Sum(AB), limits=Limits(body_seconds=0.3)) as (address, here):
        slow = [
            asyncio.create_task(answer_to(address, HEAD + b"content-length: 100\r\n\r\n{")) for _ in range(20)
        ]
        await asyncio.sleep(0.1)
        async with httpx.AsyncClient(headers=here.client.headers, trust_env=False) as client:
            start = time.perf_counter()
            answer = await client.post(f"http://{address}/invocations/sum", json={"inputs": [[1, 2]]})
            assert answer.json()["predictions"] == [3.0]
            assert time.perf_counter() - start < 0.2
        for text in await asyncio.gather(*slow):
            assert text.startswith(b"HTTP/1.1 408")
            assert b"did not arrive within 0.3 s" in text
        assert here.gateway.bodies.held == 0


async def test_a_slow_or_endless_head_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.3)
    async with live(Sum(AB)) as (address, _):
        assert b"408" in (await answer_to(address, b"POST / HTTP/1.1\r\nx: y"))[:20]
        assert b"408" in (await answer_to(address))[:20]
        # The head of a second request on the same connection is timed, too.
        body = orjson.dumps({"inputs": [[1, 2]]})
        whole = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        text = await answer_to(address, whole, b"POST /", pause=0.5)
        assert text.count(b"HTTP/1.1 200") == text.count(b"HTTP/1.1 408") == 1
        assert b"431" in (await answer_to(address, HEAD + b"x: " + b"y" * 200_000))[:20]
        assert b"400" in (await answer_to(address, b"\x00\x01nonsense\r\n\r\n"))[:20]


async def test_connections_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 2)
    async with live(Sum(AB)) as (address, _):
        host, port = address.split(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        text = await answer_to(address)
        assert text.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in text
        for _, writer in held:
            writer.close()


async def test_keep_alive_pipelines_and_refusals_share_a_connection() -> None:
    async with live(Sum(AB)) as (address, here):
        body = orjson.dumps({"inputs": [[1, 2]]})
        good = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        bad = HEAD.replace(b"sum", b"nobody") + b"content-length: 2\r\n\r\n{}"
        text = await answer_to(address, good + bad + good, pause=0.3)
        assert (text.count(b"HTTP/1.1 200"), text.count(b"HTTP/1.1 404")) == (2, 1)
        assert text.index(b"404") < text.rindex(b"200")
        gone = await asyncio.open_connection(*address.split(":"))
        gone[1].write(HEAD + b"content-length: 100\r\n\r\n{")
        await gone[1].drain()
        gone[1].close()
        await asyncio.sleep(0.2)
        assert here.gateway.bodies.held == 0


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A gateway with a slow model in a process of its own."""
    code = (
        "import socket, sys\n"
        "from tests.mlops.serving.gateway_parts import MemoryLog, OneArm, Sum, Tokens, columns\n"
        "from mlops.serving.gateway.app import Gateway\n"
        "from mlops.serving.gateway.server import serve\n"
        "made = socket.socket(); made.bind(('127.0.0.1', 0)); made.listen(100)\n"
        "print(made.getsockname()[1], flush=True)\n"
        "serve(Gateway(OneArm(Sum(columns('a', 'b'), seconds=4.0)), MemoryLog(), Tokens()), [made])\n"
    )
    root = Path(__file__).parents[3]
    made = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": "."}
    )
    try:
        assert made.stdout is not None
        yield made, f"http://127.0.0.1:{int(made.stdout.readline())}"
    finally:
        made.kill()
        made.wait()


async def test_what_was_begun_is_answered_before_the_process_ends(tmp_path: Path) -> None:
    with process(tmp_path) as (made, url):
        headers: dict[str, Any] = {"authorization": "Bearer let-me-in"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=20) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{url}/v2/health/live")).is_success:
                        break
                await asyncio.sleep(0.05)
            asked = [
                asyncio.create_task(client.post(f"{url}/invocations/sum", json={"inputs": [[index, 1]]}))
                for index in range(20)
            ]
            # Begun is what the gateway has, however long that takes on this machine.
            begun = 'modelyard_in_flight{model="sum"} 20'
            while begun not in (await client.get(f"{url}/metrics")).text:
                assert not any(each.done() for each in asked)
            made.terminate()
            answers = await asyncio.gather(*asked)
        assert [each.json()["predictions"] for each in answers] == [[index + 1.0] for index in range(20)]
        made.wait(20)


async def test_a_quick_answer_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"f{index}" for index in range(20)]
    row = {"name": "x", "shape": [1, 20], "datatype": "FP32", "data": [0.5] * 20}
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"inputs": [row]}, {"x-request-id": "r-1", "traceparent": trace}),
        ({"inputs": [row], "id": "7", "parameters": {"ids": ["mine"]}}, {}),
        ({"inputs": [{**row, "data": [None] + [1] * 19}]}, {}),
        ({"inputs": [{**row, "data": ["1"] * 20}]}, {}),
        ({"inputs": [row], "parameters": {"binary_data_output": True}}, {}),
        ({"inputs": [row]}, {"authorization": "Bearer wrong"}),
        ({"inputs": [row]}, {"content-type": "text/plain"}),
        ({"inputs": [row]}, {"connection": "close"}),
    ]
    async with live(Onnx(logistic(), names)) as (address, here):
        used: list[object] = []
        quick, learned = here.gateway.quick, here.gateway._quick

        def watched(path: bytes, headers: list[tuple[bytes, bytes]], text: bytes) -> bytes | None:
            answer = quick(path, headers, text)
            used.append(answer)
            return answer

        again = here.gateway.again

        def watched_again(head: Head, text: bytes) -> Owed | bytes | None:
            answer = again(head, text)
            if answer is not None:
                used.append(answer)
            return answer

        monkeypatch.setattr(here.gateway, "quick", watched)
        monkeypatch.setattr(here.gateway, "again", watched_again)
        url, base = f"http://{address}/v2/models/lr/infer", dict(here.client.headers)
        async with httpx.AsyncClient(headers=base, trust_env=False) as client:
            for body, headers in sent:
                # What is learned from the first request makes the second quick.
                await client.post(url, json={"inputs": [row]})
                first = await client.post(url, json=body, headers=headers)
                learned.clear()
                second = await client.post(url, json=body, headers=headers)
                assert [each is None for each in used[-2:]] == [False, True]
                found = []
                for each in (first, second):
                    told = dict(each.headers)
                    name = told.pop("x-request-id")
                    span = told.pop("traceparent", "")[:36]
                    found.append((each.status_code, told, span, each.content.replace(name.encode(), b"ID")))
                assert found[0] == found[1]
        assert here.evidence("lr").requests == len(here.log.rows) + len(here.log.failures)


async def test_each_caller_gets_its_own_row_quickly_too() -> None:
    names = [f"f{index}" for index in range(20)]
    rows = np.random.default_rng(4).normal(size=(300, 20)).astype("float32")
    async with live(Onnx(logistic(), names)) as (address, here):
        limits = httpx.Limits(max_connections=16)
        base = dict(here.client.headers)
        async with httpx.AsyncClient(headers=base, trust_env=False, limits=limits, timeout=30) as client:

            async def one(index: int) -> float:
                tensor = {"name": "x", "shape": [1, 20], "datatype": "FP32", "data": rows[index].tolist()}
                url = f"http://{address}/v2/models/lr/infer"
                answer = (await client.post(url, json={"inputs": [tensor]})).json()
                value: float = answer["outputs"][0]["data"][0]
                return value

            found = await asyncio.gather(*(one(index) for index in range(300)))
        assert np.abs(np.array(found) - logistic().predict_proba(rows)[:, 1]).max() < 1e-5
        assert here.gateway._quick


async def test_quick_answers_on_one_connection_in_any_pieces() -> None:
    async with live(Onnx(logistic(), [f"f{index}" for index in range(20)])) as (address, here):
        body = orjson.dumps({"inputs": [{"name": "x", "shape": [1, 20], "data": [0.5] * 20}]})
        head = HEAD.replace(b"/invocations/sum", b"/v2/models/lr/infer")
        whole = head + b"content-length: %d\r\n\r\n" % len(body) + body
        assert (await answer_to(address, whole)).startswith(b"HTTP/1.1 200")
        assert here.gateway._quick
        # Pipelined, cut anywhere, and mixed with what takes the usual way.
        usual = b"GET /v2/models/lr HTTP/1.1\r\nhost: x\r\nauthorization: Bearer let-me-in\r\n\r\n"
        text = await answer_to(address, whole + whole + usual + whole, pause=0.3)
        assert text.count(b"HTTP/1.1 200 OK") == 4
        for cut in (5, len(whole) - len(body) - 2, len(whole) - len(body), len(whole) - 3):
            text = await answer_to(address, whole[:cut], whole[cut:] + whole, pause=0.2)
            assert text.count(b"HTTP/1.1 200 OK") == 2
        closed = whole.replace(b"host: x", b"host: x\r\nconnection: close")
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(closed)
        text = await asyncio.wait_for(reader.read(), 5)
        assert text.count(b"HTTP/1.1 200 OK") == 1
        writer.close()


async def test_a_head_that_comes_again_is_read_once_and_asked_each_time() -> None:
    async with live(Onnx(logistic(), [f"f{index}" for index in range(20)])) as (address, here):
        head = HEAD.replace(b"/invocations/sum", b"/v2/models/lr/infer")

        def request(value: str, more: bytes = b"") -> bytes:
            tensor = {"name": "x", "shape": [1, 20], "data": [0.5] * 20}
            body = orjson.dumps({"inputs": [tensor], "id": value})
            return head + more + b"content-length: %d\r\n\r\n" % len(body) + body

        text = await answer_to(address, *(request(f"r{index}") for index in range(4)), pause=0.2)
        assert [b'"id":"r%d"' % index in text for index in range(4)] == [True] * 4
        known = here.gateway.heads
        assert len(known) == 1
        # Numbered requests, chunks, several at once and refusals are none of it.
        await answer_to(address, request("a", b"x-request-id: 7\r\n"), pause=0.1)
        await answer_to(address, request("b") + request("c"), pause=0.1)
        body = request("d").partition(b"\r\n\r\n")[2]
        chunked = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        assert b'"id":"d"' in await answer_to(address, head + chunked, head + chunked, pause=0.1)
        assert len(known) == 1
        # The same head with a body in pieces, with another request behind it, and with rows that are refused.
        whole = request("r9")
        text = await answer_to(address, whole, whole[:-5], whole[-5:] + whole, whole + whole, pause=0.2)
        assert text.count(b"HTTP/1.1 200 OK") == 5
        odd = whole.replace(b"0.5", b"t.5", 1)
        text = await answer_to(address, odd, whole.replace(b"0.5", b'"1"', 1), whole, pause=0.2)
        assert [text.count(b"HTTP/1.1 %d" % status) for status in (400, 200)] == [2, 1]
        # A token that is taken away is refused although its head is known.
        here.gateway._callers = FixedCallers("another")
        assert (await answer_to(address, whole)).startswith(b"HTTP/1.1 401")


async def test_answers_of_one_turn_are_recorded_together_and_each_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"f{index}" for index in range(20)]
    head = HEAD.replace(b"/invocations/sum", b"/v2/models/lr/infer")
    async with live(Onnx(logistic(), names)) as (address, here):
        taken: list[int] = []
        settle = here.gateway.settle

        def watched(owed: Sequence[Owed]) -> list[bytes]:
            taken.append(len(owed))
            return settle(owed)

        monkeypatch.setattr(here.gateway, "settle", watched)
        monkeypatch.setattr(serving, "ROUND_SECONDS", 5.0)

        def request(index: int, wrong: bool = False) -> bytes:
            # One in two names itself, one in five wants bytes; all heads are the same.
            more: dict[str, Any] = {"id": f"r{index:02}"} if index % 2 else {"x1": "_"}
            more |= {"parameters": {"binary_data_output": not index % 5}}
            tensor = {"name": "x", "shape": [1, 20], "data": ["a" if wrong else 0.5] + [0.5] * 19}
            body = orjson.dumps({"inputs": [tensor], **more}).ljust(330)
            return head + b"content-length: %d\r\n\r\n" % len(body) + body

        await answer_to(address, request(1), request(1), pause=0.1)
        host, port = address.split(":")
        both = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        for round_ in range(3):
            taken.clear()
            here.log.full = round_ == 2
            for index, (_, writer) in enumerate(both):
                writer.write(request(index, wrong=index == 7))
            # The loop that writes is the one that serves: it finds all of them at once.
            found = [await asyncio.wait_for(reader.read(65536), 5) for reader, _ in both]
            assert max(taken) > 5
            for index, text in enumerate(found):
                status = 400 if index == 7 else 503 if here.log.full else 200
                assert text.startswith(b"HTTP/1.1 %d " % status), text
                if status != 200:
                    continue
                assert (b"inference-header-content-length" in text) == (not index % 5)
                assert ([b'"id":"r%02d"' % each in text for each in range(20) if each != index]) == [
                    False
                ] * 19
                assert (b'"id":"r%02d"' % index in text) == bool(index % 2)
        evidence = here.evidence("lr")
        assert evidence.rows == len(here.log.rows) == 2 + 2 * 19
        assert evidence.errors["gateway"] == 19
        assert len({row[3].id for row in here.log.rows}) == len(here.log.rows)
        for _, writer in both:
            writer.close()


async def test_a_fault_of_ours_on_the_quick_way_is_told() -> None:
    async with live(Onnx(logistic(), [f"f{index}" for index in range(20)])) as (address, here):
        body = orjson.dumps({"inputs": [{"name": "x", "shape": [1, 20], "data": [0.5] * 20}]})
        head = HEAD.replace(b"/invocations/sum", b"/v2/models/lr/infer")
        whole = head + b"content-length: %d\r\n\r\n" % len(body) + body
        await answer_to(address, whole)
        here.router.arms["lr"].runtime.close()
        text = await answer_to(address, whole)
        assert text.startswith(b"HTTP/1.1 500")
        assert b"its log has request" in text
        # A body that is no HTTP in its middle ends the connection, nothing else.
        text = await answer_to(address, head + b"transfer-encoding: chunked\r\n\r\nzz\r\n")
        assert text.startswith(b"HTTP/1.1 400")


async def test_a_quiet_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "KEEP_ALIVE_SECONDS", 0.3)
    async with live(Onnx(logistic(), [f"f{index}" for index in range(20)])) as (address, here):
        body = orjson.dumps({"inputs": [{"name": "x", "shape": [1, 20], "data": [0.5] * 20}]})
        head = HEAD.replace(b"/invocations/sum", b"/v2/models/lr/infer")
        whole = head + b"content-length: %d\r\n\r\n" % len(body) + body
        await answer_to(address, whole)
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        start = time.perf_counter()
        for _ in range(4):
            writer.write(whole)
            await asyncio.sleep(0.15)
        text = await asyncio.wait_for(reader.read(), 5)
        assert text.count(b"HTTP/1.1 200") == 4
        assert 0.6 < time.perf_counter() - start < 3
        assert here.gateway._quick
        writer.close()
