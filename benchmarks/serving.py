"""Serving: CPU of one prediction, ours beside what a server costs that does nothing and beside what a user
would take instead, in one run; then what changes under load cost callers.

    python benchmarks/serving.py [--quick] [--json] [--only NAME] [--no-live] [--soak MINUTES]

A scikit-learn LogisticRegression and a forest of 100 trees, both of 20 features, one row a request, one
process a server, wrk with 16 connections. All servers are up at the same time and are asked in turn, so that
all see the same noise; figures are medians of the rounds. CPU is that of a server's process tree (user and
system) per request: on a machine that does other things too, wall times are mostly waiting.

A server is a function that serves on a socket, in ``SERVERS``; one that is another program is in
``benchmarks/serving_others.py``. The shadow's part asks two gateways at one steady rate, below what they can
do: what a shadow costs a saturated one is CPU, not waiting. The live part (``benchmarks/serving_live.py``) is
a whole environment by hand: MLflow, PostgreSQL, S3, two replicas behind the front.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
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


def forest() -> Any:
    """A fitted forest of 100 trees, 12 deep."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(1)
    rows = random.normal(size=(4000, FEATURES)).astype(np.float32)
    truth = rows[:, 0] * rows[:, 1] + rows[:, 2] + random.normal(size=len(rows)) > 0
    return RandomForestClassifier(100, max_depth=12, random_state=1).fit(rows, truth)


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


def gateway_with_shadow(folder: Path) -> Any:
    """Ours; a second version answers copies of all requests, for the log."""
    from mlops.serving.rollout import machine
    from tests.mlops.serving.gateway_parts import as_graph, logistic, rolled_out

    log = prediction_log(folder)
    state = machine.set_shadow(rolled_out(), "2", now=1, by="me")
    models = {each: as_graph(logistic(FEATURES), version=each) for each in ("1", "2")}
    return served(folder, log, state, models)


def gateway_forest(folder: Path) -> Any:
    """Ours with the forest as ONNX."""
    from tests.mlops.serving.gateway_parts import as_graph, rolled_out

    return served(folder, prediction_log(folder), rolled_out(), {"1": as_graph(forest())})


def native(folder: Path, max_rows: int) -> Any:
    """Ours with the forest as scikit-learn runs it; ``max_rows`` 1: each request by itself."""
    from mlops.serving.runtime.mlmodel import LoggedModel
    from mlops.serving.runtime.native import NativeRuntime, sklearn_predict
    from tests.mlops.serving.gateway_parts import columns, rolled_out

    signature = columns(*(f"f{index}" for index in range(FEATURES)), kind="float")
    logged = LoggedModel(folder, {}, signature, "predict_proba", ())
    runtime = NativeRuntime("lr", "1", "r", logged, sklearn_predict(forest(), logged), max_rows)
    return served(folder, prediction_log(folder), rolled_out(), {"1": runtime})


def batched(folder: Path) -> Any:
    """What waits is predicted together."""
    return native(folder, 512)


def unbatched(folder: Path) -> Any:
    """Each by itself."""
    return native(folder, 1)


def served(folder: Path, log: Any, state: Any, models: Any) -> Any:
    """A gateway with these versions of one model."""
    from mlops.serving.control.routing import Routing
    from mlops.serving.gateway.app import Gateway
    from mlops.serving.gateway.callers import FollowedCallers
    from mlops.serving.traffic import Traffic
    from tests.mlops.serving.logs import environment

    def record(runtime: Any, call: Any, batch: Any, outputs: Any, seconds: float) -> None:
        log.append(runtime.model, runtime.version, "shadow", call, batch, outputs, seconds)

    routing = Routing(Traffic(), record)
    routing.swap({"lr": state}, {("lr", version): each for version, each in models.items()}, {})
    return Gateway(routing, log, FollowedCallers(environment(folder).storage, folder, TOKEN))


