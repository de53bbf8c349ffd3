"""How a new version takes over: the strategies, and the text that names one on a command line.

``canary:5,10,25,50,100``, ``canary:5@2m,25@200n,100``, ``blue-green:keep=4h``, ``shadow:1h``,
``ab:50,metric=conversion``, ``rolling``. The text carries everything a strategy says, so it is also how a
strategy is stored; whatever equals the default of its kind is left out of it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from blueprints.errors import UsageProblem

Kind = Literal["rolling", "blue-green", "canary", "shadow", "ab"]
GateKind = Literal["errors", "latency", "contract", "drift", "performance", "business", "better", "memory"]
OnFail = Literal["rollback", "freeze"]
OnInconclusive = Literal["wait", "pause", "rollback", "proceed"]

_KINDS: tuple[str, ...] = get_args(Kind)
_GATES: tuple[str, ...] = get_args(GateKind)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_METRIC = r"-?[A-Za-z_][A-Za-z0-9_./-]{0,59}"
_EXPECTED = (
    "rolling | blue-green | canary | shadow | ab, then steps and options: canary:5@2m,25@200n,50@manual,100 "
    "or blue-green:10m,keep=4h or shadow:1h or ab:50,metric=conversion"
)
#: Tolerances that a laptop's traffic can decide within minutes, see the docstrings of `analysis`.
_TOLERANCE: dict[str, float] = {
    "errors": 0.02,
    "latency": 0.4,
    "contract": 0.02,
    "drift": 0.2,
    "performance": 0.05,
    "business": 0.05,
    "better": 0.0,
    "memory": 1.0,
}
_SAMPLES: dict[str, int] = {"memory": 5}
_MIN_SAMPLES = 50
#: The expansion of the Gaussian that means rest on is worth nothing earlier.
_MIN_MEAN = 100


class Part(BaseModel):
    """Base of every part of the desired state: unknown keys are refused, values never change in place."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def but(self, **update: Any) -> Self:
        """The same with some fields different, checked like any other (``model_copy`` checks nothing)."""
        return type(self).model_validate({**dict(self), **update})


def _default_samples(kind: str) -> int:
    if kind in ("performance", "business", "better"):
        return _MIN_MEAN
    return _SAMPLES.get(kind, _MIN_SAMPLES)


class Gate(Part):
    """One question that is asked of the candidate, against the champion in the same period."""

    kind: GateKind
    """What is compared."""
    tolerance: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How much worse the candidate may be: a share of requests (errors, contract), of the champion's value
    (latency, performance, business, memory), a distance of distributions 0 to 1 (drift); for better: how
    much better it has to be, a share of the champion's value."""
    metric: Annotated[str, Field(pattern=f"^({_METRIC})?$")] = ""
    """Business metric (business, better); with - in front: less is better."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 95.0
    """Percentile of the latency (latency only)."""
    samples: Annotated[int, Field(ge=1, le=10_000_000)] = _MIN_SAMPLES
    """Samples each arm has to have before there is any verdict but inconclusive."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("kind") not in _GATES:
            return data
        kind = str(data["kind"])
        return {"tolerance": _TOLERANCE[kind], "samples": _default_samples(kind), **data}

    @model_validator(mode="after")
    def _check(self) -> Gate:
        needs = self.kind in ("business", "better")
        if needs and not self.metric:
            raise ValueError(f"{self.kind} needs a metric: {self.kind}@conversion")
        if self.metric and not needs:
            raise ValueError(f"{self.kind} takes no metric")
        if self.percentile != 95.0 and self.kind != "latency":
            raise ValueError(f"{self.kind} takes no percentile")
        return self

    @property
    def name(self) -> str:
        """``errors``, ``latency@p99``, ``business@conversion``: unique within a strategy."""
        if self.kind == "latency" and self.percentile != 95.0:
            return f"latency@p{self.percentile:g}"
        return f"{self.kind}@{self.metric}" if self.metric else self.kind

    @property
    def source(self) -> str:
        """Name of the evidence it is decided by, as the deployment's resolvable metrics are named:
        ``errors``, ``latency``, ``contract``, ``drift``, ``performance``, ``memory``, ``business:NAME``."""
        return f"business:{self.metric.lstrip('-')}" if self.metric else self.kind

    def to_text(self) -> str:
        """``NAME[@WHAT][:TOLERANCE[:SAMPLES]]``, defaults left out."""
        samples = self.samples != _default_samples(self.kind)
        text = self.name
        if samples or self.tolerance != _TOLERANCE[self.kind]:
            text += f":{_number(self.tolerance)}"
        return f"{text}:{self.samples}" if samples else text

    @classmethod
    def from_text(cls, text: str) -> Gate:
        """What :meth:`to_text` made.

        Raises:
            ValueError: It is no gate; the text says why.
        """
        head, *numbers = text.split(":")
        kind, _, what = head.partition("@")
        if kind not in _GATES:
            raise ValueError(f"no gate {kind!r}, gates are {', '.join(_GATES)}")
        data: dict[str, Any] = {"kind": kind}
        if what and kind == "latency":
            if not re.fullmatch(r"p\d+(\.\d+)?", what):
                raise ValueError(f"{what!r} is no percentile, as in latency@p99")
            data["percentile"] = float(what[1:])
        elif what:
            data["metric"] = what
        if len(numbers) > 2:
            raise ValueError(f"{text!r}: a gate is NAME@WHAT:TOLERANCE:SAMPLES")
        for key, value in zip(("tolerance", "samples"), numbers, strict=False):
            data[key] = _parsed(value, text)
        return cls.model_validate(data)


