"""The demo: a real model on real data, trained, served, and watched as the year goes on."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blueprints.environment import Environment
from blueprints.errors import Problem, UsageProblem

#: The tag of a model version that lists the parts already replayed through it.
REPLAYED_TAG = "modelyard.replayed"


@dataclass(frozen=True)
class DemoResult:
    """What the demo did.

    Attributes:
        trained: Whether this call trained (False: the same data had been learnt before).
        rows: Rows replayed now; rate: rows a second.
        quality: ``(part, metric, value)`` of each part replayed now.
        alerts: ``(severity, summary)`` of what fires at the end.
    """

    model: str
    version: str
    trained: bool
    rows: int
    rate: float
    quality: tuple[tuple[str, str, float], ...]
    alerts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        did = (
            f"trained {self.model} version {self.version}"
            if self.trained
            else f"{self.model} version {self.version} was there"
        )
        lines = [
            f"{did}; replayed {self.rows} rows at {self.rate:.0f} a second"
            if self.rows
            else f"{did}; everything asked for had been replayed before (--again repeats it)"
        ]
        lines += [f"  {part}  {metric} {value:.3f}" for part, metric, value in self.quality]
        lines += [f"  {'▲' if severity == 'page' else '△'} {summary}" for severity, summary in self.alerts]
        return "\n".join(lines)


def run(
    environment: Environment,
    months: str = "4-12",
    speed: str = "max",
    on_event: Callable[[str], None] = lambda event: None,
    data: Path | None = None,
    target: str | None = None,
    time: str | None = None,
    again: bool = False,
) -> DemoResult:
    """Train unless this data was learnt before, wait until the gateway serves it, replay what was not yet.

    Args:
        environment: Where.
        months: Months of 2013 to replay, ``4-12``.
        speed: ``max``, or times real time (``3600``, ``3600x``).
        on_event: Called with a sentence at each step.
        data, target, time: A Parquet file of one's own, its target and time columns.
        again: Train and replay even if it was done before.

    Raises:
        Problem: Something is missing, down or wrong, in words.
    """
    from mlops.demo import source as sources
    from mlops.demo.replay import replay
    from mlops.serving.client import GatewayClient
    from mlops.tracking.client import TrackingClient

    factor = _factor(speed)
    if environment.serving is None:
        raise Problem(
            "the environment has no gateway", where="serving.enabled", expected="yes", todo="modelyard up"
        )
    wanted = sources.months(months)
    tracking = TrackingClient(environment.tracking, timeout=30)
    own = data is not None
    identity = sources.table_identity(data, target or "", time or "") if data else sources.flights_identity()
    parts = ("all",) if own else tuple(f"2013-{month:02d}" for month in wanted)
    known = None if again else _trained(tracking, identity)
    done = set(known[2]) if known else set()
    if known and not set(parts) - done:
        return DemoResult(known[0], known[1], False, 0, 0.0, (), _alerts(environment))
    on_event("reading the data (about 2 s)")
    source = sources.own_table(data, target or "", time or "") if data else sources.flights(wanted)
    version = known[1] if known else ""
    if not known:
        on_event(f"training {source.model} on {len(source.train)} rows (about 15 s)")
        from mlops.demo.train import train

        version = train(environment, source)
        on_event(f"registered {source.model} version {version}, alias champion")
    with_gateway = GatewayClient(environment.serving)
    _wait(with_gateway, source.model, version, on_event)
    began, rows = clock.monotonic(), 0
    quality = []
    for part, frame in source.replay:
        if part in done:
            continue
        stride = max(1, len(frame) // 4)
        last = [0]

        def progress(
            sent: int, total: int, part: str = part, stride: int = stride, last: list[int] = last
        ) -> None:
            if sent - last[0] >= stride or sent == total:
                last[0] = sent
                on_event(f"replaying {part}: {sent} of {total} rows")

        result = replay(with_gateway, source, part, frame, factor, progress)
        rows += result.rows
        quality.append((part, result.metric, result.value))
        done.add(part)
        tracking.set_version_tag(source.model, version, REPLAYED_TAG, ",".join(sorted(done)))
    rate = rows / max(1e-9, clock.monotonic() - began)
    on_event("letting the monitor look at it (about 10 s)")
    _settle(environment, source.model)
    return DemoResult(source.model, version, not known, rows, rate, tuple(quality), _alerts(environment))


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = float(speed.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if factor <= 0:
        raise UsageProblem(
            f"cannot replay at speed {speed!r}", where="--speed", expected="max, or times real time: 3600"
        )
    return factor


def _trained(tracking: object, identity: str) -> tuple[str, str, tuple[str, ...]] | None:
    """``(model, version, replayed parts)`` of the champion that learnt this very data."""
    from mlops.demo.train import SOURCE_TAG
    from mlops.serving.rollout.weights import CHAMPION
    from mlops.tracking.client import TrackingClient

    assert isinstance(tracking, TrackingClient)
    for model in tracking.models():
        if CHAMPION not in model.aliases:
            continue
        version = tracking.version(model.name, model.aliases[CHAMPION])
        if version.tags.get(SOURCE_TAG) == identity:
            replayed = version.tags.get(REPLAYED_TAG, "")
            return model.name, version.version, tuple(part for part in replayed.split(",") if part)
    return None


def _wait(gateway: object, model: str, version: str, on_event: Callable[[str], None]) -> None:
    """Until the gateway serves the version; says why when it cannot."""
    from mlops.serving.client import GatewayClient

    assert isinstance(gateway, GatewayClient)
    on_event(f"waiting for the gateway to serve version {version} (about 5 s)")
    deadline = clock.monotonic() + 180
    while clock.monotonic() < deadline:
        for each in gateway.deployments():
            if each.model == model and each.version == version and each.state == "serving":
                return
            if each.model == model and f"version {version}:" in each.reason:
                raise Problem(each.reason, where=f"gateway {model}", todo="modelyard logs gateway")
        clock.sleep(0.5)
    raise Problem(
        f"the gateway does not serve {model} version {version} after 180 s", todo="modelyard logs gateway"
    )


def _settle(environment: Environment, model: str, patience_seconds: float = 60.0) -> None:
    """Until the monitor has seen everything: no new window for a few looks."""
    if environment.monitoring is None:
        return
    from mlops.monitoring.client import MonitorClient

    client = MonitorClient(environment.monitoring)
    seen, quiet = -1, 0
    deadline = clock.monotonic() + patience_seconds
    while quiet < 4 and clock.monotonic() < deadline:
        clock.sleep(2)
        now = len(client.windows(model))
        quiet = quiet + 1 if now == seen and now else 0
        seen = now


def _alerts(environment: Environment) -> tuple[tuple[str, str], ...]:
    if environment.monitoring is None:
        return ()
    from mlops.monitoring.client import MonitorClient

    found = MonitorClient(environment.monitoring).firing()
    return tuple((alert.severity, alert.summary) for alert in found)
