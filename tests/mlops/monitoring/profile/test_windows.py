"""Windows are what a profile of their rows would be; segments are kept apart up to a number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from blueprints.errors import UsageProblem
from mlops.monitoring.profile import Block, Profile, Segments, Windows
from tests.mlops.monitoring.profile.parts import facts, table

NAMES = ["wide", "far", "small", "word", "vector"]
TABLE = table(600).select(NAMES)
WHOLE = Profile.of(TABLE)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
BLOCKS = [
    Block(
        NOON + timedelta(minutes=number),
        NOON + timedelta(minutes=number + 1),
        Profile.of(TABLE.slice(50 * number, 50), WHOLE),
    )
    for number in range(12)
]


def of(start: int, end: int) -> object:
    """The profile of rows of the blocks from ``start`` to ``end``, made at once."""
    return facts(Profile.of(TABLE.slice(50 * start, 50 * (end - start)), WHOLE))


def test_a_sliding_window_by_time() -> None:
    made = list(Windows(span=timedelta(minutes=4)).over(BLOCKS))
    assert len(made) == 12
    for number, window in enumerate(made, 1):
        assert facts(window.profile) == of(max(number - 4, 0), number)
    assert made[-1].start == NOON + timedelta(minutes=8)


def test_a_sliding_window_by_count() -> None:
    last = list(Windows(rows=120).over(BLOCKS))[-1]
    assert facts(last.profile) == of(10, 12)


def test_tumbling_windows() -> None:
    width = timedelta(minutes=3)
    made = list(Windows(span=width, every=width).over(BLOCKS))
    assert [facts(window.profile) for window in made] == [of(start, start + 3) for start in (0, 3, 6, 9)]


def test_what_is_not_a_window_is_refused() -> None:
    with pytest.raises(UsageProblem, match="needs a length"):
        Windows()
    windows = Windows(rows=100)
    windows.add(BLOCKS[3])
    with pytest.raises(UsageProblem, match="older than the window"):
        windows.add(BLOCKS[1])


def test_segments_beyond_the_number_are_one() -> None:
    table_ = TABLE.append_column(
        "region", [["north"] * 300 + ["south"] * 200 + ["east"] * 60 + ["west"] * 40]
    )
    segments = Segments(["region"], most=2)
    made = segments.profiles(table_, WHOLE)
    assert {name: profile.rows for name, profile in made.items()} == {
        "north": 300,
        "south": 200,
        "(other)": 100,
    }
    assert "100 rows are in (other)" in segments.note
    again = segments.profiles(table_.slice(560, 40), WHOLE)
    assert list(again) == ["(other)"]
    assert facts(made["north"]) == facts(Profile.of(TABLE.slice(0, 300), WHOLE))