class Step(Part):
    """A share of the traffic, and what has to be true before the next one. Every gate passes, besides."""

    weight: Annotated[float, Field(ge=0, le=100)]
    """Percent of the traffic the candidate gets; 0: it gets copies of all of it, answers unseen."""
    seconds: Annotated[float, Field(ge=0, le=31_536_000)] = 0.0
    """At least this long."""
    samples: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """At least this many requests of the candidate."""
    manual: bool = False
    """Until a person promotes."""

    def conditions(self) -> str:
        """``2m+200n+manual``; empty: only the gates decide."""
        parts = [duration(self.seconds)] if self.seconds else []
        parts += [f"{self.samples}n"] if self.samples else []
        return "+".join(parts + (["manual"] if self.manual else []))

    def to_text(self) -> str:
        """``25@2m+200n``."""
        conditions = self.conditions()
        return f"{_number(self.weight)}@{conditions}" if conditions else _number(self.weight)


def _default_gates(kind: str) -> tuple[Gate, ...]:
    if kind == "rolling":
        return (Gate(kind="errors"), Gate(kind="contract"))
    if kind == "ab":
        return (Gate(kind="errors"), Gate(kind="latency"), Gate(kind="contract"))
    return (Gate(kind="errors"), Gate(kind="latency"), Gate(kind="contract"), Gate(kind="drift"))


def _ramp(weights: tuple[int, ...], seconds: float) -> tuple[Step, ...]:
    return (*(Step(weight=each, seconds=seconds) for each in weights), Step(weight=100))


def _default_steps(kind: str) -> tuple[Step, ...]:
    return {
        "rolling": _ramp((25, 50, 75), 10),
        "blue-green": _ramp((0,), 60),
        "canary": _ramp((5, 25, 50), 60),
        "shadow": (Step(weight=0, seconds=3600),),
        "ab": _ramp((50,), 0),
    }[kind]


