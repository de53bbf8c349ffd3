"""Texts of strategies: both ways, and one clear sentence for what is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blueprints.errors import UsageProblem
from mlops.serving.rollout.state import Deployment, Event, FlagRule, Flags, Rollout, Verdict
from mlops.serving.rollout.strategy import Gate, Step, Strategy, parse


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("canary:5,10,25,50,100", [5, 10, 25, 50, 100]),
        ("canary:5@2m,25@200n,100", [5, 25, 100]),
        ("canary:0@10m,5@manual,100", [0, 5, 100]),
        ("blue-green:keep=4h", [0, 100]),
        ("shadow:1h", [0]),
        ("ab:50,metric=conversion", [50, 100]),
        ("rolling", [25, 50, 75, 100]),
    ],
)
def test_text_of_a_strategy(text: str, weights: list[float]) -> None:
    strategy = parse(text)
    assert [step.weight for step in strategy.steps] == weights
    assert parse(strategy.to_text()) == strategy
    assert Strategy.model_validate_json(strategy.model_dump_json()) == strategy


def test_conditions_and_options() -> None:
    strategy = parse(
        "canary:5@2m+20n,25@manual,100,gates=errors:0.01:300+latency@p99:0.2,metric=x".removesuffix(
            ",metric=x"
        )
        + ",fail=freeze,inconclusive=pause:2h,alpha=0.01,keep=1d"
    )
    assert strategy.steps[0] == Step(weight=5, seconds=120, samples=20)
    assert strategy.steps[1].manual
    assert strategy.gates == (
        Gate(kind="errors", tolerance=0.01, samples=300),
        Gate(kind="latency", percentile=99, tolerance=0.2),
    )
    assert (strategy.on_fail, strategy.on_inconclusive, strategy.max_wait) == ("freeze", "pause", 7200)
    assert (strategy.alpha, strategy.keep_seconds) == (0.01, 86400)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no strategy"),
        ("canry:5,100", "no strategy 'canry'"),
        ("canary:", "nothing follows"),
        ("canary:5,25", "last step is 100"),
        ("canary:100", "after at least one smaller"),
        ("canary:5,5,100", "grow"),
        ("canary:25,5,100", "grow"),
        ("canary:5,120", "weight"),
        ("canary:x,100", "no number"),
        ("canary:nan,100", "weight"),
        ("canary:5@2q,100", "no condition"),
        ("canary:5@1m+2m,100", "twice"),
        ("canary:5,100,keep=1h,keep=2h", "twice"),
        ("canary:5,100,gates=errors+errors", "twice"),
        ("canary:5,100,gates=", "no value"),
        ("canary:5,100,gates=foo", "no gate 'foo'"),
        ("canary:5,100,gates=business", "needs a metric"),
        ("canary:5,100,gates=errors@x", "takes no metric"),
        ("canary:5,100,colour=red", "no option 'colour'"),
        ("ab:50", "needs the metric"),
        ("shadow:5,10", "one duration"),
    ],
)
def test_what_is_no_strategy_is_refused_in_one_sentence(text: str, word: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse(text)
    assert word in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "text",
    [
        "canary:5,100@2m",
        "rolling:inconclusive=wait:2h",
        "canary:inconclusive=pause",
        "canary:inconclusive=proceed",
        "canary:metric=conversion",
        "blue-green:5,100@1m",
        "shadow:1h,gates=better@x",
    ],
)
def test_kserve_5335_a_setting_that_would_be_ignored_is_an_error(text: str) -> None:
    with pytest.raises(UsageProblem):
        parse(text)


_DURATIONS = st.one_of(st.just(0.0), st.integers(1, 10_000_000).map(float), st.sampled_from([0.5, 90.25]))
_STEP = st.builds(
    Step, weight=st.just(1.0), seconds=_DURATIONS, samples=st.integers(0, 10**6), manual=st.booleans()
)
_GATE = st.one_of(
    st.builds(
        Gate,
        kind=st.sampled_from(["errors", "contract", "drift", "performance", "memory"]),
        tolerance=st.floats(0, 1000),
        samples=st.integers(1, 10**7),
    ),
    st.builds(Gate, kind=st.just("latency"), percentile=st.sampled_from([50.0, 95.0, 99.0, 99.9])),
    st.builds(Gate, kind=st.just("business"), metric=st.sampled_from(["a", "-a.b/c", "x_y-z"])),
)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["rolling", "blue-green", "canary", "shadow", "ab"]),
    steps=st.lists(_STEP, min_size=1, max_size=6),
    weights=st.lists(
        st.one_of(st.integers(1, 99), st.floats(0.1, 99.9)), min_size=6, max_size=6, unique=True
    ),
    gates=st.lists(_GATE, min_size=1, max_size=5, unique_by=lambda gate: gate.name),
    tolerance=st.sampled_from([0.0, 0.1]),
    alpha=st.floats(0.0001, 0.2),
    fail=st.sampled_from(["rollback", "freeze"]),
    limit=st.sampled_from([("wait", 0.0), ("pause", 60.0), ("rollback", 90.5)]),
    keep=_DURATIONS,
)
def test_every_strategy_survives_its_text(
    kind: str,
    steps: list[Step],
    weights: list[float],
    gates: list[Gate],
    tolerance: float,
    alpha: float,
    fail: str,
    limit: tuple[str, float],
    keep: float,
) -> None:
    end = Step(weight=100)
    if kind == "shadow":
        chosen: tuple[Step, ...] = (steps[0].model_copy(update={"weight": 0.0}),)
    elif kind == "blue-green":
        chosen = (steps[0].model_copy(update={"weight": 0.0}), end)
    else:
        most = steps[:1] if kind == "ab" else steps
        grown = sorted(weights[: len(most)])
        chosen = (*(s.model_copy(update={"weight": float(w)}) for s, w in zip(most, grown, strict=True)), end)
    extra = (Gate(kind="better", metric="conversion", tolerance=tolerance),) if kind == "ab" else ()
    strategy = Strategy.model_validate(
        {
            "kind": kind,
            "steps": chosen,
            "gates": (*gates, *extra),
            "alpha": alpha,
            "on_fail": fail,
            "on_inconclusive": limit[0],
            "max_wait": limit[1],
            "keep_seconds": keep,
        }
    )
    assert parse(strategy.to_text()) == strategy


def _crowded() -> Deployment:
    words = "errors 5.1 % of 2,312 requests against 0.2 % of 43,001, surely more than 2 % worse. " * 3
    verdicts = tuple(
        Verdict(
            gate=gate.name,
            verdict="inconclusive",
            value=1 / 3,
            low=-1 / 3,
            high=2 / 3,
            samples=10**9,
            sentence=words,
        )
        for gate in parse("canary").gates
    )
    rules = tuple(
        FlagRule(attribute=f"attribute-{n}", op="in", values=("one", "two"), version="2") for n in range(10)
    )
    rollout = Rollout(
        id="abcdef01",
        candidate="2",
        strategy=parse("canary:1,5,10,25,50,75,100"),
        since=1.7e9,
        started=1.7e9,
        reason=words,
        verdicts=verdicts,
    )
    events = tuple(Event(at=1.7e9 + n, by="somebody", text=f"{n} {words}") for n in range(20))
    return Deployment(revision=7, champion="1", rollout=rollout, events=events, flags=Flags(rules=rules))


def test_the_tag_always_fits_and_what_it_drops_is_the_oldest() -> None:
    state = _crowded()
    text = state.to_tag()
    assert len(text) <= 4500
    back = Deployment.from_tag(text)
    assert back.events
    assert back.events == state.events[-len(back.events) :]
    assert back.model_copy(update={"events": (), "rollout": None}) == state.model_copy(
        update={"events": (), "rollout": None}
    )
    assert back.rollout
    assert back.rollout.strategy == parse("canary:1,5,10,25,50,75,100")


def test_a_tag_that_somebody_else_wrote_is_told_in_words() -> None:
    for text in (
        "{",
        "[]",
        '{"colour": "red"}',
        '{"rollout": {"strategy": "foo"}}',
        '{"champion": "no good!"}',
    ):
        with pytest.raises(Exception, match="cannot be read"):
            Deployment.from_tag(text)
    assert Deployment.from_tag("") == Deployment()
