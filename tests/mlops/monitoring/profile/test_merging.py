"""Parts of a table, profiled and merged in any order, are the whole, bit for bit."""

from __future__ import annotations

import math
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from blueprints.errors import UsageProblem
from mlops.monitoring.profile import Categories, Numbers, Profile
from mlops.monitoring.profile.columns import aligned, counted
from mlops.monitoring.profile.exact import ratio, sums
from mlops.monitoring.profile.storage import from_bytes, to_bytes
from tests.mlops.monitoring.profile.parts import facts, table

ROWS = 1500
TABLE = table(ROWS)
WHOLE = Profile.of(TABLE)
FLOATS = arrays(np.float64, some.integers(0, 60), elements=some.floats(width=64))


@settings(max_examples=25, deadline=None)
@given(some.lists(some.integers(0, ROWS), max_size=6), some.randoms(use_true_random=False))
def test_any_partition_in_any_order(cuts: list[int], random: object) -> None:
    bounds = [0, *sorted(cuts), ROWS]
    parts = [Profile.of(TABLE.slice(start, end - start), WHOLE) for start, end in pairwise(bounds)]
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert facts(reduce(add, parts)) == facts(WHOLE)


@settings(max_examples=10, deadline=None)
@given(some.integers(0, ROWS))
def test_what_is_taken_away_leaves_what_was_there(cut: int) -> None:
    names = [name for name in TABLE.column_names if name != "id"]
    like = Profile.of(TABLE, columns=names)
    one = Profile.of(TABLE.slice(0, cut), like, names)
    other = Profile.of(TABLE.slice(cut), like, names)
    assert facts(one + other - other) == facts(one)


@given(FLOATS)
@settings(max_examples=150, deadline=None)
def test_the_sums_are_exact(values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore", under="ignore"):
        squares = np.minimum(finite * finite, np.finfo(np.float64).max)
    expected = [
        sum(
            int(math.ldexp(m, 53)) << (e + 1021) if e >= -1021 else int(math.ldexp(m, 53)) >> (-e - 1021)
            for m, e in map(math.frexp, each.tolist())
        )
        for each in (finite, squares)
    ]
    assert list(sums(values)) == expected


def test_the_sum_of_forty_decades_is_that_of_fsum() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=50_000) * 10.0 ** random.integers(-20, 20, 50_000)
    assert ratio(sums(values)[0], 1) == math.fsum(values)
    assert ratio(sums(values)[1], 1) == math.fsum(values * values)


@given(FLOATS)
@settings(max_examples=100, deadline=None)
def test_each_value_is_between_the_edges_of_its_bin(values: np.ndarray) -> None:
    column = Profile.of({"x": values}).columns["x"]
    assert isinstance(column, Numbers)
    finite = np.sort(values[np.isfinite(values)])
    assert int(column.counts.sum()) == len(finite) == column.finite
    assert column.infinite == (int((values == -np.inf).sum()), int((values == np.inf).sum()))
    assert column.missing == column.nan == int(np.isnan(values).sum())
    if not column.shift and np.all((finite == 0) | (np.abs(finite) > 1e-300)):
        low, high = column.edges()
        each = np.repeat(np.arange(len(low)), column.counts)
        assert np.all((low[each] <= finite) & (finite <= high[each]))


def test_many_values_are_counted_as_few_are() -> None:
    values = np.random.default_rng(2).normal(size=200_000)
    bins, counts = counted(values)
    halves = [counted(values[:100_000]), counted(values[100_000:])]
    dense = np.zeros(1 << 19, np.int64)
    for some_bins, some_counts in halves:
        dense[some_bins] += some_counts
    assert np.array_equal(np.flatnonzero(dense), bins)
    assert np.array_equal(dense[bins], counts)


def test_statistics_of_a_column_are_those_of_its_values() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=20_000) + 1e6
    column = Profile.of({"x": values}).columns["x"]
    assert isinstance(column, Numbers)
    assert column.shift != 0
    assert column.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-15)
    assert column.variance == pytest.approx(values.var(), rel=1e-9)
    ranks = np.array([0.01, 0.25, 0.5, 0.9])
    assert column.quantile(ranks) == pytest.approx(np.quantile(values, ranks), abs=0.02)
    assert column.cdf(column.quantile(ranks)) == pytest.approx(ranks, abs=1e-9)
    low, high = column.extremes
    assert low <= values.min() <= values.max() <= high


