"""The desired state of a model: what the registered model's tag ``modelyard.deployment`` says.

Nothing here changes in place and nothing looks at a clock: times are seconds since the epoch, given by the
caller.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from blueprints.errors import Problem
from mlops.serving.rollout.strategy import Part, Strategy, parse

TAG = "modelyard.deployment"
#: A tag of a registered model holds 5,000 characters; the rest is room for one more event.
MOST_CHARACTERS = 4_500
MOST_EVENTS = 20
MOST_RULES = 20
_SENTENCE = 240

Phase = Literal["loading", "comparing", "stepping", "paused", "frozen", "failed", "done"]
Judgement = Literal["pass", "fail", "inconclusive"]


def _version(value: str) -> str:
    if not value or len(value) > 20 or not value.isalnum():
        raise ValueError("a version is a number as the registry gives it")
    return value


def _short(value: str) -> str:
    return value if len(value) <= _SENTENCE else value[: _SENTENCE - 1] + "…"


Version = Annotated[str, AfterValidator(_version)]
Sentence = Annotated[str, AfterValidator(_short)]


class Verdict(Part):
    """What one gate says of the candidate.

    ``value`` and its interval ``low`` to ``high`` are how much worse the candidate is, in the unit of
    ``tolerance``; for the gate ``better``, how much better. None: not known yet.
    """

    gate: str
    verdict: Judgement
    value: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float = 0.0
    champion: float | None = None
    """The champion's own figure: a rate, seconds, a mean, bytes."""
    candidate: float | None = None
    samples: int = 0
    """The candidate's samples behind it."""
    needed: int | None = None
    """About how many more of the candidate's samples decide it, if nothing changes; None: unknown."""
    sentence: Sentence = ""


class Event(Part):
    """Something that happened to the deployment, in one sentence."""

    at: float
    by: Annotated[str, AfterValidator(lambda who: who[:60])]
    text: Sentence


class FlagRule(Part):
    """Requests with a certain attribute go to a certain version. The first rule that matches decides."""

    attribute: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    """Name of the request header without ``x-modelyard-``, lower case."""
    op: Literal["equals", "in", "prefix", "percent"]
    """equals, in, prefix: of the attribute's text. percent: this share of the attribute's values, the same
    ones each time."""
    values: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    percent: Annotated[float, Field(gt=0, le=100)] | None = None
    version: Version

    @model_validator(mode="after")
    def _check(self) -> FlagRule:
        if self.op == "percent" and (self.percent is None or self.values):
            raise ValueError("percent takes a percentage and no values")
        if self.op != "percent" and (self.percent is not None or not self.values):
            raise ValueError(f"{self.op} takes values and no percentage")
        if self.op in ("equals", "prefix") and len(self.values) != 1:
            raise ValueError(f"{self.op} takes one value")
        return self


class Flags(Part):
    """Feature flags of a model, and the switch that turns all of them off at once."""

    on: bool = True
    rules: Annotated[tuple[FlagRule, ...], Field(max_length=MOST_RULES)] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that rules name, none when the switch is off."""
        return tuple(dict.fromkeys(rule.version for rule in self.rules)) if self.on else ()


class Rollout(Part):
    """A candidate on its way to replace the champion, or how that ended."""

    id: str
    """Deals callers to arms, so a new rollout deals anew."""
    candidate: Version
    strategy: Strategy
    """Stored as its text."""
    origin: Literal["command", "alias"] = "command"
    """alias: a plain MLflow client moved ``champion``."""
    by: str = ""
    step: Annotated[int, Field(ge=0)] = 0
    since: float
    """When the step began: evidence counts from here."""
    started: float
    loaded: bool = False
    """The candidate has passed readiness everywhere. No traffic before."""
    phase: Phase = "loading"
    """comparing: it gets copies. stepping: it gets traffic. paused: a person holds it, or it waits for one.
    frozen: a gate failed and traffic stays as it is. failed, done: over."""
    reason: Sentence = ""
    verdicts: tuple[Verdict, ...] = ()
    """The last ones of the step, one a gate."""

    @field_serializer("strategy")
    def _dump_strategy(self, strategy: Strategy) -> str:
        return strategy.to_text()

    @field_validator("strategy", mode="before")
    @classmethod
    def _load_strategy(cls, value: Any) -> Any:
        return parse(value) if isinstance(value, str) else value

    @property
    def active(self) -> bool:
        """It still holds or may get traffic."""
        return self.phase not in ("failed", "done")

    @property
    def weight(self) -> float:
        """The candidate's share of the traffic, 0 to 1."""
        if not self.active or not self.loaded or self.step >= len(self.strategy.steps):
            return 0.0
        return self.strategy.steps[self.step].weight / 100

    @property
    def mirrored(self) -> bool:
        """The candidate gets copies of the traffic."""
        return self.active and self.loaded and self.strategy.steps[self.step].weight == 0


