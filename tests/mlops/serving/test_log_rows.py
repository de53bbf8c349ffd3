"""What is in the log: rows, shadow, failures, labels; sampled, redacted, read back once each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blueprints.spec import LogSpec
from mlops.data.tables import location
from mlops.monitoring.cursor import Cursor
from mlops.serving.log import Policy, PredictionLog, read_predictions, row_ids
from mlops.serving.log.compact import compact
from mlops.serving.log.policy import UNSAID, unseen
from mlops.serving.log.upkeep import Upkeep
from mlops.serving.rows import Batch, Call, Outputs
from mlops.serving.signature import Column, Signature
from tests.mlops.serving.logs import PAIR, append, batch, environment, ids, rows
from tests.mlops.serving.test_log_recovery import eventually

MIXED = Signature((Column("age", "long"), Column("email", "string"), Column("seen", "datetime")))


def mixed(ids: list[str], email: str = "ann@example.org") -> Batch:
    """Rows of several types."""
    columns = {
        "age": np.array([41] * len(ids)),
        "email": np.array([email] * len(ids), dtype=object),
        "seen": np.array(["2026-01-02T03:04:05", *["NaT"] * (len(ids) - 1)], dtype="datetime64[us]"),
    }
    return Batch(MIXED, len(ids), None, columns, ids, [5] * len(ids))


def test_answers_recorded_together_are_those_recorded_alone(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    other = Signature((Column("z", "double"), Column("y", "double")))
    score = Outputs(np.full(2, 0.5))
    entries = [
        ("m", "1", "champion", Call("q"), batch(["a", "b"]), score, 0.1),
        ("m", "2", "canary", Call("r"), batch(["c", "d"], signature=other), score, 0.1),
        ("m", "2", "shadow", Call("r"), batch(["c", "d"], signature=other), score, 0.1),
        ("n", "1", "champion", Call("s"), batch(["e", "f"]), score, 0.1),
        ("m", "1", "champion", Call("t"), mixed(["g", "h"]), score, 0.1),
        ("m", "1", "champion", Call("u"), batch(["i", "j"]), score, 0.1),
    ]
    log.append_all(entries)
    log.append_all([])
    assert log.backlog("m").rows == 8
    few = Outputs(np.full(1, 0.5))
    with pytest.raises(IndexError):
        log.append_all([entries[0], ("m", "1", "champion", Call("v"), batch(["k", "l"]), few, 0.1)])
    assert log.backlog("m").rows == 8
    log.flush()
    alone = PredictionLog(tmp_path / "alone" / "log", other_made := environment(tmp_path / "alone"))
    for entry in entries:
        alone.append(*entry)
    alone.flush()
    for kind, model in (("predictions", "m"), ("shadow", "m"), ("predictions", "n")):
        together, single = (
            sorted(rows(each, kind, model), key=lambda row: str(row["id"])) for each in (made, other_made)
        )
        assert [{**row, "time": 0} for row in together] == [{**row, "time": 0} for row in single]


def test_a_row_says_everything(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    append(log, "a", "b")
    append(log, "s", arm="shadow", version="2")
    log.append(
        "m", "1", "champion", Call("q"), mixed(["c", "d"]), Outputs(np.array(["yes", 'n"o'], object)), 0.5
    )
    log.flush()
    found = {row["id"]: row for row in rows(made)}
    assert set(found) == {"a", "b", "c", "d"}
    first = found["a"]
    now = first.pop("time")
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    assert first == {
        "id": "a",
        "event_time": None,
        "model": "m",
        "version": "1",
        "arm": "champion",
        "features": '{"x":1.5,"y":2.0}',
        "prediction": "0.5",
        "score": 0.5,
        "latency_ms": 12.5,
        "request": "request-a",
        "caller": "team",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    assert json.loads(found["c"]["features"]) == {
        "age": 41,
        "email": "ann@example.org",
        "seen": "2026-01-02T03:04:05.000000",
    }
    assert json.loads(found["d"]["features"])["seen"] is None
    assert json.loads(found["d"]["prediction"]) == 'n"o'
    assert (found["c"]["score"], found["c"]["trace"]) == (None, None)
    assert found["c"]["event_time"] == datetime(1970, 1, 1, 0, 0, 0, 5, UTC)
    assert [row["version"] for row in rows(made, "shadow")] == ["2"]


@pytest.mark.parametrize(
    ("values", "names", "prediction", "score"),
    [
        (np.array([[0.25, 0.75]]), (), [0.25, 0.75], 0.75),
        (np.array([[0.25, 0.75]]), ("no", "yes"), {"no": 0.25, "yes": 0.75}, 0.75),
        (np.array([[1.0, 2.0, 3.0]], np.float32), (), [1.0, 2.0, 3.0], None),
        (np.array([True]), (), True, 1.0),
        (np.array([7], np.int32), (), 7, 7.0),
        (np.array([np.nan]), (), None, None),
        (np.array(["a\\b\n"], object), (), "a\\b\n", None),
    ],
)
def test_outputs_of_every_kind(
    tmp_path: Path, values: Any, names: tuple[str, ...], prediction: Any, score: float | None
) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    outputs = Outputs(values, names)
    log.append("m", "1", "champion", Call("q"), batch(["a"]), outputs, 0.1)
    log.flush()
    (row,) = rows(made)
    assert (json.loads(row["prediction"]), row["score"]) == (prediction, score)
    assert outputs.scores() == [score]


_NAMES = st.lists(
    st.text(max_size=5).filter(lambda name: name.isprintable()), min_size=1, max_size=4, unique=True
)


@settings(max_examples=30, deadline=None)
@given(names=_NAMES, data=st.data(), kind=st.sampled_from(["double", "float", "long", "string"]))
def test_any_columns_and_values_come_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject, kind: str
) -> None:
    """What was asked is what the table says, whatever is in the names and the values."""
    values = {
        "double": st.floats(allow_infinity=False),
        "float": st.floats(width=32, allow_infinity=False),
        "long": st.integers(-(2**63), 2**63 - 1),
        "string": st.text(max_size=8),
    }[kind]
    table = data.draw(
        st.lists(st.lists(values, min_size=len(names), max_size=len(names)), min_size=1, max_size=4)
    )
    sent = row_ids("q", len(table))
    signature = Signature(tuple(Column(name, kind) for name in names))
    if kind == "string":
        columns = {n: np.array([row[i] for row in table], dtype=object) for i, n in enumerate(names)}
        asked = Batch(signature, len(table), None, columns, sent)
    else:
        matrix = np.array(table, dtype={"double": "f8", "float": "f4", "long": "i8"}[kind])
        asked = Batch(signature, len(table), matrix, None, sent)
    folder = tmp_path_factory.mktemp("log")
    made = environment(folder)
    log = PredictionLog(folder / "log", made)
    log.append("m", "1", "champion", Call("q"), asked, Outputs(np.arange(len(table), dtype=float)), 0.1)
    log.flush()
    found = {row["id"]: json.loads(row["features"]) for row in rows(made)}
    for number, (identity, row) in enumerate(zip(sent, table, strict=True)):
        expected = {name: None if value != value else value for name, value in zip(names, row, strict=True)}
        if kind == "float":
            got = {n: None if v is None else float(np.float32(v)) for n, v in found[identity].items()}
            assert got == expected, number
        else:
            assert found[identity] == expected, number


def test_versions_with_other_columns_and_without_a_signature_share_a_table(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    for number in range(3):
        for signature in (PAIR, Signature((Column("z", "double"), Column('q"\\', "double"))), Signature()):
            name = f"{number}-{len(signature.columns)}-{signature.names[:1]}"
            log.append(
                "m",
                "1",
                "champion",
                Call(name),
                batch([name], None, signature),
                Outputs(np.array([1.0])),
                0.1,
            )
    log.flush()
    found = {row["id"]: json.loads(row["features"]) for row in rows(made)}
    assert len(found) == 9
    assert found["1-2-('x',)"] == {"x": 1.5, "y": 2.0}
    assert found["1-2-('z',)"] == {"z": 1.5, 'q"\\': 2.0}
    assert found["1-0-()"] == {"0": 1.5, "1": 2.0}


def test_failures_have_a_table_and_no_rows_unless_allowed(tmp_path: Path) -> None:
    made = environment(tmp_path)
    for name, policy in (("a", Policy()), ("b", Policy(failed_rows=True))):
        log = PredictionLog(tmp_path / name, made, policy)
        log.fail("m", "1", "canary", Call(name), "model", "it broke", 0.25, batch(["r1", "r2"]))
        log.fail("m", "", "", Call(name + "2"), "contract", "column x: expected double", 0.0)
        log.flush()
    found = {row["id"]: row for row in rows(made, "failures")}
    assert found["a"]["features"] is None
    assert (found["a"]["class"], found["a"]["sentence"], found["a"]["rows"]) == ("model", "it broke", 2)
    assert json.loads(found["b"]["features"]) == [{"x": 1.5, "y": 2.0}] * 2
    assert found["a2"]["rows"] is None
    assert rows(made) == []


def test_a_repeated_request_is_read_once_with_its_newest_labels(tmp_path: Path) -> None:
    made = environment(tmp_path)
    one, two = (PredictionLog(tmp_path / name, made) for name in ("one", "two"))
    append(one, "a", score=0.1)
    append(one, "b")
    one.flush()
    begun = datetime.now(UTC)
    append(two, "a", score=0.9)
    two.label("m", ["a", "b", "gone"], [0.0, 1.0, 1.0], times=[2_000_000, None, None])
    two.label("m", ["a"], [5.0], times=[1_000_000])
    two.label("m", ["a"], [12.5], name="revenue")
    two.flush()
    assert len(rows(made)) == 3
    found = {row["id"]: row for row in read_predictions(made, "m").to_pylist()}
    assert {key: (row["score"], row["label"], row["revenue"]) for key, row in found.items()} == {
        "a": (0.9, 0.0, 12.5),
        "b": (0.5, 1.0, None),
    }
    assert read_predictions(made, "m", since=begun).column("id").to_pylist() == ["a"]
    assert read_predictions(made, "m", until=begun).column("id").to_pylist() == ["a", "b"]
    assert read_predictions(made, "m", columns=["score"]).schema.names == [
        "id",
        "time",
        "score",
        "label",
        "revenue",
    ]
    own = pa.table({"id": ["b"], "time": pa.array([1]), "label": [7.0]})
    assert read_predictions(made, "m", labels=own).column("label").to_pylist() == [7.0, None]
    assert len(read_predictions(made, "nobody")) == 0
    # Metrics are not in the table that readers take for the truth.
    assert {row["label"] for row in rows(made, "labels")} == {0.0, 1.0, 5.0}
    with pytest.raises(ValueError, match="zip"):
        two.label("m", ["a", "b"], [1.0])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_sampled_share_holds_and_a_repeated_request_agrees(tmp_path: Path, share: float) -> None:
    made = environment(tmp_path)
    policy = Policy.of(LogSpec(sample=share), made)
    many = [f"id-{number}" for number in range(8000)]
    for name in ("one", "two"):
        log = PredictionLog(tmp_path / name, made, policy)
        for start in range(0, len(many), 500):
            append(log, *many[start : start + 500])
        log.label("m", many[:10], [1.0] * 10)
        log.flush()
    found = [row["id"] for row in rows(made)]
    assert abs(len(set(found)) / len(many) - share) < 0.02
    assert len(found) == 2 * len(set(found)), "both replicas keep the same rows"
    assert len(rows(made, "labels")) == 20


def test_off_records_labels_only(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made, Policy.of(LogSpec(enabled=False), made))
    append(log, "a")
    log.fail("m", "1", "champion", Call("b"), "model", "it broke", 0.1)
    log.label("m", ["a"], [1.0])
    log.flush()
    assert [rows(made, kind) for kind in ("predictions", "failures")] == [[], []]
    assert len(rows(made, "labels")) == 1


def on_disk(folder: Path, *needles: str) -> set[str]:
    """The needles that any file holds, in clear or inside a Parquet file."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            if path.suffix == ".parquet":
                text += str(pq.read_table(path).to_pylist())
            found |= {needle for needle in needles if needle in text}
    return found


