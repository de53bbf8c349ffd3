"""Whole rollouts, simulated with a look every two seconds: how often a good version is rolled back by
mistake, and after how many requests a bad one is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from mlops.serving.evidence import Evidence, Histogram, bin_of
from mlops.serving.rollout import machine
from mlops.serving.rollout.analysis import Observed, Outcomes, judge
from mlops.serving.rollout.state import Deployment
from mlops.serving.rollout.strategy import Strategy, parse
from tests.mlops.serving.rollout_figures import say

#: Requests between two looks: 100 a second.
PER_LOOK = 200
_POOL = 5_000


@dataclass
class Model:
    """Errors, latencies (lognormal, as in a busy process) and scores of a simulated version."""

    errors: float = 0.0
    slow: float = 1.0
    shift: float = 0.0
    spread: float = 0.5
    latency: np.ndarray[tuple[int], np.dtype[np.int64]] = field(init=False)
    score: np.ndarray[tuple[int], np.dtype[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(7)
        # Values are put into bins once, then drawn: a rollout is thousands of requests, times hundreds.
        seconds = 0.01 * self.slow * rng.lognormal(0, self.spread, _POOL)
        scores = 1 / (1 + np.exp(-(rng.normal(self.shift, 1, _POOL))))
        self.latency = np.array([bin_of(float(each)) for each in seconds])
        self.score = np.array([bin_of(float(each)) for each in scores])

    def answer(self, rng: np.random.Generator, requests: int) -> Evidence:
        """Evidence of so many requests of one row."""
        failed = int(rng.binomial(requests, self.errors))
        rows = requests - failed
        return Evidence(
            requests,
            rows,
            {"model": failed} if failed else {},
            _histogram(rng.choice(self.latency, rows)),
            _histogram(rng.choice(self.score, rows)),
        )


def _histogram(bins: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Histogram:
    places, counts = np.unique(bins, return_counts=True)
    return Histogram(dict(zip(places.tolist(), counts.tolist(), strict=True)))


@dataclass
class Result:
    """How a rollout ended: ``promoted``, ``rolled back`` or ``open``; requests of the candidate, of both."""

    end: str
    requests: int
    total: int
    reason: str


def roll_out(
    strategy: Strategy, champion: Model, candidate: Model, rng: np.random.Generator, looks: int = 400
) -> Result:
    """One rollout through the real machine and the real gates."""
    state = machine.loaded(machine.deploy(Deployment(), "1", strategy, now=0, by="me"), "1", now=0)
    state = machine.loaded(machine.deploy(state, "2", strategy, now=0, by="me"), "2", now=0)
    old, new, step, requests = Evidence(), Evidence(), 0, 0
    for look in range(1, looks + 1):
        assert state.active
        if state.active.step != step:
            old, new, step = Evidence(), Evidence(), state.active.step
        mirrored = state.active.mirrored
        dealt = PER_LOOK if mirrored else int(rng.binomial(PER_LOOK, state.active.weight))
        new = new.merged(candidate.answer(rng, dealt))
        old = old.merged(champion.answer(rng, PER_LOOK if mirrored else PER_LOOK - dealt))
        requests += dealt
        verdicts = judge(strategy, Observed(old), Observed(new), plan=False)
        state = machine.tick(state, look * 2.0, verdicts, new.requests)
        if not state.active:
            assert state.rollout
            end = "promoted" if state.champion == "2" else "rolled back"
            return Result(end, requests, look * PER_LOOK, state.rollout.reason)
    return Result("open", requests, looks * PER_LOOK, "")


CANARY = parse("canary:10,50,100")


@pytest.mark.parametrize(
    ("name", "champion", "candidate", "rollouts", "looks"),
    [
        ("the same", Model(), Model(), 300, 120),
        ("the same, 5 % errors, wide latencies", Model(0.05, spread=1.0), Model(0.05, spread=1.0), 100, 60),
        # The hardest that still counts as good: exactly as bad as tolerated.
        ("as bad as tolerated", Model(0.01), Model(0.03), 300, 40),
    ],
)
def test_a_good_version_is_hardly_ever_rolled_back(
    name: str, champion: Model, candidate: Model, rollouts: int, looks: int
) -> None:
    rng = np.random.default_rng(11)
    results = [roll_out(CANARY, champion, candidate, rng, looks) for _ in range(rollouts)]
    wrong = sum(result.end == "rolled back" for result in results)
    promoted = sorted(result.total for result in results if result.end == "promoted")
    median = promoted[len(promoted) // 2] if promoted else 0
    say(
        f"{name}: {wrong} of {rollouts} rolled back by mistake (alpha {CANARY.alpha}), "
        f"{len(promoted)} promoted, median after {median:,} requests"
    )
    assert wrong / rollouts <= CANARY.alpha
    if name == "the same":
        assert len(promoted) >= 0.95 * rollouts, "a good version is promoted by itself"
    if name == "as bad as tolerated":
        assert len(promoted) <= CANARY.alpha * rollouts


@pytest.mark.parametrize(
    ("name", "candidate", "gate", "most"),
    [
        ("errors 5 %", Model(errors=0.05), "errors", 4000),
        ("errors 100 %", Model(errors=1.0), "errors", 100),
        ("twice as slow", Model(slow=2.0), "latency", 1500),
        ("predictions shifted by 1 sd", Model(shift=1.0), "drift", 1500),
    ],
)
def test_a_bad_version_is_always_rolled_back_within_so_many_requests(
    name: str, candidate: Model, gate: str, most: int
) -> None:
    rng = np.random.default_rng(13)
    results = [roll_out(CANARY, Model(), candidate, rng) for _ in range(60)]
    assert {result.end for result in results} == {"rolled back"}
    assert all(result.reason.startswith(gate) for result in results)
    used = sorted(result.requests for result in results)
    say(f"{name}: rolled back 60 of 60, requests of the candidate median {used[30]:,}, most {used[-1]:,}")
    assert used[-1] <= most


def test_errors_that_come_in_bursts_on_both_arms_blame_nobody() -> None:
    rng, wrong, rollouts = np.random.default_rng(17), 0, 100
    calm, storm = Model(0.0), Model(0.3)
    strategy = parse("canary:50@1h,100")
    for _ in range(rollouts):
        old, new = Evidence(), Evidence()
        state = machine.loaded(machine.deploy(Deployment(), "1", strategy, now=0, by="me"), "1", now=0)
        state = machine.loaded(machine.deploy(state, "2", strategy, now=0, by="me"), "2", now=0)
        for look in range(60):
            model = storm if rng.random() < 0.1 else calm
            dealt = int(rng.binomial(PER_LOOK, 0.5))
            new, old = new.merged(model.answer(rng, dealt)), old.merged(model.answer(rng, PER_LOOK - dealt))
            state = machine.tick(
                state, look * 2.0, judge(strategy, Observed(old), Observed(new), plan=False), new.requests
            )
            if not state.active:
                wrong += 1
                break
    say(f"bursts of 30 % errors on both arms: {wrong} of {rollouts} rolled back")
    assert wrong / rollouts <= strategy.alpha


def test_an_ab_test_keeps_its_error_rate_and_stops_early() -> None:
    strategy = parse("ab:50,gates=better@conversion,alpha=0.05")
    rng = np.random.default_rng(19)
    calm = Evidence(100, 100)

    def winner(rate: float, other: float, looks: int) -> tuple[str, int]:
        won = np.zeros(2)
        seen = np.zeros(2)
        for look in range(1, looks + 1):
            dealt = int(rng.binomial(PER_LOOK, 0.5))
            seen += (PER_LOOK - dealt, dealt)
            won += (rng.binomial(PER_LOOK - dealt, rate), rng.binomial(dealt, other))
            arms = [
                Observed(calm, metrics={"conversion": Outcomes(int(n), k / n, k / n * (1 - k / n))})
                for n, k in zip(seen, won, strict=True)
            ]
            verdict = judge(strategy, arms[0], arms[1], plan=False)[-1].verdict
            if verdict != "inconclusive":
                return verdict, look * PER_LOOK
        return "inconclusive", looks * PER_LOOK

    same = [winner(0.1, 0.1, 200)[0] for _ in range(300)]
    wins, losses = same.count("pass") / 300, same.count("fail") / 300
    better = [winner(0.1, 0.12, 400) for _ in range(50)]
    worse = [winner(0.1, 0.08, 400) for _ in range(50)]
    median = sorted(total for _, total in better)[25]
    found = sum(verdict == "pass" for verdict, _ in better)
    lost = sum(verdict == "fail" for verdict, _ in worse)
    say(
        f"A/B, no difference, 200 looks: {wins:.3f} won, {losses:.3f} lost, alpha {strategy.alpha}; "
        f"10 % against 12 %: {found} of 50 won, median after {median:,} of 80,000; "
        f"10 % against 8 %: {lost} of 50 lost"
    )
    assert wins + losses <= strategy.alpha
    assert found >= 48
    assert lost >= 48
    assert median < 40_000, "it stops early"
