"""The reference: its quality against scikit-learn and by simulation, and how it is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from blueprints.errors import Problem, UsageProblem
from mlops.monitoring.profile.storage import to_bytes
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
