"""The reader's place in a table that several writers append to."""

from __future__ import annotations

from pathlib import Path

import deltalake
import pyarrow as pa

from blueprints.environment import StorageRef
from mlops.monitoring.cursor import Cursor

HERE = StorageRef(kind="folder", buckets={})


def append(uri: str, ids: list[str]) -> None:
    deltalake.write_deltalake(uri, pa.table({"id": ids}), mode="append")


def test_every_row_is_read_once_whatever_is_appended_between(tmp_path: Path) -> None:
    uri = str(tmp_path / "log")
    written: list[str] = []
    seen: list[str] = []
    cursor = Cursor()
    for turn in range(12):
        rows = [f"{turn}-{row}" for row in range(turn % 5 + 1)]
        append(uri, rows)
        append(uri, [f"other-{turn}"])
        written += [*rows, f"other-{turn}"]
        cursor = Cursor.from_text(cursor.to_text()).extended(uri, HERE)
        while cursor.rows >= 4:
            seen += cursor.read(uri, HERE, 4).column("id").to_pylist()
            cursor = cursor.advanced(4)
    if cursor.rows:
        seen += cursor.read(uri, HERE, cursor.rows).column("id").to_pylist()
    assert sorted(seen) == sorted(written)
    assert len(seen) == len(set(seen))


def test_nothing_new_leaves_the_place_alone(tmp_path: Path) -> None:
    uri = str(tmp_path / "log")
    append(uri, ["a", "b", "c"])
    cursor = Cursor().extended(uri, HERE).advanced(2)
    assert cursor.extended(uri, HERE) == cursor
    assert cursor.rows == 1
    assert cursor.read(uri, HERE, 10).column("id").to_pylist() == ["c"]
