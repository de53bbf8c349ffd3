"""A policy over the past, and policies for a budget."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path

import pytest

from blueprints.alerting import AlertsSpec, RuleSpec
from mlops.monitoring.alerts import fatigue, history
from mlops.monitoring.alerts.history import Past
from mlops.monitoring.alerts.replay import replay, tune
from tests.mlops.monitoring.alerts.made import Bench, finding


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two weeks of a model: noise in single windows of ``n…``, one real drift of ``x``."""
    made, rng = Bench(tmp_path, retention_days=365, windows=1, of_windows=1), random.Random(3)
    for number in range(14 * 8):
        made.later(hours=3, minutes=-1)
        noise = [finding(f"n{i}", found=rng.random() < 0.05, effect=0.11) for i in range(4)]
        made.window(*noise, finding("x", found=40 <= number < 60))
    for alert in made.store.alerts():
        useful = alert.feature == "x"
        at = (alert.fired_at or made.now) + timedelta(minutes=30)
        made.store.acknowledge(alert.id, "ann", "", useful, at)
    return made


def past_of(bench: Bench) -> list[Past]:
    """All of it, page by page, through JSON as over the wire."""
    found: list[Past] = []
    since = bench.now - timedelta(days=365)
    while rows := history.page(bench.store, found[-1].id if found else 0, since):
        found += [history.past(row) for row in json.loads(json.dumps(rows))]
    return found


def test_the_same_policy_says_what_was_said(bench: Bench) -> None:
    again = replay(bench.alerts.spec, past_of(bench), bench.store.alerts())
    really = [a for a in bench.store.alerts() if a.fired_at]
    assert len(really) > 10
    assert sorted(a.feature for a in again.alerts) == sorted(a.feature for a in really)
    figures = again.fatigue
    assert figures.useful == 1
    assert figures.precision == pytest.approx(1 / len(really), rel=0.01)
    assert figures.seconds_to_acknowledge == 1800
    assert figures.model_weeks == pytest.approx(2, rel=0.02)
    assert figures.per_model_week == pytest.approx(len(really) / 2, rel=0.02)
    assert again.lost == ()


def test_a_stricter_policy_is_quieter_and_a_deaf_one_loses_what_was_useful(bench: Bench) -> None:
    past, said = past_of(bench), bench.store.alerts()
    strict = replay(AlertsSpec(), past, said)
    assert "x" in {a.feature for a in strict.alerts}
    assert strict.fatigue.alerts < replay(bench.alerts.spec, past, said).fatigue.alerts / 2
    deaf = replay(AlertsSpec(rules=(RuleSpec(notify="none"),)), past, said)
    assert deaf.alerts == ()
    assert [a.feature for a in deaf.lost] == ["x"]


def test_thresholds_for_a_budget_keep_what_was_useful(bench: Bench) -> None:
    past, said = past_of(bench), bench.store.alerts()
    proposal = tune(AlertsSpec(), past, said, budget=1)
    assert proposal.fits
    assert proposal.per_week <= 1
    assert [a.feature for a in proposal.replayed.alerts] == ["x"]
    assert proposal.replayed.fatigue.precision == 1
    nothing = tune(AlertsSpec(), past, said, budget=0.01)
    # Silence fits any budget, and says what it costs.
    assert (nothing.replayed.alerts, [a.feature for a in nothing.replayed.lost]) == ((), ["x"])


def test_fatigue_of_the_past_counts_what_was_announced(bench: Bench) -> None:
    since = bench.now - timedelta(days=365)
    figures = fatigue.of_the_past(bench.store.alerts(), history.spans(bench.store, since))
    assert figures.alerts == figures.acknowledged == figures.useful + figures.noise
    assert figures.useful == 1
    assert figures.model_weeks == pytest.approx(2, rel=0.02)


def test_nothing_watched_is_no_fault() -> None:
    empty = replay(AlertsSpec(), [], [])
    assert (empty.fatigue.per_model_week, empty.fatigue.precision) == (0.0, None)
    assert tune(AlertsSpec(), [], [], 1).fits
