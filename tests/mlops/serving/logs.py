"""What the tests of the log share: requests as the gateway hands them over, and tables read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from blueprints.environment import Environment, StorageRef, TrackingRef
from mlops.data.tables import dataset, location
from mlops.serving.log import PredictionLog
from mlops.serving.rows import Batch, Call, Outputs
from mlops.serving.signature import Column, Signature

PAIR = Signature((Column("x", "double"), Column("y", "double")))


def environment(folder: Path, storage: StorageRef | None = None) -> Environment:
    """One whose data bucket is a folder, or on the given storage."""
    return Environment(
        project="p",
        name="dev",
        blueprint="local",
        tracking=TrackingRef(url="http://127.0.0.1:9"),
        storage=storage or StorageRef(kind="folder", buckets={"data": (folder / "data").as_uri()}),
        databases={},
    )


def batch(ids: list[str], values: Any = None, signature: Signature = PAIR) -> Batch:
    """Numeric rows; without values 1.5 and 2."""
    matrix = np.array([[1.5, 2.0]] * len(ids) if values is None else values, dtype=float)
    return Batch(signature, len(ids), matrix, None, ids)


def append(
    log: PredictionLog, *ids: str, version: str = "1", arm: str = "champion", score: float = 0.5
) -> None:
    """One request with rows of these ids."""
    call = Call(f"request-{ids[0]}", caller="team", trace="4bf92f3577b34da6a3ce929d0e0e4736")
    log.append("m", version, arm, call, batch(list(ids)), Outputs(np.full(len(ids), score)), 0.0125)


def rows(made: Environment, kind: str = "predictions", model: str = "m") -> list[dict[str, Any]]:
    """A table's rows; none when there is no table."""
    data = dataset(made.storage, location(made, kind, model))
    found: list[dict[str, Any]] = [] if data is None else data.to_table().to_pylist()
    return found


def ids(made: Environment, kind: str = "predictions") -> list[str]:
    """Ids of a table, numbers in order."""
    return sorted((row["id"] for row in rows(made, kind)), key=lambda each: (len(each), each))


def long_ago_and_lost(made: Environment, kind: str) -> None:
    """The files of a table were written three hours ago, and reading one would fail."""
    folder = Path(urlsplit(location(made, kind, "m")).path)
    for commit in (folder / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        for action in actions:
            if "add" in action:
                action["add"]["modificationTime"] -= 3 * 3600 * 1000
        commit.write_text("\n".join(json.dumps(action) for action in actions))
    for file in folder.glob("*.parquet"):
        file.unlink()
