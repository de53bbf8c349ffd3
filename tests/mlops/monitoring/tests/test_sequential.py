"""Looking again and again: no more false alarms than one look would have, and a change is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops.monitoring import Profile, Rules, compare
from mlops.monitoring.tests.sequential import Stream, band, of_sample


def rows(
    random: np.random.Generator, number: int, moved: float = 0.0, gone: float = 0.0, share: float = 0.3
) -> Any:
    values = random.normal(moved, 1, number)
    values[random.random(number) < gone] = np.nan
    words = np.where(random.random(number) < share, "a", random.choice(["b", "c", "d"], number))
    return {
        "x": values,
        "y": random.lognormal(size=number),
        "z": np.round(random.normal(size=number)),
        "w": words,
    }


def found(stream: Stream, block: Profile) -> set[str]:
    return {each.column for each in stream.add(block) if each.found}


def test_no_look_of_a_hundred_alarms_though_a_test_a_window_does() -> None:
    """Held-out seeds: 25 streams of 100 blocks."""
    ever = windows = 0
    for seed in range(25):
        random = np.random.default_rng(5_100_000 + seed)
        reference = Profile.of(rows(random, 20_000))
        stream, plain = Stream(reference, 0.05, Rules(floors={"ks": 0.0})), False
        alarmed = False
        for _ in range(100):
            block = Profile.of(rows(random, 500), like=reference)
            alarmed |= bool(found(stream, block))
            plain |= any(each.found for each in compare(reference, block, Rules(alpha=0.05)).findings)
        ever, windows = ever + alarmed, windows + plain
    assert ever <= 2
    assert windows >= 20, "what a test of each window does to the same streams"


@pytest.mark.parametrize(
    ("change", "column", "blocks"),
    [({"moved": 0.5}, "x", 6), ({"gone": 0.15}, "x", 12), ({"share": 0.5}, "w", 10)],
)
@pytest.mark.parametrize("quiet", [0, 20])
def test_a_change_is_found_from_the_start_and_after_a_quiet_past(
    change: dict[str, float], column: str, blocks: int, quiet: int
) -> None:
    """After no more blocks than the past again and a few."""
    for seed in range(5):
        random = np.random.default_rng(5_200_000 + seed)
        reference = Profile.of(rows(random, 20_000))
        stream = Stream(reference)
        for _ in range(quiet):
            assert found(stream, Profile.of(rows(random, 500), like=reference)) == set()
        for _ in range(quiet + blocks):
            seen = found(stream, Profile.of(rows(random, 500, **change), like=reference))
            if seen:
                break
        assert seen == {column}


def test_the_band_holds_what_it_says_and_narrows() -> None:
    assert band(1000, 1000, 0.01) > of_sample(1000, 0.01)
    assert band(1_000_000, 1000, 0.01) < 0.05
    assert [band(10**k, 10, 0.05) for k in range(2, 7)] == sorted(
        (band(10**k, 10, 0.05) for k in range(2, 7)), reverse=True
    )
    empty = Profile.of(rows(np.random.default_rng(0), 0))
    stream = Stream(Profile.of(rows(np.random.default_rng(0), 100)))
    assert stream.add(empty) == ()
    assert stream.rows == 0
