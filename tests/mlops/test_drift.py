"""The monitor's statistics: against scipy, and by what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from blueprints.errors import Problem
from mlops.monitoring import drift
from mlops.monitoring.service.reference import Reference, build_reference, describe, measure


@pytest.mark.parametrize("x", [0.25, 0.5, 0.9, 1.2, 1.63, 2.5])
def test_kolmogorov_tail_is_that_of_scipy(x: float) -> None:
    assert drift.kolmogorov_tail(x) == pytest.approx(float(stats.kstwobign.sf(x)), abs=1e-9)


@pytest.mark.parametrize(("statistic", "freedom"), [(0.5, 1), (3.84, 1), (12.0, 7), (70.0, 30), (200.0, 5)])
def test_chi_squared_tail_is_that_of_scipy(statistic: float, freedom: int) -> None:
    expected = float(stats.chi2.sf(statistic, freedom))
    assert drift.chi_squared_tail(statistic, freedom) == pytest.approx(expected, rel=1e-8)


def test_chi_squared_is_that_of_scipy() -> None:
    first, second = (120, 300, 80, 55), (100, 340, 60, 70)
    _, p_value = drift.chi_squared(first, second)
    assert p_value == pytest.approx(
        stats.chi2_contingency([first, second], correction=False).pvalue, rel=1e-9
    )


def test_rare_categories_are_pooled() -> None:
    """One row of a category that was never seen is no evidence of anything."""
    _, p_value = drift.chi_squared((500, 500, 0, 0), (500, 498, 1, 1))
    assert p_value > 0.1


def test_kolmogorov_smirnov_on_fine_bins_is_that_of_scipy() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(size=900), random.normal(0.2, 1, size=700)
    edges = np.sort(np.concatenate([first, second]))
    counts = [np.bincount(np.searchsorted(edges, each), minlength=len(edges)) for each in (first, second)]
    distance, p_value = drift.kolmogorov_smirnov(*(tuple(int(n) for n in each) for each in counts))
    expected = stats.ks_2samp(first, second, method="asymp")
    assert distance == pytest.approx(float(expected.statistic), abs=1e-12)
    assert p_value == pytest.approx(float(expected.pvalue), rel=0.15)


def test_holm_by_hand() -> None:
    assert drift.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def _columns(random: np.random.Generator, rows: int, shift: float = 0.0) -> dict[str, list[Any]]:
    numbers = {f"n{index}": random.normal(size=rows).tolist() for index in range(6)}
    words = {f"c{index}": random.choice(list("abcdefgh"), size=rows).tolist() for index in range(3)}
    holes = [None if each < 0.1 else float(each) for each in random.random(rows)]
    numbers["n0"] = (np.asarray(numbers["n0"]) + shift).tolist()
    return {**numbers, **words, "holes": holes}


def test_false_alarms_stay_below_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 windows from the reference's own distribution, the effect gate off: over all features together no
    more windows alarm than asked for, within the 99.9 % bound of a binomial."""
    monkeypatch.setattr(drift, "MIN_EFFECT", 0.0)
    monkeypatch.setattr(drift, "MIN_MISSING", 0.0)
    random = np.random.default_rng(7)
    reference = build_reference(_columns(random, 20_000))
    alarms = sum(
        any(each.drifted for each in drift.compare(reference, _columns(random, 500), 0.05))
        for _ in range(300)
    )
    assert alarms <= int(stats.binom.ppf(0.999, 300, 0.05))


def test_a_change_is_found_and_named() -> None:
    random = np.random.default_rng(8)
    reference = build_reference(_columns(random, 5000))
    found = [
        {each.feature for each in drift.compare(reference, _columns(random, 1000, 0.5), 0.01) if each.drifted}
        for _ in range(20)
    ]
    assert all(each == {"n0"} for each in found)


def test_a_trifle_in_a_big_window_is_no_alert() -> None:
    """Significant, and far too small to matter."""
    random = np.random.default_rng(9)
    reference = build_reference({"x": random.normal(size=200_000).tolist()})
    (finding,) = [
        each
        for each in drift.compare(reference, {"x": random.normal(0.05, 1, size=200_000).tolist()}, 0.01)
        if each.kind == "drift"
    ]
    assert finding.p_value < 1e-6
    assert not finding.drifted


def test_a_column_that_stops_coming_is_missing() -> None:
    reference = build_reference({"x": list(range(1000)), "y": list(range(1000))})
    found = drift.compare(reference, {"y": list(range(500))}, 0.01)
    assert ("x", "missing") in {(each.feature, each.kind) for each in found if each.drifted}


def test_shares_of_a_finding_have_the_same_labels() -> None:
    reference = build_reference({"x": list(range(1000)), "c": list("ab") * 500})
    for each in drift.compare(reference, {"x": [1, 2, None], "c": ["a", "z", "b"]}, 0.01):
        assert each.reference.labels == each.current.labels
        assert len(each.reference.labels) == len(each.reference.shares) == len(each.current.shares)
        assert sum(each.current.shares) == pytest.approx(1)


def test_auc_is_that_of_scikit_learn_and_its_error_that_of_the_simulation() -> None:
    random = np.random.default_rng(3)

    def sample() -> tuple[Any, Any]:
        labels = (random.random(400) < 0.3).astype(float)
        return np.round(random.normal(size=400) + labels, 1), labels

    scores, labels = sample()
    quality = measure(scores, labels, "classification")
    assert quality is not None
    assert quality.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    spread = np.std([roc_auc_score(*reversed(sample())) for _ in range(200)])
    assert quality.error == pytest.approx(spread, rel=0.3)


def test_rmse_and_its_error() -> None:
    random = np.random.default_rng(4)
    values = [measure(random.normal(size=500), np.zeros(500), "regression") for _ in range(300)]
    known = [each for each in values if each is not None]
    assert np.mean([each.value for each in known]) == pytest.approx(1, abs=0.02)
    assert known[0].error == pytest.approx(np.std([each.value for each in known]), rel=0.25)


def test_one_class_has_no_auc() -> None:
    assert measure(np.arange(5.0), np.ones(5), "classification") is None


def test_reference_survives_its_file_and_stays_small() -> None:
    random = np.random.default_rng(5)
    columns: dict[str, Any] = {f"x{index}": random.normal(size=2000) for index in range(50)}
    columns["many"] = [f"category {index}" for index in range(2000)]
    scores = random.random(2000)
    labels = (scores > random.random(2000)).astype(float)
    reference = build_reference(columns, scores.tolist(), labels.tolist())
    assert Reference.from_json(reference.to_json()) == reference
    assert len(reference.to_json()) < 200_000


def test_a_newer_schema_is_refused_in_words() -> None:
    with pytest.raises(Problem, match="schema 99"):
        Reference.from_json('{"schema": 99}')
    with pytest.raises(Problem, match="cannot be read"):
        Reference.from_json("[1, 2")


@pytest.mark.parametrize("values", [[], [None, None], [float("nan")], [1.0] * 10])
def test_degenerate_columns_have_a_reference(values: list[Any]) -> None:
    described = describe(values)
    assert described.rows == len(values)
    drift.compare(build_reference({"x": values}), {"x": [1.0, None]}, 0.01)