def test_whole_numbers_beyond_two_to_the_53rd_keep_their_differences() -> None:
    values = (1 << 62) + np.arange(1000)
    column = Profile.of({"x": values}).columns["x"]
    assert isinstance(column, Numbers)
    assert column.variance == pytest.approx(np.arange(1000.0).var(), rel=1e-12)


def test_profiles_of_other_units_are_compared_and_not_merged() -> None:
    values = np.random.default_rng(4).normal(size=4000)
    one, other = (Profile.of({"x": values + offset}).columns["x"] for offset in (0.0, 50.0))
    assert isinstance(one, Numbers)
    assert isinstance(other, Numbers)
    bins, mine, its = aligned(one, other)
    assert (mine.sum(), its.sum()) == (4000, 4000)
    assert np.average(bins, weights=its) > np.average(bins, weights=mine)
    with pytest.raises(UsageProblem, match="different units"):
        one + other


def test_columns_that_differ_are_named() -> None:
    with pytest.raises(UsageProblem) as told:
        Profile.of({"x": [1.0]}) + Profile.of({"y": [1.0]})
    assert told.value.where == "column x"


def test_words_beyond_the_size_go_to_buckets_whatever_came_first() -> None:
    names = [f"customer {number:06d}" for number in range(4000)]
    common = ["web"] * 3000
    first = Profile.of({"w": common[:10]})
    parts = [Profile.of({"w": names[i : i + 800] + common}, first) for i in range(0, 4000, 800)]
    forward, backward = reduce(add, parts), reduce(add, parts[::-1])
    assert facts(forward) == facts(backward) == facts(Profile.of({"w": names + common * 5}, first))
    column = forward.columns["w"]
    assert isinstance(column, Categories)
    assert column.level > 0
    assert column.counts["web"] == 15_000
    assert sum(column.counts.values()) + column.others == column.rows
    left = (forward - parts[0]).columns["w"]
    assert isinstance(left, Categories)
    assert left.others + sum(left.counts.values()) == 4 * 3800


def test_long_words_are_kept_as_their_hash() -> None:
    like = Profile.of({"w": ["short"]})
    column = Profile.of({"w": ["x" * 200, "x" * 200, "short"]}, like).columns["w"]
    assert isinstance(column, Categories)
    assert sorted(column.counts.values()) == [1, 2]
    assert max(map(len, column.counts)) < 30


def test_a_column_of_codes_is_one_of_words() -> None:
    word, code = WHOLE.columns["word"], WHOLE.columns["code"]
    assert isinstance(word, Categories)
    assert isinstance(code, Categories)
    assert word.counts == code.counts
    assert word.missing == code.missing > 0
    assert WHOLE.columns["flag"].counts.keys() == {"true", "false"}  # type: ignore[union-attr]


def test_what_is_not_profiled_is_named() -> None:
    assert "nested" not in WHOLE.columns
    assert "not profiled" in WHOLE.notes["nested"]
    changed = Profile.of({"small": ["one", "two"]}, WHOLE)
    assert changed.notes["small"] == "was numbers, now words"
    ragged = pa.table({"vector": pa.array([[1.0] * 8, [1.0] * 7])})
    norm = Profile.of(ragged, WHOLE).columns["vector (norm)"]
    assert (norm.rows, norm.missing) == (2, 1)


def test_what_is_written_is_read_back() -> None:
    back = from_bytes(to_bytes(WHOLE))
    assert facts(back) == facts(WHOLE)
    assert back.notes == WHOLE.notes
    assert facts(back + WHOLE) == facts(WHOLE + WHOLE)


def test_a_newer_format_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.monitoring.profile.storage.VERSION", 2)
    newer = to_bytes(WHOLE)
    monkeypatch.undo()
    with pytest.raises(UsageProblem, match="format 2, newer"):
        from_bytes(newer)


@pytest.mark.parametrize("kind", ["heavy tail", "twenty decades", "a thousand words", "ids"])
def test_a_column_takes_twenty_kilobytes(kind: str) -> None:
    random = np.random.default_rng(5)
    size = 1_000_000
    if kind == "heavy tail":
        values: object = random.standard_cauchy(size)
    elif kind == "twenty decades":
        values = random.normal(size=size) * 10.0 ** random.uniform(-10, 10, size)
    elif kind == "a thousand words":
        codes = pa.array(random.integers(0, 1000, size).astype(np.int32))
        values = pa.DictionaryArray.from_arrays(codes, [f"category {number}" for number in range(1000)])
    else:
        values = pa.array(np.arange(size)).cast(pa.string())
    profile = Profile.of({"x": values})
    assert len(to_bytes(profile)) <= 20_000
