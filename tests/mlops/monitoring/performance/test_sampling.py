"""Labels by choice: unbiased whatever the scores are worth, intervals that hold, and what is gained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.monitoring.performance.metrics import CLASSIFICATION, metric
from mlops.monitoring.performance.sampling import Sample, choose, estimate

#: Used for nothing else.
SEED = 2_951_000
DRAWS = 150
BUDGET = 300


def population(random: np.random.Generator, slope: float, offset: float, truth: float) -> tuple[Any, Any]:
    """Scores and labels of 4,000 rows; ``truth`` is what the scores' slope is really worth."""
    x = random.normal(0, 1, 4000)
    labels = random.random(4000) < 1 / (1 + np.exp(-(truth * slope * x + offset)))
    return 1 / (1 + np.exp(-(slope * x + offset))), labels.astype(float)


def evenly(ids: list[str], scores: Any, seed: int) -> Sample:
    """What everybody does: as many rows, each with the same chance."""
    count = len(ids)
    taken = np.random.default_rng(seed).choice(count, BUDGET, replace=False)
    chance = np.full(BUDGET, BUDGET / count)
    return Sample(
        tuple(ids[at] for at in taken), scores[taken], chance, np.zeros(BUDGET, np.int64), np.array([count])
    )


def repeated(slope: float, offset: float, truth: float, name: str) -> tuple[Any, Any, float]:
    """Estimates by choice and evenly, ``draws x (value, low, high)``, and the figure over all labels."""
    scores, labels = population(np.random.default_rng(SEED), slope, offset, truth)
    ids = [f"p{at}" for at in range(len(scores))]
    known = dict(zip(ids, labels.tolist(), strict=True))
    chosen: list[tuple[float, float, float]] = []
    even: list[tuple[float, float, float]] = []
    for seed in range(SEED, SEED + DRAWS):
        for kept, drawn in (
            (chosen, choose(ids, scores, BUDGET, seed, metric=name)),
            (even, evenly(ids, scores, seed)),
        ):
            found = estimate(drawn, known, name)
            kept.append((found.value, found.low, found.high))
    return np.asarray(chosen), np.asarray(even), metric(name, labels, scores).value


@pytest.mark.parametrize("truth", [1.0, 0.4, -1.0])
@pytest.mark.parametrize("name", ["accuracy", "brier"])
def test_a_mean_is_unbiased_and_its_intervals_hold_even_where_scores_are_wrong(
    name: str, truth: float
) -> None:
    chosen, _, true = repeated(2.0, -0.8, truth, name)
    spread = chosen[:, 0].std() / np.sqrt(DRAWS)
    assert abs(chosen[:, 0].mean() - true) < 4 * spread
    held = ((chosen[:, 1] <= true) & (true <= chosen[:, 2])).mean()
    assert held >= 0.9


def test_without_the_weights_it_would_be_biased() -> None:
    chosen, _, true = repeated(4.0, -0.8, 1.0, "accuracy")
    scores, labels = population(np.random.default_rng(SEED), 4.0, -0.8, 1.0)
    ids = [f"p{at}" for at in range(len(scores))]
    plain = []
    for seed in range(SEED, SEED + DRAWS):
        drawn = choose(ids, scores, BUDGET, seed)
        at = [int(each[1:]) for each in drawn.ids]
        plain.append(metric("accuracy", labels[at], scores[at]).value)
    assert np.mean(plain) < true - 0.03
    assert abs(chosen[:, 0].mean() - true) < 0.01


def test_a_rare_class_costs_fewer_labels_than_even_draws() -> None:
    chosen, even, _ = repeated(2.0, -5.0, 1.0, "accuracy")
    assert chosen[:, 0].var() < even[:, 0].var() / 1.5


def test_rows_are_chosen_for_the_metric_that_is_wanted() -> None:
    scores, _ = population(np.random.default_rng(SEED), 2.0, -5.0, 1.0)
    ids = [f"p{at}" for at in range(len(scores))]
    sure = scores < 0.005

    def share_of_sure(**wanted: Any) -> float:
        drawn = choose(ids, scores, BUDGET, SEED, **wanted)
        return float(np.mean([sure[int(each[1:])] for each in drawn.ids]))

    # Precision is told from rows that are called positive, an AUC by the negatives too.
    assert share_of_sure(metric="precision", threshold=0.2) < 0.8 * share_of_sure(metric="auc")
    assert share_of_sure(spread=np.where(sure, 1.0, 0.0)) > sure.mean()
    chosen, even, _ = repeated(2.0, -5.0, 1.0, "f1")
    assert chosen[:, 0].var() < even[:, 0].var() / 2