def test_nothing_of_a_redacted_column_is_anywhere(tmp_path: Path) -> None:
    """In segments, tables, their statistics and the words of failures."""

    made = environment(tmp_path)
    policy = Policy.of(LogSpec(redact=("email", "x", "name:hash"), failed_rows=True), made)
    secret, number, name = "ann@example.org", 4217.375, "Ann Other"
    signature = Signature((*MIXED.columns, Column("name", "string")))
    asked = mixed(["a"], secret)
    assert asked.columns is not None
    columns = {**asked.columns, "name": np.array([name], dtype=object)}
    sent = Batch(signature, 1, None, columns, ["a"])
    outputs = Outputs(np.array([1.0]))
    log = PredictionLog(tmp_path / "log", made, policy)
    numbers = batch(["b"], [[number, 1.25]])
    log.append("m", "1", "champion", Call("q"), sent, outputs, 0.1)
    log.append("m", "1", "shadow", Call("q"), sent, outputs, 0.1)
    log.append("m", "1", "champion", Call("q"), numbers, outputs, 0.1)
    for each in (sent, numbers):
        log.fail(
            "m", "1", "champion", Call("q"), "model", f"could not use {secret} {number} {name}", 0.1, each
        )
    needles = (secret, str(number), name, "could not use")
    assert on_disk(tmp_path, *needles, "1.25", UNSAID) == {"1.25", UNSAID}
    log.flush()
    assert on_disk(tmp_path, *needles, "1.25", UNSAID) == {"1.25", UNSAID}
    found = {row["id"]: json.loads(row["features"]) for row in rows(made)}
    assert found["b"] == {"x": "redacted", "y": 1.25}
    assert found["a"] == {
        "age": 41,
        "email": "redacted",
        "seen": "2026-01-02T03:04:05.000000",
        "name": policy.disguised(name),
    }
    assert len(str(policy.disguised(name))) == len("hash:") + 32
    assert unseen([policy.disguised(name), None, "redacted"])
    assert not unseen([None, None])
    assert not unseen(["redacted", name])
    assert policy.disguised(name) == Policy.of(LogSpec(), made).disguised(name)
    other = Policy.of(
        LogSpec(),
        made.model_copy(update={"storage": made.storage.model_copy(update={"secret_key": _secret()})}),
    )
    assert policy.disguised(name) != other.disguised(name)
    assert policy.disguised(None) is None


