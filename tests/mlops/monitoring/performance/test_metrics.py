"""Metrics equal scikit-learn's, and their errors are those that repeated samples show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as theirs

from mlops.monitoring.performance.judge import Floats
from mlops.monitoring.performance.metrics import CLASSIFICATION, REGRESSION, metric


def sample(seed: int, rows: int = 800) -> tuple[Floats, Floats, Floats]:
    draw = np.random.default_rng(seed)
    scores = np.round(draw.beta(1.2, 2.0, rows), 2)
    labels = (draw.random(rows) < scores**1.3).astype(float)
    return labels, np.clip(scores, 0.005, 0.995), draw.integers(1, 4, rows).astype(float)


def test_equal_to_scikit_learn() -> None:
    labels, scores, weights = sample(1)
    called = scores >= 0.5
    expected = {
        "auc": theirs.roc_auc_score(labels, scores, sample_weight=weights),
        "accuracy": theirs.accuracy_score(labels, called, sample_weight=weights),
        "log_loss": theirs.log_loss(labels, scores, sample_weight=weights),
        "brier": theirs.brier_score_loss(labels, scores, sample_weight=weights),
        "precision": theirs.precision_score(labels, called, sample_weight=weights),
        "recall": theirs.recall_score(labels, called, sample_weight=weights),
        "f1": theirs.f1_score(labels, called, sample_weight=weights),
        "rmse": theirs.root_mean_squared_error(labels + 1, scores, sample_weight=weights),
        "mae": theirs.mean_absolute_error(labels + 1, scores, sample_weight=weights),
        "mape": theirs.mean_absolute_percentage_error(labels + 1, scores, sample_weight=weights),
        "r2": theirs.r2_score(labels + 1, scores, sample_weight=weights),
        "pinball": theirs.mean_pinball_loss(labels + 1, scores, sample_weight=weights, alpha=0.9),
    }
    for name, value in expected.items():
        truth = labels + 1 if name in REGRESSION else labels
        assert metric(name, truth, scores, weights, share=0.9).value == pytest.approx(value), name


def test_several_classes() -> None:
    draw = np.random.default_rng(2)
    scores = draw.dirichlet((2, 1, 1), 600)
    labels = np.array([draw.choice(3, p=row) for row in scores])
    called = scores.argmax(axis=1)
    assert metric("auc", labels, scores).value == pytest.approx(
        theirs.roc_auc_score(labels, scores, multi_class="ovr")
    )
    assert metric("f1", labels, scores).value == pytest.approx(
        theirs.f1_score(labels, called, average="macro")
    )
    assert metric("accuracy", labels, scores).value == pytest.approx(theirs.accuracy_score(labels, called))
    assert metric("log_loss", labels, scores).value == pytest.approx(theirs.log_loss(labels, scores))
    assert "none of the 3 classes" in metric("accuracy", labels + 1, scores).why


@pytest.mark.parametrize("name", [*CLASSIFICATION, "rmse", "mae", "r2"])
def test_the_error_is_that_of_repeated_samples(name: str) -> None:
    drawn = [metric(name, *sample(seed, 500)) for seed in range(250)]
    spread = np.std([each.value for each in drawn])
    told = np.mean([each.error for each in drawn])
    assert told == pytest.approx(spread, rel=0.2)
    truth = np.mean([each.value for each in drawn])
    assert np.mean([each.low <= truth <= each.high for each in drawn]) > 0.9


def test_calibration_is_freed_of_chance() -> None:
    draw = np.random.default_rng(3)
    found = []
    for _ in range(200):
        scores = draw.random(200)
        found.append(metric("calibration", (draw.random(200) < scores).astype(float), scores))
    assert abs(np.mean([each.value for each in found])) < 0.001
    assert np.mean([each.low <= 0 <= each.high for each in found]) > 0.9


def test_undefined_says_why() -> None:
    assert metric("auc", [1, 1, 1], [0.1, 0.2, 0.3]).why == "one class only"
    assert metric("auc", [], []).why == "no rows"
    assert math.isnan(metric("mape", [0, 1], [1, 1]).value)
    assert "called positive" in metric("precision", [0, 1], [0.1, 0.1]).why
    assert "same" in metric("r2", [2, 2, 2], [1, 2, 3]).why
    assert metric("accuracy", [np.nan, 1, 0], [0.3, 0.9, np.nan]).why == "one row"


def test_all_right_is_not_certain() -> None:
    assert metric("accuracy", [0, 1] * 20, [0.1, 0.9] * 20).low < 0.96
    assert metric("auc", [0, 1] * 20, [0.1, 0.9] * 20).error > 0.01
