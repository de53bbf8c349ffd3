"""Parts that add up to the whole change, and the segment in which a model became worse is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.monitoring.performance.attribution import REST, Group, explained, grouped, losses, parts

counts = st.integers(1, 10_000)
means = st.floats(0, 10)
SIDE = st.tuples(st.lists(st.tuples(counts, means), min_size=3, max_size=3), st.integers(0, 1000), means)


def side(made: tuple[list[tuple[int, float]], int, float]) -> dict[str, Group]:
    """Three regions, and rows in none of them."""
    regions, rest, loss = made
    rows = sum(count for count, _ in regions) + rest
    total = sum(count * mean for count, mean in regions) + rest * loss
    groups = {f"region={at}": Group(*each) for at, each in enumerate(regions)}
    return {"": Group(rows, total / rows), **groups}


@given(SIDE, SIDE)
def test_parts_add_up_to_the_whole_change(
    before: tuple[list[tuple[int, float]], int, float], now: tuple[list[tuple[int, float]], int, float]
) -> None:
    one, other = side(before), side(now)
    found = parts(one, other, "region")
    assert sum(each.change for each in found) == pytest.approx(other[""].loss - one[""].loss, abs=1e-9)
    assert {each.segment for each in found} == {"region=0", "region=1", "region=2", REST}


def of(loss: dict[str, float], rows: dict[str, int]) -> dict[str, Group]:
    regions = [(rows[name], loss[name]) for name in ("0", "1", "2")]
    return side((regions, 0, 0.0))


def test_the_region_that_became_worse_is_named() -> None:
    even = {"0": 700, "1": 200, "2": 100}
    before = of({"0": 0.1, "1": 0.1, "2": 0.1}, even)
    worse = of({"0": 0.1, "1": 0.1, "2": 0.4}, even)
    assert explained(before, worse) == "100% of the lost squared error is in region=2, 10% of the rows"
    assert explained(worse, before) == "", "it became better"
    everywhere = of({"0": 0.2, "1": 0.2, "2": 0.2}, even)
    assert explained(before, everywhere) == "", "none stands out"


def test_more_rows_of_a_hard_region_are_told_as_such() -> None:
    hard = {"0": 0.05, "1": 0.05, "2": 0.5}
    before = of(hard, {"0": 700, "1": 200, "2": 100})
    now = of(hard, {"0": 500, "1": 100, "2": 400})
    assert explained(before, now).endswith("is in region=2, 40% of the rows (was 10%)")
    found = parts(before, now, "region")
    assert found[0].by_share == pytest.approx(found[0].change)


def test_chance_names_no_region() -> None:
    """Every region became worse alike; one of five always looks worst."""
    random, named = np.random.default_rng(2_950_000), 0
    for _ in range(200):
        sides = []
        for scale, rows in ((1.0, 5000), (1.2, 1000)):
            lost, region = scale * random.exponential(size=rows), random.integers(0, 5, rows)
            sides.append(grouped(lost, {f"r={at}": np.flatnonzero(region == at) for at in range(5)}))
        named += bool(explained(*sides))
    assert named <= 16


def test_losses_of_rows_and_groups() -> None:
    scores, labels = np.asarray([0.1, 0.9, 0.5]), np.asarray([0.0, 1.0, 1.0])
    found = losses(scores, labels, "classification")
    assert found is not None
    np.testing.assert_allclose(found, [0.01, 0.01, 0.25])
    assert losses(scores * 10, labels, "classification") is None
    made = grouped(found, {"a=1": np.asarray([2]), "a=2": np.asarray([], int)})
    assert made["a=1"] == Group(1, 0.25, 0.0)
    assert set(made) == {"", "a=1"}
    assert explained({}, made) == ""