#: Applications that this file serves on the gateway's own server.
SERVERS: dict[str, Callable[[Path], Any]] = {
    "no-op": noop,
    "gateway": gateway,
    "gateway with canary": gateway_with_canary,
    "gateway without log": gateway_without_log,
    "gateway with shadow": gateway_with_shadow,
    "gateway, forest": gateway_forest,
    "forest, batched": batched,
    "forest, unbatched": unbatched,
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


def measure(
    starts: Mapping[str, Callable[[], AbstractContextManager[Target]]], rounds: int, seconds: int
) -> tuple[dict[str, list[Measure]], dict[str, list[float]]]:
    """Every server asked in turn, ``rounds`` times after one that is thrown away; and, where both are there,
    the p99 (ms) of a round with and without a shadow at one steady rate."""
    found: dict[str, list[Measure]] = {name: [] for name in starts}
    shadow: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = {name: stack.enter_context(start()) for name, start in starts.items()}
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            for target in targets.values():
                result = ask(target, seconds if number else 1, 16, folder)
                if number:
                    found[target.name].append(result)
        pair = [targets[name] for name in ("gateway", "gateway with shadow") if name in targets]
        for number in range(3 * rounds if len(pair) == 2 else 0):
            # First and second take turns: a noisy second must not always hit the same one.
            for target in pair if number % 2 else reversed(pair):
                shadow.setdefault(target.name, []).append(paced(target, 300, seconds))
    return found, shadow


def paced(target: Target, rate: int, seconds: float) -> float:
    """p99 in ms of one connection that asks at a steady rate; a request that is late counts from when it was
    due, so that a stall is not hidden by the requests that it kept back."""
    import http.client
    from urllib.parse import urlsplit

    address = urlsplit(target.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=30)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    latencies = []
    begun = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        connection.request("POST", address.path, target.body, headers)
        connection.getresponse().read()
        latencies.append(time.perf_counter() - due)
    connection.close()
    return sorted(latencies)[int(len(latencies) * 0.99)] * 1000


def serve(name: str, port: int) -> None:
    """Serve one of ``SERVERS`` until asked to end."""
    from mlops.serving.gateway.server import serve as run

    with tempfile.TemporaryDirectory() as folder, socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.listen(2048)
        run(SERVERS[name](Path(folder)), [made])


#: Ratios of the last line: name, whose CPU, over whose, what is promised.
RATIOS = (
    ("gateway / no-op", "gateway", "no-op", "at most 1.6"),
    ("mlflow models serve / gateway", "mlflow models serve", "gateway", "at least 15"),
    (
        "mlflow models serve / gateway, forest",
        "mlflow models serve, forest",
        "gateway, forest",
        "at least 100",
    ),
    ("BentoML / gateway", "BentoML", "gateway", ""),
    ("BentoML / gateway, forest", "BentoML, forest", "gateway, forest", ""),
    ("unbatched / batched forest", "forest, unbatched", "forest, batched", "at least 5"),
)


def compared(medians: Mapping[str, Measure], shadow: Mapping[str, list[float]]) -> dict[str, str]:
    """The comparisons that these figures allow, by name, with what is promised."""
    found = {}
    for name, one, other, aim in RATIOS:
        if one in medians and other in medians:
            ratio = medians[one]["cpu_us"] / medians[other]["cpu_us"]
            found[name] = f"{ratio:.2f}" + (f" ({aim})" if aim else "")
    if {"gateway with canary", "gateway without log"} <= set(medians):
        more = medians["gateway with canary"]["cpu_us"] - medians["gateway without log"]["cpu_us"]
        found["split and log"] = f"{more:+.0f} us (at most +10)"
    if len(shadow) == 2:
        with_it, without = (statistics.median(shadow[name]) for name in ("gateway with shadow", "gateway"))
        found["p99 with shadow / without"] = f"{with_it / without:.2f} (at most 1.10)"
    return found


def main() -> None:
    from benchmarks import serving_live, serving_others

    starts: dict[str, Callable[[], AbstractContextManager[Target]]] = {
        name: partial(running, name) for name in SERVERS
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, under 10 minutes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=[*starts, *serving_others.NAMES],
        help="these servers",
    )
    parser.add_argument("--no-live", action="store_true", help="leave out changes under load")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="half load for so long")
    parser.add_argument("--serve", choices=list(SERVERS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
        return
    if shutil.which("wrk") is None:
        parser.error("wrk is needed: apt-get install wrk")
    live = None
    with tempfile.TemporaryDirectory() as folder:
        for name, start in serving_others.starts(Path(folder), options.only).items():
            starts[name] = start
        wanted = {name: start for name, start in starts.items() if not options.only or name in options.only}
        results, shadow = measure(wanted, 3 if options.quick else 9, 2 if options.quick else 5)
    if options.soak or not (options.no_live or options.only):
        live = serving_live.run(options.soak)
    report(results, shadow, live, options.json)


def report(
    results: Mapping[str, list[Measure]],
    shadow: Mapping[str, list[float]],
    live: Mapping[str, Any] | None,
    as_json: bool,
) -> None:
    """The table of medians, what changes under load cost, and last the ratios."""
    medians = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in results.items()
    }
    ratios = compared(medians, shadow)
    if as_json:
        data = {"medians": medians, "ratios": ratios, "live": live, "all": results, "shadow_p99_ms": shadow}
        print(json.dumps(data, indent=2))
        return
    for name, each in medians.items():
        figures = "  ".join(f"{key} {value:9.1f}" for key, value in each.items())
        print(f"{name:28}{figures}")
    for what, figure in (live or {}).items():
        print(f"{what:44}{figure}")
    print(" · ".join(f"{name} {figure}" for name, figure in ratios.items()))


if __name__ == "__main__":
    # Run as a file, its folder is on the path and not the one above.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