def test_probabilities_are_those_that_rows_are_drawn_by() -> None:
    scores, _ = population(np.random.default_rng(SEED), 4.0, -0.8, 1.0)
    ids = [f"p{at}" for at in range(len(scores))]
    drawn = np.zeros(len(scores))
    said = np.full(len(scores), np.nan)
    for seed in range(400):
        one = choose(ids, scores, BUDGET, seed)
        at = [int(each[1:]) for each in one.ids]
        drawn[at] += 1
        said[at] = one.probabilities
    assert np.nansum(said) == pytest.approx(BUDGET, rel=0.02)
    seen = ~np.isnan(said)
    excess = (drawn[seen] / 400 - said[seen]) / np.sqrt(said[seen] * (1 - said[seen]) / 400)
    assert abs(excess).max() < 5.0
    unsure = (scores > 0.4) & (scores < 0.6) & seen
    assert said[unsure].mean() > 2 * said[(scores < 0.02) & seen].mean()


def test_shares_near_0_have_intervals_that_are_longer_upwards() -> None:
    chosen, _, true = repeated(2.0, -5.0, 1.0, "recall")
    assert ((chosen[:, 1] <= true) & (true <= chosen[:, 2])).mean() >= 0.93
    assert chosen[:, 1].min() >= 0
    inside = chosen[(chosen[:, 0] > 0) & (chosen[:, 0] < 0.3)]
    assert (inside[:, 2] - inside[:, 0] > inside[:, 0] - inside[:, 1]).all()


def test_an_auc_of_a_handful_of_positives_is_not_given() -> None:
    ids = [f"p{at}" for at in range(100)]
    known = {each: float(at < 4) for at, each in enumerate(ids)}
    found = estimate(choose(ids, np.linspace(0.9, 0.01, 100), 100, 1), known, "auc")
    assert found.why == "4 labels of one class, expected 10 or more"


def test_every_row_is_a_sample_without_error() -> None:
    scores, labels = population(np.random.default_rng(SEED), 2.0, 0.0, 1.0)
    ids = [f"p{at}" for at in range(len(scores))]
    drawn = choose(ids, scores, 10_000, 1)
    found = estimate(drawn, dict(zip(ids, labels.tolist(), strict=True)), "accuracy")
    assert sorted(drawn.ids) == sorted(ids)
    assert found.value == pytest.approx(metric("accuracy", labels, scores).value)
    assert found.error == 0.0


def test_amounts_and_several_classes_are_drawn_too() -> None:
    random = np.random.default_rng(SEED + 1)
    ids = [f"p{at}" for at in range(2000)]
    amounts = random.normal(100, 30, 2000)
    truth = amounts + random.normal(0, 5, 2000)
    found = estimate(choose(ids, amounts, 200, 3), dict(zip(ids, truth.tolist(), strict=True)), "mae")
    assert found.low <= float(np.abs(truth - amounts).mean()) <= found.high
    several = random.dirichlet([1, 1, 1], 2000)
    classes = [float(random.choice(3, p=row)) for row in several]
    found = estimate(choose(ids, several, 200, 3), dict(zip(ids, classes, strict=True)), "accuracy")
    assert found.low <= metric("accuracy", classes, several).value <= found.high


def test_amounts_whose_losses_are_anticipated_cost_fewer_labels() -> None:
    random = np.random.default_rng(SEED + 2)
    ids = [f"p{at}" for at in range(4000)]
    amounts = random.normal(100, 30, 4000)
    # How far off a row may be has nothing to do with its amount.
    spread = random.choice([1.0, 20.0], 4000, p=[0.9, 0.1])
    truth = amounts + spread * random.normal(size=4000)
    known = dict(zip(ids, truth.tolist(), strict=True))
    values = {
        which: [
            estimate(choose(ids, amounts, 200, seed, spread=given), known, "mae").value
            for seed in range(DRAWS)
        ]
        for which, given in (("even", None), ("chosen", spread))
    }
    assert np.var(values["chosen"]) < np.var(values["even"]) / 2
    assert np.mean(values["chosen"]) == pytest.approx(float(np.abs(truth - amounts).mean()), rel=0.03)