def _secret() -> Any:
    from pydantic import SecretStr

    return SecretStr("another")


def test_tables_of_the_release_before_are_appended_to_and_read(tmp_path: Path) -> None:
    """Fewer columns, and the rows of both in one reading."""
    made = environment(tmp_path)
    now = datetime.now(UTC)
    stamp = pa.timestamp("us", tz="UTC")
    old = {"id": "a", "time": now, "event_time": None, "model": "m", "version": "1", "arm": "champion"}
    old |= {"features": '{"x":1}', "prediction": "2", "score": 2.0, "latency_ms": 1.5}
    kinds = {"time": stamp, "event_time": stamp, "score": pa.float64(), "latency_ms": pa.float64()}
    fields = [(name, kinds.get(name, pa.string())) for name in old]
    for kind, row, schema in (
        ("predictions", old, fields),
        ("labels", {"id": "a", "time": now, "label": 1.0}, [*fields[:2], ("label", pa.float64())]),
    ):
        rows_then = pa.Table.from_pylist([row], schema=pa.schema(schema))
        deltalake.write_deltalake(location(made, kind, "m"), rows_then)
    uri = (tmp_path / "data" / "predictions" / "m").as_uri()
    cursor = Cursor().extended(uri, made.storage)
    assert len(read_predictions(made, "m")) == 1
    log = PredictionLog(tmp_path / "log", made)
    append(log, "b")
    log.label("m", ["b"], [0.0])
    log.flush()
    cursor = cursor.extended(uri, made.storage)
    assert cursor.read(uri, made.storage, 10).column("id").to_pylist() == ["a", "b"]
    found = {row["id"]: (row["caller"], row["label"]) for row in read_predictions(made, "m").to_pylist()}
    assert found == {"a": (None, 1.0), "b": ("team", 0.0)}
    assert deltalake.DeltaTable(
        (tmp_path / "data" / "labels" / "m").as_uri()
    ).to_pyarrow_table().schema.names == [
        "id",
        "time",
        "label",
    ]


