"""The reference: its quality against scikit-learn and by simulation, and how it is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from blueprints.errors import Problem, UsageProblem
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.storage import to_bytes
from mlops.monitoring.service.analysis import drift
from mlops.monitoring.service.reference import Reference, build_reference, measure


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


def test_a_reference_is_read_back_as_it_was_written_and_stays_small() -> None:
    random = np.random.default_rng(5)
    features = {
        "number": random.normal(size=2000),
        "heavy": random.standard_cauchy(2000),
        "word": random.choice(["a", "b", "ü"], 2000),
        "constant": np.ones(2000),
        "nothing": np.full(2000, np.nan),
    }
    scores = random.random(2000)
    made = build_reference(
        features, scores, (scores > random.random(2000)).astype(float), importance={"word": 2.0}
    )
    text = made.to_json()
    back = Reference.from_json(text)
    assert (back.task, back.quality, back.importance) == (made.task, made.quality, {"word": 1.0})
    assert to_bytes(back.profile) == to_bytes(made.profile)
    assert len(text) < 20_000 * len(features)


def test_a_reference_of_another_release_or_of_another_length_is_refused_in_words() -> None:
    with pytest.raises(Problem, match="schema 1"):
        Reference.from_json('{"schema": 1, "task": "regression", "features": {}}')
    with pytest.raises(Problem, match="cannot be read"):
        Reference.from_json("no JSON")
    with pytest.raises(UsageProblem, match="3 rows of features"):
        build_reference({"x": [1.0, 2.0, 3.0]}, [1.0])


def test_words_with_gaps_as_pandas_gives_them_are_words_and_several_types_are_refused() -> None:
    made = build_reference({"w": ["a", float("nan"), "b", None], "x": [1.0, float("nan"), 2.0, 3.0]})
    assert [each.missing for each in made.profile.columns.values()] == [2, 1]
    with pytest.raises(UsageProblem, match="several types"):
        build_reference({"w": ["a", 1.5, "b"]})


def rows(seed: int, number: int, moved: float = 0.0) -> dict[str, Any]:
    """Hours that come and go: neighbours are alike (first-order, 0.95), and one column that knows nothing."""
    random = np.random.default_rng(seed)
    alike = np.zeros(number)
    for at, step in enumerate(random.normal(size=number)):
        alike[at] = 0.95 * alike[at - 1] + step
    return {"weather": alike / np.sqrt(1 / (1 - 0.95**2)) + moved, "other": random.normal(size=number)}


def test_windows_whose_rows_share_their_hours_are_held_against_the_references_own() -> None:
    """Without that they alarm, every second one; and a change is still found, though a thousand such rows say
    no more than 26 that are independent. Held-out seeds."""
    made = build_reference(rows(4_800_000, 40_000), window_rows=1000)
    plain = build_reference(rows(4_800_000, 40_000))
    kept = Reference.from_json(made.to_json())
    assert kept.baseline == made.baseline
    assert kept.baseline is not None
    assert kept.baseline.blocks == 40
    assert kept.baseline.inflation["weather", "ks"] > 5
    assert kept.baseline.inflation["other", "ks"] < 2

    def alarms(reference: Reference, moved: float) -> int:
        windows = (
            Profile.of(rows(4_810_000 + seed, 1000, moved), like=reference.profile) for seed in range(40)
        )
        return sum(any(each.found for each in drift(reference, window, 0.01)) for window in windows)

    assert alarms(plain, 0.0) >= 20
    assert alarms(kept, 0.0) <= 2
    assert alarms(kept, 1.0) >= 34
    with pytest.raises(UsageProblem, match="a baseline of 4 windows"):
        build_reference(rows(1, 4000), window_rows=1000)
