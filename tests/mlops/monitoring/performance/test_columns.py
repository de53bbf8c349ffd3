"""Columns that explain a change: those that moved and matter, those whose unusual values cost most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.monitoring.finding import Finding
from mlops.monitoring.performance.columns import explained, movers, said, unusual
from mlops.monitoring.profile import Profile
from mlops.monitoring.service.analysis import of_rows
from mlops.monitoring.service.reference import build_reference
from tests.mlops.monitoring.alerts.made import finding


def moved(column: str, effect: float, importance: float | None, family: Any = "drift") -> Finding:
    made = finding(column, family)
    values = {**vars(made), "effect": effect, "floor": 0.1, "importance": importance}
    return Finding(**values)


@given(
    st.lists(st.tuples(st.floats(0.1, 1e6), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=8)
)
def test_shares_add_up(pairs: list[tuple[float, float | None]]) -> None:
    found = movers(moved(f"c{at}", *pair) for at, pair in enumerate(pairs))
    assert len(found) == len(pairs)
    known = [each.share for each in found if each.share is not None]
    assert sum(known) == pytest.approx(1.0) or not any(known)
    assert known == sorted(known, reverse=True)


def test_what_matters_comes_before_what_moved_most() -> None:
    findings = [moved("noise", 0.9, 0.01), moved("delay", 0.3, 0.8), moved("wind", 0.3, 0.1)]
    assert explained(findings) == "of what moved and matters: delay 86%, wind 11%"
    assert explained([moved("a", 0.3, None), moved("b", 0.3, None)]) == (
        "a, b moved; how much they matter is not known"
    )
    quiet = Finding(**{**vars(moved("a", 0.01, 1.0)), "found": False})
    other = Finding(**{**vars(moved("a", 0.3, 1.0)), "segment": "region=EU"})
    assert explained([quiet, other]) == ""


def rows(seed: int, number: int, cold: float = 0.0, words: tuple[str, ...] = ("a", "b")) -> Any:
    random = np.random.default_rng(seed)
    temp = random.normal(15, 5, number)
    temp[random.random(number) < cold] -= 30
    return pa.table(
        {
            "temp": temp,
            "other": random.normal(size=number),
            "word": random.choice(words, number).tolist(),
        }
    )


def test_the_column_whose_unusual_values_cost_most_is_named_and_none_by_chance() -> None:
    """Held-out seeds; where all rows became worse alike, none."""
    reference = Profile.of(rows(4_900_000, 20_000))
    named = wrong = 0
    for seed in range(100):
        random = np.random.default_rng(4_910_000 + seed)
        table = rows(4_920_000 + seed, 2000, cold=0.1)
        lost = random.exponential(1.0, 2000)
        lost[table["temp"].to_numpy() < 0] += 3.0
        found = unusual(reference, table, lost, 1.0)
        named += found is not None and found.column == "temp"
        wrong += unusual(reference, rows(4_930_000 + seed, 2000, cold=0.1), lost * 1.3, 1.0) is not None
    assert named >= 98
    assert wrong <= 5
    words = rows(1, 2000, words=("a", "b", "c"))
    lost = np.where(np.asarray(words["word"].to_pylist()) == "c", 4.0, 1.0)
    assert said(unusual(reference, words, lost + np.random.default_rng(0).normal(0, 0.1, 2000), 1.0)) == (
        f"100% of the lost squared error is where word is new, {np.mean(lost == 4):.0%} of the rows"
    )
    assert said(unusual(reference, words, np.full(2000, 0.5), 1.0)) == "", "nothing was lost"


def test_moved_predictions_say_what_moved_them() -> None:
    random = np.random.default_rng(4_940_000)
    made = random.normal(size=(4000, 2))
    reference = build_reference(
        {"x": made[:, 0], "y": made[:, 1]}, made @ [1.0, 0.2], importance={"x": 5, "y": 1}
    )
    now = random.normal([0.8, 0.0], size=(2000, 2))
    table = pa.table(
        {
            "id": [str(at) for at in range(2000)],
            "time": pa.array([0] * 2000, pa.timestamp("us", tz="UTC")),
            "event_time": pa.array([None] * 2000, pa.timestamp("us", tz="UTC")),
            "features": [f'{{"x":{x},"y":{y}}}' for x, y in now],
            "score": now @ [1.0, 0.2],
        }
    )
    seen = of_rows(reference, table, "1", (None, None), lambda _, block: block, 0.01)
    told = [each.sentence for each in seen.findings if each.family == "prediction" and each.found]
    assert told
    assert all(each.endswith("; of what moved and matters: x 100%") for each in told)