class Strategy(Part):
    """How the candidate takes over from the champion."""

    kind: Kind
    """rolling: quarter by quarter on time, gates only guard. blue-green: copies are compared, then all at
    once. canary: step by step. shadow: copies are compared, a person decides. ab: two arms until one wins."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=12)]
    gates: Annotated[tuple[Gate, ...], Field(max_length=8)]
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Chance that a candidate as good as tolerated is rolled back (and that a worse one passes), over all
    gates, steps and looks."""
    on_fail: OnFail = "rollback"
    """freeze: traffic stays as it is until a person decides."""
    on_inconclusive: OnInconclusive = "wait"
    """What happens when a step's conditions are met and, ``max_wait`` later, gates are still inconclusive.
    proceed (rolling only, its default): on to the next step, recorded as without a verdict."""
    max_wait: Annotated[float, Field(ge=0, le=31_536_000)] = 0.0
    """Seconds (pause and rollback only)."""
    keep_seconds: Annotated[float, Field(ge=0, le=31_536_000)] = 3600.0
    """The old version stays loaded this long after it was replaced."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("kind") not in _KINDS:
            return data
        return {**_defaults(str(data["kind"])), **data}

    @model_validator(mode="after")
    def _check(self) -> Strategy:
        self._check_steps()
        if not self.gates:
            raise ValueError(
                "a rollout without a gate would pass whatever happens: name one, as gates=errors"
            )
        names = [gate.name for gate in self.gates]
        if len(set(names)) < len(names):
            raise ValueError("a gate is named twice")
        better = [gate for gate in self.gates if gate.kind == "better"]
        if self.kind == "ab" and len(better) != 1:
            raise ValueError("an A/B test needs the metric that decides it: ab:50,metric=conversion")
        if self.kind != "ab" and better:
            raise ValueError(f"better decides A/B tests; {self.kind} takes business@{better[0].metric}")
        limited = self.on_inconclusive in ("pause", "rollback")
        if self.max_wait and not limited:
            raise ValueError(f"inconclusive={self.on_inconclusive} takes no time limit")
        if not self.max_wait and limited:
            raise ValueError(f"say after how long: inconclusive={self.on_inconclusive}:2h")
        if self.on_inconclusive == "proceed" and self.kind != "rolling":
            raise ValueError("only rolling goes on without a verdict")
        return self

    def _check_steps(self) -> None:
        weights = [step.weight for step in self.steps]
        if self.kind == "shadow":
            if weights != [0]:
                raise ValueError("shadow takes how long, no weights: shadow:1h")
            return
        if len(weights) < 2 or weights[-1] != 100:
            raise ValueError("the last step is 100, after at least one smaller one")
        if self.steps[-1].conditions():
            raise ValueError("100 ends the rollout and takes no conditions; keep=4h keeps the old one")
        if any(one >= two for one, two in pairwise(weights)):
            raise ValueError("weights grow from step to step")
        if self.kind == "blue-green" and weights != [0, 100]:
            raise ValueError("blue-green takes how long to compare, no weights: blue-green:10m")
        if self.kind == "ab" and (len(weights) != 2 or weights[0] == 0):
            raise ValueError("an A/B test takes one weight: ab:50")
        if self.kind == "rolling" and 0 in weights:
            raise ValueError("rolling takes how long each quarter lasts: rolling:10s")

    @property
    def metric(self) -> str:
        """The metric that decides an A/B test; empty for other kinds."""
        return next((gate.metric for gate in self.gates if gate.kind == "better"), "")

    @property
    def judged(self) -> int:
        """How many steps are judged: all but the one that hands over everything."""
        return sum(step.weight < 100 for step in self.steps)

    @property
    def mirrors(self) -> bool:
        """Some step sends copies of the traffic to the candidate."""
        return any(step.weight == 0 for step in self.steps)

    def to_text(self) -> str:
        """The text that :func:`parse` turns back into this strategy."""
        base = _defaults(self.kind)
        parts = [] if self.steps == base["steps"] else self._steps_text()
        metric = self.metric
        others = tuple(gate for gate in self.gates if gate.to_text() != f"better@{metric}") or self.gates
        parts += [f"metric={metric}"] if len(others) < len(self.gates) else []
        parts += [] if others == base["gates"] else ["gates=" + "+".join(each.to_text() for each in others)]
        parts += [] if self.alpha == 0.05 else [f"alpha={_number(self.alpha)}"]
        parts += [] if self.on_fail == "rollback" else [f"fail={self.on_fail}"]
        if (self.on_inconclusive, self.max_wait) != (base["on_inconclusive"], 0.0):
            limit = f":{duration(self.max_wait)}" if self.max_wait else ""
            parts.append(f"inconclusive={self.on_inconclusive}{limit}")
        parts += [] if self.keep_seconds == base["keep_seconds"] else [f"keep={duration(self.keep_seconds)}"]
        return f"{self.kind}:{','.join(parts)}" if parts else self.kind

    def _steps_text(self) -> list[str]:
        if self.kind in ("shadow", "blue-green"):
            # No condition at all still has to differ from the default of a minute.
            return [self.steps[0].conditions() or "0s"]
        if self.kind == "rolling" and [each.weight for each in self.steps] == [25, 50, 75, 100]:
            first = self.steps[0]
            if all(each == first.model_copy(update={"weight": each.weight}) for each in self.steps[:-1]):
                return [first.conditions() or "0s"]
        steps = self.steps[:-1] if self.kind == "ab" else self.steps
        return [each.to_text() for each in steps]


def _defaults(kind: str) -> dict[str, Any]:
    return {
        "steps": _default_steps(kind),
        "gates": _default_gates(kind),
        "on_inconclusive": "proceed" if kind == "rolling" else "wait",
        "keep_seconds": 4 * 3600.0 if kind == "blue-green" else 3600.0,
    }


def parse(text: str) -> Strategy:
    """The strategy that a text names.

    Raises:
        UsageProblem: It names none; one sentence says why.
    """
    try:
        return _parse(text.strip())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UsageProblem(
            f"{place}: {message}" if place else message, where=f"strategy {text}", expected=_EXPECTED
        ) from None
    except ValueError as error:
        raise UsageProblem(str(error), where=f"strategy {text}", expected=_EXPECTED) from None


def _parse(text: str) -> Strategy:
    kind, colon, rest = text.partition(":")
    if kind not in _KINDS:
        raise ValueError(f"no strategy {kind!r}")
    if colon and not rest:
        raise ValueError("nothing follows the colon")
    items = rest.split(",") if rest else []
    data: dict[str, Any] = {"kind": kind}
    plain = [item for item in items if "=" not in item]
    if plain:
        data["steps"] = _steps(kind, plain)
    seen: set[str] = set()
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            continue
        if key in seen:
            raise ValueError(f"{key} is given twice")
        seen.add(key)
        data.update(_option(key, value))
    metric = data.pop("metric", "")
    if metric:
        better = Gate(kind="better", metric=metric)
        data["gates"] = (*data.get("gates", _default_gates(kind)), better)
    return Strategy.model_validate(data)


def _option(key: str, value: str) -> dict[str, Any]:
    if not value:
        raise ValueError(f"{key}= has no value")
    match key:
        case "gates":
            return {"gates": tuple(Gate.from_text(each) for each in value.split("+"))}
        case "metric":
            return {"metric": value}
        case "alpha":
            return {"alpha": _parsed(value, key)}
        case "fail":
            return {"on_fail": value}
        case "inconclusive":
            how, _, limit = value.partition(":")
            return {"on_inconclusive": how} | ({"max_wait": seconds(limit)} if limit else {})
        case "keep":
            return {"keep_seconds": seconds(value)}
    raise ValueError(f"no option {key!r}, options are gates, metric, alpha, fail, inconclusive, keep")


def _steps(kind: str, items: list[str]) -> tuple[Step, ...]:
    ends = (Step(weight=100),)
    if kind in ("shadow", "blue-green"):
        if len(items) > 1:
            raise ValueError(f"{kind} takes one duration, or none")
        first = Step(weight=0, **_conditions(items[0]))
        return (first,) if kind == "shadow" else (first, *ends)
    if kind == "rolling" and len(items) == 1:
        conditions = _conditions(items[0])
        return (*(Step(weight=each, **conditions) for each in (25, 50, 75)), *ends)
    steps = tuple(_step(item) for item in items)
    return (*steps, *ends) if kind == "ab" and len(steps) == 1 else steps


def _step(text: str) -> Step:
    weight, at, conditions = text.partition("@")
    return Step(weight=_parsed(weight, text), **(_conditions(conditions) if at else {}))


def _conditions(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in text.split("+"):
        if part == "manual":
            key, value = "manual", 1.0
        elif re.fullmatch(r"\d{1,10}n", part):
            key, value = "samples", float(part[:-1])
        else:
            key, value = "seconds", seconds(part)
        if key in found:
            raise ValueError(f"{text!r} says {key} twice")
        found[key] = value
    return found


def seconds(text: str) -> float:
    """Seconds of ``90s``, ``2m``, ``4h``, ``1.5d``.

    Raises:
        ValueError: It is no duration.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", text)
    if not found:
        raise ValueError(
            f"{text!r} is no condition: 90s, 2m, 4h and 1d are times, 200n requests, manual a person"
        )
    return float(found[1]) * _UNITS[found[2]]


def duration(value: float) -> str:
    """The text :func:`seconds` reads, in the largest unit that keeps it whole."""
    for unit in "dhm":
        if value and value % _UNITS[unit] == 0:
            return f"{value / _UNITS[unit]:.0f}{unit}"
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) else repr(value)


def _parsed(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} in {where!r} is no number") from None