def test_it_is_kept_until_the_labels_come_and_says_what_is_missing() -> None:
    scores, labels = population(np.random.default_rng(SEED), 2.0, 0.0, 1.0)
    ids = [f"p{at}" for at in range(len(scores))]
    drawn = choose(ids, scores, 100, 5)
    again = Sample.from_text(drawn.to_text())
    known = dict(zip(ids, labels.tolist(), strict=True))
    assert estimate(again, known, "auc") == estimate(drawn, known, "auc")
    assert choose(ids, scores, 100, 5).ids == drawn.ids
    assert choose(ids, scores, 100, 6).ids != drawn.ids
    nothing = estimate(drawn, {}, "auc")
    assert (nothing.defined, nothing.why) == (False, "0 of 100 labels asked for have come")
    one = {each: known[each] for each, at in zip(drawn.ids, drawn.strata, strict=True) if at == 0}
    assert estimate(drawn, one, "auc").why == "no label has come from 9 of 10 strata of the sample"


def test_labels_that_stay_out_by_score_do_no_harm() -> None:
    scores, labels = population(np.random.default_rng(SEED), 4.0, -0.8, 1.0)
    ids = [f"p{at}" for at in range(len(scores))]
    true = metric("accuracy", labels, scores).value
    values, plain = [], []
    for seed in range(DRAWS):
        random = np.random.default_rng(seed)
        drawn = choose(ids, scores, BUDGET, seed)
        # Of rows that were refused most are never labelled, as with loans that were not given.
        at = [int(each[1:]) for each in drawn.ids]
        come = [row for row in at if random.random() < (0.9 if scores[row] > 0.5 else 0.4)]
        values.append(estimate(drawn, {ids[row]: float(labels[row]) for row in come}).value)
        plain.append(metric("accuracy", labels[come], scores[come]).value)
    found = np.asarray(values)[np.isfinite(values)]
    assert len(found) > 0.9 * DRAWS
    assert abs(found.mean() - true) < 0.01 < abs(np.mean(plain) - true)


@pytest.mark.parametrize(
    ("ids", "scores", "budget", "said"),
    [
        ([], [], 5, "no predictions"),
        (["a", "a"], [0.1, 0.2], 1, "1 ids repeat"),
        (["a", "b"], [0.1], 1, "2 ids and 1 scores"),
        (["a", "b"], [0.1, float("nan")], 1, "not a number"),
        (["a", "b"], [0.1, 0.2], 0, "the budget is 0"),
    ],
)
def test_bad_input_is_named(ids: list[str], scores: list[float], budget: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        choose(ids, scores, budget, 1)


def test_a_metric_that_is_none_is_named() -> None:
    drawn = choose(["a", "b"], [0.1, 0.9], 2, 1)
    with pytest.raises(ValueError, match="'acuracy' is not known"):
        estimate(drawn, {"a": 0.0, "b": 1.0}, "acuracy")
    with pytest.raises(ValueError, match="'acuracy' is not known"):
        choose(["a", "b"], [0.1, 0.9], 2, 1, metric="acuracy")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([0.0, 1e-9, 0.2, 0.5, 0.5000001, 1.0]) | st.floats(0, 1), min_size=1, max_size=120
    ),
    st.integers(1, 150),
    st.sampled_from(CLASSIFICATION),
    st.data(),
)
def test_any_scores_give_a_sample_of_the_asked_size(
    scores: list[float], budget: int, name: str, data: st.DataObject
) -> None:
    ids = [f"p{at}" for at in range(len(scores))]
    drawn = choose(ids, scores, budget, 1, metric=name)
    assert len(set(drawn.ids)) == len(drawn.ids) == min(budget, len(scores))
    assert drawn.sizes.sum() == len(scores)
    assert ((drawn.probabilities > 0) & (drawn.probabilities <= 1)).all()
    # Each stratum stands for all its rows: the weights add up to the population.
    assert (1 / drawn.probabilities).sum() == pytest.approx(len(scores))
    known = {each: data.draw(st.sampled_from([0.0, 1.0])) for each in drawn.ids}
    found = estimate(drawn, known, name)
    if found.defined:
        assert found.low <= found.value <= found.high
        assert found.error >= 0
