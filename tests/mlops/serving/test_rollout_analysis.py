"""Verdicts of the gates, and the complaints about other tools' gates, one test each."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from blueprints.errors import Problem
from mlops.serving.evidence import Evidence
from mlops.serving.rollout import machine
from mlops.serving.rollout.analysis import Observed, Outcomes, judge
from mlops.serving.rollout.state import Deployment, Verdict
from mlops.serving.rollout.strategy import Strategy, parse


def arm(
    answered: int, errors: Mapping[str, int] | None = None, seconds: float = 0.01, score: float | None = 0.5
) -> Evidence:
    """Evidence of equal requests, spread a little."""
    evidence = Evidence()
    for n in range(answered):
        wobble = 1 + (n % 10) / 10
        evidence.answered(1, seconds * wobble, [None if score is None else score * wobble])
    for reason, count in (errors or {}).items():
        for _ in range(count):
            evidence.failed(reason)
    return evidence


def verdicts(strategy: Strategy, champion: Observed, candidate: Observed) -> dict[str, Verdict]:
    return {each.gate: each for each in judge(strategy, champion, candidate)}


def stepping(strategy: str, now: float = 0.0) -> Deployment:
    state = machine.loaded(machine.deploy(Deployment(), "1", parse("canary"), now=now, by="me"), "1", now=now)
    state = machine.deploy(
        state,
        "2",
        parse(strategy),
        now=now,
        by="me",
        metrics={*machine.ALWAYS, "performance", "business:conversion"},
    )
    return machine.loaded(state, "2", now=now)


GOOD = Observed(arm(5000))


def test_a_good_candidate_passes_every_gate() -> None:
    found = judge(parse("canary"), GOOD, Observed(arm(2000)))
    assert {each.verdict for each in found} == {"pass"}
    assert [each.gate for each in found] == ["errors", "latency", "contract", "drift"]
    assert all(each.needed is None for each in found)


@pytest.mark.parametrize(
    ("gate", "bad"),
    [
        ("errors", arm(950, {"model": 50})),
        ("errors", arm(900, {"busy": 50, "deadline": 50})),
        ("contract", arm(900, {"contract": 100})),
        ("latency", arm(1000, seconds=0.02)),
        ("drift", arm(1000, score=1.5)),
        ("drift", arm(1000, score=None)),
    ],
)
def test_a_bad_candidate_fails_the_gate_that_is_for_it(gate: str, bad: Evidence) -> None:
    found = verdicts(parse("canary"), GOOD, Observed(bad))
    assert [name for name, each in found.items() if each.verdict == "fail"] == [gate]
    verdict = found[gate]
    assert verdict.low is not None
    assert verdict.low > verdict.tolerance
    assert gate in verdict.sentence
    assert "tolerated" in verdict.sentence


def test_classes_drift_too() -> None:
    def says(**words: int) -> Observed:
        evidence = arm(sum(words.values()), score=None)
        for word, count in words.items():
            evidence.said([word] * count)
        return Observed(evidence)

    same = verdicts(parse("canary"), says(cat=3000, dog=2000), says(cat=610, dog=390))["drift"]
    other = verdicts(parse("canary"), says(cat=3000, dog=2000), says(cat=100, dog=900))["drift"]
    stranger = verdicts(parse("canary"), says(cat=3000, dog=2000), says(bird=1000))["drift"]
    assert (same.verdict, other.verdict, stranger.verdict) == ("pass", "fail", "fail")


def test_rows_of_one_request_count_as_one_sample() -> None:
    def batches(requests: int, score: float) -> Observed:
        evidence = Evidence()
        for _ in range(requests):
            evidence.answered(1000, 0.01, [score] * 1000)
        return Observed(evidence)

    found = verdicts(parse("canary"), batches(20, 0.2), batches(20, 0.9))["drift"]
    assert (found.verdict, found.samples) == ("inconclusive", 20)


def test_flagger_1035_argo_1905_low_traffic_neither_fails_nor_passes() -> None:
    strategy = parse("canary:5,100")
    for champion, candidate in [
        (Evidence(), Evidence()),
        (arm(5000), Evidence()),
        (Evidence(), arm(5000)),
        (arm(5000), arm(49)),
        (arm(5000), arm(0, {"model": 49})),
        (arm(49), arm(0, {"model": 5000})),
    ]:
        found = judge(strategy, Observed(champion), Observed(candidate))
        assert {each.verdict for each in found} == {"inconclusive"}
        state = stepping("canary:5,100")
        for now in range(2, 100_000, 9_999):
            state = machine.tick(state, float(now), found, candidate.requests)
        assert state.active
        assert state.active.step == 0
        assert state.champion == "1"


def test_suna_3403_one_error_at_low_volume_does_not_abort() -> None:
    for n in (1, 5, 20, 49, 60, 100):
        found = verdicts(parse("canary"), GOOD, Observed(arm(n - 1, {"model": 1})))
        assert found["errors"].verdict == "inconclusive"


def test_argo_1700_the_gate_watches_the_candidate_and_not_the_champion() -> None:
    bad = Observed(arm(900, {"model": 100}))
    assert verdicts(parse("canary"), GOOD, bad)["errors"].verdict == "fail"
    # The same trouble on the champion's side is no fault of the candidate.
    assert verdicts(parse("canary"), bad, GOOD)["errors"].verdict == "pass"
    both = verdicts(parse("canary"), Observed(arm(4500, {"model": 500})), bad)["errors"]
    assert both.verdict != "fail"


def test_flagger_1581_a_gate_that_nothing_measures_is_refused_and_never_passes() -> None:
    state = machine.loaded(machine.deploy(Deployment(), "1", parse("canary"), now=0, by="me"), "1", now=0)
    with pytest.raises(Problem, match="nothing here measures") as caught:
        machine.deploy(state, "2", parse("canary:gates=errors+business@sales"), now=0, by="me")
    assert "business@sales (needs business:sales)" in caught.value.what
    # Should the source dry up later: inconclusive, with the reason.
    found = verdicts(
        parse("canary:gates=errors+performance+business@sales+memory"), GOOD, Observed(arm(2000))
    )
    for gate in ("performance", "business@sales", "memory"):
        assert found[gate].verdict == "inconclusive"
        assert "nothing measured" in found[gate].sentence


def test_flagger_1801_one_failed_verdict_rolls_back_in_the_same_tick() -> None:
    state = stepping("canary:5@1h,100")
    failed = judge(parse("canary:5@1h,100"), GOOD, Observed(arm(900, {"model": 100})))
    after = machine.tick(state, 2.0, failed, 1000)
    assert after.active is None
    assert after.champion == "1"
    assert after.rollout
    assert after.rollout.phase == "failed"
    assert "errors: 10 % of 1,000 requests against 0 % of 5,000" in after.rollout.reason
    assert after.events[-1].text.startswith("rollout of version 2 is over: errors")


def test_flagger_1186_freeze_instead_of_rollback_keeps_traffic_and_moves_nothing() -> None:
    state = stepping("canary:25,100,fail=freeze")
    after = machine.tick(state, 2.0, judge(parse("canary"), GOOD, Observed(arm(900, {"model": 100}))), 1000)
    assert after.active
    assert (after.active.phase, after.active.weight) == ("frozen", 0.25)
    good = judge(parse("canary"), GOOD, Observed(arm(2000)))
    assert machine.tick(after, 9e9, good, 10**6) is after


def test_the_latency_gate_asks_for_the_percentile_it_is_given() -> None:
    slow_tail = arm(970)
    for _ in range(30):
        slow_tail.answered(1, 0.5, [0.5])
    found = verdicts(parse("canary:gates=latency@p50+latency@p99"), GOOD, Observed(slow_tail))
    assert found["latency@p50"].verdict == "pass"
    assert found["latency@p99"].verdict == "fail"
    assert found["latency@p99"].candidate == pytest.approx(0.5, rel=0.13)  # the width of a bin


def _mean(n: int, mean: float, variance: float = 1.0) -> Outcomes:
    return Outcomes(n, mean, variance)


@pytest.mark.parametrize(
    ("gates", "champion", "candidate", "verdict"),
    [
        ("performance:0.2", _mean(5000, 1.0), _mean(5000, 1.0), "pass"),
        ("performance:0.2", _mean(5000, 1.0), _mean(5000, 1.5), "fail"),
        ("performance:0.2", _mean(5000, 1.0), _mean(5000, 1.19), "inconclusive"),
        ("performance:0.2", _mean(5000, 1.0), _mean(99, 9.0), "inconclusive"),
        ("performance:0.2", _mean(5000, 0.0, 0.0), _mean(5000, 0.0, 0.0), "inconclusive"),
        ("business@sales:0.2", _mean(5000, 1.0), _mean(5000, 1.0), "pass"),
        ("business@sales:0.2", _mean(5000, 1.0), _mean(5000, 0.5), "fail"),
        ("business@sales:0.2", _mean(5000, 1.0), _mean(5000, 5.0), "pass"),
        ("business@-sales:0.2", _mean(5000, 1.0), _mean(5000, 0.5), "pass"),
        ("business@-sales:0.2", _mean(5000, 1.0), _mean(5000, 1.5), "fail"),
        ("business@sales:0.2", _mean(5000, -1.0), _mean(5000, -1.5), "fail"),
        ("business@sales:0.2", _mean(5000, -1.0), _mean(5000, -1.0), "pass"),
        ("business@sales:0.2", _mean(5000, 0.0), _mean(5000, 0.5), "pass"),
    ],
)
def test_means_of_labels_and_business(
    gates: str, champion: Outcomes, candidate: Outcomes, verdict: str
) -> None:
    def observed(outcomes: Outcomes) -> Observed:
        return Observed(arm(100), outcomes, {"sales": outcomes})

    (found,) = judge(parse(f"canary:gates={gates}"), observed(champion), observed(candidate))
    assert found.verdict == verdict, found


@pytest.mark.parametrize(
    ("metric", "candidate", "verdict"),
    [
        ("sales", 1.3, "pass"),
        ("sales", 1.0, "inconclusive"),
        ("sales", 0.7, "fail"),
        ("-sales", 0.7, "pass"),
        ("-sales", 1.3, "fail"),
    ],
)
def test_an_ab_test_is_won_or_lost(metric: str, candidate: float, verdict: str) -> None:
    champion = Observed(arm(100), metrics={"sales": _mean(5000, 1.0)})
    other = Observed(arm(100), metrics={"sales": _mean(5000, candidate)})
    found = verdicts(parse(f"ab:50,metric={metric}"), champion, other)[f"better@{metric}"]
    assert found.verdict == verdict
    assert "asked for 0 %" in found.sentence


def test_memory_needs_readings_and_ignores_noise() -> None:
    strategy = parse("canary:gates=memory")

    def one(megabytes: float, readings: int) -> str:
        champion = Observed(Evidence(), memory=200 * 2**20, readings=readings)
        candidate = Observed(Evidence(), memory=megabytes * 2**20, readings=readings)
        return judge(strategy, champion, candidate)[0].verdict

    assert one(200, 4) == "inconclusive"
    assert one(900, 4) == "inconclusive"
    assert one(300, 5) == "pass"
    assert one(900, 5) == "fail"


def test_outcomes_add_up() -> None:
    one, two = Outcomes(3, 2.0, 2 / 3), Outcomes(2, 4.5, 0.25)  # 1 2 3 and 4 5
    both = one.merged(two)
    assert both.n == 5
    assert both.mean == pytest.approx(3.0)
    assert both.variance == pytest.approx(2.0)
    assert Outcomes(0, 0, 0).merged(Outcomes(0, 0, 0)).n == 0


def test_what_is_missing_is_said_and_about_right() -> None:
    found = verdicts(parse("canary"), Observed(arm(5000)), Observed(arm(200)))["errors"]
    assert found.verdict == "inconclusive"
    assert found.needed
    assert f"needs about {found.needed:,} more" in found.sentence
    # The champion's samples grow along, so a little less than that is enough, a lot less is not.
    assert verdicts(parse("canary"), GOOD, Observed(arm(200 + found.needed + 50)))["errors"].verdict == "pass"
    assert verdicts(parse("canary"), GOOD, Observed(arm(200 + found.needed // 2)))["errors"].verdict != "pass"
    few = verdicts(parse("canary"), GOOD, Observed(arm(3)))["errors"]
    assert few.needed == 47
