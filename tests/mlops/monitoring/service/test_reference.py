"""The quality of a reference: against scikit-learn and by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlops.monitoring.service.reference import measure


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