class Deployment(Part):
    """The desired state of one registered model, on every replica."""

    revision: Annotated[int, Field(ge=0)] = 0
    """Only grows; a replica never goes back."""
    updated: float = 0.0
    by: str = ""
    champion: Version | None = None
    """The version that answers; once set it is always set."""
    previous: Version | None = None
    """The champion before; where a rollback goes."""
    keep_until: float = 0.0
    """Until when ``previous`` stays loaded."""
    rollout: Rollout | None = None
    """The present one, or how the last one ended."""
    shadow: Version | None = None
    """Gets copies of the traffic for as long as it is set."""
    flags: Flags = Flags()
    frozen: str | None = None
    """Why nothing may be deployed or promoted now."""
    events: tuple[Event, ...] = ()
    """The last ones, oldest first."""

    @property
    def active(self) -> Rollout | None:
        """The rollout, if it is not over."""
        return self.rollout if self.rollout and self.rollout.active else None

    def to_tag(self) -> str:
        """Compact JSON, below 4,500 characters: old events go first, then verdicts' sentences.

        Raises:
            Problem: It does not fit even so: too many flag rules.
        """
        state = self
        text = state._dump()
        while len(text) > MOST_CHARACTERS and len(state.events) > 1:
            state = state.model_copy(update={"events": state.events[1:]})
            text = state._dump()
        if len(text) > MOST_CHARACTERS and state.rollout:
            bare = tuple(each.model_copy(update={"sentence": ""}) for each in state.rollout.verdicts)
            state = state.model_copy(update={"rollout": state.rollout.model_copy(update={"verdicts": bare})})
            text = state._dump()
        if len(text) > MOST_CHARACTERS:
            raise Problem(
                f"the state takes {len(text)} characters and the registry's tag holds {MOST_CHARACTERS}",
                todo="name fewer or shorter flag rules",
            )
        return text

    def _dump(self) -> str:
        data = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(_rounded(data), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_tag(cls, text: str) -> Deployment:
        """What :meth:`to_tag` made; empty text: a model nobody deployed yet.

        Raises:
            Problem: Somebody else wrote the tag.
        """
        if not text:
            return cls()
        try:
            return cls.model_validate_json(text)
        except (ValidationError, Problem) as error:
            first = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
            raise Problem(
                f"the tag {TAG} of the model cannot be read: {first}",
                expected="what modelyard wrote",
                todo="delete the tag; the alias champion then decides",
            ) from None


def rollout_id(revision: int, candidate: str, now: float) -> str:
    """Eight characters that no other rollout of the model has."""
    return hashlib.blake2b(f"{revision}:{candidate}:{now!r}".encode(), digest_size=4).hexdigest()


def _rounded(value: Any) -> Any:
    """Floats with 6 significant digits, times with milliseconds: the rest is noise that costs characters."""
    if isinstance(value, float):
        return round(value, 3) if abs(value) > 1e6 else float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