def test_compaction_is_invisible_to_a_reader_in_the_middle(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    uri = (tmp_path / "data" / "predictions" / "m").as_uri()
    cursor, seen = Cursor(), list[str]()
    for number in range(30):
        append(log, str(number))
        log.flush()
        cursor = Cursor.from_text(cursor.to_text()).extended(uri, made.storage)
        if number % 7 == 3:
            seen += cursor.read(uri, made.storage, 3).column("id").to_pylist()
            cursor = cursor.advanced(3)
        if number % 10 == 5:
            assert compact(made, "predictions", "m", few=2) >= 2
    cursor = cursor.extended(uri, made.storage)
    seen += cursor.read(uri, made.storage, cursor.rows).column("id").to_pylist()
    assert sorted(seen, key=int) == ids(made) == [str(number) for number in range(30)]
    assert compact(made, "predictions", "m") == 0, "few files are left alone"
    assert compact(made, "predictions", "nobody") == 0


def test_the_leader_merges_in_a_process_of_its_own(tmp_path: Path) -> None:
    made = environment(tmp_path)
    log = PredictionLog(tmp_path / "log", made)
    for number in range(40):
        append(log, str(number))
        log.flush()
    upkeep = Upkeep(made, seconds=0.0)
    upkeep.look(["predictions/m"])
    uri = (tmp_path / "data" / "predictions" / "m").as_uri()
    eventually(lambda: len(deltalake.DeltaTable(uri).file_uris()) == 1)
    upkeep.end()
    append(log, "40")
    log.flush()
    assert len(ids(made)) == 41


def test_row_ids_are_the_same_when_a_request_is_repeated() -> None:
    assert row_ids("q", 1) == ["q"]
    assert row_ids("q", 2) == row_ids("q", 2) == ["q-0", "q-1"]
