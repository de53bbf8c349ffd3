"""The gateway's counts as OpenMetrics text.

Each count carries model, version and arm, taken where the arm was chosen: a gate that reads them cannot
watch the wrong arm. Latency comes from :class:`~mlops.serving.evidence.Histogram`; its bounds here are powers
of two seconds, which are edges of its bins, so that no request is counted in a bucket it does not belong to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlops.openmetrics import escaped, head
from mlops.openmetrics import labels as _labels
from mlops.serving.evidence import Evidence, Histogram, bin_of, edge
from mlops.serving.gateway.limits import Gate
from mlops.serving.gateway.ports import Choice, Log

CONTENT_TYPE = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
#: Seconds: 0.12 ms to 64 s.
BOUNDS = tuple(2.0**power for power in range(-13, 7))


def exposition(
    arms: Sequence[Choice],
    gates: Mapping[str, Gate],
    log: Log,
    refusals: Mapping[str, int],
    held_bytes: int,
) -> bytes:
    """The whole text."""
    lines = [
        *_arms(arms),
        *_models(arms, gates, log),
        *_processes(arms),
        *_gateway(refusals, held_bytes),
        *_process(),
        "# EOF",
        "",
    ]
    return "\n".join(lines).encode()


def _arms(arms: Sequence[Choice]) -> Iterator[str]:
    merged: dict[str, Evidence] = {}
    for arm in arms:
        labels = _labels(model=arm.runtime.model, version=arm.runtime.version, arm=arm.arm)
        known = merged.get(labels)
        merged[labels] = arm.evidence if known is None else known.merged(arm.evidence)
    yield from head("modelyard_requests", "counter", "Requests answered or failed, by arm.")
    for labels, evidence in merged.items():
        yield f"modelyard_requests_total{{{labels}}} {evidence.requests}"
    yield from head("modelyard_rows", "counter", "Rows answered.")
    for labels, evidence in merged.items():
        yield f"modelyard_rows_total{{{labels}}} {evidence.rows}"
    yield from head("modelyard_request_errors", "counter", "Failed requests, by class.")
    for labels, evidence in merged.items():
        for reason, count in sorted(evidence.errors.items()):
            yield f'modelyard_request_errors_total{{{labels},reason="{escaped(reason)}"}} {count}'
    text = "Time inside the gateway of answered requests; the sum is taken from bins that are 9 % wide."
    yield from head("modelyard_request_latency_seconds", "histogram", text, "seconds")
    for labels, evidence in merged.items():
        yield from _histogram("modelyard_request_latency_seconds", labels, evidence.latency)


def _histogram(name: str, labels: str, histogram: Histogram) -> Iterator[str]:
    bins = sorted(histogram.counts.items())
    total, at, estimate = 0, 0, 0.0
    for bound in BOUNDS:
        limit = bin_of(bound)
        while at < len(bins) and bins[at][0] < limit:
            total += bins[at][1]
            at += 1
        yield f'{name}_bucket{{{labels},le="{bound!r}"}} {total}'
    count = sum(each for _, each in bins)
    for place, each in bins:
        estimate += each * max(0.0, (edge(place) + edge(place + 1)) / 2)
    yield f'{name}_bucket{{{labels},le="+Inf"}} {count}'
    yield f"{name}_count{{{labels}}} {count}"
    yield f"{name}_sum{{{labels}}} {estimate!r}"


def _models(arms: Sequence[Choice], gates: Mapping[str, Gate], log: Log) -> Iterator[str]:
    models = list(dict.fromkeys(arm.runtime.model for arm in arms))
    nobody = Gate(0, 0)
    yield from head("modelyard_in_flight", "gauge", "Requests that a model is answering.")
    for model in models:
        yield f"modelyard_in_flight{{{_labels(model=model)}}} {gates.get(model, nobody).active}"
    yield from head("modelyard_queue", "gauge", "Requests that wait for their turn.")
    for model in models:
        yield f"modelyard_queue{{{_labels(model=model)}}} {gates.get(model, nobody).waiting}"
    yield from head("modelyard_log_lag_rows", "gauge", "Rows answered and not yet in the log's table.")
    for model in models:
        backlog = log.backlog(model)
        yield f"modelyard_log_lag_rows{{{_labels(model=model)}}} {backlog.rows if backlog else 0}"


def _processes(arms: Sequence[Choice]) -> Iterator[str]:
    """Of versions that do not share the gateway's."""
    apart = {(arm.runtime.model, arm.runtime.version): arm.runtime for arm in arms if arm.runtime.processes}
    labelled = [(_labels(model=m, version=v), runtime) for (m, v), runtime in apart.items()]
    yield from head("modelyard_processes", "gauge", "Processes that a version has of its own.")
    for labels, runtime in labelled:
        yield f"modelyard_processes{{{labels}}} {runtime.processes}"
    yield from head("modelyard_process_memory_bytes", "gauge", "Memory of the largest of them.", "bytes")
    for labels, runtime in labelled:
        yield f"modelyard_process_memory_bytes{{{labels}}} {runtime.memory or 0}"


def _gateway(refusals: Mapping[str, int], held_bytes: int) -> Iterator[str]:
    yield from head("modelyard_refusals", "counter", "Requests answered with an error, by class.")
    for reason, count in sorted(refusals.items()):
        yield f'modelyard_refusals_total{{reason="{escaped(reason)}"}} {count}'
    yield from head("modelyard_body_bytes", "gauge", "Bodies received and not yet answered.", "bytes")
    yield f"modelyard_body_bytes {held_bytes}"


def _process() -> Iterator[str]:
    import psutil

    process = psutil.Process()
    with process.oneshot():
        times, memory = process.cpu_times(), process.memory_info().rss
        started, threads = process.create_time(), process.num_threads()
    yield from head("process_cpu_seconds", "counter", "CPU time, user and system.", "seconds")
    yield f"process_cpu_seconds_total {times.user + times.system!r}"
    yield from head("process_resident_memory_bytes", "gauge", "Resident memory.", "bytes")
    yield f"process_resident_memory_bytes {memory}"
    yield from head("process_start_time_seconds", "gauge", "When it started, since the epoch.", "seconds")
    yield f"process_start_time_seconds {started!r}"
    yield from head("process_threads", "gauge", "Threads.")
    yield f"process_threads {threads}"
    if hasattr(process, "num_fds"):
        yield from head("process_open_fds", "gauge", "Open file descriptors.")
        yield f"process_open_fds {process.num_fds()}"
