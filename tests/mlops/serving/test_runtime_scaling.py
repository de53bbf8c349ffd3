"""How many processes a version gets: a pure rule over how busy they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops.serving.runtime.scaling import Scale


def settled(scale: Scale, work: float, number: int, looks: int) -> list[int]:
    """Numbers over time under ``work``: what so many processes could do all the time."""
    seen = []
    for _ in range(looks):
        number = scale.look(min(1.0, work / number), number)
        seen.append(number)
    return seen


@given(st.integers(1, 8), st.floats(0, 20), st.integers(1, 8))
def test_a_steady_load_comes_to_rest_within_the_bounds(most: int, work: float, number: int) -> None:
    seen = settled(Scale(most), work, number, 600)
    assert all(1 <= each <= max(most, number) for each in seen)
    assert len(set(seen[-60:])) == 1, "processes come and go"
    last = seen[-1]
    assert last == most or work / last < 0.8
    assert last == 1 or work / (last - 1) >= 0.5


def test_a_short_peak_changes_nothing() -> None:
    scale = Scale(4)
    assert [scale.look(1.0, 1), scale.look(1.0, 1), scale.look(0.1, 1), scale.look(1.0, 1)] == [1, 1, 1, 1]


def test_it_grows_one_by_one_and_goes_back_after_quiet() -> None:
    scale = Scale(3, shrink_after=5)
    assert settled(scale, 9.0, 1, 7) == [1, 1, 2, 2, 2, 3, 3]
    assert settled(scale, 0.0, 3, 11) == [3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1]
