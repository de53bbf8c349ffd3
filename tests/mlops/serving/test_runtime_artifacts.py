"""The cache of versions: verified, repaired, bounded, and enough to serve when MLflow is away."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from blueprints.environment import Environment, StorageRef, TrackingRef
from blueprints.errors import Problem
from mlops.demo.source import Source as Table
from mlops.demo.source import own_table
from mlops.demo.train import train
from mlops.serving.runtime import mlmodel
from mlops.serving.runtime.artifacts import (
    DIGEST_TAG,
    MANIFEST,
    ONNX,
    ONNX_TAG,
    PARITY_TAG,
    Cache,
    digest_of,
    hashes,
)
from mlops.serving.runtime.convert import convert
from mlops.serving.runtime.load import Policy, load
from mlops.tracking.client import TrackingClient
from mlops.tracking.entities import ModelVersion
from tests.mlops.serving.runtime_models import NOWHERE, a_version, cached, saved
from tests.mlops.yard import free_port, process, until


class Source:
    """Stands for the tracking server: copies a folder, counts, fails when told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count, self.away = folder, 0, False

    def __call__(self, version: ModelVersion, into: Path) -> None:
        self.count += 1
        if self.away:
            raise Problem("the tracking server does not answer")
        shutil.copytree(self.folder, into)


def cache_of(folder: Path, into: Path, **more: Any) -> tuple[Cache, Source]:
    made, source = Cache(into, NOWHERE, **more), Source(folder)
    made._download.model = source  # type: ignore[method-assign, assignment]
    return made, source


def _change(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", ["changed", "missing", "another", "manifest", "half"])
def test_a_damaged_or_half_entry_is_fetched_again(tmp_path: Path, damage: str) -> None:
    cache, source = cache_of(saved("lr"), tmp_path)
    entry = cache.ensure(a_version())
    assert cache.ensure(a_version()) == entry
    assert source.count == 1
    file = entry.path / "model.skops"
    if damage == "changed":
        _change(file)
    elif damage == "missing":
        file.unlink()
    elif damage == "another":
        (entry.path / "extra.py").write_text("import os")
    elif damage == "manifest":
        (entry.folder / MANIFEST).write_text("{")
    else:
        (entry.folder / MANIFEST).unlink()
    assert cache.get("m", "1") is None
    source.away = True
    with pytest.raises(Problem, match="does not answer"):
        cache.ensure(a_version())
    source.away = False
    assert cache.ensure(a_version()).digest == entry.digest
    assert cache.get("m", "1") == entry
    assert not [each for each in (tmp_path / "m").iterdir() if each.name.startswith(".")]


def test_what_is_cached_serves_while_the_server_is_away(tmp_path: Path) -> None:
    cache, _ = cache_of(saved("lr"), tmp_path)
    made = cache.ensure(a_version(modelyard__note="kept"))
    # A gateway that starts anew.
    cache, source = cache_of(saved("lr"), tmp_path)
    source.away = True
    assert cache.cached() == (made,)
    assert cache.ensure(a_version()) == made
    assert made.tags == {"modelyard.note": "kept"}
    loaded = asyncio.run(load(made, Policy(convert=False)))
    assert loaded.facts.digest == made.digest


def test_files_that_are_not_those_registered_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved("lr"), folder)
    digest = digest_of(hashes(folder))
    cache, _ = cache_of(folder, tmp_path / "cache")
    assert cache.ensure(a_version(modelyard__digest=digest)).digest == digest
    (folder / "registered_model_meta").write_text("of MLflow's own")
    cache, _ = cache_of(folder, tmp_path / "other")
    cache.ensure(a_version(modelyard__digest=digest))
    _change(folder / "model.skops")
    cache, _ = cache_of(folder, tmp_path / "third")
    with pytest.raises(Problem, match="not those that were registered"):
        cache.ensure(a_version(modelyard__digest=digest))
    assert cache.cached() == ()


def test_the_oldest_leave_and_the_pinned_stay(tmp_path: Path) -> None:
    cache, _ = cache_of(saved("lr"), tmp_path)
    size = cache.ensure(a_version()).size
    cache, _ = cache_of(saved("lr"), tmp_path / "small", most_bytes=int(size * 3.5))
    cache.pin([("m", "1")])
    for number in range(1, 4):
        cache.ensure(a_version(version=str(number)))
        time.sleep(0.02)
    cache.ensure(a_version(version="2"))  # used again
    cache.ensure(a_version(version="4"))
    assert [each.version for each in cache.cached()] == ["1", "2", "4"]


def test_a_number_that_was_given_anew_is_fetched_anew(tmp_path: Path) -> None:
    cache, source = cache_of(saved("lr"), tmp_path)
    cache.ensure(a_version())
    source.folder = saved("linear")
    again = replace(a_version(), run_id="another")
    entry = cache.ensure(again)
    assert entry.run_id == "another"
    assert entry.digest == digest_of(hashes(saved("linear")))
    assert cache.ensure(again) == entry
    assert source.count == 2


