"""Gates: the questions that are asked of a candidate, and their text, ``latency@p99:0.2:500``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

GateKind = Literal["errors", "latency", "contract", "drift", "performance", "business", "better", "memory"]

_GATES: tuple[str, ...] = get_args(GateKind)
_METRIC = r"-?[A-Za-z_][A-Za-z0-9_./-]{0,59}"
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

    model_config = ConfigDict(extra="forbid", frozen=True)

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
            text += f":{number(self.tolerance)}"
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
            data[key] = parsed(value, text)
        return cls.model_validate(data)


def number(value: float) -> str:
    """The shortest text of a number that reads back as the same."""
    return repr(int(value)) if value == int(value) else repr(value)


def parsed(text: str, where: str) -> float:
    """The number a text says; ValueError with both texts otherwise."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} in {where!r} is no number") from None
