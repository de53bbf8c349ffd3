"""Serving: CPU of one prediction, ours beside what a server costs that does nothing, in one run.

    python benchmarks/serving.py [--quick] [--json]

A scikit-learn LogisticRegression of 20 features, one row a request, one process a server, wrk with 16
connections. All servers are up at the same time and are asked in turn, so that all see the same noise.
The figure is CPU (user and system) of a server's process tree per request: on a machine that does other
things too, wall times are mostly waiting.

A server is a function that serves on a socket, in ``SERVERS``; one that is another program is a command in
``COMMANDS``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

FEATURES = 20
TOKEN = "benchmark"
Measure = dict[str, float]


class Noop:
    """What the server itself costs: reads the body, answers a constant."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json"), (b"content-length", b"8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"ok":1}'})


class NoLog:
    """Nothing is recorded: what the log costs is the difference."""

    def append(self, *args: Any, **kwargs: Any) -> None:
        """Drop it."""

    def fail(self, *args: Any, **kwargs: Any) -> None:
        """Does not happen."""

    def label(self, *args: Any) -> None:
        """Not asked for."""

    def backlog(self, model: str) -> Any:
        """Not asked for."""


def noop(folder: Path) -> Any:
    """The floor of uvicorn."""
    return Noop()


def prediction_log(folder: Path) -> Any:
    """The real one: a segment on the disk, and a thread that moves rows into a Delta table in ``folder``."""
    from mlops.serving.log import PredictionLog
    from tests.mlops.serving.logs import environment

    made = PredictionLog(folder / "log", environment(folder))
    made.start()
    return made


def gateway(folder: Path, log: Any = None, canary: bool = False) -> Any:
    """Ours: token, routing, limits, validation, ONNX, evidence, log."""
    from mlops.serving.control.routing import Routing
    from mlops.serving.gateway.app import Gateway
    from mlops.serving.gateway.callers import FollowedCallers
    from mlops.serving.traffic import Traffic
    from tests.mlops.serving.gateway_parts import as_graph, logistic, rolled_out
    from tests.mlops.serving.logs import environment

    routing = Routing(Traffic(), lambda *_: None)
    versions = ("1", "2") if canary else ("1",)
    loaded = {("lr", each): as_graph(logistic(FEATURES), version=each) for each in versions}
    routing.swap({"lr": rolled_out(canary=canary)}, loaded, {})
    callers = FollowedCallers(environment(folder).storage, folder, TOKEN)
    return Gateway(routing, log or prediction_log(folder), callers)


def gateway_with_canary(folder: Path) -> Any:
    """Ours with a fifth of the requests to a second version."""
    return gateway(folder, canary=True)


def gateway_without_log(folder: Path) -> Any:
    """Ours without the log."""
    return gateway(folder, NoLog())


#: Applications that this file serves on the gateway's own server.
SERVERS: dict[str, Callable[[Path], Any]] = {
    "no-op": noop,
    "gateway": gateway,
    "gateway with canary": gateway_with_canary,
    "gateway without log": gateway_without_log,
}


@dataclass(frozen=True)
class Target:
    """A server that runs, and the request it is asked."""

    name: str
    process: psutil.Process
    url: str
    body: bytes

    def cpu(self) -> float:
        """CPU seconds of the process tree so far."""
        total = 0.0
        for each in [self.process, *self.process.children(recursive=True)]:
            times = each.cpu_times()
            total += times.user + times.system
        return total


def inference_body() -> bytes:
    """One row in the Open Inference Protocol."""
    row = [round(0.1 * index - 1, 3) for index in range(FEATURES)]
    tensor = {"name": "x", "shape": [1, FEATURES], "datatype": "FP32", "data": row}
    return orjson.dumps({"inputs": [tensor]})


@contextmanager
def running(name: str) -> Iterator[Target]:
    """One of ``SERVERS`` in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(Path(__file__)), "--serve", name, "--port", str(port)]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, cwd=root, env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"})
    try:
        url = f"http://127.0.0.1:{port}/v2/models/lr/infer"
        target = Target(name, psutil.Process(process.pid), url, inference_body())
        wait_for(target)
        yield target
    finally:
        process.terminate()
        process.wait(20)


def wait_for(target: Target) -> None:
    """Until it answers.

    Raises:
        RuntimeError: It does not within two minutes.
    """
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    last = ""
    for _ in range(600):
        try:
            answer = httpx.post(target.url, content=target.body, headers=headers, trust_env=False)
            if answer.is_success:
                return
            last = answer.text
        except httpx.TransportError as error:
            last = str(error)
        time.sleep(0.2)
    raise RuntimeError(f"{target.name} does not answer: {last[:200]}")


def ask(target: Target, seconds: int, connections: int, folder: Path) -> Measure:
    """One round of wrk: CPU µs a request, requests a second, latency in ms, failed requests."""
    script = folder / "request.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [==[{target.body.decode()}]==]\n'
        f'wrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer {TOKEN}"\n'
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), target.url]
    before = target.cpu()
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = target.cpu() - before
    found = re.search(r"(\d+) requests in", text)
    requests = int(found[1]) if found else 0
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    return {
        "cpu_us": cpu / max(1, requests) * 1e6,
        "rps": requests / seconds,
        "p50_ms": _milliseconds(text, "50%"),
        "p99_ms": _milliseconds(text, "99%"),
        "failed": failed,
    }


def _milliseconds(text: str, quantile: str) -> float:
    found = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]] if found else float("nan")


def measure(names: list[str], rounds: int, seconds: int) -> dict[str, list[Measure]]:
    """Every server asked in turn, ``rounds`` times after one that is thrown away."""
    found: dict[str, list[Measure]] = {name: [] for name in names}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = [stack.enter_context(running(name)) for name in names]
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            for target in targets:
                result = ask(target, seconds if number else 1, 16, folder)
                if number:
                    found[target.name].append(result)
    return found


def serve(name: str, port: int) -> None:
    """Serve one of ``SERVERS`` until asked to end."""
    from mlops.serving.gateway.server import serve as run

    with tempfile.TemporaryDirectory() as folder, socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.listen(2048)
        run(SERVERS[name](Path(folder)), [made])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, under a minute")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=list(SERVERS), help="these servers"
    )
    parser.add_argument("--serve", choices=list(SERVERS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
        return
    if shutil.which("wrk") is None:
        parser.error("wrk is needed: apt-get install wrk")
    names = options.only or list(SERVERS)
    results = measure(names, 3 if options.quick else 9, 2 if options.quick else 5)
    medians = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in results.items()
    }
    floor = medians.get("no-op", {}).get("cpu_us")
    ratios = {name: each["cpu_us"] / floor for name, each in medians.items()} if floor else {}
    if options.json:
        print(json.dumps({"medians": medians, "ratios": ratios, "all": results}, indent=2))
        return
    for name, each in medians.items():
        figures = "  ".join(f"{key} {value:8.1f}" for key, value in each.items())
        print(f"{name:22}{figures}")
    print(" · ".join(f"{name} {ratio:.2f}x no-op" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