def test_names_stay_inside_the_folder(tmp_path: Path) -> None:
    cache, _ = cache_of(saved("lr"), tmp_path / "cache")
    for name in ("..", ".hidden", "a/b", "ä ö", "%2E"):
        entry = cache.ensure(a_version(name))
        assert entry.folder.parent.parent == tmp_path / "cache"
    assert {each.model for each in cache.cached()} == {"..", ".hidden", "a/b", "ä ö", "%2E"}


def test_two_at_once_fetch_once(tmp_path: Path) -> None:
    cache, source = cache_of(saved("lr"), tmp_path)
    threads = [threading.Thread(target=cache.ensure, args=(a_version(),)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert source.count == 1


async def test_a_version_without_a_conversion_gets_one_in_the_cache(tmp_path: Path) -> None:
    cache, entry = cached(saved("flights"), tmp_path)
    loaded = await load(entry, Policy(), cache)
    assert loaded.facts.kind == "onnx"
    assert loaded.facts.parity["max_error"] <= 1e-5
    again = cache.get("m", "1")
    assert again is not None
    assert again.onnx is not None
    assert again.digest == entry.digest
    # The second time it is there.
    assert (await load(again, Policy(), cache)).facts.seconds < 2
    _change(again.folder / ONNX)
    assert cache.get("m", "1") is None


async def test_a_graph_that_cannot_be_read_leaves_the_native_flavour(tmp_path: Path) -> None:
    cache, entry = cached(saved("lr"), tmp_path)
    entry = cache.keep(entry, b"no graph", {"ok": True, "output": "probabilities"})
    loaded = await load(entry, Policy(), cache)
    assert loaded.facts.kind == "native"
    assert loaded.facts.why_not_onnx.startswith("the graph does not serve")
    loaded.runtime.close()


def _source(folder: Path) -> Table:
    random = np.random.default_rng(5)
    rows = 3000
    x, word = random.normal(size=rows), random.choice(["red", "green", "blue"], rows)
    frame = pd.DataFrame(
        {
            "x": np.where(random.random(rows) < 0.05, np.nan, x),
            "word": pd.Series(word).mask(random.random(rows) < 0.05),
            "y": np.where(2 * x + (word == "red") + random.normal(size=rows) > 0.5, "yes", "no"),
            "when": pd.date_range("2024-01-01", "2024-12-31", periods=rows),
        }
    )
    frame.to_parquet(folder / "table.parquet")
    return own_table(folder / "table.parquet", "y", "when")


def test_trained_by_the_demo_and_served_when_the_server_is_gone(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    tracking = TrackingRef(url=url)
    server = [
        *(sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", "--workers=1"),
        f"--port={url.rpartition(':')[2]}",
        f"--backend-store-uri=sqlite:///{tmp_path / 'mlflow.db'}",
        f"--artifacts-destination={(tmp_path / 'artifacts').as_uri()}",
    ]
    environment = Environment(
        project="p",
        name="dev",
        blueprint="local",
        tracking=tracking,
        storage=StorageRef(kind="folder", buckets={}),
        databases={},
    )
    client, source = TrackingClient(tracking), _source(tmp_path)
    with process(server, tmp_path / "mlflow.log", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"):
        until(lambda: client.experiments(), 150)
        number = train(environment, source)
        version = client.version(source.model, number)
        assert {DIGEST_TAG, ONNX_TAG, PARITY_TAG} <= set(version.tags)
        entry = Cache(tmp_path / "cache", tracking).ensure(version)
        assert entry.digest == version.tags[DIGEST_TAG]
        # Equal on the fifth of the table that the model has not seen, and on what was made of it.
        assert entry.report["ok"]
        assert entry.report["given"] == len(source.train) - int(len(source.train) * 0.8)
    # The server is gone, and the gateway starts anew.
    cache = Cache(tmp_path / "cache", tracking)
    with pytest.raises(Problem, match="does not answer"):
        cache.ensure(a_version(source.model, "2"))
    loaded = asyncio.run(load(cache.ensure(version), Policy()))
    assert loaded.facts.kind == "onnx"
    rows = mlmodel.of_columns(loaded.runtime.signature, source.train.head(10))
    assert asyncio.run(loaded.runtime.predict(rows)).values.shape == (10, 2)


def test_a_gateway_that_serves_onnx_imports_neither_mlflow_nor_what_the_model_was_made_with(
    tmp_path: Path,
) -> None:
    cache, entry = cached(saved("flights"), tmp_path)
    made = convert(entry.path)
    cache.keep(entry, made.graph, made.to_json())
    script = f"""
import asyncio, sys
from pathlib import Path
from blueprints.environment import TrackingRef
from mlops.serving.runtime import mlmodel
from mlops.serving.runtime.artifacts import Cache
from mlops.serving.runtime.convert import convert
from mlops.serving.runtime.load import Policy, load
entry = Cache(Path({str(tmp_path)!r}), TrackingRef(url="http://127.0.0.1:9")).get("m", "1")
loaded = asyncio.run(load(entry, Policy()))
assert loaded.facts.kind == "onnx", loaded.facts
rows = mlmodel.example(mlmodel.read(entry.path))
assert len(asyncio.run(loaded.runtime.predict(rows)).values) == rows.rows
print(*sorted({{"mlflow", "sklearn", "pandas", "skl2onnx", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
