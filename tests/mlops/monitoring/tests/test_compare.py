"""Compare: what changed is found and named, what did not is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from blueprints.errors import UsageProblem
from mlops.monitoring import Comparison, Profile, Rules, compare
from mlops.monitoring.finding import Finding
from mlops.monitoring.profile import Numbers
from tests.mlops.monitoring.tests.tables import Columns, profiled, table

REFERENCE = profiled(20_000, 1)
ROWS = 1_000


def changed(change: Callable[[Columns], None], rows: int = ROWS, rules: Rules | None = None) -> Comparison:
    columns = table(rows, 2)
    change(columns)
    return compare(REFERENCE, Profile.of(columns, like=REFERENCE), rules)


def the(comparison: Comparison, column: str, test: str) -> Finding:
    (finding,) = [each for each in comparison.findings if (each.column, each.test) == (column, test)]
    return finding


def first(name: str, share: float, value: object) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        column = np.asarray(columns[name]).astype(object if isinstance(value, str) else float)
        column[: int(share * len(column))] = value
        columns[name] = column

    return change


def scaled(name: str, factor: float, shift: float = 0.0) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns[name] = columns[name] * factor + shift

    return change


def test_nothing_changed_nothing_found() -> None:
    comparison = changed(lambda columns: None)
    assert comparison.found == ()
    assert len(comparison.findings) > 80
    assert {each.severity for each in comparison.findings} == {"none"}


@pytest.mark.parametrize(
    ("change", "column", "test", "words"),
    [
        (scaled("plain0", 1, 0.25), "plain0", "wilcoxon", "plain0 is higher by about"),
        (scaled("plain0", 1.5), "plain0", "mood", "plain0 is spread wider"),
        (scaled("wide0", 1_000), "wide0", "unit", "wide0 is about 1,000 times larger: a change of unit?"),
        (scaled("gamma0", 0.01), "gamma0", "unit", "gamma0 is about 100 times smaller: a change of unit?"),
        (scaled("normal0", 1, 273.15), "normal0", "offset", "higher throughout with the same spread"),
        (scaled("plain0", 1, 200), "plain0", "offset", "higher throughout with the same spread"),
        (first("plain0", 0.1, np.nan), "plain0", "missing", "missing in 10.0% of 1,000 rows, was 0.0%"),
        (first("plain0", 0.02, np.inf), "plain0", "infinite", "infinite in 2.0% of 1,000 rows, was 0.0%"),
        (first("plain0", 0.02, 99.0), "plain0", "range", "in 2.0% of 1,000 rows"),
        (first("few0", 0.1, "v0"), "few0", "chi2", "few0 has other shares: v0 is"),
        (first("few0", 0.03, "ZZ"), "few0", "new", "few0 has 1 new category (ZZ, 3.0% of rows)"),
        (first("few0", 1.0, "v0"), "few0", "vanished", "few0 has lost 4 categories"),
    ],
)
def test_a_change_is_found_in_its_column_only_and_said_in_a_sentence(
    change: Callable[[Columns], None], column: str, test: str, words: str
) -> None:
    comparison = changed(change)
    finding = the(comparison, column, test)
    assert finding.found
    assert words in finding.sentence
    assert {each.column for each in comparison.found} == {column}
    assert finding.effect >= finding.floor
    assert finding.p_adjusted <= 0.01
    assert [each.column for each in comparison.summary] == [column]


def test_a_trifle_is_significant_in_a_million_rows_and_still_not_found() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.normal(size=400_000), rng.normal(0.02, 1, 400_000)
    comparison = compare(Profile.of({"x": before}), Profile.of({"x": after}))
    assert the(comparison, "x", "wilcoxon").p_adjusted < 1e-6
    assert comparison.found == ()


def test_a_distance_must_exceed_what_chance_makes_of_it() -> None:
    words = [f"v{index}" for index in range(300)]
    rng = np.random.default_rng(6)
    before, after = rng.choice(words, 20_000), rng.choice(words, 4_000)
    comparison = compare(Profile.of({"x": before}), Profile.of({"x": after}))
    distance = the(comparison, "x", "jensen_shannon")
    assert distance.effect > 0.1
    assert distance.floor > distance.effect
    assert comparison.found == ()


def test_the_floors_and_the_correction_are_the_readers() -> None:
    strict = changed(scaled("plain0", 1, 0.25), rules=Rules(floors={"wilcoxon": 0.5}))
    assert not the(strict, "plain0", "wilcoxon").found
    adjusted = [
        the(changed(scaled("plain0", 1, 0.25), rules=Rules(correction=how)), "plain0", "wilcoxon").p_adjusted
        for how in ("bh", "holm", "bonferroni")
    ]
    assert adjusted == sorted(adjusted)
    with pytest.raises(UsageProblem, match="no test called"):
        Rules(floors={"kss": 1})


def test_categories_of_a_private_column_are_not_said() -> None:
    comparison = changed(first("few0", 0.3, "Mrs Smith"), rules=Rules(private=frozenset({"few0"})))
    shown = [each.sentence + str(each.reference) + str(each.current) for each in comparison.findings]
    assert the(comparison, "few0", "new").found
    assert not any("Smith" in each for each in shown)
    long = changed(first("few0", 0.3, "a text that somebody wrote into it"))
    assert not any("somebody" in each.sentence for each in long.findings)


def test_predictions_are_a_family_of_their_own() -> None:
    comparison = changed(scaled("plain0", 1, 1), rules=Rules(predictions=frozenset({"plain0"})))
    assert {each.family for each in comparison.found if each.test == "wilcoxon"} == {"prediction"}


def test_pictures_have_about_a_dozen_bars_that_sum_to_one() -> None:
    comparison = changed(lambda columns: None)
    for column, count in (("plain0", 12), ("some0", 12), ("few0", 5)):
        finding = next(each for each in comparison.findings if each.column == column)
        for picture in (finding.reference, finding.current):
            assert len(picture.labels) == count
            assert sum(picture.shares) == pytest.approx(1)


# ---- bad input


def test_columns_that_came_and_went_and_changed_their_type() -> None:
    def change(columns: Columns) -> None:
        del columns["plain0"]
        columns["colour"] = np.array(["red"] * ROWS)
        columns["gamma0"] = columns["gamma0"].astype(str)

    sentences = [each.sentence for each in changed(change).found]
    assert "plain0 is not in the window, the reference has it" in sentences
    assert "colour is not in the reference, the window has it" in sentences
    assert "gamma0 holds words, was numbers" in sentences
    assert len(sentences) == 3


def test_a_column_without_any_value() -> None:
    comparison = changed(first("plain0", 1.0, np.nan))
    (finding,) = comparison.found
    assert (finding.test, finding.severity) == ("missing", "page")
    empty = Profile.of({"x": np.full(100, np.nan)})
    assert compare(empty, empty).found == ()
    back = compare(empty, Profile.of({"x": np.ones(100)}))
    assert [each.test for each in back.found] == ["missing"]


def test_an_empty_or_small_window_is_a_state_and_a_tiny_reference_a_mistake() -> None:
    nothing = compare(REFERENCE, Profile.of(table(0, 1), like=REFERENCE))
    assert nothing.problem == "the window is empty"
    assert nothing.found == ()
    few = compare(REFERENCE, Profile.of({"plain0": np.full(10, 1e9)}, like=REFERENCE))
    assert "10 rows, too few" in few.problem
    assert {each.test for each in few.found} == {"column"}
    tiny = compare(profiled(10, 1), profiled(1_000, 2))
    assert [each.test for each in tiny.found] == ["reference"]


def test_constants_and_single_categories() -> None:
    def of(number: float, word: str) -> Profile:
        return Profile.of({"x": np.full(200, number), "w": np.array([word] * 200)})

    assert compare(of(5, "a"), of(5, "a")).found == ()
    assert {each.column for each in compare(of(5, "a"), of(6, "b")).found} == {"x", "w"}
    assert {each.column for each in compare(of(0, "a"), of(1, "a")).found} == {"x"}
    huge = compare(of(1e308, "a"), of(-1e308, "a"))
    assert {each.column for each in huge.found} == {"x"}


def test_a_column_of_many_words_is_shown_as_shares_of_all_its_rows() -> None:
    """The reference keeps fewer of its words than the window does: the picture must not say they came."""
    rng = np.random.default_rng(4)
    names = np.array([f"word {number:05}" for number in range(3_000)])
    weights = 1 / np.arange(1, 3_001)
    before, now = (rng.choice(names, rows, p=weights / weights.sum()) for rows in (50_000, 1_000))
    comparison = compare(Profile.of({"w": before}), Profile.of({"w": now}))
    (finding,) = (each for each in comparison.findings if each.test == "chi2")
    assert comparison.found == ()
    assert sum(finding.reference.shares) == pytest.approx(1)
    assert sum(finding.current.shares) == pytest.approx(1)
    assert finding.current.shares == pytest.approx(finding.reference.shares, abs=0.06)


def test_profiles_counted_in_other_units_are_compared_in_the_references() -> None:
    rng = np.random.default_rng(3)
    one = Profile.of({"x": rng.normal(size=5_000)})
    (column,) = Profile.of({"x": rng.normal(size=2_000) / 3 - 2}).columns.values()
    assert isinstance(column, Numbers)
    shifted = Profile(2_000, {"x": replace(column, shift=6 + 3 * column.shift, scale=3 * column.scale)})
    assert compare(one, shifted).found == ()


def test_the_library_loads_quickly_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mlops.monitoring import Baseline, Finding, Profile, Rules, compare, persistent\n"
        "heavy = {'pandas', 'scipy', 'pyarrow', 'polars', 'sklearn', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
