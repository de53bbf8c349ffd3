"""Windows over blocks: always the sum of what is in them, whatever came, left, failed or restarted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.monitoring.alerts import AlertStore
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.storage import to_bytes
from mlops.monitoring.service import blocks
from mlops.monitoring.service.blocks import Block
from mlops.monitoring.service.monitor import Monitor
from mlops.monitoring.service.windows import Windows
from tests.mlops.monitoring.service.watched import monitor, reference, send
from tests.mlops.serving.logs import environment

NOW = datetime(2026, 9, 23, 10, tzinfo=UTC)
HOURS = 6.0


def _in(block: Block, cut: datetime) -> bool:
    return block.end is not None and block.end > cut


def same(one: Profile, other: Profile) -> bool:
    return to_bytes(one) == to_bytes(other)


_WHAT = st.sampled_from(["keep", "fail", "restart"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 5), st.sampled_from(["", "x=1"]), st.sampled_from(["keep", "fail", "restart"])
        ),
        min_size=1,
        max_size=25,
    ),
    st.sampled_from([1, 2, 5]),
    st.booleans(),
)
def test_a_window_is_the_sum_of_its_blocks(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[float, str, str]], most: int, timed: bool
) -> None:
    store = AlertStore(f"sqlite:///{tmp_path_factory.mktemp('windows')}/alerts.db")
    span = timedelta(hours=HOURS) if timed else None
    windows, end = Windows(store, most, span), NOW
    kept: dict[str, list[Block]] = {"": [], "x=1": []}
    like = Profile.of({"x": np.arange(10.0)})
    for number, (hours, segment, what) in enumerate(events):
        end += timedelta(hours=hours)
        values = np.random.default_rng(number).normal(size=20)
        block = Block("m", "1", end, end, Profile.of({"x": values}, like=like), segment)
        window = windows.ending_with("m", "1", segment, block.profile, end)
        mine = [*kept[segment], block]
        inside = (
            [each for each in mine if each.end and span and each.end > end - span] if span else mine[-most:]
        )
        assert same(window, reduce(add, [each.profile for each in inside]))
        if what == "fail":
            windows.forget("m")
            continue
        with store.transaction() as connection:
            blocks.write(connection, [block])
        kept[segment].append(block)
        if what == "restart":
            windows = Windows(store, most, span)


def test_other_columns_begin_a_window_anew(tmp_path: Path) -> None:
    store = AlertStore(f"sqlite:///{tmp_path}/alerts.db")
    windows = Windows(store, 3, None)
    first, other = (Profile.of({name: np.arange(10.0)}) for name in "xy")
    for number, (block, rows) in enumerate([(first, 10), (other, 10), (other, 20), (other, 30), (other, 30)]):
        if number == 3:
            windows = Windows(store, 3, None)
        window = windows.ending_with("m", "1", "", block, NOW)
        assert (window.rows, window.columns.keys()) == (rows, block.columns.keys())
        with store.transaction() as connection:
            blocks.write(connection, [Block("m", "1", NOW, NOW, block)])


def test_few_predictions_are_a_block_once_they_have_waited(tmp_path: Path) -> None:
    watching: Monitor = monitor(tmp_path, {"m": reference()})
    watching._spec = watching._spec.model_copy(update={"window_rows": 2000, "block_hours": 1e-9})
    made, store = environment(tmp_path), watching._book.store
    send(made, tmp_path, "m", "few", 90)
    for _ in range(3):
        watching.look("m")
    assert store.windows("m") == [], "too few, however long they wait"
    send(made, tmp_path, "m", "more", 60)
    watching.look("m")
    assert [each["rows"] for each in store.windows("m")] == [150]
    send(made, tmp_path, "m", "next", 120)
    watching.look("m")
    assert len(store.windows("m")) == 1, "the next have not waited yet"
    watching.look("m")
    assert [each["rows"] for each in store.windows("m")] == [150, 120]
    patient: Monitor = monitor(tmp_path, {"m": reference()})
    patient._spec = patient._spec.model_copy(update={"window_rows": 2000})
    send(made, tmp_path, "m", "last", 500)
    for _ in range(3):
        patient.look("m")
    assert len(store.windows("m")) == 2, "a day is not over"
