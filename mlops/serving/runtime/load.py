"""From an entry of the cache to a Runtime that has answered once: ONNX, else native, else isolated."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from blueprints.errors import Problem
from mlops.serving.rows import Batch, ModelFaultError, Runtime
from mlops.serving.runtime import environments, mlmodel, trust
from mlops.serving.runtime.apart import convert_apart
from mlops.serving.runtime.artifacts import Cache, Entry
from mlops.serving.runtime.batching import batchable, batchable_apart
from mlops.serving.runtime.mlmodel import LoggedModel
from mlops.serving.runtime.onnx import Graph, OnnxRuntime, Plan, output_names, plan_of_flavor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """What the spec allows of runtimes.

    Attributes:
        trust_pickle: Load files that can run code.
        isolation: When a version gets a process of its own: ``auto``: when it runs code of its own, or its
            requirements differ from what is installed here; ``always``: whenever it is not ONNX; ``never``.
        onnx: Use conversions.
        convert: Make one, apart, for a version that was registered without; takes about 6 s, once.
        memory: Bytes that the process of an isolated version may hold.
        environments: Folder of the environments of isolated versions.
        environments_bytes: That they may take together.
        max_rows: Rows that native flavours are given at once.
        threads: With which a graph computes one prediction.
        workers: Processes at most that an isolated version gets when they are busy.
    """

    trust_pickle: bool = False
    isolation: Literal["auto", "never", "always"] = "auto"
    onnx: bool = True
    convert: bool = True
    memory: int = 2 * 1024**3
    environments: Path = Path.home() / ".cache" / "modelyard" / "environments"
    environments_bytes: int = 20 * 1024**3
    max_rows: int = 512
    threads: int = 1
    workers: int = 1


@dataclass(frozen=True)
class Facts:
    """How a version was loaded, for people and for the evidence.

    Attributes:
        kind: ``onnx``, ``native`` or ``isolated``.
        digest: Of its model folder.
        trusted: What in it can run code and was trusted; empty: nothing can.
        parity: The conversion's report, as :class:`~mlops.serving.runtime.convert.Conversion` writes it.
        why_not_onnx: Empty when it is.
        differs: Requirements that are not met here.
        batched: Requests that wait are predicted together.
        seconds: To load and answer once.
        warm: It has answered its input example (it has one and did not fail on it).
    """

    kind: str
    digest: str
    trusted: tuple[str, ...] = ()
    parity: Mapping[str, Any] = field(default_factory=dict)
    why_not_onnx: str = ""
    differs: tuple[str, ...] = ()
    batched: bool = False
    seconds: float = 0.0
    warm: bool = False


@dataclass(frozen=True)
class Loaded:
    """A runtime and how it came to be."""

    runtime: Runtime
    facts: Facts


async def load(entry: Entry, policy: Policy, cache: Cache | None = None) -> Loaded:
    """Load a verified entry (:meth:`Cache.ensure`, :meth:`Cache.get`); the event loop is not held up.

    Args:
        entry: What to load.
        policy: What the spec allows.
        cache: Where the entry is: a version registered without a conversion gets one there.

    Raises:
        Problem: It is not trusted, does not load, or fails on its own input example.
    """
    start = time.monotonic()
    where = f"{entry.model} version {entry.version}"
    try:
        loaded = await _load(entry, policy, cache, where)
    except Problem:
        raise
    except ModelFaultError as error:
        raise Problem(f"it fails on its own input example: {error}", where=where) from error
    except Exception as error:
        log.exception("%s does not load", where)
        text = (str(error).splitlines() or [""])[0][:300] or type(error).__name__
        raise Problem(f"it does not load: {text}", where=where) from error
    facts = replace(loaded.facts, digest=entry.digest, seconds=round(time.monotonic() - start, 3))
    log.info("%s loaded as %s in %.1f s", where, facts.kind, facts.seconds)
    return Loaded(loaded.runtime, facts)


async def _load(entry: Entry, policy: Policy, cache: Cache | None, where: str) -> Loaded:
    model = await asyncio.to_thread(mlmodel.read, entry.path)
    differs = await asyncio.to_thread(environments.differing, model)
    rows = mlmodel.example(model)
    why = "the spec turns ONNX off"
    if policy.onnx:
        if cache is not None and _may_convert(entry, model, policy, differs, rows):
            entry = await asyncio.to_thread(_convert, entry, cache, policy)
        found = await asyncio.to_thread(_onnx, entry, policy, model, rows)
        if isinstance(found, Loaded):
            return found
        why = found
    # Code of the model's own may leak, hang or end the process it is in: that is not the gateway's then.
    alone = bool(differs) or bool(trust.reasons(model))
    apart = policy.isolation == "always" or (policy.isolation == "auto" and alone)
    trusted = trust.check(model, policy.trust_pickle, where, install=apart and bool(differs))
    facts = Facts("native", entry.digest, trusted, entry.report, why, differs)
    if apart:
        return await _isolated(entry, policy, model, rows, facts)
    return await asyncio.to_thread(_native, entry, policy, model, rows, facts)


def _may_convert(
    entry: Entry, model: LoggedModel, policy: Policy, differs: tuple[str, ...], rows: Batch | None
) -> bool:
    """Whether a conversion here and now may succeed: none was tried, and what it takes is at hand."""
    plain = not trust.reasons(model) or policy.trust_pickle
    known = bool({"sklearn", "xgboost", "lightgbm"} & set(model.flavors))
    return policy.convert and plain and known and not differs and rows is not None and not entry.report


def _convert(entry: Entry, cache: Cache, policy: Policy) -> Entry:
    graph, report = convert_apart(entry.path, policy.trust_pickle)
    return cache.keep(entry, graph, report)


def _onnx(entry: Entry, policy: Policy, model: LoggedModel, rows: Batch | None) -> Loaded | str:
    """The version as a graph, or why not."""
    flavor = model.flavors.get("onnx")
    if entry.onnx is None and flavor is None:
        return str(entry.report.get("reason") or "no conversion is attached to the version")
    try:
        if entry.onnx is not None:
            plan = Plan.from_json(entry.report)
            graph = Graph(entry.onnx.read_bytes(), model.signature, plan, policy.threads)
        else:
            assert flavor is not None
            file = _flavor_file(entry.path, flavor)
            graph = Graph(file, model.signature, plan_of_flavor(output_names(file)), policy.threads)
        runtime = OnnxRuntime(entry.model, entry.version, entry.run_id, model.signature, graph)
        for _ in range(3 if rows is not None else 0):
            assert rows is not None
            runtime.predict_now(rows)
    except Exception as error:  # onnxruntime's own have no common type; the native flavour may still serve
        log.warning("%s version %s: ONNX does not serve: %s", entry.model, entry.version, error)
        return f"the graph does not serve: {(str(error).splitlines() or [''])[0][:200]}"
    runtime.seconds_per_row = 0.0
    return Loaded(runtime, Facts("onnx", entry.digest, (), entry.report, warm=rows is not None))


def _flavor_file(folder: Path, flavor: Mapping[str, Any]) -> Path:
    file = (folder / str(flavor.get("data", "model.onnx"))).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ValueError(f"the flavour's file {flavor.get('data')!r} is outside the model")
    return file


def _native(entry: Entry, policy: Policy, model: LoggedModel, rows: Batch | None, facts: Facts) -> Loaded:
    from mlops.serving.runtime.native import NativeRuntime, predictor

    runtime = NativeRuntime(
        entry.model, entry.version, entry.run_id, model, predictor(model), policy.max_rows
    )
    if rows is not None and not batchable(runtime.predict_now, rows):
        runtime.batcher.max_rows = 1
    batched = runtime.batcher.max_rows > 1
    return Loaded(runtime, replace(facts, batched=batched, warm=rows is not None))


async def _isolated(
    entry: Entry, policy: Policy, model: LoggedModel, rows: Batch | None, facts: Facts
) -> Loaded:
    from mlops.serving.runtime.isolated import IsolatedRuntime
    from mlops.serving.runtime.scaling import Scale

    python, made = Path(sys.executable), None
    if facts.differs:
        made = await asyncio.to_thread(
            environments.built, model, policy.environments, policy.trust_pickle,
            keep_bytes=policy.environments_bytes,
        )  # fmt: skip
        python = made.python
    runtime = IsolatedRuntime(
        entry.model, entry.version, entry.run_id, model, python, policy.memory,
        max_rows=policy.max_rows, scale=Scale(policy.workers), ended=made.close if made else lambda: None,
    )  # fmt: skip
    try:
        await runtime.start()
        if rows is not None and not await batchable_apart(runtime.predict, rows):
            runtime.batcher.max_rows = 1
    except BaseException:
        runtime.close()
        raise
    batched = runtime.batcher.max_rows > 1
    return Loaded(runtime, replace(facts, kind="isolated", batched=batched, warm=rows is not None))
